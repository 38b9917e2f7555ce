"""A database of Redis as the store of a read model (app.projection.follow)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.process.redis_client import redis_at
from app.projection.follow import ModelWriter, Unfit
from app.projection.state import FOREIGN, StateGate

REDIS_SECONDS_MAX = 5.0


class RedisStore:
    """A database that `variable` names, written by what `writer` makes."""

    name = "Redis"
    troubles = (RedisError, OSError, TimeoutError)

    def __init__(
        self, url: str, variable: str, writer: Callable[[Redis, StateGate], ModelWriter]
    ) -> None:
        self._url = url
        self._variable = variable
        self._writer = writer

    @asynccontextmanager
    async def opened(self, log: str, id: str) -> AsyncIterator[ModelWriter]:
        """Connect; raise `Unfit` if the database holds keys of somebody else."""
        redis = redis_at(self._url, REDIS_SECONDS_MAX, again=False)
        try:
            yield self._writer(redis, StateGate(redis, log, id))
        except ResponseError as error:
            if str(error).startswith(FOREIGN):
                raise Unfit(f"Redis: {error}. Set {self._variable} to another.") from None
            raise
        finally:
            await redis.aclose()
