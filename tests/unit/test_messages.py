"""What the pages say: every message is translated, every word is marked with its language."""

import re
import subprocess
import sys
from collections.abc import Iterator
from gettext import NullTranslations
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from litestar import Router

from app.topics.schemas import asyncapi
from app.view.pages import names
from app.web import language as languages
from app.web.language import LANGUAGES, LOCALES, Language
from app.web.site import STATIC
from models.codes import Colour
from models.information import Section
from support.gateways import gateway_document
from support.pages import MISSING, STATES, Stand, of_anybody, of_residents, rendered

ROOT = Path(__file__).parents[2]
TRANSLATED = LANGUAGES[1:]
HAN = re.compile(r"[\u3400-\u9fff]+")
LATIN = re.compile(r"[A-Za-z]{2,}")

HAN_MEANT = {
    "粤省事": "an app's name, as it stands on a phone; how it sounds is beside it",
    "粤康码": "what to look for within that app",
}
LATIN_MEANT = {
    "OpenAPI": "a standard's name",
    "AsyncAPI": "a standard's name",
    "JSON": "a format's name",
    "WCAG": "a standard's name",
    "AA": "a level of that standard",
    "IgG": "an antibody's name, in the manual's own words",
    "cdc": "part of a source, /cdc/440100, as events have it",
}


def by_code(language: Language) -> str:
    return language.code


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """What `make messages` finds in code and templates."""
    file = tmp_path_factory.mktemp("messages") / "messages.pot"
    pybabel = [sys.executable, "-m", "babel.messages.frontend", "-q"]
    subprocess.run(
        [*pybabel, "extract", "-F", "pyproject.toml", "-o", str(file), "app"], cwd=ROOT, check=True
    )
    return read_po(BytesIO(file.read_bytes()))


def catalogue(language: Language) -> Catalog:
    path = LOCALES / language.code / "LC_MESSAGES" / "yuekang.po"
    return read_po(BytesIO(path.read_bytes()), locale=language.locale.language)


def messages(catalogue: Catalog) -> dict[tuple[str | None, str], Message]:
    """Every message by its context and its Chinese text; the header is not one."""
    return {(message.context, forms(message.id)[0]): message for message in catalogue if message.id}


def forms(text: Any) -> tuple[str, ...]:
    """What stands for one, and what for many; the same thing where a message is not inflected."""
    return (text,) if isinstance(text, str) else tuple(text)


def places(text: str) -> set[str]:
    return set(re.findall(r"{\w*}", text))


@pytest.mark.parametrize("language", TRANSLATED, ids=by_code)
class TestCatalogue:
    def test_it_has_what_the_pages_say_and_nothing_else(
        self, template: Catalog, language: Language
    ) -> None:
        known = catalogue(language)
        assert messages(known).keys() == messages(template).keys()
        assert not known.obsolete

    def test_everything_is_translated_and_nothing_is_a_guess(self, language: Language) -> None:
        for key, message in messages(catalogue(language)).items():
            assert all(forms(message.string)), key
            assert not message.fuzzy, key

    def test_every_form_of_a_plural_is_there(self, language: Language) -> None:
        known = catalogue(language)
        for key, message in messages(known).items():
            wanted = known.num_plurals if message.pluralizable else 1
            assert len(forms(message.string)) == wanted, key

    def test_a_translation_has_the_places_of_its_message(self, language: Language) -> None:
        for key, message in messages(catalogue(language)).items():
            for form in (*forms(message.id), *forms(message.string)):
                assert places(form) == places(key[1]), key

    def test_no_chinese_is_left_in_it(self, language: Language) -> None:
        for message in messages(catalogue(language)).values():
            for form in forms(message.string):
                assert set(HAN.findall(form)) <= HAN_MEANT.keys(), form


def test_each_language_but_chinese_has_a_catalogue() -> None:
    assert {path.name for path in LOCALES.iterdir()} == {language.code for language in TRANSLATED}


def test_scripts_have_their_words_from_the_page() -> None:
    scripts = [path for folder in STATIC for path in folder.glob("*.js")]
    assert len(scripts) > 5
    for script in scripts:
        assert not HAN.search(script.read_text()), script.name


def test_a_text_is_not_put_into_a_string_before_its_language_is_known() -> None:
    with pytest.raises(TypeError, match="in a language"):
        f"{names.COLOURS[Colour.RED]}"


# Pages


class Piece(NamedTuple):
    """Something a page says, and the tag of the language that governs it."""

    tag: str
    text: str


class Reader(HTMLParser):
    """Takes a page apart into pieces: its text but code, and the attributes that are read out."""

    SAID = {"alt", "aria-label", "placeholder", "title", "data-said"}  # noqa: RUF012
    SAID |= {f"data-{what}" for what in ("words", "by-time", "gap", "dropped", "hold", "resume")}
    SAID |= {f"data-{state}" for state in ("connecting", "live", "reconnecting", "starved")}
    VOID = {"meta", "link", "br", "input", "img", "source"}  # noqa: RUF012
    CODE = {"code", "pre"}  # noqa: RUF012

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.pieces: list[Piece] = []
        self._open = [("", tag, False)]

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        _, tag, code = self._open[-1]
        tag = dict(attrs).get("lang") or tag
        self.pieces += [Piece(tag, value) for key, value in attrs if key in self.SAID and value]
        if name not in self.VOID:
            self._open.append((name, tag, code or name in self.CODE))

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop()[0] == name

    def handle_data(self, data: str) -> None:
        _, tag, code = self._open[-1]
        if data.strip() and not code:
            self.pieces.append(Piece(tag, data.strip()))


def pieces(state: str, language: Language) -> list[Piece]:
    reader = Reader(language.tag)
    reader.feed(rendered(state, language))
    return reader.pieces


def words_of_documents() -> tuple[set[str], set[str]]:
    """What the API's documents name (fields, types, paths), and the terms that they explain."""

    def within(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from node
            for inner in node.values():
                yield from within(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from within(inner)
        elif isinstance(node, str):
            yield node

    strings = set(within(orjson.loads(orjson.dumps([gateway_document(), asyncapi()]))))
    named = {word for text in strings if " " not in text for word in LATIN.findall(text)}
    terms = {word for text in strings for word in HAN.findall(text)}
    return named | {"GET", "POST"}, terms


def of_documents(state: str) -> bool:
    """Say whether a page says what is in the API's documents."""
    return state in ("api", "agency") or state.startswith("event")


def test_every_page_is_looked_at() -> None:
    (router, _) = of_anybody(Stand())
    resident = Router("/", route_handlers=of_residents(Stand()))
    addresses = {
        route.path
        for route in (*router.routes, *resident.routes)
        if not route.path.endswith((".json", ".js", ".webmanifest", "/logout"))
    }
    parameters = {
        f"^/me/({'|'.join(Section)})$": "/me/{section:str}",
        "^/declare/sent/.*$": "/declare/sent/{reference:str}",
        "^/me/notices/.*$": "/me/notices/{reference:str}",
        "^/api/events/.*$": "/api/events/{event:str}",
    }

    def of_route(address: str) -> str:
        for pattern, route in parameters.items():
            address = re.sub(pattern, route, address)
        return address

    looked_at = {
        of_route(address.partition("?")[0]) for _, address in STATES.values() if address != MISSING
    }
    assert looked_at == addresses


@pytest.mark.parametrize("language", LANGUAGES, ids=by_code)
@pytest.mark.parametrize("state", STATES)
def test_every_word_is_in_the_language_that_it_is_marked_with(
    state: str, language: Language
) -> None:
    latin, han = words_of_documents() if of_documents(state) else (set(), set())
    found = pieces(state, language)
    assert found
    for tag, text in found:
        if tag == "und":
            assert text, "a name is of no language"
        elif tag.startswith("zh"):
            assert set(LATIN.findall(text)) <= LATIN_MEANT.keys() | latin, text
        else:
            assert set(HAN.findall(text)) <= HAN_MEANT.keys() | han, text


class Written(NullTranslations):
    """A translation of everything into a language without Han characters."""

    def gettext(self, message: str) -> str:
        return HAN.sub("x", message)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid2)


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> Language:
    """Portuguese as in Macao, were it one more line."""
    language = Language("pt", Locale.parse("pt_MO"), Written())
    monkeypatch.setattr(languages, "LANGUAGES", (*LANGUAGES, language))
    return language


@pytest.mark.parametrize("state", STATES)
def test_a_third_language_needs_a_catalogue_and_nothing_else(third: Language, state: str) -> None:
    _, han = words_of_documents() if of_documents(state) else (set(), set())
    for tag, text in pieces(state, third):
        if tag == third.tag:
            assert set(HAN.findall(text)) <= han, text


def test_a_reader_of_a_third_language_sees_chinese_beneath_and_may_switch_to_any(
    third: Language,
) -> None:
    assert third.second is LANGUAGES[0]
    page = rendered("red", third)
    assert '<span class="second" lang="zh-Hans-CN">红码</span>' in page
    assert all(f'href="?lang={code}"' in page for code in ("zh", "en"))
    assert 'href="?lang=pt"' in rendered("red", LANGUAGES[0])
    assert "24/11/2026, 12:00:07" in page
