"""At what instant each change was told.

A change that an event brought about holds from the instant at which the log took the event, or from
that up to which the person had been judged, if that is later. One that time alone brought about
holds from its own instant. Neither is told ahead of time by more than clocks may differ (decision
25), whatever a worker's clock says.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from app.process.consumer import LogRecord
from models.codes import HealthCode, StatusChange, StatusChanged
from models.person import Person
from oracle.replay import arrival

AHEAD_MAX = timedelta(seconds=31)
"""30 s by decision 25, and one for the broker's answer, which is so much older than it says."""


def wrong_instants(
    row: Person | None, changes: Iterable[StatusChange], arrived_at: datetime | None
) -> Iterator[str]:
    """Say which changes of a row do not hold from the instant at which they came about; None: no
    event arrived."""
    for change in changes:
        told = f"{change.version} holds from {change.at}"
        if change.cause.id is None:
            if row is None or change.at not in edges(row.code):
                yield f"{told}, when time changed nothing"
            elif change.at <= row.judged_at:
                yield f"{told}, and that was judged before"
            elif arrived_at is not None and change.at > arrived_at:
                yield f"{told}, after the event that came at {arrived_at}"
        elif arrived_at is None:
            yield f"{told}, by an event when none came"
        else:
            at = arrived_at if row is None else max(row.judged_at, arrived_at)
            if change.at != at:
                yield f"{told}, not from {at}"


def edges(code: HealthCode) -> set[datetime | None]:
    """Return the instants at which time alone changes what a code says."""
    return {code.verified_since, *(edge for i in code.intervals for edge in (i.start, i.end))}


def told_ahead(record: LogRecord, change: StatusChanged) -> Iterator[str]:
    """Say whether a change was told before its time; `record` bears the broker's stamp."""
    ahead = change.data.at - arrival(record)
    if ahead > AHEAD_MAX:
        yield f"{change.id} was told {ahead.total_seconds():.1f} s before it held"
