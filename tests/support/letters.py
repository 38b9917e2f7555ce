"""Dead letters as they lie on Kafka, written by the agents' own code, and a model of them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from redis.asyncio import Redis

from agents.dead_letters import DeadLetters
from app.engine.store import DUE, TALLY
from app.engine.transaction import Output
from app.process.consumer import LogRecord
from app.projection.rows import PEOPLE_CHANGELOG, RowBatch, RowWriter, take_row
from app.projection.state import Position, State, StateGate
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS
from app.topics.codec import Code, Refusal
from models.notices import Notice, Objection
from models.parking import Tally
from support import builders as b
from support.records import record
from support.stores import Store, transaction_on
from support.views import now
from support.workers import DEAD_LETTER_KEY

WRITER = DeadLetters(bytes(DEAD_LETTER_KEY.public_key))
LABORATORY = "/laboratories/440100-001"
TOPIC = CATALOGUE.topics["laboratory-results"]
FOLLOWED = (PEOPLE_CHANGELOG, DEAD_LETTERS)


def refused(
    offset: int,
    source: str | None = LABORATORY,
    code: Code = Code.INVALID,
    detail: str = "data.result: it is no result.",
    value: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> Output:
    """The letter of a record at `offset` that is wrong by itself."""
    transaction = transaction_on(Store())
    if value is None:
        value = msgspec.json.encode(b.positive(b.day(2), id=f"e{offset}", source=LABORATORY))
    one = record(value, now(), offset, TOPIC.name, b.PERSON.encode(), headers)
    WRITER.refuse(transaction, one, Refusal(code, detail, source))
    return transaction.outputs[0]


def without_effect(event: Any, offset: int | None = None) -> Output:
    """The letter of an event that stands, and closes nothing."""
    transaction = transaction_on(Store())
    notice = Notice(event, Objection.CLOSES_NOTHING, "There is nothing to close.", False)
    by = None if offset is None else record(event, now(), offset)
    WRITER.notify(transaction, event.partitionkey.encode(), notice, by)
    return transaction.outputs[0]


def letter(told: Output, partition: int, offset: int, ms: int | None = None) -> LogRecord:
    """The letter as a reader of dead-letters is given it."""
    at = int(now().timestamp() * 1_000) if ms is None else ms
    return ConsumerRecord(
        told.topic,
        partition,
        offset,
        at,
        0,
        told.key,
        told.value,
        None,
        0,
        len(told.value or b""),
        tuple(told.headers),
    )


def tally(partition: int, **parked: int) -> LogRecord:
    """The row of the changelog that says who is parked for what laboratories send."""
    row = Tally(parked={f"/laboratories/{name}": offset for name, offset in parked.items()})
    key, value = TALLY + TOPIC.name.encode(), DUE.pack(0) + msgspec.msgpack.encode(row)
    return ConsumerRecord(
        PEOPLE_CHANGELOG, partition, 0, 0, 0, key, value, None, len(key), len(value), ()
    )


class LettersModel:
    """Writes as `yuekang rows` does."""

    def __init__(self, redis: Redis, log: str = "test/1") -> None:
        self._writer = RowWriter(redis, StateGate(redis, log, "test"))
        self._state: State | None = None

    async def begin(self, *, built: bool = True) -> None:
        """Empty the database."""
        gate, at = self._writer.gate, now().timestamp()
        positions = {topic: (Position(1, at, at),) * CATALOGUE.partitions for topic in FOLLOWED}
        await gate.load()
        state = gate.new_state("server", positions)
        self._state = msgspec.structs.replace(state, built=built, at=at)
        assert await gate.begin_again(self._state)

    async def put(self, *records: LogRecord) -> None:
        """Apply records, as one batch."""
        assert self._state is not None
        batch = RowBatch()
        for one in records:
            take_row(batch, one)
        assert batch.size
        assert await self._writer.apply(batch, self._state)
