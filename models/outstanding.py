"""What of a person's events is on its way to be counted against its source's limit (models.quotas),
and not back yet.

Until an event is back, folded or held, the code may lack it, and says so: it is complete until the
instant at which that event arrived. A way is an input with the partition in which its events are
counted. Events that leave by one way come back in the order in which they left, though not in that
in which they arrived: one that was submitted (decision 28) may leave behind one that arrived after
it. So of each way there are two batches, what is waited for and what has left since. Each is as old
as the oldest in it until its last is back. A row notes no more, however many are between.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

BATCHES_MAX = 2
"""Batches of one way."""


class Outstanding(Struct, frozen=True, array_like=True):
    """A batch of events that left by one way: the offsets of the first and the last that are not
    back, and when the earliest of the batch arrived."""

    way: str
    first: int
    last: int
    since: datetime


def sent_away(
    outstanding: Sequence[Outstanding], way: str, offset: int, at: datetime
) -> tuple[Outstanding, ...]:
    """Return what is outstanding once an event that arrived at `at` has left by `way` from
    `offset`."""
    before = [each for each in outstanding if each.way == way]
    others = [each for each in outstanding if each.way != way]
    if before and offset <= before[-1].last:  # the topic was made again: it begins at 0
        joined = before
    elif len(before) == BATCHES_MAX:
        joined = before[-1:]
    else:
        joined = []
    first = min([offset, *(each.first for each in joined)])
    since = min([at, *(each.since for each in joined)])
    kept = before[: len(before) - len(joined)]
    return (*others, *kept, Outstanding(way, first, offset, since))


def came_back(outstanding: Sequence[Outstanding], way: str, offset: int) -> tuple[Outstanding, ...]:
    """Return what is outstanding once the event that left from `offset` is back, or held.

    All that left before it by the same way is back too. What comes again later changes nothing.
    """
    of_way = [each for each in outstanding if each.way == way]
    others = [each for each in outstanding if each.way != way]
    for number, each in enumerate(of_way):
        if each.first <= offset <= each.last:
            rest = [replace(each, first=offset + 1)] if offset < each.last else []
            return (*others, *rest, *of_way[number + 1 :])
    return tuple(outstanding)


def complete_until(outstanding: Sequence[Outstanding]) -> datetime | None:
    """Return until when nothing is outstanding; None if nothing is."""
    return min((each.since for each in outstanding), default=None)
