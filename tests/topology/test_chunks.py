"""Chunks that wait: those of a partition join, none is lost, and no partition starves."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from app.engine import chunks
from app.engine.chunks import CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, Chunk, ChunkConsumer, ChunkQueue
from app.process.settings import Settings
from app.topology import create_app


def queue(maxsize: int = 16) -> ChunkQueue:
    return ChunkQueue(maxsize=maxsize, flow_control=FlowControlEvent())


def sized(offset: int, size: int = 100) -> Any:
    return SimpleNamespace(offset=offset, serialized_value_size=size)


def event(partition: int, *offsets: int, generation: int = 1) -> Any:
    chunk: Any = Chunk("in", partition, generation, [sized(n) for n in offsets])
    message = SimpleNamespace(tp=TP("in", partition), offset=offsets[-1])
    return SimpleNamespace(value=chunk, message=message)


def drain(waiting: ChunkQueue) -> list[tuple[int, list[Any], int]]:
    found = []
    while waiting.qsize():
        one: Any = waiting.get_nowait()
        records = [record.offset for record in one.value.records]
        found.append((one.value.partition, records, one.message.offset))
    return found


async def test_a_chunk_joins_the_one_of_its_partition_that_waits() -> None:
    waiting = queue()
    for one in (event(0, 1, 2), event(1, 7), event(0, 3), event(0, 5), event(1, 8)):
        waiting.force_put_nowait(one)
    assert drain(waiting) == [(0, [1, 2, 3, 5], 5), (1, [7, 8], 8)]


async def test_a_chunk_in_hand_is_left_as_it_is() -> None:
    waiting = queue()
    waiting.force_put_nowait(event(0, 1))
    in_hand: Any = waiting.get_nowait()
    waiting.force_put_nowait(event(0, 2))
    assert [record.offset for record in in_hand.value.records] == [1]
    assert drain(waiting) == [(0, [2], 2)]


async def test_chunks_of_two_generations_stay_apart() -> None:
    waiting = queue()
    waiting.force_put_nowait(event(0, 1))
    waiting.force_put_nowait(event(0, 1, generation=2))
    waiting.force_put_nowait(event(0, 2, generation=2))
    assert drain(waiting) == [(0, [1], 1), (0, [1, 2], 2)]


async def test_a_chunk_that_holds_some_of_the_same_stays_apart() -> None:
    """In one chunk a record would be applied twice: the place is looked at once a chunk."""
    waiting = queue()
    for one in (event(0, 1, 2, 3), event(0, 2, 3, 4), event(0, 5)):
        waiting.force_put_nowait(one)
    assert drain(waiting) == [(0, [1, 2, 3], 3), (0, [2, 3, 4, 5], 5)]


async def test_a_chunk_has_its_bound_and_keeps_its_order() -> None:
    waiting = queue()
    for offset in range(CHUNK_RECORDS_MAX + 10):
        waiting.force_put_nowait(event(0, offset))
    found = drain(waiting)
    assert [len(records) for _, records, _ in found] == [CHUNK_RECORDS_MAX, 10]
    assert [n for _, records, _ in found for n in records] == list(range(CHUNK_RECORDS_MAX + 10))


async def test_chunks_of_large_values_stay_apart() -> None:
    waiting = queue()
    for offset in range(3):
        large = event(0, offset)
        large.value.records = [sized(offset, CHUNK_BYTES_MAX // 2)]
        waiting.force_put_nowait(large)
    assert drain(waiting) == [(0, [0, 1], 1), (0, [2], 2)]


@pytest.mark.parametrize("paused", [1, 3])
async def test_all_that_were_paused_go_on_together(paused: int) -> None:
    waiting, went_on = queue(maxsize=4), []
    waiting.force_put_nowait(event(0, 1))
    waiting.force_put_nowait(event(1, 1))
    waiting.force_put_nowait(event(2, 1))

    def put(partition: int) -> bool:
        return waiting.put_nowait_enhanced(
            event(partition, 1),
            on_pressure_high=lambda: None,
            on_pressure_drop=lambda: went_on.append(partition),
        )

    assert [put(partition) for partition in range(3, 3 + paused)] == [True] * paused
    while waiting.qsize() > waiting.pressure_drop_size:
        assert went_on == []
        waiting.get_nowait()
    waiting.get_nowait()
    assert sorted(went_on) == list(range(3, 3 + paused))


@pytest.fixture
async def consumer(tmp_path: Path) -> ChunkConsumer:
    made: Any = create_app(Settings(data_dir=str(tmp_path)), "cluster").consumer
    assert isinstance(made, ChunkConsumer)
    return made


async def test_the_last_commit_holds_up_no_end(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def unanswered(_: Any) -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(chunks, "LAST_COMMIT_SECONDS_MAX", 0.01)
    monkeypatch.setattr(Consumer, "on_stop", unanswered)
    await asyncio.wait_for(consumer.on_stop(), 1)
    assert asked == 1
    await consumer.crash(RuntimeError("gone"))
    await consumer.on_stop()
    assert asked == 1, "after a crash nobody is there to answer"


async def test_each_fetch_begins_with_another_partition(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {TP("in", number): object() for number in range(3)}

    async def first_of(*_: Any) -> Any:
        return {next(iter(held)): ["records"]}

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", first_of)
    fetching: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records=held))
    thread = consumer._new_consumer_thread()
    fetched = [await thread._fetch_records(fetching, set()) for _ in range(4)]
    assert [tp.partition for [tp] in fetched] == [0, 1, 2, 0]


async def test_nothing_is_fetched_in_a_rebalance_by_a_worker_that_held_nothing(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what it fetched before Faust clears the queues would be skipped."""
    flows = []

    async def revoked(_: set[TP]) -> None:
        flows.append(consumer.flow_active)

    monkeypatch.setattr(consumer, "_on_partitions_revoked", revoked)
    assert consumer.flow_active
    await consumer.on_partitions_revoked(set())
    assert flows == [False]


async def test_what_was_let_go_comes_again_also_before_the_first_commit(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = {TP("in", 0): 5, TP("in", 1): None, TP("in", 2): 0}
    begun: list[TP] = []

    class Thread:
        async def seek_to_committed(self) -> dict[TP, int | None]:
            return committed

        async def seek_wait(self, partitions: dict[TP, int]) -> None:
            assert set(partitions.values()) == {0}
            begun.extend(partitions)

    monkeypatch.setattr(consumer, "_thread", Thread())
    await consumer.perform_seek()
    assert begun == [TP("in", 1), TP("in", 2)]


async def test_a_partition_lost_under_a_seek_ends_nothing(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebalance that took it away seeks again."""
    sought = 0

    async def fetched(_: float) -> Any:
        return {TP("in", 0): [object()]}, {TP("in", 0)}

    async def seek() -> None:
        nonlocal sought
        sought += 1
        raise IllegalStateError("No current assignment for partition in[0]")

    monkeypatch.setattr(consumer, "_wait_next_records", fetched)
    monkeypatch.setattr(consumer, "perform_seek", seek)
    consumer.stop_flow()
    assert [found async for found in consumer.getmany(1.0)] == []
    assert sought == 1
