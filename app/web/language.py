"""The languages of the pages, and texts in the reader's own.

A message is its own text in Chinese. Each other language is a gettext catalogue beside this
module, `locale/<code>/LC_MESSAGES/yuekang.po`; `make messages` writes new messages into it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from models.policy import ZONE

LOCALES = Path(__file__).parent / "locale"

_LAST_DAY = datetime(9999, 12, 31, tzinfo=ZONE)


@dataclass(frozen=True, eq=False)
class Language:
    """A language. `?lang=` names it by `code`; `locale` says how it writes days and numbers."""

    code: str
    locale: Locale
    messages: NullTranslations

    @cached_property
    def tag(self) -> str:
        """The BCP 47 tag for `lang` attributes and Content-Language."""
        return str(self.locale).replace("_", "-")

    @property
    def name(self) -> str:
        """The name that its speakers give it."""
        return self.locale.language_name or self.code

    @property
    def others(self) -> "list[Language]":
        """The languages to which a switch leads."""
        return [language for language in LANGUAGES if language is not self]

    @cached_property
    def second(self) -> "Language":
        """The language that stands beneath, for a guard who does not read the first."""
        return self.others[0]


def _translated(code: str, locale: str) -> Language:
    """Read a catalogue. It is compiled here, so the text file is its only form."""
    compiled = BytesIO()
    with (LOCALES / code / "LC_MESSAGES" / "yuekang.po").open("rb") as file:
        write_mo(compiled, read_po(file))
    compiled.seek(0)
    return Language(code, Locale.parse(locale), GNUTranslations(compiled))


CHINESE = Language("zh", Locale.parse("zh_Hans_CN"), NullTranslations())
LANGUAGES = (CHINESE, _translated("en", "en_GB"))
"""A further language needs a catalogue and an entry here."""


@lru_cache(maxsize=1_024)  # browsers say the same few; a header has 64 KB at most
def negotiate(asked: str | None, accept_language: str, kept: str | None = None) -> Language:
    """Choose by `?lang=`, else by what the browser kept of an earlier choice, else by
    Accept-Language (RFC 9110, 12.5.4), else Chinese."""
    known = {language.code: language for language in LANGUAGES}
    wanted = [(asked or "").lower(), (kept or "").lower(), *_by_preference(accept_language)]
    return known[negotiate_locale(wanted, known, sep="-") or CHINESE.code]


def is_known(code: str) -> bool:
    """Say whether the pages speak the language of this code."""
    return any(language.code == code for language in LANGUAGES)


def _by_preference(accept_language: str) -> Iterable[str]:
    weighted: list[tuple[float, str]] = []
    for part in accept_language.lower().split(",")[:20]:
        tag, _, weight = part.partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue  # an unreadable weight names no preference
        if quality > 0:
            weighted.append((quality, tag.strip()))
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]


@dataclass(frozen=True, slots=True)
class Text:
    """A text whose language is not chosen yet: `of` says it in one. A template does so itself."""

    of: Callable[[Language], str]

    def filled(self, **parts: "str | Text") -> "Text":
        """Fill the `{name}` places. A part that is itself a `Text` enters in the same language."""

        def of(language: Language) -> str:
            said = {k: v.of(language) if isinstance(v, Text) else v for k, v in parts.items()}
            return self.of(language).format(**said)

        return Text(of)

    def __str__(self) -> str:
        """Refuse: a text that is put into a string would lose its other languages."""
        raise TypeError("a Text is said in a language: text.of(language)")


# gettext's tools look for these names; most modules call the first one `_`.


def gettext(message: str) -> Text:
    """A message."""
    return Text(lambda language: language.messages.gettext(message))


def pgettext(context: str, message: str) -> Text:
    """A message whose translation depends on where it stands."""
    return Text(lambda language: language.messages.pgettext(context, message))


def ngettext(one: str, many: str, n: int) -> Text:
    """A message that is inflected by its place `{n}`; in Chinese `one` and `many` are equal."""
    return Text(lambda language: language.messages.ngettext(one, many, n)).filled(n=number(n))


def as_is(text: str) -> Text:
    """A text that is the same in every language, such as a code."""
    return Text(lambda _: text)


def joined(separator: Text, parts: Iterable[Text]) -> Text:
    """All of `parts` in one line."""
    parts = tuple(parts)
    return Text(lambda language: separator.of(language).join(part.of(language) for part in parts))


def number(value: float, pattern: str | None = None) -> Text:
    """A number with separators; `pattern` is one of Unicode's, such as `#,##0.0`."""
    return Text(lambda language: _formatted(value, pattern, language))


@lru_cache(maxsize=8_192)  # a lag in tenths is one of 3,000: uncached, as much as a code costs
def _formatted(value: float, pattern: str | None, language: Language) -> str:
    return format_decimal(value, pattern, locale=language.locale)


def day(instant: datetime) -> Text:
    """The calendar day in Asia/Shanghai."""
    return _day(instant, "medium")


def today(instant: datetime) -> Text:
    """The calendar day with the day of the week, as beneath a clock."""
    return _day(instant, "full")


def clock(instant: datetime) -> str:
    """The time of day in Asia/Shanghai, with seconds; in every language as a clock shows it."""
    local = _local(instant)
    # strftime would do the same in six times the time.
    return f"{local.hour:02}:{local.minute:02}:{local.second:02}"


def moment(instant: datetime) -> Text:
    """Day and minute in Asia/Shanghai; the day alone where a rule means a whole day (00:00)."""
    hands = clock(instant)
    return day(instant) if hands == "00:00:00" else _dated(instant, hands[:-3])


def exactly(instant: datetime) -> Text:
    """Day and second in Asia/Shanghai."""
    return _dated(instant, clock(instant))


def _local(instant: datetime) -> datetime:
    """The instant in Asia/Shanghai.

    Open-ended instants are written as 9999-12-31 in UTC, which would overflow here, so they are
    clamped to the start of that day.
    """
    return min(instant, _LAST_DAY).astimezone(ZONE)


def _day(instant: datetime, length: str) -> Text:
    date = _local(instant).date()
    return Text(lambda language: _written(date, length, language))


# A red code's page has seven days: uncached, a fifth of its time in Jinja, most of it filled in.
@lru_cache(maxsize=1024)
def _written(date: date, length: str, language: Language) -> str:
    return format_date(date, length, language.locale)


def _dated(instant: datetime, hands: str) -> Text:
    date = day(instant)

    def of(language: Language) -> str:
        pattern = str(language.locale.datetime_formats["medium"])
        return pattern.replace("'", "").format(hands, date.of(language))

    return Text(of)
