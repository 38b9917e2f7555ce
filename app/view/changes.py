"""Changes of status, told to many clients as they come: Server-Sent Events.

One reader per process follows the changes in Redis and keeps the newest in a ring, each encoded
once for all clients; it wakes them at most ten times a second. A client has no queue, only a place:
the number of the last change it was given. Later changes come from the ring, or from Redis if the
ring no longer has them. So a slow client costs no memory, and loses only what Redis no longer
keeps. It is told of such a loss by an event `gap`, with the number of changes missed if that is
known, and goes on after the gap.

An event's id is `<epoch>-<number>`. An id of another epoch (app.projection.state) gives a gap: how
much was missed cannot be known. While the read model is built again nothing is told, since it would
be told twice. The place of a filtered client moves on too: heartbeats carry it.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process import metrics
from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.projection.changes import PublicChange
from app.projection.codes import PAGE, read_changes, read_last_changes, wait_for_change
from app.view.limits import (
    CLIENTS_MAX,
    HEARTBEAT_SECONDS,
    NEWEST,
    NEWEST_SEARCHED_MAX,
    RECONNECT_MS,
    RETRY_STALE_SECONDS,
    RETRY_STORE_SECONDS,
    RING,
    STREAM_SECONDS_MAX,
)
from app.view.reading import Unavailable
from models.codes import Reason

WAIT_MS = 1_000
AGAIN_SECONDS = 0.5
BREATH_SECONDS = 0.1
"""The least time from one waking of the clients to the next. What came meanwhile goes to each of
them in one piece: 1,000 clients cost 10,000 writes a second, however many the changes are."""

TURN = 200
"""Changes given to a client before others have their turn."""

NAMES = {reason.slug: reason for reason in Reason}
REASON_WORDS = {**NAMES, **{str(int(reason)): reason for reason in Reason}}
"""How a filter may name a reason: by its name, or by its rank."""

_ID = re.compile(r"(?P<epoch>[0-9a-f]{8})-(?P<number>\d{1,15})")
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()


class StreamPlace(Struct, frozen=True):
    """The place after the change of this number; 0 is the place before the first change."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"


NOWHERE = StreamPlace("", 0)
"""The place that an id has if it is not ours."""


def place_of(last_event_id: str | None) -> StreamPlace | None:
    """Return the place that a client's Last-Event-ID names; None if the client has none yet."""
    if not last_event_id:
        return None
    match = _ID.fullmatch(last_event_id)
    return NOWHERE if match is None else StreamPlace(match["epoch"], int(match["number"]))


class Gap(Struct, frozen=True):
    """Changes were missed; how many, if that can be known."""

    missed: int | None


class ChangeFilter(Struct, frozen=True):
    """Which changes a client wants; None lets all through.

    By its trailing zeros a city stands for its districts, and a province for its cities. A reason
    may be open before the change or after it. A source stands for all sources below it.
    """

    city: str | None = None
    reason: Reason | None = None
    source: str | None = None

    def lets(self, change: PublicChange) -> bool:
        """Say whether the change goes through."""
        if self.city is not None and not (change.city or "").startswith(_area(self.city)):
            return False
        if self.reason is not None and self.reason not in (
            *change.before.reasons,
            *change.after.reasons,
        ):
            return False
        return self.source is None or f"{change.cause.source}/".startswith(f"{self.source}/")


def _area(code: str) -> str:
    for zeros in ("0000", "00"):
        if code.endswith(zeros):
            return code.removesuffix(zeros)
    return code


Numbered = tuple[int, PublicChange]


class NewestChanges(Struct, frozen=True):
    """The newest changes that a filter lets through, by their numbers, the newest first.

    What comes later is what a stream tells from `place` on. `searched` is how many changes were
    looked at; there may be older ones that the filter lets through.
    """

    place: StreamPlace
    changes: tuple[Numbered, ...]
    searched: int


class ToldChange(Struct, frozen=True):
    """A change with its number, and the bytes of its event in a stream."""

    number: int
    change: PublicChange
    text: bytes


Step = tuple[StreamPlace, Gap | ToldChange | None]
"""What a client is given, and its place after it; None if nothing came for a while."""


class Changes:
    """Follows the changes in Redis for all clients of this process.

    `follower` is a Redis client for blocking reads, `redis` one for all else. Call `start` in the
    event loop, and `stop` at the end; `stop` ends every client's stream.
    """

    def __init__(
        self,
        redis: Redis,
        follower: Redis,
        clients_max: int = CLIENTS_MAX,
        ring: int = RING,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stream_seconds_max: float = STREAM_SECONDS_MAX,
    ) -> None:
        self._redis = redis
        self._follower = follower
        self._clients_max = clients_max
        self._heartbeat_seconds = heartbeat_seconds
        self._stream_seconds_max = stream_seconds_max
        self._ring: deque[ToldChange] = deque(maxlen=ring)
        self._place: StreamPlace | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.clients = 0

    def start(self) -> None:
        """Begin to follow the changes; return at once."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following, and end every stream."""
        self._stopped = True
        self._wake()
        if self._task is not None:
            await end(self._task, again_after=CANCEL_AGAIN_SECONDS)

    def check(self) -> None:
        """Raise what ended the following, if anything did: a bug, from which nothing recovers."""
        if self._task is not None and self._task.done():
            self._task.result()

    def full(self) -> bool:
        """Say whether one more client would be too many."""
        return self.clients >= self._clients_max

    async def newest(self, wanted: ChangeFilter) -> NewestChanges:
        """Return the `NEWEST` last changes that `wanted` lets through; raise `Unavailable`.

        At most `NEWEST_SEARCHED_MAX` changes are searched for them.
        """
        page = NEWEST if wanted == ChangeFilter() else PAGE
        place, before, searched = None, None, 0
        found: list[Numbered] = []
        while len(found) < NEWEST and searched < NEWEST_SEARCHED_MAX:
            try:
                state, changes = await read_last_changes(self._redis, before, page)
            except (RedisError, OSError, TimeoutError):
                raise Unavailable("store", RETRY_STORE_SECONDS) from None
            if state is None or not state.built:
                raise Unavailable("store", RETRY_STALE_SECONDS)
            place = place or StreamPlace(state.epoch, state.changes)
            searched += len(changes)
            found += [numbered for numbered in changes if wanted.lets(numbered[1])]
            if len(changes) < page:
                break
            before = changes[-1][0]
        assert place is not None
        return NewestChanges(place, tuple(found[:NEWEST]), searched)

    async def stream(
        self, begin: StreamPlace | None, wanted: ChangeFilter
    ) -> AsyncGenerator[bytes, None]:
        """Yield a client's stream from its place on, for as long as it listens.

        It ends after `STREAM_SECONDS_MAX`; the client comes back with the place that it has.
        """
        self.clients += 1
        metrics.VIEW_CLIENTS.set(self.clients)
        try:
            yield b"retry: %d\n\n" % RECONNECT_MS
            told, alive, ends = 0.0, 0.0, time.monotonic() + self._stream_seconds_max
            async for steps in self._turns(begin):
                text = b"".join(_texts(steps, wanted))
                now = time.monotonic()
                if not text and steps and now - told >= self._heartbeat_seconds:
                    # An id alone moves the client's place on and counts as no event.
                    text = b": alive\nid: %s\n\n" % str(steps[-1][0]).encode()
                elif not text and now - alive >= self._heartbeat_seconds:
                    text = b": alive\n\n"  # nothing can be read
                if text:
                    told, alive = now if steps else told, now
                    yield text
                if now >= ends:
                    return
        finally:
            self.clients -= 1
            metrics.VIEW_CLIENTS.set(self.clients)

    async def _turns(self, place: StreamPlace | None) -> AsyncIterator[Sequence[Step]]:
        """Yield what a client is given at a time; nothing where nothing can be read."""
        while not self._stopped:
            news, newest = self._news, self._place
            if newest is None:
                await _either(news, self._heartbeat_seconds)
                yield ()
            elif place is None:
                place = newest
                yield [(place, None)]
            elif place.epoch != newest.epoch or place.number > newest.number:
                place = newest
                yield [(place, Gap(None))]
            elif place.number == newest.number:
                await _either(news, self._heartbeat_seconds)
                yield [(place, None)]
            else:
                if steps := await self._after(place):
                    place = steps[-1][0]
                yield steps

    async def _after(self, place: StreamPlace) -> Sequence[Step]:
        """Return the steps after a place, oldest first, beginning with a gap if there is one."""
        if self._ring and self._ring[0].number <= place.number + 1:
            skip = place.number + 1 - self._ring[0].number
            found = list(islice(self._ring, skip, skip + TURN))
        else:
            try:
                state, older = await read_changes(self._redis, place.number, TURN)
            except (RedisError, OSError, TimeoutError):
                state = None
            if state is None or state.epoch != place.epoch or not older:
                await asyncio.sleep(AGAIN_SECONDS)  # the reader will find out why
                return ()
            found = _told(place.epoch, older)
        steps: list[Step] = [(StreamPlace(place.epoch, told.number), told) for told in found]
        missed = found[0].number - place.number - 1
        if missed:
            return [(StreamPlace(place.epoch, found[0].number - 1), Gap(missed)), *steps]
        return steps

    async def _follow(self) -> None:
        away = False
        # The client for Redis may turn a cancellation into an error of its own.
        while not self._stopped:
            try:
                if await self._read():
                    assert self._place is not None
                    await asyncio.sleep(BREATH_SECONDS)
                    await wait_for_change(self._follower, self._place.number, WAIT_MS)
                else:
                    await asyncio.sleep(AGAIN_SECONDS)
                away = False
            except (RedisError, OSError, TimeoutError) as error:
                if not away:
                    why = f"{type(error).__name__}: {error}"
                    log.warning("changes_not_followed", why=why)
                away = True
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> bool:
        """Take in what is new; return False if the read model is missing or not whole."""
        at = self._place or NOWHERE
        state, found = await read_changes(self._follower, at.number)
        if state is None or not state.built:
            return False
        if state.epoch != at.epoch or state.changes < at.number:
            self._ring.clear()
            self._place = StreamPlace(state.epoch, state.changes)
            self._wake()
        elif found:
            if found[0][0] != at.number + 1:
                self._ring.clear()  # the ring never has a gap within
            self._ring.extend(_told(state.epoch, found))
            self._place = StreamPlace(state.epoch, found[-1][0])
            self._wake()
        return True

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


async def _either(news: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


def _told(epoch: str, numbered: Sequence[Numbered]) -> list[ToldChange]:
    return [
        ToldChange(number, change, _event("change", StreamPlace(epoch, number), change))
        for number, change in numbered
    ]


def _texts(steps: Sequence[Step], wanted: ChangeFilter) -> Iterator[bytes]:
    for place, what in steps:
        if isinstance(what, Gap):
            metrics.VIEW_GAPS.inc()
            yield _event("gap", place, what)
        elif what is not None and wanted.lets(what.change):
            yield what.text


def _event(name: str, place: StreamPlace, data: Struct) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), str(place).encode(), _encode(data))
