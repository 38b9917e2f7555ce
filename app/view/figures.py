"""What everybody may know of the counts: rounded, and so that no group under five can be computed.

The figures of cities are rounded down to ten; below ten one is told as less than ten, nothing too.
Ten is twice the smallest group. Who knows that one person of a city came or went between two
releases knows its number if its figure moves: then that is ten or nine, and never under five.

A sum could still give a small group away: five groups of less than ten that are 45 in all are nine
each. So a total is told between two cuts (`cuts_of`). With what lies between any two of them, every
small city may still have anything from nothing to four, also for who knows the exact number of one
other city. The cuts follow from the figures of the cities as they are told, and never from the
total, or they would tell of the total itself. A reason is told by the same cuts, since whoever has
it is one of all reds: a reason above a cut is a total above it.

How many events are held above the limits of their sources is told by ten too, and by no city, no
source and no reason.

When they are told is in app.view.releases. The full numbers are the duty officer's
(/duty/counts.json).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from app.view.reading import Counts
from models.codes import Colour, Reason
from models.policy import ZONE

GROUP = 5
"""The smallest group that anything is told about, as statistical offices have it for health."""

STEP = 2 * GROUP
"""To this the figures of cities are rounded down."""

TOTAL_STEP = 2 * STEP
"""From one cut of a total to the next."""

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
    held: Rounded


def rounded(number: int) -> Rounded:
    """Return a number rounded down to `STEP`."""
    least = number // STEP * STEP
    return Rounded(least, least + STEP - 1)


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
    red_parts, green_parts = [*by_red.values()], [*by_green.values()]
    return PublicFigures(
        counts.at,
        {
            Colour.RED: summed(red_total, red_parts),
            Colour.GREEN: summed(green_total, green_parts),
            Colour.NONE: rounded(counts.colours.get(Colour.NONE, 0)),
        },
        {reason: within(counts.reasons.get(reason, 0), red_parts) for reason in Reason},
        by_red,
        by_green,
        rounded(counts.held),
    )


def _cells(numbers: Mapping[str, int], cities: Sequence[str]) -> dict[str, int]:
    return {city: numbers.get(city, 0) for city in cities}


def cuts_of(parts: Sequence[Rounded]) -> Sequence[int]:
    """Return the numbers by which a sum of `parts` is told apart: from one on, or below it.

    A sum just below the first leaves room for one part at its greatest and a small group of four
    beside it. A sum at the last leaves room for one at its least, and one that is nothing.
    """
    least, most = sum(part.least for part in parts), sum(part.most for part in parts)
    return range(least + TOTAL_STEP, most - 2 * (STEP - 1) + 1, TOTAL_STEP)


def summed(total: int, parts: Sequence[Rounded]) -> Rounded:
    """Return a sum of `parts` as it is told: between two cuts, or an end and a cut."""
    least, most = sum(part.least for part in parts), sum(part.most for part in parts)
    cuts = cuts_of(parts)
    return Rounded(
        max((cut for cut in cuts if cut <= total), default=least),
        min((cut - 1 for cut in cuts if cut > total), default=most),
    )


def within(number: int, parts: Sequence[Rounded]) -> Rounded:
    """Return the number of some of those whom `parts` sum up to, as it is told."""
    if number < sum(part.least for part in parts):
        return rounded(number)
    return summed(number, parts)


class PublicCountAnswer(Struct, frozen=True):
    """A number from `least` to `most`. From 0 on it is a group too small to be told."""

    least: int
    most: int


class PublicCountsAnswer(Struct, frozen=True):
    """People by colour, reason (one may have several) and city, rounded.

    `made_at` is when they were counted: at most once a quarter of an hour, and once at least five
    codes have changed. `other` is everybody of no city of Guangdong, or of an unknown one. `held`
    are events that would turn codes red, are more than their source may send, and wait for two
    operators.
    """

    made_at: datetime
    colours: dict[str, PublicCountAnswer]
    reasons: dict[str, PublicCountAnswer]
    red: dict[str, PublicCountAnswer]
    green: dict[str, PublicCountAnswer]
    held: PublicCountAnswer


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
        PublicCountAnswer(figures.held.least, figures.held.most),
    )
