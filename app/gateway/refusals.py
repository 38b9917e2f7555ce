"""What became of what a source sent: page by page, or as Server-Sent Events.

Reading is app.projection.refusals. A client of a stream has no queue, only a place, and each stream
reads on from its place once a second. So a slow client costs no memory, and misses only what is no
longer kept; an event `gap` tells of that.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager

import msgspec
from redis.exceptions import RedisError

from app.gateway.answers import Missed, ParkedNow, RefusalsAnswer, SignOfLife, ToldLetter
from app.process import metrics
from app.process.clock import Clock
from app.process.redis_client import REDIS_CONNECTIONS_MAX, redis_at
from app.projection.refusals import (
    Cursor,
    CursorInvalid,
    ParkedIn,
    RefusalsAfter,
    RefusalsUnknown,
    SourceLetter,
    may_ask,
    read_after,
    read_newest,
)
from app.web.problems import FieldError, Refused, retry_later

EVENT_STREAM = "text/event-stream"

PAGE_DEFAULT, PAGE_MAX = 50, 200

STREAMS_OF_SOURCE_MAX = 4
STREAMS_MAX = 128
"""Streams in one gateway: a quarter of the requests that it takes at once. Each reads Redis once a
second, with a command for each partition of dead-letters."""

READ_SECONDS = 1.0
ALIVE_SECONDS = 15.0
RECONNECT_MS = 3_000
RETRY_SECONDS = 5
REDIS_SECONDS_MAX = 2.0

_AWAY = (RefusalsUnknown, RedisError, OSError, TimeoutError)
_encode = msgspec.json.Encoder().encode


class Refusals:
    """Reads for every source; `stop` ends every stream."""

    def __init__(self, redis_url: str, now: Clock) -> None:
        self._now = now
        self._redis = redis_at(redis_url, REDIS_SECONDS_MAX, again=True)
        self._turns = asyncio.Semaphore(REDIS_CONNECTIONS_MAX)
        self._streams = Counter[str]()
        self._stopped = asyncio.Event()

    async def stop(self) -> None:
        """End every stream, and let go of Redis."""
        self._stopped.set()
        await self._redis.aclose()

    async def page(
        self, source: str, after: str | None, before: str | None, limit: int
    ) -> RefusalsAnswer:
        """Return the newest `limit` letters between two places; raise `Refused`."""
        _check(source)
        with _refusing():
            async with self._turns:
                page = await read_newest(self._redis, source, after, before, limit)
        return RefusalsAnswer(
            now=self._now(),
            as_of=page.as_of,
            parked=page.parked,
            refusals=[_told(letter, cursor) for letter, cursor in page.letters],
            cursor=str(page.newest),
            older=None if page.older is None else str(page.older),
            missed=page.missed,
        )

    async def follow(self, source: str, after: str | None) -> AsyncGenerator[bytes, None]:
        """Return the stream from a place on, or from now; raise `Refused` if it cannot begin."""
        _check(source)
        with _refusing():
            first = await self._after(source, after)
        if self._full(source):
            raise retry_later(
                "too-many-clients",
                f"A source has at most {STREAMS_OF_SOURCE_MAX} streams, the gateway {STREAMS_MAX}.",
                RETRY_SECONDS,
            )
        return self._stream(source, first)

    def _full(self, source: str) -> bool:
        total = self._streams.total()
        return total >= STREAMS_MAX or self._streams[source] >= STREAMS_OF_SOURCE_MAX

    async def _after(self, source: str, after: str | None) -> RefusalsAfter:
        async with self._turns:
            return await read_after(self._redis, source, after, PAGE_MAX)

    async def _stream(self, source: str, first: RefusalsAfter) -> AsyncGenerator[bytes, None]:
        if self._full(source):
            return  # others began at the same time; the client comes again, and is told
        self._streams[source] += 1
        metrics.GATEWAY_STREAMS.set(self._streams.total())
        news: RefusalsAfter | None = first
        place = str(first.begin)
        parked: list[ParkedIn] = []
        missed, told_at = False, -math.inf
        try:
            yield b"retry: %d\n\n" % RECONNECT_MS
            while not self._stopped.is_set():
                if news is not None:
                    place = str(news.begin)
                    if news.missed and not missed:
                        yield _event("gap", place, _encode(Missed()))
                    missed = news.missed
                    for letter, cursor in news.letters:
                        place = str(cursor)
                        yield _event("refusal", place, _encode(_told(letter, cursor)))
                    if news.parked != parked:
                        parked = news.parked
                        yield _event("parked", place, _encode(ParkedNow(parked)))
                if time.monotonic() - told_at > ALIVE_SECONDS:
                    told_at = time.monotonic()
                    sign = SignOfLife(None if news is None else news.as_of)
                    yield _event("alive", place, _encode(sign))
                await self._pause(READ_SECONDS if news is None or not news.letters else 0.0)
                try:
                    news = await self._after(source, place)
                except CursorInvalid:
                    return  # the log is another: whoever comes again is told so
                except _AWAY:
                    news = None
        finally:
            self._streams[source] -= 1
            self._streams += Counter()  # drops the sources that have no stream left
            metrics.GATEWAY_STREAMS.set(self._streams.total())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass


def check_names(parameters: Iterable[str]) -> None:
    """Raise `Refused` for a parameter that would be passed over."""
    if unknown := sorted(set(parameters) - {"after", "before", "limit"}):
        raise Refused(
            "invalid",
            "The request has a parameter that is not read.",
            (FieldError(unknown[0][:64], "There is none of this name.", "after, before, limit."),),
        )


def _check(source: str) -> None:
    if not may_ask(source):
        raise Refused(
            "no-authority",
            f"{source} speaks for no authority of the catalogue, so nothing is kept for it. Its "
            "records on Kafka are refused; the operator sees them.",
        )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except CursorInvalid:
        raise Refused(
            "cursor",
            "after, before or Last-Event-ID is no cursor of this list. Leave it out to begin "
            "again; what was seen before is known by its place and its id.",
        ) from None
    except RefusalsUnknown:
        raise retry_later(
            "refusals-away", "The list is being built again from the log.", RETRY_SECONDS
        ) from None
    except (RedisError, OSError, TimeoutError):
        raise retry_later(
            "refusals-away",
            "Where the list is kept does not answer. What is sent is taken all the same.",
            RETRY_SECONDS,
        ) from None


def _told(letter: SourceLetter, cursor: Cursor) -> ToldLetter:
    return ToldLetter(**msgspec.structs.asdict(letter), cursor=str(cursor))


def _event(name: str, place: str, data: bytes) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), place.encode(), data)
