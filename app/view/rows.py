"""Rows as the view reads them: any failure to read them becomes `Unavailable`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

import app.projection.rows
from app.projection.rows import High, NoRows, Rows
from app.view.limits import RETRY_STALE_SECONDS, RETRY_STORE_SECONDS
from app.view.reading import Unavailable


async def fetch_rows(redis: Redis, table: str, keys: Sequence[str]) -> Rows:
    """Return rows of `table`; raise `Unavailable`."""
    with _unavailable():
        return await app.projection.rows.read_rows(redis, table, keys)


async def fetch_high(redis: Redis, first: int, count: int) -> High:
    """Return people whose national status is high; raise `Unavailable`."""
    with _unavailable():
        return await app.projection.rows.read_high(redis, first, count)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except NoRows:
        raise Unavailable("store", RETRY_STALE_SECONDS) from None
    except (RedisError, OSError, TimeoutError):
        raise Unavailable("store", RETRY_STORE_SECONDS) from None
