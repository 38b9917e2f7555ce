"""A person's row in Redis, as `yuekang rows` leaves it there."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis

from app.projection import ROWS
from app.readmodel import Position
from app.rows import PEOPLE_CHANGELOG, RowBatch, RowWriter
from models.person import Person, fold, unknown
from views import now


def row_of(person: str, *arrivals: tuple[Any, datetime]) -> Person:
    """Return the row of a person after events, each with its arrival, in that order."""
    row = unknown(person, arrivals[0][1])
    for event, arrived_at in arrivals:
        row = fold(row, event, arrived_at).person
    return row


async def put_rows(redis: Redis, rows: Sequence[Person], as_of: datetime | None = None) -> None:
    """Begin the rows anew with these people's, as they are at `as_of`: now, unless told."""
    await redis.flushdb()
    writer = RowWriter(redis, "test/1", "test")
    reached = Position(1, (as_of or now()).timestamp())
    state = writer.new_state("server", dict.fromkeys(ROWS.topics, (reached,) * 4))
    assert await writer.begin_anew(state)
    batch = RowBatch(
        {
            (PEOPLE_CHANGELOG, row.code.person.encode()): (0, msgspec.msgpack.encode(row))
            for row in rows
        }
    )
    assert await writer.apply(batch, replace(state, built=True, at=time.time()))
