"""`GET /v1/reconciliation`: who is green here and of high risk on the national platform.

That is not abnormal: our data wait to be pushed to the platform, which corrects it (manual, 四.6).
The list tells the operator whose data to push; the audit log has who asked for it. Once a push has
had its effect, the platform reports another status and the person leaves the list.
"""

import asyncio
from datetime import datetime

from msgspec import Struct
from redis.asyncio import Redis

from app.audit.entries import Act
from app.audit.trail import Trail
from app.process.clock import Clock
from app.view.codes import Codes
from app.view.limits import READS_AT_ONCE_MAX, RECONCILIATION_MAX
from app.view.rows import fetch_high
from models.codes import Colour

RECONCILIATION = "/v1/reconciliation"


class WaitingAnswer(Struct, frozen=True):
    """A person whose data wait to be pushed, and since when the platform reports a high risk."""

    person: str
    reported_at: datetime


class ReconciliationAnswer(Struct, frozen=True):
    """Who waits at `at`, the longest first, by national statuses that had arrived by `as_of`.

    `more`: others wait too, and enter the list as these leave it.
    """

    at: datetime
    as_of: datetime
    people: list[WaitingAnswer]
    more: bool


class Reconciliation:
    """Compares codes with national statuses. Belongs to one event loop."""

    def __init__(self, rows: Redis, codes: Codes, trail: Trail, now: Clock) -> None:
        self._rows = rows
        self._codes = codes
        self._trail = trail
        self._now = now

    async def waiting(self, by: str) -> ReconciliationAnswer:
        """Return who waits; `by` is who asks. Raise `Unavailable`, or `Refused` if that cannot be
        written down."""
        await self._trail.note(by, Act.LIST_READ, RECONCILIATION)
        at = self._now()
        found: list[WaitingAnswer] = []
        high = await fetch_high(self._rows, 0, READS_AT_ONCE_MAX)
        looked_at, as_of = 0, high.as_of
        while high.people and len(found) <= RECONCILIATION_MAX:
            # All at once, so that they become one read of Redis.
            reads = await asyncio.gather(*(self._codes.read(person) for person, _ in high.people))
            found += (
                WaitingAnswer(person, reported_at)
                for (person, reported_at), read in zip(high.people, reads, strict=True)
                if read.colour is Colour.GREEN
            )
            looked_at += len(high.people)
            high = await fetch_high(self._rows, looked_at, READS_AT_ONCE_MAX)
        more = len(found) > RECONCILIATION_MAX
        return ReconciliationAnswer(at, as_of, found[:RECONCILIATION_MAX], more)

    async def queue(self) -> int:
        """Return how many wait, of the first `READS_AT_ONCE_MAX` with a high status; nobody by key.

        Raise `Unavailable`.
        """
        high = await fetch_high(self._rows, 0, READS_AT_ONCE_MAX)
        reads = await asyncio.gather(*(self._codes.read(person) for person, _ in high.people))
        return sum(read.colour is Colour.GREEN for read in reads)
