"""How a page is sent that is the same for all readers of a language."""

import pytest
from litestar import Litestar, Response
from litestar.testing import TestClient

from app.web import site
from app.web.language import LANGUAGES, Language
from app.web.site import cached_page, digest_of
from support.pages import Stand, asked, of_anybody

ZH, EN = LANGUAGES[:2]


class Pages:
    """Pages that say one word; `made` has each that was made, in that order."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def ask(
        self, word: str = "1", language: Language = ZH, known: str | None = None
    ) -> Response[bytes]:
        def context() -> dict[str, object]:
            self.made.append(word)
            return {"word": word}

        headers = {} if known is None else {"if-none-match": known}
        return cached_page(asked(language, headers), "a.html", digest_of(word), context)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.setattr(site, "_cached", {})
    monkeypatch.setattr(site, "render", lambda _, language, of: f"{language.code} {of['word']}")
    return Pages()


def test_it_is_made_once_for_each_language_and_digest(pages: Pages) -> None:
    asked_for = [("1", ZH), ("1", EN), ("1", ZH), ("2", ZH), ("1", EN)]
    answers = [pages.ask(*each) for each in asked_for]
    assert [a.content for a in answers] == [b"zh 1", b"en 1", b"zh 1", b"zh 2", b"en 1"]
    assert pages.made == ["1", "1", "2"]
    assert [answers[n].headers["content-language"] for n in (0, 1)] == [ZH.tag, EN.tag]


def test_anybody_may_keep_it_for_a_minute(pages: Pages) -> None:
    headers = pages.ask().headers
    assert headers["cache-control"] == "public, max-age=60"
    assert headers["vary"] == "accept-language, cookie"
    assert "default-src 'self'" in headers["content-security-policy"]


def test_who_has_it_is_told_so(pages: Pages) -> None:
    first = pages.ask()
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = pages.ask(known=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers == first.headers
    for known in ("", '"other"', pages.ask("2").headers["etag"]):
        assert pages.ask(known=known).status_code == 200


def test_its_tag_is_of_what_it_says(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    former, other = (pages.ask(word).headers["etag"] for word in ("1", "2"))
    monkeypatch.setattr(site, "_cached", {})  # as another process is
    assert pages.ask().headers["etag"] == former != other


def test_what_was_asked_for_longest_ago_is_forgotten(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "CACHED_PAGES_MAX", 2)
    for word in ("1", "2", "1", "3", "1", "2"):
        pages.ask(word)
    assert pages.made == ["1", "2", "3", "2"]


def test_a_digest_tells_values_apart() -> None:
    values: list[list[object]] = [
        [],
        [None],
        ["", ""],
        [["", ""]],
        [{}],
        [{"a": 1}],
        [{"a": 2}],
        ["a", 1],
    ]
    assert len({digest_of(*value) for value in values}) == len(values)


@pytest.mark.parametrize("address", ["/api", "/api/events"])
def test_a_browser_asks_for_a_reference_again_and_gets_no_second_copy(address: str) -> None:
    with TestClient(Litestar(of_anybody(Stand()))) as client:
        first = client.get(address)
        assert first.headers["content-type"].startswith("text/html")
        again = client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
