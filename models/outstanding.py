"""What of a person's events is on its way to be counted against its source's limit (models.quotas),
and not back yet.

Until it is back, or held, the code lacks it, and says so: it is complete only until then. Events
that leave by one way come back in the order in which they left. So of each way its first and its
last place are enough, however many are between them.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct


class Outstanding(Struct, frozen=True, array_like=True):
    """Events that left by one way: the places of the first and the last, and when the first
    arrived."""

    way: str
    first: int
    last: int
    since: datetime


def left(
    outstanding: Sequence[Outstanding], way: str, place: int, at: datetime
) -> tuple[Outstanding, ...]:
    """Return what is outstanding once an event of `at` has left by `way` from `place`."""
    before = [each for each in outstanding if each.way == way]
    others = [each for each in outstanding if each.way != way]
    first = min([place, *(each.first for each in before)])
    since = min([at, *(each.since for each in before)])
    return (*others, Outstanding(way, first, place, since))


def came_back(
    outstanding: Sequence[Outstanding], way: str, place: int, at: datetime
) -> tuple[Outstanding, ...]:
    """Return what is outstanding once the event that arrived at `at` is back at `place`, or held.

    All that left before it by the same way is back too. What comes again later changes nothing.
    """
    kept = []
    for each in outstanding:
        if each.way != way or place < each.first:
            kept.append(each)
        elif place < each.last:
            kept.append(Outstanding(way, place + 1, each.last, max(each.since, at)))
    return tuple(kept)


def complete_until(outstanding: Sequence[Outstanding]) -> datetime | None:
    """Return until when nothing is outstanding; None if nothing is."""
    return min((each.since for each in outstanding), default=None)
