"""When new public figures are told: so that two releases never differ by few people.

A release is taken at the first reading of a quarter of an hour, and only if at least five codes
have changed since the one before; until then that one stands. What differs between two releases is
thus never what became of one person. The release lies in Redis, beside the sessions, so that all
views tell the same one: two of them, each with its own, would be two releases. It holds nothing but
what was told.

A read model that was built again counts its changes from the beginning. Then a release is taken
whatever has changed; that happens when Redis is lost and never because somebody asks.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from app.process.clock import Clock
from app.view.counts import Counting
from app.view.figures import GROUP, PublicFigures, published
from app.view.limits import RETRY_STORE_SECONDS
from app.view.reading import Counts, Unavailable

QUARTER_S = 900

RELEASE = "public-figures"
"""The one key, with the last release."""

TRIES_MAX = 3
"""How often a release is begun that another view is ahead of; then theirs is there to be read."""


class FigureRelease(Struct, frozen=True):
    """What is told from a quarter of an hour on (its number since 1970).

    `epoch` and `changes` are the number of the last change that the figures know of.
    """

    quarter: int
    epoch: str
    changes: int
    figures: PublicFigures


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FigureRelease).decode


def next_release(
    last: FigureRelease | None, counts: Counts, cities: Sequence[str], quarter: int
) -> FigureRelease:
    """Return what is told in `quarter`: new figures, or those of `last` if few codes changed."""
    few = (
        last is not None
        and last.epoch == counts.epoch
        and 0 <= counts.changes - last.changes < GROUP
    )
    if last is not None and few:
        return FigureRelease(quarter, last.epoch, last.changes, last.figures)
    return FigureRelease(quarter, counts.epoch, counts.changes, published(counts, cities))


class Releases:
    """Tells the figures, for the cities named. `redis` is the database of sessions. Belongs to one
    event loop."""

    def __init__(self, redis: Redis, counting: Counting, cities: Sequence[str], now: Clock) -> None:
        self._redis = redis
        self._counting = counting
        self._cities = cities
        self._now = now
        self._lock = asyncio.Lock()
        self._kept: FigureRelease | None = None

    async def figures(self) -> PublicFigures:
        """Return the figures of this quarter of an hour; raise `Unavailable`."""
        quarter = int(self._now().timestamp()) // QUARTER_S
        async with self._lock:
            if not _stands(self._kept, quarter):
                try:
                    self._kept = await self._release(quarter)
                except (RedisError, OSError, TimeoutError):
                    raise Unavailable("store", RETRY_STORE_SECONDS) from None
            assert self._kept is not None
            return self._kept.figures

    async def _release(self, quarter: int) -> FigureRelease:
        """Return the release of all views, which is taken here if nobody has yet."""
        for _ in range(TRIES_MAX):
            async with self._redis.pipeline(transaction=True) as pipe:
                await pipe.watch(RELEASE)
                last = _readable(await pipe.get(RELEASE))
                if last is not None and _stands(last, quarter):
                    return last
                taken = next_release(last, await self._counting.counts(), self._cities, quarter)
                pipe.multi()  # type: ignore[no-untyped-call]
                pipe.set(RELEASE, _encode(taken))
                try:
                    await pipe.execute()
                except WatchError:
                    continue
                return taken
        raise TimeoutError


def _stands(release: FigureRelease | None, quarter: int) -> bool:
    """Say whether a release is what is told in `quarter`. One of the next quarter is by a clock
    that is ahead of ours a little; one of a later day is by a wrong clock."""
    return release is not None and 0 <= release.quarter - quarter <= 1


def _readable(raw: Any) -> FigureRelease | None:
    """Return a release as it was kept; None if it is missing or of another form."""
    try:
        return _decode(raw or b"")
    except msgspec.DecodeError:
        return None
