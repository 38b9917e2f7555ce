"""Rows of the worker's tables as they lie in Redis: a stand-in until `yuekang rows` is here.

    row:<table>:<key>    the row, as the table has it
    row:as-of:<table>    the instant up to which the table's changelog is there (s since 1970)

Nothing here writes them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.view.pages.ports import Unavailable
from models.policy import ZONE

ROW = "row:"
AS_OF = "row:as-of:"
RETRY_SECONDS = 2


class Rows(Struct, frozen=True):
    """Rows in the order of their keys, None for one that is not there; as of when, if known."""

    values: list[bytes | None]
    as_of: datetime | None


async def read_rows(redis: Redis, table: str, keys: Sequence[str]) -> Rows:
    """Read rows of one table; raise `Unavailable` where Redis does not answer."""
    try:
        found: Any = await redis.mget(AS_OF + table, *(f"{ROW}{table}:{key}" for key in keys))
    except (RedisError, OSError, TimeoutError):
        raise Unavailable("store", RETRY_SECONDS) from None
    as_of = None if found[0] is None else datetime.fromtimestamp(float(found[0]), ZONE)
    return Rows(found[1:], as_of)
