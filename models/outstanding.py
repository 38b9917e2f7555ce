"""What of a person's events is on its way to be counted against its source's limit (models.quotas),
and not back yet.

Until an event is back, folded or held, the code may lack it, and says so: it is complete until the
instant at which that event arrived. A way is an input with the partition in which its events are
counted. Events that leave by one way come back in the order in which they left. So of each way the
first and the last offset are enough, however many are between them.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct


class Outstanding(Struct, frozen=True, array_like=True):
    """Events that left by one way: the offsets of the first and the last in their input, and when
    the first arrived."""

    way: str
    first: int
    last: int
    since: datetime


def sent_away(
    outstanding: Sequence[Outstanding], way: str, offset: int, at: datetime
) -> tuple[Outstanding, ...]:
    """Return what is outstanding once the event at `offset`, which arrived at `at`, has left."""
    before = [each for each in outstanding if each.way == way]
    others = [each for each in outstanding if each.way != way]
    first = min([offset, *(each.first for each in before)])
    since = min([at, *(each.since for each in before)])
    return (*others, Outstanding(way, first, offset, since))


def came_back(
    outstanding: Sequence[Outstanding], way: str, offset: int, at: datetime
) -> tuple[Outstanding, ...]:
    """Return what is outstanding once the event at `offset`, which arrived at `at`, is back.

    All that left before it by the same way is back too. What comes again later changes nothing.
    """
    kept = []
    for each in outstanding:
        if each.way != way or offset < each.first:
            kept.append(each)
        elif offset < each.last:
            kept.append(Outstanding(way, offset + 1, each.last, max(each.since, at)))
    return tuple(kept)


def complete_until(outstanding: Sequence[Outstanding]) -> datetime | None:
    """Return until when nothing is outstanding; None if nothing is."""
    return min((each.since for each in outstanding), default=None)
