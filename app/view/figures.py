"""What everybody may know of the counts: rounded, and so that no group under five can be computed.

Once a quarter of an hour the counts are taken (`QUARTER_S`). The figures of cities are rounded down
to five; below five one is told as less than five, nothing too. A sum could still give such a group
away: five groups of less than five that are twenty in all are four each. So a total, and the
reasons, since each is a part of all reds, are rounded to a multiple with which every small city
may still have anything from nothing to four. Which multiple that is follows from the figures of the
cities as they are told (`base_of`) and never from the total, or it would tell of the total itself.

The full numbers are the duty officer's (/duty/counts.json).
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from app.process.clock import Clock
from app.view.counts import Counting
from app.view.reading import Counts
from models.codes import Colour, Reason
from models.policy import ZONE

QUARTER_S = 900
LEAST = 5
"""The smallest group that is told, as statistical offices have it for health."""

BASES = tuple(
    step * power for power in (1, 10, 100, 1_000, 10_000, 100_000) for step in (5, 10, 20)
)
"""To multiples of these a total may be rounded."""

CITIES_SHOWN = tuple(
    f"{code}00"
    for code in (
        *range(4401, 4410),
        *range(4412, 4421),
        *range(4451, 4454),
    )
)
"""The 21 prefecture-level cities of Guangdong (GB/T 2260)."""

ELSEWHERE = "other"
"""The cell of people of no city of the table, or of an unknown one; so cells sum up to a total."""


class Rounded(Struct, frozen=True):
    """A number from `least` to `most`. One that may be nothing is told as less than a number."""

    least: int
    most: int

    @property
    def hidden(self) -> bool:
        """Say whether it is told as less than `most` and one."""
        return self.least == 0


class PublicFigures(Struct, frozen=True):
    """The figures as they were at `made_at`. One person may have several reasons."""

    made_at: datetime
    colours: Mapping[Colour, Rounded]
    reasons: Mapping[Reason, Rounded]
    red: Mapping[str, Rounded]
    green: Mapping[str, Rounded]


def rounded(number: int, base: int = LEAST) -> Rounded:
    """Return a number rounded down to a multiple of `base`."""
    least = number // base * base
    return Rounded(least, least + base - 1)


def published(counts: Counts, cities: Sequence[str]) -> PublicFigures:
    """Return what may be told of `counts`, by the cities named."""
    red = _cells({city: counts.cities[city].red for city in counts.cities}, cities)
    green = _cells({city: counts.cities[city].green for city in counts.cities}, cities)
    red_total = counts.colours.get(Colour.RED, 0)
    green_total = counts.colours.get(Colour.GREEN, 0)
    red[ELSEWHERE] = max(0, red_total - sum(red.values()))
    green[ELSEWHERE] = max(0, green_total - sum(green.values()))
    by_red = {city: rounded(number) for city, number in red.items()}
    by_green = {city: rounded(number) for city, number in green.items()}
    red_base = base_of([*by_red.values()])
    return PublicFigures(
        counts.at,
        {
            Colour.RED: rounded(red_total, red_base),
            Colour.GREEN: rounded(green_total, base_of([*by_green.values()])),
            Colour.NONE: rounded(counts.colours.get(Colour.NONE, 0)),
        },
        {reason: rounded(counts.reasons.get(reason, 0), red_base) for reason in Reason},
        by_red,
        by_green,
    )


def _cells(numbers: Mapping[str, int], cities: Sequence[str]) -> dict[str, int]:
    return {city: numbers.get(city, 0) for city in cities}


def base_of(parts: Sequence[Rounded]) -> int:
    """Return to which multiple the sum of `parts` is rounded, whatever it is.

    With it no sum that they can have says anything of a small part: neither the greatest, from
    which the others' greatest could be taken away, nor the least.
    """
    if not any(part.hidden for part in parts):
        return LEAST
    least, most = sum(part.least for part in parts), sum(part.most for part in parts)
    small = LEAST - 1
    for base in BASES:
        if most // base * base <= most - small and least // base * base + base - 1 >= least + small:
            return base
    return most + 1


class FigureReader:
    """Takes the figures once a quarter of an hour, for the cities named. One event loop's."""

    def __init__(self, counting: Counting, cities: Sequence[str], now: Clock) -> None:
        self._counting = counting
        self._cities = cities
        self._now = now
        self._lock = asyncio.Lock()
        self._kept: tuple[int, PublicFigures] | None = None

    async def figures(self) -> PublicFigures:
        """Return the figures of this quarter of an hour; raise `Unavailable`."""
        quarter = int(self._now().timestamp()) // QUARTER_S
        async with self._lock:
            if self._kept is None or self._kept[0] != quarter:
                counts = await self._counting.counts()
                self._kept = quarter, published(counts, self._cities)
            return self._kept[1]


class PublicCountAnswer(Struct, frozen=True):
    """A number from `least` to `most`. From 0 to 4 it is a group too small to be told."""

    least: int
    most: int


class PublicCountsAnswer(Struct, frozen=True):
    """People by colour, reason (one may have several) and city, rounded.

    `made_at` is when they were counted, once a quarter of an hour. `other` is everybody of no city
    of Guangdong, or of an unknown one.
    """

    made_at: datetime
    colours: dict[str, PublicCountAnswer]
    reasons: dict[str, PublicCountAnswer]
    red: dict[str, PublicCountAnswer]
    green: dict[str, PublicCountAnswer]


def figures_answer(figures: PublicFigures) -> PublicCountsAnswer:
    """Return the figures as they are said over HTTP."""

    def said(cells: Mapping[str, Rounded]) -> dict[str, PublicCountAnswer]:
        return {key: PublicCountAnswer(cell.least, cell.most) for key, cell in cells.items()}

    return PublicCountsAnswer(
        figures.made_at.astimezone(ZONE),
        said({colour.value: cell for colour, cell in figures.colours.items()}),
        said({reason.slug: cell for reason, cell in figures.reasons.items()}),
        said(figures.red),
        said(figures.green),
    )
