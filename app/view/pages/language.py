"""Which of the two languages comes first on a page, and how instants read in each."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from models.policy import ZONE


class Language(StrEnum):
    """Chinese comes first unless a reader asks for English."""

    ZH = "zh"
    EN = "en"

    @property
    def tag(self) -> str:
        """The BCP 47 tag for `lang` attributes and Content-Language."""
        return "zh-Hans-CN" if self is Language.ZH else "en"

    @property
    def other(self) -> "Language":
        """The language that stands beneath, or that the switch leads to."""
        return Language.EN if self is Language.ZH else Language.ZH


class Words(NamedTuple):
    """One text in both languages."""

    zh: str
    en: str

    def of(self, language: Language) -> str:
        """The text in `language`."""
        return self.zh if language is Language.ZH else self.en

    def filled(self, **parts: "str | Words") -> "Words":
        """Fill `{name}` places; a part that is itself `Words` enters in the same language."""
        zh = {k: v.zh if isinstance(v, Words) else v for k, v in parts.items()}
        en = {k: v.en if isinstance(v, Words) else v for k, v in parts.items()}
        return Words(self.zh.format(**zh), self.en.format(**en))


def negotiate(asked: str | None, accept_language: str) -> Language:
    """Choose by `?lang=`, else by Accept-Language (RFC 9110, 12.5.4), else Chinese."""
    if asked in ("zh", "en"):
        return Language(asked)
    for tag in _by_preference(accept_language):
        primary = tag.partition("-")[0]
        if primary in ("zh", "en"):
            return Language(primary)
    return Language.ZH


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


_WEEKDAYS_ZH = "一二三四五六日"
_WEEKDAYS_EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS_EN = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Not from the locale of the process: a page has both languages at once.


def day(instant: datetime) -> Words:
    """The calendar day in Asia/Shanghai."""
    at = instant.astimezone(ZONE)
    return Words(
        f"{at.year}年{at.month}月{at.day}日", f"{at.day} {_MONTHS_EN[at.month - 1]} {at.year}"
    )


def today(instant: datetime) -> Words:
    """The calendar day with the day of the week, as beneath a clock."""
    date, of_week = day(instant), instant.astimezone(ZONE).weekday()
    return Words(f"{date.zh} 星期{_WEEKDAYS_ZH[of_week]}", f"{_WEEKDAYS_EN[of_week]}, {date.en}")


def clock(instant: datetime) -> str:
    """The time of day in Asia/Shanghai, with seconds."""
    return f"{instant.astimezone(ZONE):%H:%M:%S}"


def moment(instant: datetime) -> Words:
    """Day and minute in Asia/Shanghai; the day alone where a rule means a whole day (00:00)."""
    at, date = instant.astimezone(ZONE), day(instant)
    if (at.hour, at.minute, at.second) == (0, 0, 0):
        return date
    return Words(f"{date.zh} {at:%H:%M}", f"{date.en}, {at:%H:%M}")


def exactly(instant: datetime) -> Words:
    """Day and second in Asia/Shanghai."""
    date, hands = day(instant), clock(instant)
    return Words(f"{date.zh} {hands}", f"{date.en}, {hands}")
