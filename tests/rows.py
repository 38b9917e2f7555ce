"""A person's row in Redis, as `yuekang rows` leaves it there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from redis.asyncio import Redis

from app.rows import AS_OF, ROW
from models.person import Person, fold, unknown
from views import now


def row_of(person: str, *arrivals: tuple[Any, datetime]) -> Person:
    """Return the row of a person after events, each with its arrival, in that order."""
    row = unknown(person, arrivals[0][1])
    for event, arrived_at in arrivals:
        row = fold(row, event, arrived_at).person
    return row


async def put_rows(redis: Redis, rows: Sequence[Person], as_of: datetime | None = None) -> None:
    """Write rows as they are at `as_of`: now, unless told otherwise."""
    for row in rows:
        await redis.set(f"{ROW}people:{row.code.person}", msgspec.msgpack.encode(row))
    await redis.set(f"{AS_OF}people", (as_of or now()).timestamp())
