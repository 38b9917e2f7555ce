"""When reasons hold, in a form in which two judgements can be compared."""

from collections.abc import Iterable
from datetime import datetime

from models.codes import Reason

Held = tuple[Reason, datetime, datetime | None]
"""A reason holds in `[start, end)`; without an end it still holds."""


def union(held: Iterable[Held]) -> list[Held]:
    """Return the same, where what overlaps or touches, of one reason, is one."""
    merged: list[Held] = []
    for reason, start, end in sorted(held, key=lambda h: (h[0], h[1])):
        before = merged[-1] if merged else None
        if before and before[0] is reason and (before[2] is None or start <= before[2]):
            last = None if end is None or before[2] is None else max(end, before[2])
            merged[-1] = reason, before[1], last
        else:
            merged.append((reason, start, end))
    return merged
