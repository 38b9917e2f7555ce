"""The rows of the tables in Redis: what people see and ask of beside their code.

    yk:state                     how far the changelogs are projected, as in app.projection.codes
    yk:row:people:<person>       a row of the people table: models.person.Person, MessagePack
    yk:row:lists:<person>:<list> a row of the lists table: models.lists.Listing, JSON
    yk:high                      the people whose newest national status is high, by the instant of
                                 its report (ms since 1970)

They are the changelogs' newest values. Beside them lies what sources are told
(app.projection.refusals). `yuekang rows` (app.projection.follow) writes them in the
way of app.projection.codes: a batch and the positions that it reached together, or not at all. The
database is theirs alone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from app.engine.store import DUE, META, TALLY
from app.process import metrics
from app.process.consumer import LogRecord
from app.projection.refusals import ToldBatch
from app.projection.state import STATE, Position, State, StateGate, decode_state, oldest
from app.topics.catalogue import DEAD_LETTERS, changelog_of
from models.events import ListName, NationalStatus
from models.information import national_status
from models.lists import Listing
from models.parking import Tally

ROW = "yk:row:"
HIGH = "yk:high"

PEOPLE_CHANGELOG, LISTS_CHANGELOG = changelog_of("people"), changelog_of("lists")
SCANS_CHANGELOG, SUBMISSIONS_CHANGELOG = changelog_of("scans"), changelog_of("submissions")

TABLES = {PEOPLE_CHANGELOG: "people", LISTS_CHANGELOG: "lists"}
"""The topics from which the rows come."""

_NATIONAL_STATUSES = f":{ListName.NATIONAL_STATUSES}".encode()
_EPOCH = datetime.fromtimestamp(0, UTC)

_decode_tally = msgspec.msgpack.Decoder(Tally).decode
_decode_listing = msgspec.json.Decoder(Listing).decode

_APPLY = Path(__file__).with_name("rows.lua").read_text()


class RowBatch(Struct):
    """What one script writes.

    `rows` has the partition and value of each row, by changelog and key. `high` has each person
    whose national status changed: when a high one was reported, or None.
    """

    rows: dict[tuple[str, bytes], tuple[int, bytes]] = {}
    high: dict[bytes, datetime | None] = {}
    told: ToldBatch = msgspec.field(default_factory=ToldBatch)

    def take(self, topic: str, key: bytes, partition: int, value: bytes, at: datetime) -> None:
        """Take the row of `key` as it became at `at`; a later one replaces it.

        Raise `msgspec.DecodeError` if a list of national statuses cannot be read.
        """
        if topic == LISTS_CHANGELOG and key.endswith(_NATIONAL_STATUSES):
            status = national_status(_decode_listing(value), at)
            high = status is not None and status.status is NationalStatus.HIGH
            person = key.removesuffix(_NATIONAL_STATUSES)
            self.high[person] = status.reported_at if status and high else None
        self.rows[topic, key] = partition, value

    @property
    def size(self) -> int:
        """How many keys it writes."""
        return len(self.rows) + len(self.told.letters) + len(self.told.parked)

    @property
    def changes_told(self) -> int:
        """How many changes it adds to those that are numbered: none."""
        return 0


class RowWriter:
    """Writes rows, through `gate`."""

    def __init__(self, redis: Redis, gate: StateGate) -> None:
        self.gate = gate
        self._apply = redis.register_script(_APPLY)

    async def apply(self, batch: RowBatch, state: State) -> bool:
        """Write a batch and `state`; return False, with nothing written, if Redis has moved on."""
        keys = [STATE, HIGH, *(_key(TABLES[topic], key.decode()) for topic, key in batch.rows)]
        values = [
            *(b"%d\n%b" % (partition, row) for partition, row in batch.rows.values()),
            *(
                argument
                for person, reported_at in batch.high.items()
                for argument in (_score(reported_at), person)
            ),
        ]
        told = batch.told.packed() if batch.told else b""

        async def write(last: bytes, to: bytes) -> Any:
            answer = await self._apply(keys=keys, args=[last, to, told, *values])
            metrics.PROJECTION_SOURCES_DROPPED.inc(max(0, answer - 1))
            return answer

        return await self.gate.swap(state, write)


def take_row(batch: RowBatch, record: LogRecord) -> None:
    """Add a record of a changelog or of dead-letters; raise `ValueError` if it is not one.

    Only the newest of each row is left.
    """
    if record.topic == DEAD_LETTERS:
        if not batch.told.take(record):
            metrics.PROJECTION_LETTERS_OF_NOBODY.inc()
        return
    key, value = record.key, record.value
    if key is not None and key.startswith(META):
        # Of what is not a row, only who is parked is of interest here.
        if key.startswith(TALLY) and value is not None:
            place = key.removeprefix(TALLY).decode(), record.partition
            batch.told.parked[place] = _decode_tally(value[DUE.size :]).parked
        return
    if key is None or value is None or len(value) < DUE.size:
        raise ValueError("it is no row")
    at = datetime.fromtimestamp(record.timestamp / 1_000, UTC)
    batch.take(record.topic, key, record.partition, value[DUE.size :], at)


class NoRows(Exception):
    """There is nothing to read: the rows were never projected, or are being built again."""


class Rows(Struct, frozen=True):
    """Rows as they were asked for, None for a missing one.

    `as_of`: everything appended to the input until then is in them.
    """

    values: list[bytes | None]
    as_of: datetime


async def read_rows(redis: Redis, table: str, keys: Sequence[str]) -> Rows:
    """Return rows of `table`; raise `NoRows`, or redis.RedisError or OSError if Redis is away."""
    answer: Any = await redis.mget(STATE, *(_key(table, key) for key in keys))
    raw, *found = answer
    [changelog] = [topic for topic, name in TABLES.items() if name == table]
    positions = _positions(raw, changelog)
    values: list[bytes | None] = []
    reached: list[Position] = []
    for value in found:
        partition, _, row = (value or b"").partition(b"\n")
        values.append(None if value is None else row)
        # A missing row may belong to any partition, and may just not have come through it.
        within = positions if value is None else positions[int(partition) : int(partition) + 1]
        reached += within
    return Rows(values, _as_of(reached))


class High(Struct, frozen=True):
    """People whose newest national status is high, and when it was reported, oldest first.

    `as_of`: everything appended to the input until then is in it.
    """

    people: list[tuple[str, datetime]]
    as_of: datetime


async def read_high(redis: Redis, first: int, count: int) -> High:
    """Return up to `count` of these people from the place `first`; raise as `read_rows` does."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.zrange(HIGH, first, first + count - 1, withscores=True)
        raw, found = await pipe.execute()
    as_of = _as_of(_positions(raw, LISTS_CHANGELOG))
    people = [(person.decode(), _EPOCH + timedelta(milliseconds=ms)) for person, ms in found]
    return High(people, as_of)


def _positions(state: bytes | None, changelog: str) -> Sequence[Position]:
    decoded = decode_state(state)
    if decoded is None or not decoded.built:
        raise NoRows
    return decoded.positions[changelog]


def _as_of(positions: Sequence[Position]) -> datetime:
    until = oldest(positions)
    if until is None:
        raise NoRows
    return datetime.fromtimestamp(until, UTC)


def _score(reported_at: datetime | None) -> bytes:
    return b"" if reported_at is None else b"%d" % (reported_at.timestamp() * 1_000)


def _key(table: str, key: str) -> str:
    return f"{ROW}{table}:{key}"
