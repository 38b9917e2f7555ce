"""A person's code at the instant of asking.

It is read from the replica on this machine, in microseconds. Where that does not follow the log, it
is read from Redis: reads that arrive in one turn of the event loop become one MGET. Either way the
state of the read model comes along, so a code and its age are always of the same instant.
"""

import asyncio
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process import metrics
from app.process.clock import Clock
from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.projection.codes import CODE, read_code
from app.projection.replica import NoReplica, Replica
from app.projection.state import STATE, State, decode_state, oldest
from app.topics.catalogue import HEALTH_CODES
from app.view.limits import (
    READS_AT_ONCE_MAX,
    READS_WAITING_MAX,
    REFUSE_SECONDS,
    RETRY_BUSY_SECONDS,
    RETRY_STALE_SECONDS,
    RETRY_STORE_SECONDS,
    STALE_SECONDS,
)
from app.view.reading import Read, Unavailable
from models.codes import Colour, ConditionKind, EventRef, Interval, Owner, judge
from models.policy import ZONE, policy_at

AWAY_SECONDS = 1.0
"""For so long after Redis gave no answer nobody asks it."""

Found = tuple[bytes | None, bytes | None]
"""The state, and the code as it is stored."""

DECODED_MAX = 150_000
"""Codes that are remembered decoded, those read last, until they change; some 200 MB. As many as
phones may ask at a peak (app.view.hot_path)."""

_read_code = lru_cache(DECODED_MAX)(read_code)
"""What lies there of a code says all of it, so one that changed is another one here."""

_FRESH, _STALE = (metrics.VIEW_READS.labels(how) for how in ("fresh", "stale"))


def note_read(read: Read) -> None:
    """Count a code that is going to be shown."""
    (_STALE if read.stale else _FRESH).inc()


def note_failure(failure: Unavailable) -> None:
    """Count a code that cannot be shown."""
    metrics.VIEW_READS.labels(failure.cause).inc()


class Codes:
    """Reads codes. Belongs to one event loop."""

    def __init__(self, redis: Redis, now: Clock, replica: Replica | None = None) -> None:
        self._redis = redis
        self._now = now
        self._replica = replica
        self._waiting: dict[str, asyncio.Future[Found]] = {}
        self._asked = 0
        self._away_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._state: tuple[bytes | None, State | None] = None, None

    async def read(self, person: str) -> Read:
        """Return a person's code, or that they have no code; raise `Unavailable`.

        The answer is never older than `REFUSE_SECONDS`. It is marked stale beyond `STALE_SECONDS`.
        """
        try:
            read = await self.find(person, self._now())
        except Unavailable as failure:
            note_failure(failure)
            raise
        note_read(read)
        return read

    async def find(self, person: str, at: datetime) -> Read:
        """Return what `read` does at `at`, which is now, and count nothing.

        While the replica is at the end of the log nobody knows more: if its data are old, so are
        those of Redis. To ask there when a worker is behind would take time from all just when it
        is short. A replica that is not at the end, since it is ended, cut off or has just begun
        again, may know less than Redis or more.
        """
        read = self._of_replica(person, at)
        if read is not None and at.timestamp() - read.told_until <= STALE_SECONDS:
            return read
        try:
            found = await self._read_redis(person)
        except Unavailable:
            read = self._of_replica(person, self._now())
            if read is None:
                raise
            return read
        return found if read is None or found.as_of >= read.as_of else read

    def _of_replica(self, person: str, at: datetime) -> Read | None:
        """Return what the replica says; None where it says nothing that may be shown."""
        if self._replica is None:
            return None
        try:
            return _judged(*self._replica.find(person), at)
        except (NoReplica, Unavailable):
            return None  # Redis may know more, and else says why nothing is known

    async def _read_redis(self, person: str) -> Read:
        state, stored = await self._find(person)
        return _judged(self._decoded(state), stored, self._now())

    async def stop(self) -> None:
        """End what is being read. It comes before the connections are closed."""
        await end(*self._tasks, again_after=CANCEL_AGAIN_SECONDS)

    def _find(self, person: str) -> "asyncio.Future[Found]":
        if monotonic() < self._away_until:
            raise Unavailable("store", RETRY_STORE_SECONDS)
        found = self._waiting.get(person)
        if found is None:
            if self._asked >= READS_WAITING_MAX:
                raise Unavailable("busy", RETRY_BUSY_SECONDS)
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._ask)
            found = self._waiting[person] = loop.create_future()
            self._asked += 1
        # Others may wait for the same code: one that gives up must not cancel it for them.
        return asyncio.shield(found)

    def _ask(self) -> None:
        waiting = list(self._waiting.items())
        self._waiting = {}
        for at in range(0, len(waiting), READS_AT_ONCE_MAX):
            task = asyncio.create_task(self._fetch(dict(waiting[at : at + READS_AT_ONCE_MAX])))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self, waiting: dict[str, "asyncio.Future[Found]"]) -> None:
        metrics.VIEW_READS_AT_ONCE.observe(len(waiting))
        try:
            found: Any = await self._redis.mget(STATE, *(CODE + person for person in waiting))
        except (RedisError, OSError, TimeoutError):
            # Whoever asks next would wait as long: the hot path's own question is asked again by
            # the framework, and the phone would give up before that.
            self._away_until = monotonic() + AWAY_SECONDS
            for future in waiting.values():
                future.set_exception(Unavailable("store", RETRY_STORE_SECONDS))
        except BaseException as error:  # a bug, or the end: nobody waits on for what does not come
            for future in waiting.values():
                future.set_exception(error)
            raise
        else:
            for future, code in zip(waiting.values(), found[1:], strict=True):
                future.set_result((found[0], code))
        finally:
            self._asked -= len(waiting)

    def _decoded(self, raw: bytes | None) -> State:
        """Return the state, decoded once; raise `Unavailable` if nothing can be read."""
        if raw != self._state[0]:
            self._state = raw, decode_state(raw)
        if self._state[1] is None:
            raise Unavailable("store", RETRY_STORE_SECONDS)
        return self._state[1]


def _judged(state: State, stored: bytes | None, at: datetime) -> Read:
    positions = state.positions.get(HEALTH_CODES)
    if not positions:  # a read model of something else
        raise Unavailable("store", RETRY_STORE_SECONDS)
    partition, code = (None, None) if stored is None else _read_code(stored)
    # A missing person may be in any partition, and may just not have arrived.
    own = positions if partition is None else positions[partition : partition + 1]
    known = oldest(own)
    if known is not None and code is not None and code.complete_until is not None:
        known = min(known, code.complete_until.timestamp())
    if known is None or (lag_s := at.timestamp() - known) > REFUSE_SECONDS:
        raise Unavailable("stale", RETRY_STALE_SECONDS)
    lag_s = max(0.0, lag_s)
    stale = lag_s > STALE_SECONDS
    told_until = min(position.as_of or 0.0 for position in own)
    read = Read(code, at, _instant(known), round(lag_s, 3), stale, told_until, positions)
    if stale and read.colour is Colour.NONE:
        # A read model that is being rebuilt may not have come to this person's code yet.
        raise Unavailable("stale", RETRY_STALE_SECONDS)
    return read


@lru_cache(maxsize=256)
def _instant(seconds: float) -> datetime:
    """Return an instant until which a partition is known: many codes read one after another."""
    return datetime.fromtimestamp(seconds, ZONE)


class ConditionAnswer(Struct, frozen=True):
    """One line of a lift checklist: what, who must act, met or not.

    `not_before` is when it can be met at the earliest, `earliest` the same for whoever begins now,
    each line at its earliest. `apart_s`: its test is sampled at least so many seconds after that of
    the line before it.
    """

    kind: ConditionKind
    owner: Owner
    not_before: datetime | None
    earliest: datetime | None
    apart_s: int | None
    met_at: datetime | None
    met_by: EventRef | None


class ReasonAnswer(Struct, frozen=True):
    """An open reason. It lifts at `ends_at`; if that is unknown, at `earliest_end` or later."""

    reason: str
    rank: int
    since: datetime
    opened_by: EventRef
    policy: str
    province: str | None
    conditions: list[ConditionAnswer]
    earliest_end: datetime | None
    ends_at: datetime | None


class CodeAnswer(Struct, frozen=True):
    """A code at the instant `at`, by data up to `as_of`; `stale` if that is long before.

    It changes by itself at `changes_at`. A person who is unknown or not verified has the colour
    none; the two are not told apart.
    """

    person: str
    colour: Colour
    at: datetime
    as_of: datetime | None
    lag_s: float | None
    stale: bool
    version: int
    policy: str
    changes_at: datetime | None
    reasons: list[ReasonAnswer]


def code_answer(person: str, read: Read) -> CodeAnswer:
    """Return a code as it is said over HTTP."""
    shown = None if read.code is None else judge(read.code, read.at)
    policy = policy_at(read.at).version
    if read.code is None or shown is None or shown.colour is Colour.NONE:
        return CodeAnswer(
            person, Colour.NONE, read.at, read.as_of, read.lag_s, read.stale, 0, policy, None, []
        )
    return CodeAnswer(
        person,
        shown.colour,
        read.at,
        read.as_of,
        read.lag_s,
        read.stale,
        read.code.version,
        policy,
        shown.changes_at,
        [reason_answer(interval, read.at) for interval in shown.open],
    )


def reason_answer(interval: Interval, at: datetime) -> ReasonAnswer:
    """Return a reason as it is said over HTTP, seen at `at`."""
    return ReasonAnswer(
        reason=interval.reason.slug,
        rank=int(interval.reason),
        since=interval.start,
        opened_by=interval.opened_by,
        policy=interval.policy,
        province=interval.province,
        conditions=[
            ConditionAnswer(c.kind, c.owner, c.not_before, earliest, c.apart_s, c.met_at, c.met_by)
            for c, earliest in zip(interval.conditions, interval.earliest(at), strict=True)
        ],
        earliest_end=interval.earliest_end(at),
        ends_at=interval.end,
    )
