"""The order in which a table writes: the log first, the store second, the ack last."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced

from app.engine import table as engine
from app.engine.chunks import Chunk
from app.engine.table import Partition, Table, TableSettings, Told, Work
from topology.records import record


class Log:
    """Stands for a transactional producer: what is in a transaction, and what is committed."""

    def __init__(self, fails_with: Exception | None = None) -> None:
        self.fails_with = fails_with
        self.open: list[tuple[str, Any]] = []
        self.committed: list[tuple[str, Any]] = []
        self.store_at_commit: list[bytes] | None = None
        self.partition: Partition | None = None

    async def begin_transaction(self) -> None:
        self.open = []

    def create_batch(self) -> Any:
        return Batch()

    async def send_batch(self, batch: Any, topic: str, partition: int) -> Any:
        self.open.append((topic, batch.records))
        done = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=len(self.committed)))
        return done

    async def commit_transaction(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        assert self.partition is not None
        self.store_at_commit = list(self.partition.store.keys())
        self.committed += self.open

    async def stop(self) -> None:
        pass


class Batch:
    """A batch of at most three records."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, Any]] = []

    def append(self, *, key: Any, value: Any, timestamp: None, headers: Any) -> object | None:
        if len(self.records) == 3:
            return None
        self.records.append((key, value))
        return object()

    def record_count(self) -> int:
        return len(self.records)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Partition]:
    settings = TableSettings("people", "test", "nowhere:1", tmp_path, "changelog")
    held = Partition(settings, 0)
    held._open()
    yield held
    held.close()


def with_log(partition: Partition, log: Log) -> Log:
    log.partition = partition
    partition._producer = log  # type: ignore[assignment]
    return log


def chunk(*offsets: int, generation: int = 1) -> Chunk:
    now = datetime.now(UTC)
    return Chunk("in", 0, generation, [record(b"v", now, n, "in", b"k") for n in offsets])


def table_of(partition: Partition) -> Table:
    held = Table(partition._settings)
    held.held[0] = partition
    held._generation = 1
    partition.live.set()
    return held


def put_each(work: Work, records: Sequence[Any]) -> None:
    for each in records:
        work.put(b"row%d" % each.offset, b"x")
        work.tell(Told("out", b"k", b"%d" % each.offset))


async def test_the_log_has_it_before_the_store(partition: Partition) -> None:
    log = with_log(partition, Log())
    assert await table_of(partition).process(chunk(0, 1), put_each)
    assert log.store_at_commit == []
    assert partition.store.get(b"row1") is not None
    assert {topic for topic, _ in log.committed} == {"changelog", "out"}
    assert partition.place("in") == 1


async def test_what_the_log_does_not_take_the_store_does_not_have(partition: Partition) -> None:
    with_log(partition, Log(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        await table_of(partition).process(chunk(0), put_each)
    assert list(partition.store.keys()) == []
    assert partition.place("in") == -1


async def test_a_fenced_worker_writes_nothing_and_acks_nothing(partition: Partition) -> None:
    log = with_log(partition, Log(ProducerFenced()))
    held = table_of(partition)
    assert not await held.process(chunk(0), put_each)
    assert list(partition.store.keys()) == []
    log.fails_with = None
    assert not await held.process(chunk(1), put_each), "lost until it is taken again"
    assert log.committed == []


async def test_a_fence_without_a_rebalance_ends_the_process(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FENCED_SECONDS_MAX", 0.01)
    with_log(partition, Log(ProducerFenced()))
    held, failures = table_of(partition), list[BaseException]()
    held.on_failure(failures.append)
    await held.process(chunk(0), put_each)
    await asyncio.sleep(0.05)
    assert "no rebalance followed" in str(failures)
    failures.clear()
    partition.lost = False
    await held.process(chunk(0), put_each)
    await held.revoke()
    await asyncio.sleep(0.05)
    assert failures == []


async def test_records_that_come_again_are_left_out(partition: Partition) -> None:
    log = with_log(partition, Log())
    held = table_of(partition)
    await held.process(chunk(0, 1), put_each)
    log.committed.clear()
    assert await held.process(chunk(0, 1), put_each), "applied before: it may be acked"
    assert log.committed == []
    await held.process(chunk(1, 2), put_each)
    assert [r for topic, r in log.committed if topic == "out"] == [[(b"k", b"2")]]


async def test_a_chunk_from_before_a_rebalance_is_left_to_whoever_holds_it(
    partition: Partition,
) -> None:
    log = with_log(partition, Log())
    assert not await table_of(partition).process(chunk(0, generation=0), put_each)
    assert log.committed == []


async def test_a_chunk_that_waits_for_a_partition_goes_on_when_that_is_given_up(
    partition: Partition,
) -> None:
    """Or its agent would stand still for ever."""
    with_log(partition, Log())
    held = table_of(partition)
    partition.live.clear()
    waiting = asyncio.create_task(held.process(chunk(0), put_each))
    await asyncio.sleep(0)
    assert not waiting.done()
    await held.revoke()
    await held.assign(set(), 2)
    assert await asyncio.wait_for(waiting, 1) is False


async def test_more_than_a_batch_is_sent_in_several(partition: Partition) -> None:
    log = with_log(partition, Log())
    await table_of(partition).process(chunk(*range(10)), put_each)
    sizes = [len(records) for topic, records in log.committed if topic == "changelog"]
    assert sizes == [3, 3, 3, 2], "ten rows and the place"


async def test_agents_take_turns_on_a_partition(partition: Partition) -> None:
    with_log(partition, Log())
    held = table_of(partition)

    def add_one(work: Work, records: Sequence[Any]) -> None:
        for _ in records:
            work.put(b"n", b"%d" % (int(work.get(b"n") or b"0") + 1))

    def from_topic(topic: str) -> Chunk:
        return chunk(*range(5))._replace(topic=topic)

    await asyncio.gather(*(held.process(from_topic(f"t{n}"), add_one) for n in range(20)))
    assert partition.store[b"n"][engine.DUE.size :] == b"100"


async def test_due_rows_come_in_order_and_the_queue_stays_bounded(partition: Partition) -> None:
    log = with_log(partition, Log())
    held = table_of(partition)
    for due in range(5_000, 0, -1):
        work = Work(partition.store)
        work.put(b"late", b"x", due)
        await partition.commit(work, {})
    assert len(partition._queue) <= 2 + engine.QUEUE_STALE_MAX + 1
    work = Work(partition.store)
    work.put(b"soon", b"x", 0)
    work.put(b"first", b"x", 1)
    await partition.commit(work, {})
    assert partition.due(0, 10) == []
    assert set(partition.due(10, 10)) == {b"first", b"late"}
    log.committed.clear()
    done: list[bytes] = []

    def clear(work: Work, keys: Sequence[bytes]) -> None:
        done.extend(keys)
        for key in keys:
            work.put(key, b"x", 0)

    assert await held.process_due(10, 10, clear) == 2
    assert await held.process_due(10, 10, clear) == 0
    assert set(done) == {b"first", b"late"}


def test_due_times_are_read_from_the_store_again(partition: Partition) -> None:
    partition._apply([(b"a", engine.DUE.pack(7) + b"x"), (b"b", engine.DUE.pack(0) + b"x")], 3)
    partition.close()
    partition._open()
    assert partition.due(10, 10) == [b"a"]
    assert partition._stored() == 3


def test_a_store_with_a_damaged_block_begins_anew(partition: Partition) -> None:
    """Or the rows behind the damage would never be due, and reading one would end each process."""
    rows = [(b"%05d" % n, engine.DUE.pack(7) + os.urandom(100)) for n in range(5_000)]
    partition._apply(rows, 3)
    for _ in range(2):  # a store that is opened moves what it logged into a file of blocks
        partition.close()
        partition._open()
        assert len(partition.due(10, 10_000)) == 5_000
    partition.close()
    [blocks] = partition._path().glob("*.sst")
    with blocks.open("r+b") as file:
        file.seek(blocks.stat().st_size // 2)
        file.write(b"\xff" * 64)
    partition._open()
    assert partition._stored() == -1, "all of it comes from the log again"
    assert partition.due(10, 10) == []
