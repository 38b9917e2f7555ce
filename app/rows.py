"""The rows of the tables in Redis: what people see and ask of beside their code.

    yk:state                     how far the changelogs are projected, as in app.readmodel
    yk:row:people:<person>       a row of the people table: models.person.Person, MessagePack
    yk:row:lists:<person>:<list> a row of the lists table: models.lists.Listing, JSON

They are the changelogs' newest values, written by `yuekang rows` (app.projection) in the way of
app.readmodel: a batch and the positions that it reached together, or not at all. The database is
theirs alone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from app.readmodel import STATE, State, Writer, decode_state, encode_state

ROW = "yk:row:"

PEOPLE_CHANGELOG = "yuekang-people-changelog"
LISTS_CHANGELOG = "yuekang-lists-changelog"

TABLES = {PEOPLE_CHANGELOG: "people", LISTS_CHANGELOG: "lists"}
"""The topics that the rows are of."""

_APPLY = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 1])
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RowBatch(Struct):
    """What one script writes: of each row, by changelog and key, its partition and value."""

    rows: dict[tuple[str, bytes], tuple[int, bytes]]
    changes: tuple[()] = ()

    @property
    def size(self) -> int:
        """How many keys it writes."""
        return len(self.rows)


class RowWriter(Writer):
    """The projection's side."""

    def __init__(self, redis: Redis, log: str, id: str) -> None:
        super().__init__(redis, log, id)
        self._apply_rows = redis.register_script(_APPLY)

    async def apply(self, batch: Any, state: State) -> bool:
        """Write a batch and `state`; return False, with nothing written, if Redis has moved on."""
        encoded = encode_state(state)
        written = await self._apply_rows(
            keys=[STATE, *(_key(TABLES[topic], key.decode()) for topic, key in batch.rows)],
            args=[
                self._last,
                encoded,
                *(b"%d\n%b" % (partition, row) for partition, row in batch.rows.values()),
            ],
        )
        if written:
            self._last = encoded
        return bool(written)


class NoRows(Exception):
    """There is nothing to be read: the rows were never projected, or are being built anew."""


class Rows(Struct, frozen=True):
    """Rows as they were asked for, None where there is none.

    `as_of`: everything appended to the input until then is in them.
    """

    values: list[bytes | None]
    as_of: datetime


async def read_rows(redis: Redis, table: str, keys: Sequence[str]) -> Rows:
    """Return rows of `table`; raise `NoRows`, or redis.RedisError, OSError where it is away."""
    answer: Any = await redis.mget(STATE, *(_key(table, key) for key in keys))
    raw, *found = answer
    state = decode_state(raw)
    if state is None or not state.built:
        raise NoRows
    [changelog] = [topic for topic, name in TABLES.items() if name == table]
    positions = state.positions[changelog]
    values: list[bytes | None] = []
    reached: list[float | None] = []
    for value in found:
        partition, _, row = (value or b"").partition(b"\n")
        values.append(None if value is None else row)
        # Who is not there may be in any partition, and just not have come through it.
        within = positions if value is None else positions[int(partition) : int(partition) + 1]
        reached += (position.known_until for position in within)
    known = [until for until in reached if until is not None]
    if len(known) < len(reached):
        raise NoRows
    return Rows(values, datetime.fromtimestamp(min(known), UTC))


def _key(table: str, key: str) -> str:
    return f"{ROW}{table}:{key}"
