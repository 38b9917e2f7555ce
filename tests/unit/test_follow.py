"""How a read model follows the log, where all that it reads is fetched already."""

import asyncio
from itertools import pairwise
from typing import Any, cast

from aiokafka import TopicPartition
from msgspec.structs import replace

from app.process.consumer import LogRecord
from app.process.kafka import Brokers
from app.projection.codes import CodeBatch
from app.projection.commands import CODES
from app.projection.follow import RECORDS_MAX, Projection
from app.projection.state import FORMAT, Position, State
from app.topics.catalogue import HEALTH_CODES
from support.builders import day
from support.records import record

BATCHES = 5
PLACE = TopicPartition(HEALTH_CODES, 0)


class Fetched:
    """A consumer whose answers wait for nothing."""

    def __init__(self) -> None:
        one = record(b"{}", day(1), topic=HEALTH_CODES, key=b"k", author=None)
        self._ready = [{PLACE: [one] * RECORDS_MAX} for _ in range(BATCHES)]

    def assign(self, places: object) -> None: ...
    def seek(self, place: object, offset: int) -> None: ...

    async def getmany(self, **_: object) -> dict[TopicPartition, list[LogRecord]]:
        if not self._ready:
            await asyncio.sleep(0.01)
            return {}
        return self._ready.pop()

    async def position(self, place: object) -> int:
        return 0

    def highwater(self, place: object) -> None: ...
    def last_poll_timestamp(self, place: object) -> None: ...


class Traced:
    """Writes nothing, and notes when it was asked to."""

    def __init__(self, trace: list[str]) -> None:
        self._trace = trace

    async def apply(self, batch: CodeBatch, state: State) -> bool:
        self._trace.append("write")
        await asyncio.sleep(0)
        return True


class Unwatched:
    """Knows nothing of how fresh the data are."""

    def mark(self, positions: object) -> None: ...


async def test_a_batch_is_decoded_while_the_one_before_is_written() -> None:
    """Nothing else lets the write begin."""
    trace = list[str]()

    def take(batch: CodeBatch, record: LogRecord) -> None:
        trace.append("take")
        batch.codes.append(("somebody", None))

    model = replace(CODES, take=take)
    projection = Projection(Brokers(""), cast(Any, None), model, lambda _: True)
    positions = {
        name: (Position(0),) * sum(tp.topic == name for tp in model.partitions)
        for name in model.topics
    }
    state = State("log", FORMAT, "epoch", "server", "writer", 0.0, False, 0, positions)
    of: tuple[Any, ...] = Traced(trace), Fetched(), state, Unwatched()
    task = asyncio.create_task(projection._follow(*of))
    async with asyncio.timeout(10):
        while trace.count("write") < BATCHES:
            await asyncio.sleep(0)
    projection.stop()
    task.cancel()
    await asyncio.wait([task])
    assert trace.count("take") == BATCHES * RECORDS_MAX
    begun_within = sum(pair == ("write", "take") for pair in pairwise(trace))
    assert begun_within >= BATCHES - 1
