"""How often one may ask for travel cards and their codes.

Every limit counts on the asker, none on the phone that is asked for. A stranger could fill a limit
on a phone, and so lock its owner out. For the same reason an address is charged only for messages
that were sent, which its askers' own limits have let through: to fill it takes a hundred people
with real names.

A flood of messages to one phone is bounded all the same. Nobody asks without real-name login, so
one person is one asker, and one asker has ten messages a day for all phones together. A phone gets
ten times as many messages a day as there are people bent on it. The message says that it can be
ignored.

Only messages that were sent are charged. If the carrier fails, the asker may try again at once,
bounded by the limit of requests. An asker sends one message at a time, or two requests at once
could both be let through.
"""

import hashlib
import hmac
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis
from redis.exceptions import LockError

from app.travel.bounds import SENDING_SECONDS_MAX, Bounds
from app.web.addresses import network_of
from app.web.problems import Refused, retry_later

LIMITS = "travel"
SENDING = "travel:sending:"


class Limits:
    """Counts requests and messages in Redis, for all processes. Raises what Redis raises."""

    def __init__(self, redis: Redis, key: bytes, bounds: Bounds) -> None:
        self._redis = redis
        self._key = key
        self._bounds = bounds
        storage = RedisStorage(
            "async+redis://",  # the pool knows where
            implementation="redispy",
            key_prefix=LIMITS,
            connection_pool=cast(Any, redis.connection_pool),  # its hint leaves pools out
        )
        self._windows = MovingWindowRateLimiter(storage)

    async def ask(self, asker: str) -> None:
        """Count a request; raise `Refused` (429) if it is one too many."""
        for limit in self._bounds.asks:
            if not await self._windows.hit(limit, "ask", asker):
                raise await self._refused(limit, "ask", asker, "requests")

    @asynccontextmanager
    async def sending(self, asker: str, address: str) -> AsyncIterator[None]:
        """Hold the asker's turn to send a message; count the message if the block ends well.

        Raise `Refused` (429) if the asker or the address has had enough, or the asker holds a turn
        already. Askers who send at the same time may exceed an address's limit, by one message
        each.
        """
        turn = self._redis.lock(SENDING + asker, timeout=SENDING_SECONDS_MAX, blocking=False)
        if not await turn.acquire():
            raise retry_later("asked-too-often", "A code is being sent to you already.", 1)
        try:
            counts = [(limit, "send", asker) for limit in self._bounds.sends]
            masked = self._masked(address)
            counts += [(limit, "address", masked) for limit in self._bounds.address_sends]
            for limit, kind, of in counts:
                if not await self._windows.test(limit, kind, of):
                    raise await self._refused(limit, kind, of, "codes")
            yield
            for limit, kind, of in counts:
                await self._windows.hit(limit, kind, of)
        finally:
            with suppress(LockError):  # the block took longer than a turn is held
                await turn.release()

    async def _refused(self, limit: RateLimitItem, kind: str, of: str, what: str) -> Refused:
        window = await self._windows.get_window_stats(limit, kind, of)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        who = "From this address" if kind == "address" else "For you"
        span = f"{limit.multiples} {limit.GRANULARITY.name}{'s' if limit.multiples > 1 else ''}"
        return retry_later(
            "asked-too-often",
            f"{who} there are at most {limit.amount} {what} in {span}; wait {seconds} s.",
            seconds,
        )

    def _masked(self, address: str) -> str:
        """Return a name for the network of `address` that does not reveal it."""
        digest = hmac.digest(self._key, f"address:{network_of(address)}".encode(), hashlib.sha256)
        return digest.hex()
