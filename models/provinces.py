"""What another province's reports come to: the spells in which someone is red or yellow there.

At each instant what was reported until then counts, in the order of the province's sequence. A
lower sequence that is sent and reported later, by more than reports may be out of order, begins a
new count (own decision). So a red reported today is never without effect.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, takewhile
from typing import NamedTuple

from models.corrections import Order
from models.events import ProvincialCodeReported, ProvincialColour
from models.files import Placed
from models.idle import Idle, Obstacle
from models.policy import policy_at

Report = Placed[ProvincialCodeReported]


class Spell(NamedTuple):
    """Red or yellow since `start`, as `opened` says, until `green` ended it at `end`; None while it
    lasts."""

    opened: ProvincialCodeReported
    start: datetime
    green: ProvincialCodeReported | None
    end: datetime | None


class Followed(NamedTuple):
    """The spells of one province, in order of time.

    `idle` are the reports that change none of them, because its sequence has them before another.
    `ended` are the reds and yellows that have ended, each with the green that ended it.
    """

    spells: list[Spell]
    idle: list[Idle]
    ended: list[tuple[ProvincialCodeReported, ProvincialCodeReported]]


def follow(reports: Sequence[Report]) -> Followed:
    """Follow the reports of one province."""
    red: list[Report] = []
    greens: list[Report] = []
    opened: tuple[ProvincialCodeReported, datetime] | None = None
    green: ProvincialCodeReported | None = None
    found = Followed([], [], [])
    for at, together in groupby(sorted(reports, key=_reported_at), key=_reported_at):
        for report in together:
            if report.event.data.colour is ProvincialColour.GREEN:
                insort(greens, report, key=_place)
                over = [other for other in red if _is_after(report, other)]
                found.ended.extend((other.event, report.event) for other in over)
                red = [other for other in red if other not in over]
                green = report.event
                if red:
                    standing = red[-1].event
                    if found.idle and found.idle[-1].by is standing:
                        found.idle.pop()  # of several greens the newest is told
                    found.idle.append(Idle(report.event, Obstacle.EARLIER_IN_SEQUENCE, standing))
            elif later := next((g for g in _behind(greens, report) if _is_after(g, report)), None):
                found.idle.append(Idle(report.event, Obstacle.EARLIER_IN_SEQUENCE, later.event))
                found.ended.append((report.event, later.event))
            else:
                red.append(report)
        if red:
            opened = opened or (red[0].event, at)
        elif opened is not None:
            found.spells.append(Spell(*opened, green, at))
            opened = None
    if opened is not None:
        found.spells.append(Spell(*opened, None, None))
    found.idle.extend(_dated_before_a_red(greens, reports))
    return found


def _dated_before_a_red(greens: Sequence[Report], reports: Iterable[Report]) -> Iterator[Idle]:
    """Yield the greens that come after a red in the sequence, and are dated before it."""
    green = ProvincialColour.GREEN
    reds = sorted((r for r in reports if r.event.data.colour is not green), key=_place)
    latest: list[Report] = []  # of each red and those before it, the one that was made last
    for red in reds:
        latest.append(max(latest[-1], red, key=_made_at) if latest else red)
    for report in greens:
        place = bisect_left(reds, report.place, key=_place)
        if place and _precedes(report, latest[place - 1]):
            yield Idle(report.event, Obstacle.DATED_BEFORE, latest[place - 1].event)


def _made_at(report: Report) -> datetime:
    sent_at: datetime = report.place[1]
    return min(_reported_at(report), sent_at)


def _behind(greens: Sequence[Report], report: Report) -> Iterable[Report]:
    """Return the greens after `report` in the sequence, the last first. A green before it cannot
    end it: this report came later."""
    return takewhile(lambda green: report.place < green.place, reversed(greens))


def _is_after(report: Report, other: Report) -> bool:
    """Say whether `report` was made after `other`, by the sequence of their province. It was not if
    it is dated before `other` was made, and was sent, by more than reports may be out of order."""
    if _precedes(report, other):
        return False
    if report.place < other.place:
        return _begins_again(report, other)
    return not _begins_again(other, report)


def _precedes(report: Report, other: Report) -> bool:
    disorder = policy_at(_reported_at(report)).provincial_disorder_max
    return _reported_at(report) + disorder < _made_at(other)


def _begins_again(report: Report, other: Report) -> bool:
    disorder = policy_at(_reported_at(report)).provincial_disorder_max
    sent_at, other_sent_at = report.place[1], other.place[1]
    return (
        report.place < other.place
        and _reported_at(report) > _reported_at(other) + disorder
        and bool(sent_at > other_sent_at + disorder)
    )


def _reported_at(report: Report) -> datetime:
    return report.event.data.reported_at


def _place(report: Report) -> Order:
    return report.place
