"""The order in which a table writes: the log first, the store second, the ack last."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RequestTimedOutError,
)
from faust.types import TP
from structlog.testing import capture_logs

from app.engine import chunks as chunks_module
from app.engine import partition as partition_module
from app.engine import table as engine
from app.engine.chunks import Chunk
from app.engine.lanes import Halted
from app.engine.partition import (
    BatchRefused,
    EndUnknown,
    Partition,
    SentBatch,
    TableSettings,
)
from app.engine.store import LOG_ID, StoreDamaged
from app.engine.table import Table
from app.engine.transaction import Fold, Output, Transaction
from app.engine.turns import HOLD_SECONDS, Waiting
from app.process import metrics
from app.topics.authentic import OURS
from support.brokers import NO_BROKERS
from support.log import Log, Producer, Topics
from support.macs import KEYS
from support.records import record


def everything(partition: Partition) -> list[bytes]:
    keys: Any = partition.store._db.keys()  # bytes alone: the store is opened raw
    return [key for key in keys if key != LOG_ID]


@pytest.fixture
def log() -> Log:
    return Log(lambda: datetime.now(UTC))


@pytest.fixture
async def partition(folder: Path, log: Log) -> AsyncIterator[Partition]:
    """A partition that is taken."""
    async with taken(folder, log, 0) as held:
        yield held


@pytest.fixture
async def other(folder: Path, log: Log) -> AsyncIterator[Partition]:
    """Another partition of the same table, on the same log."""
    async with taken(folder, log, 1) as held:
        yield held


@asynccontextmanager
async def taken(folder: Path, log: Log, number: int) -> AsyncIterator[Partition]:
    settings = TableSettings(
        "people", "test", NO_BROKERS, folder, "changelog", ("in",), KEYS.of(OURS), KEYS.is_ours
    )
    held = Partition(settings, number, cast(Any, Topics(log, "nowhere:1")))
    with log.installed():
        await held.take()
    yield held
    await held.suspend()
    held.drop()


def answers_to(log: Log, partition: Partition) -> asyncio.Event:
    """Let the log answer to this partition's commits when it is told to."""
    answers = asyncio.Event()

    async def wait(producer: str) -> None:
        if producer == f"test-people-{partition.number}":
            await answers.wait()

    log.before_commit = wait
    return answers


def committed(log: Log) -> list[tuple[str, bytes | None, bytes | None]]:
    """Return what a reader sees: topic, key and value of each record."""
    return [
        (topic, record.key, record.value)
        for topic in sorted(log.topics())
        for record in log.all_of(topic)
    ]


def chunk(*offsets: int, generation: int = 1) -> Chunk:
    now = datetime.now(UTC)
    return Chunk("in", 0, generation, [record(b"v", now, n, "in", b"k") for n in offsets])


def table_of(partition: Partition, topics: Any = None) -> Table:
    held = Table(partition._settings, topics or partition._topics)
    held.held[0] = partition
    held._generation = 1
    held._since = dict.fromkeys(range(3), 1)
    return held


def put_each(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
    for each in records:
        transaction.put(b"row%d" % each.offset, b"x")
        transaction.emit(Output("out", b"k", b"%d" % each.offset))
        yield


async def test_the_log_has_it_before_the_store(partition: Partition, log: Log) -> None:
    at_commit: list[list[bytes]] = []

    async def look(_: str) -> None:
        at_commit.append(everything(partition))

    log.before_commit = look
    assert await table_of(partition).process(chunk(0, 1), put_each)
    assert at_commit == [[]]
    assert partition.store.get(b"row1") is not None
    assert [len(log.all_of(topic)) for topic in ("changelog", "out")] == [4, 2]
    assert partition.store.applied_offset("in") == 1


async def test_what_the_log_does_not_take_the_store_does_not_have(
    partition: Partition, log: Log
) -> None:
    log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        await table_of(partition).process(chunk(0), put_each)
    assert everything(partition) == []
    assert partition.store.applied_offset("in") == -1


async def test_a_fenced_worker_writes_nothing_and_acks_nothing(
    partition: Partition, log: Log
) -> None:
    log.fails_with = ProducerFenced()
    held = table_of(partition)
    assert not await held.process(chunk(0), put_each)
    assert everything(partition) == []
    log.fails_with = None
    assert not await held.process(chunk(1), put_each), "lost until it is taken again"
    assert committed(log) == []


async def test_a_fence_without_a_rebalance_ends_the_process(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FENCED_SECONDS_MAX", 0.01)
    log.fails_with = ProducerFenced()
    held, failures = table_of(partition), list[BaseException]()
    held.on_failure(failures.append)
    await held.process(chunk(0), put_each)
    await asyncio.sleep(0.05)
    assert "no rebalance followed" in str(failures)
    failures.clear()
    with log.installed():
        await partition.take()
    await held.process(chunk(0), put_each)
    with log.installed():
        await held.assign({0}, 2)
        await asyncio.sleep(0.05)
    assert failures == []


async def test_before_the_group_is_joined_each_fence_is_answered_and_no_other_begun(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that comes after that of the next holder would shut it out."""
    answers, begun = asyncio.Event(), asyncio.Event()

    async with taken(folder, log, 0) as partition:
        held = table_of(partition)
        with log.installed():
            start = Producer.start

            async def late(producer: Producer) -> None:
                begun.set()
                await answers.wait()
                await start(producer)

            monkeypatch.setattr(Producer, "start", late)
            await held.assign({0}, 5)  # others had it meanwhile
            await begun.wait()
            joining = asyncio.create_task(held.end_taking())
            await asyncio.sleep(0.02)
            assert not joining.done(), "the group waits for the answer"
            answers.set()
            await joining
            assert log._epochs["test-people-0"] == 2
            assert not partition.ready
            log.fence("test-people-0")  # its next holder
            await asyncio.sleep(0.02)
            assert log._epochs["test-people-0"] == 3, "which nobody shuts out"
            await held.assign({0}, 6)
            await until(lambda: partition.ready)
            assert await held.process(chunk(0, generation=6), put_each), "given back, it is taken"


async def test_records_that_come_again_are_left_out(partition: Partition, log: Log) -> None:
    held = table_of(partition)
    await held.process(chunk(0, 1), put_each)
    before = committed(log)
    assert await held.process(chunk(0, 1), put_each), "applied before: it may be acked"
    assert committed(log) == before
    await held.process(chunk(1, 2), put_each)
    assert [record.value for record in log.all_of("out")] == [b"0", b"1", b"2"]


async def test_a_chunk_from_before_a_rebalance_is_left_to_whoever_holds_it(
    partition: Partition,
    log: Log,
) -> None:
    assert not await table_of(partition).process(chunk(0, generation=0), put_each)
    assert committed(log) == []


async def test_a_chunk_whose_partitions_are_not_assigned_ends_the_process(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is acked with the next one, and nobody would get it again."""
    monkeypatch.setattr(engine, "ASSIGNED_SECONDS_MAX", 0.01)
    with pytest.raises(RuntimeError, match="generation 2 was never assigned"):
        await table_of(partition).process(chunk(0, generation=2), put_each)


async def test_a_chunk_that_waits_for_a_partition_goes_on_when_that_is_given_up(
    partition: Partition,
) -> None:
    """Or its agent would stand still for ever."""
    held = table_of(partition)
    partition.live.clear()
    waiting = asyncio.create_task(held.process(chunk(0), put_each))
    await asyncio.sleep(0)
    assert not waiting.done()
    await held.assign(set(), 2)
    assert await asyncio.wait_for(waiting, 1) is False


async def test_more_than_a_batch_is_sent_in_several(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_module, "BATCH_BYTES_MAX", 3 * 120)  # most of it are headers
    with log.installed():
        await partition.take()
    await table_of(partition).process(chunk(*range(10)), put_each)
    sizes = [count for topic, count in log.batches if topic == "changelog"]
    assert [sum(sizes), *sizes[:3]] == [12, 3, 3, 3], "ten rows, the place and the topic's id"


async def test_agents_take_turns_on_a_partition(partition: Partition) -> None:
    held = table_of(partition)

    def add_one(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        for _ in records:
            transaction.put(b"n", b"%d" % (int(transaction.get(b"n") or b"0") + 1))
            yield

    def from_topic(topic: str) -> Chunk:
        return replace(chunk(*range(5)), topic=topic)

    await asyncio.gather(*(held.process(from_topic(f"t{n}"), add_one) for n in range(20)))
    assert Transaction(partition.store).get(b"n") == b"100"


async def test_while_the_log_answers_to_one_chunk_another_partition_is_folded(
    partition: Partition, other: Partition, log: Log
) -> None:
    answers = answers_to(log, partition)
    held = table_of(partition)
    held.held[1] = other
    acked: list[int] = []

    async def ack(number: int) -> None:
        acked.append(number)

    for number, each in enumerate((chunk(0), replace(chunk(0), partition=1))):
        await held.lanes.submit(each, put_each, partial(ack, number))
    await held.lanes.submit(chunk(1), put_each, partial(ack, 2))
    await asyncio.sleep(0.01)
    assert acked == [1], "the other partition's, and none before it is in the log"
    assert log.transactions == 2, "one at a time of a topic partition"
    answers.set()
    await asyncio.gather(*held.lanes._tasks)
    assert acked == [1, 0, 2]


async def test_what_comes_meanwhile_joins_up_to_the_bounds_of_a_chunk(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks_module, "CHUNK_RECORDS_MAX", 5)
    answers, held = answers_to(log, partition), table_of(partition)
    acked: list[int] = []

    async def ack(number: int) -> None:
        acked.append(number)

    place = TP("in", 0)
    for number, each in enumerate((chunk(0), chunk(1), chunk(2, 3), chunk(4, 5, 6), chunk(6, 7))):
        await held.lanes.submit(each, put_each, partial(ack, number))
        assert held.lanes.held_back == (frozenset() if number < 2 else {place})
    sizes = [len(one.chunk.records) for one in held.lanes._lanes[place]]
    assert sizes == [1, 3, 3, 2], "one that overlaps, or is too much, stays apart"
    answers.set()
    await asyncio.gather(*held.lanes._tasks)
    assert acked == [0, 1, 2, 3, 4]
    assert held.lanes.held_back == frozenset()
    assert partition.store.applied_offset("in") == 7


async def test_a_long_turn_is_cut_while_others_wait(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What floods one topic delays the others of its partition by a part, and not by a chunk."""
    monkeypatch.setattr(engine, "FIRST_PART", 2)
    monkeypatch.setattr(engine, "PART_RECORDS", 2)
    monkeypatch.setattr(engine, "TURN_SECONDS", 0.0)
    held, ended = table_of(partition), list[str]()

    async def process(topic: str, *offsets: int) -> None:
        assert await held.process(replace(chunk(*offsets), topic=topic), put_each)
        ended.append(topic)

    async with partition.lock:
        tasks = [asyncio.create_task(process("flood", *range(9)))]
        await asyncio.sleep(0)
        monkeypatch.setattr(held, "_sharing", lambda _, first: [first])
        tasks.append(asyncio.create_task(process("other", 0)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert ended == ["other", "flood"]
    assert log.transactions == 3, "two of the first, then the other, then all that was left"
    assert partition.store.applied_offset("flood") == 8


async def test_the_end_of_an_agent_cancels_no_commit(partition: Partition, log: Log) -> None:
    answers = answers_to(log, partition)
    held = table_of(partition)
    acked = asyncio.Event()

    async def ack() -> None:
        acked.set()

    agent = asyncio.create_task(held.lanes.submit(chunk(0), put_each, ack))
    await asyncio.sleep(0.01)
    agent.cancel()
    await asyncio.sleep(0.01)
    answers.set()
    await asyncio.wait_for(acked.wait(), 1)
    assert committed(log)
    assert partition.store.applied_offset("in") == 0


async def test_what_fails_ends_the_process_and_whatever_waited_stays_out(
    partition: Partition,
    log: Log,
) -> None:
    log.fails_with = OSError("gone")
    held, failures = table_of(partition), list[BaseException]()
    held.on_failure(failures.append)

    async def ack() -> None:
        raise AssertionError("nothing to ack")

    await held.lanes.submit(chunk(0), put_each, ack)
    waiting = asyncio.create_task(held.process(replace(chunk(0), topic="other"), put_each))
    await asyncio.sleep(0.01)
    assert [str(failure) for failure in failures] == ["gone"]
    log.fails_with = None
    assert await waiting is False
    await held.lanes.submit(chunk(1), put_each, ack)
    await asyncio.sleep(0.01)
    assert committed(log) == []


async def test_chunks_of_several_topics_that_wait_share_a_transaction(
    partition: Partition, log: Log
) -> None:
    held = table_of(partition)
    chunks = [replace(chunk(0, 1), topic=f"t{number}") for number in range(3)]
    stale = replace(chunk(0, generation=0), topic="stale")
    async with partition.lock:
        waiting = [asyncio.create_task(held.process(each, put_each)) for each in (*chunks, stale)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [True, True, True, False]
    assert log.transactions == 1
    assert [partition.store.applied_offset(f"t{number}") for number in range(3)] == [1, 1, 1]
    assert partition.store.applied_offset("stale") == -1
    assert held._waiting[0] == []


async def test_a_chunk_that_comes_first_to_its_turn_is_folded_in_it(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another stood before it and both are too much for one turn. Left out, it would
    not be acked, and the next one's ack would pass it."""
    monkeypatch.setattr(chunks_module, "CHUNK_RECORDS_MAX", 5)
    held = table_of(partition)
    partition.live.clear()
    first = asyncio.create_task(held.process(replace(chunk(*range(4)), topic="a"), put_each))
    await asyncio.sleep(0)
    second = asyncio.create_task(held.process(replace(chunk(*range(4)), topic="b"), put_each))
    partition.live.set()  # the second runs before the first has woken up
    assert [*await asyncio.gather(first, second)] == [True, True]
    assert (partition.store.applied_offset("a"), partition.store.applied_offset("b")) == (3, 3)


async def test_what_waits_shares_no_more_than_a_chunk_may_have(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks_module, "CHUNK_RECORDS_MAX", 5)
    held = table_of(partition)
    async with partition.lock:
        waiting = [
            asyncio.create_task(held.process(replace(chunk(0, 1), topic=f"t{n}"), put_each))
            for n in range(4)
        ]
        await asyncio.sleep(0)
    assert all(await asyncio.gather(*waiting))
    assert log.transactions == 2


def test_of_a_compacted_topic_the_newest_record_of_a_key_is_told() -> None:
    no_store: Any = None  # nothing is read
    transaction = Transaction(no_store)
    for value in (b"1", b"2"):
        transaction.emit_newest(Output("codes", b"a", value))
        transaction.emit(Output("changes", b"a", value))
    transaction.emit_newest(Output("codes", b"b", b"1"))
    assert [(t.topic, t.key, t.value) for t in transaction.outputs] == [
        ("codes", b"a", b"2"),
        ("changes", b"a", b"1"),
        ("changes", b"a", b"2"),
        ("codes", b"b", b"1"),
    ]


async def test_due_rows_are_folded_once(partition: Partition) -> None:
    held = table_of(partition)
    transaction = Transaction(partition.store)
    for key, due in ((b"late", 5), (b"soon", 0), (b"first", 1)):
        transaction.put(key, b"x", due)
    await partition.commit(transaction, {})
    done: list[bytes] = []

    def clear(transaction: Transaction, keys: Sequence[bytes]) -> Iterator[None]:
        done.extend(keys)
        for key in keys:
            transaction.put(key, b"x", 0)
            yield

    for _ in range(2):
        held.begin_due(10, 1, clear)
        await held.due_done()
    assert done == [b"first", b"late"]


async def test_due_rows_of_one_partition_wait_for_no_other(
    partition: Partition, other: Partition, log: Log
) -> None:
    held = table_of(partition)
    held.held[1] = other
    for each in (partition, other):
        transaction = Transaction(each.store)
        transaction.put(b"k", b"x", 1)
        await each.commit(transaction, {})
    done: list[int] = []

    def clear(transaction: Transaction, keys: Sequence[bytes]) -> Iterator[None]:
        done.append(len(keys))
        transaction.put(b"k", b"x", 2 if len(done) < 3 else 0)
        yield

    answers = answers_to(log, partition)
    for instant in (1, 1, 2):
        held.begin_due(instant, 10, clear)
        await asyncio.sleep(0.05)
    assert len(done) == 3, "one of the partition that waits for its log, two of the other"
    answers.set()
    await held.due_done()


async def test_a_chunk_whose_rows_are_large_is_committed_in_parts(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FIRST_PART", 4)
    monkeypatch.setattr(engine, "PART_RECORDS", 4)
    monkeypatch.setattr(engine, "TRANSACTION_BYTES_MAX", 5)
    assert await table_of(partition).process(chunk(*range(10)), put_each)
    assert log.transactions == 3
    assert [record.value for record in log.all_of("out")] == [b"%d" % n for n in range(10)]
    assert partition.store.applied_offset("in") == 9


async def test_a_fold_that_takes_long_lets_the_loop_go_on(partition: Partition) -> None:
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def slow(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        for _ in records:
            time.sleep(HOLD_SECONDS)
            yield

    beating = asyncio.create_task(beat())
    await table_of(partition).process(chunk(*range(8)), slow)
    beating.cancel()
    assert turns > 8


# What cannot go on


def fails_at(offset: int, error: Exception) -> Fold:
    """A fold that fails at one record, and writes a row for each other."""

    def fold(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        yield from put_each(transaction, records)
        if any(record.offset == offset for record in records):
            raise error

    return fold


async def test_what_cannot_be_folded_stands_still_and_all_before_it_is_committed(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, acked = table_of(partition), list[str]()

    async def ack(what: str) -> None:
        acked.append(what)

    monkeypatch.setattr(engine, "log", structlog.testing.CapturingLogger())
    await held.lanes.submit(chunk(*range(1000)), fails_at(700, KeyError("?")), partial(ack, "bad"))
    await until(lambda: bool(held.lanes.halts))
    [halt] = held.lanes.halts
    assert (halt.table, halt.partition, halt.topic) == ("people", 0, "in")
    assert (halt.offset, halt.whole) == (700, True)
    assert partition.store.applied_offset("in") == 699
    assert len(log.all_of("out")) == 700, "each once"
    assert held.lanes.held_back == {TP("in", 0)}

    other = Chunk("other", 0, 1, [record(b"v", datetime.now(UTC), 0, "other", b"k")])
    await held.lanes.submit(other, put_each, partial(ack, "other"))
    await asyncio.sleep(0.1)
    assert acked == []
    held.begin_due(2**62, 10, partial(pytest.fail, "it stands still"))
    await held.due_done()

    held.lanes.go_on(0, "in")
    await until(lambda: bool(held.lanes.halts))
    assert [halt.offset for halt in held.lanes.halts] == [700], "it comes again"
    assert len(log.all_of("out")) == 700


async def test_a_failure_that_passes_leaves_no_trace(partition: Partition, log: Log) -> None:
    held, failures = table_of(partition), 2

    def sometimes(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        nonlocal failures
        yield from put_each(transaction, records)
        if failures:
            failures -= 1
            raise OSError("busy")

    assert await held.process(chunk(*range(1000)), sometimes)
    assert held.lanes.halts == []
    assert [int(each.value or b"") for each in log.all_of("out")] == list(range(1000))


async def test_one_partition_that_stands_still_holds_up_no_other(
    partition: Partition, other: Partition, log: Log
) -> None:
    held, acked = table_of(partition), 0
    held.held[1] = other

    async def ack() -> None:
        nonlocal acked
        acked += 1

    await held.lanes.submit(chunk(0), fails_at(0, KeyError("?")), ack)
    await until(lambda: bool(held.lanes.halts))
    for offset in range(20):
        await held.lanes.submit(replace(chunk(offset), partition=1), put_each, ack)
    await until(lambda: acked == 20)
    assert held.lanes.held_back == {TP("in", 0)}


async def test_a_store_that_fails_ends_the_process(partition: Partition) -> None:
    held, failures = table_of(partition), list[BaseException]()
    held.on_failure(failures.append)

    def broken(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        yield
        raise StoreDamaged("a block")

    await held.lanes.submit(chunk(0), broken, partial(asyncio.sleep, 0))
    await until(lambda: bool(failures))
    assert isinstance(failures[0], StoreDamaged)
    assert held.lanes.halts == []


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("begin", "gone"), [(0, 0), (5, 0), (8, 3), (20, 15), (22, 15)])
async def test_what_was_deleted_unread_is_said_and_counted(
    partition: Partition, begin: int, gone: int
) -> None:
    """Five are applied, then comes 20: what lies between is gone, or ends of transactions."""
    topics = SimpleNamespace(begin=lambda _: resolved(begin), first=lambda *_: resolved(20))
    held = table_of(partition, topics)
    assert await held.process(chunk(*range(5)), put_each)
    counter = metrics.WORKER_RECORDS_GONE.labels("in")
    before = counter._value.get()
    with capture_logs() as said:
        assert await held.process(chunk(20, 21), put_each)
        assert await held.process(chunk(22), put_each)
    assert counter._value.get() - before == gone
    told = [line for line in said if line["event"] == "records_gone_unread"]
    assert [(line["first"], line["last"]) for line in told] == ([(5, 4 + gone)] if gone else [])
    assert partition.store.applied_offset("in") == 22


async def test_a_chunk_that_was_read_on_from_the_one_before_needs_no_look(
    partition: Partition,
) -> None:
    """What lies between has the ends of transactions: it was read, and is nothing to apply."""
    asked = 0

    async def begin(_: TP) -> int:
        nonlocal asked
        asked += 1
        return 0

    held = table_of(partition, SimpleNamespace(begin=begin, first=lambda *_: resolved(2)))
    assert await held.process(replace(chunk(2, 4), start=1, end=6), put_each)
    assert asked == 1, "where the first goes on from is not known"
    assert await held.process(replace(chunk(7, 9), start=6, end=10), put_each)
    assert await held.process(replace(chunk(9, 11), start=8, end=12), put_each), "some comes again"
    assert asked == 1
    assert await held.process(replace(chunk(14), start=13, end=15), put_each)
    assert asked == 2, "something lies between"
    assert await held.process(chunk(16), put_each)
    assert asked == 3, "nobody knows from where it was read"
    assert await held.process(replace(chunk(18), start=17, end=19), put_each)
    assert asked == 4, "nor up to where the one before"


async def test_what_was_deleted_unread_is_counted_once_however_often_its_chunk_comes(
    partition: Partition, log: Log
) -> None:
    for _ in range(60):
        log.mark(TopicPartition("in", 0))  # or it would be shorter than what was applied
    begin = 8
    topics = SimpleNamespace(begin=lambda _: resolved(begin), first=lambda *_: resolved(60))
    held = table_of(partition, topics)
    assert await held.process(chunk(*range(5)), put_each)
    counter = metrics.WORKER_RECORDS_GONE.labels("in")
    before = counter._value.get()
    for _ in range(2):
        with pytest.raises(Halted):
            await held.process(chunk(20), fails_at(20, KeyError("?")))
    with log.installed():
        await held._take(partition)
    assert counter._value.get() - before == 3, "from 5 on"
    begin = 15  # more of them are deleted meanwhile
    with capture_logs() as said:
        assert await held.process(chunk(20), put_each)
    assert counter._value.get() - before == 10
    [line] = [line for line in said if line["event"] == "records_gone_unread"]
    assert (line["first"], line["last"]) == (8, 14)
    begin = 40
    assert await held.process(chunk(50), put_each)
    assert counter._value.get() - before == 10 + 19, "a further gap"


async def test_what_was_deleted_between_chunks_that_joined_is_said_too(
    partition: Partition,
) -> None:
    held = table_of(partition, SimpleNamespace(begin=lambda _: resolved(20)))
    assert await held.process(chunk(0, 1), put_each)
    joined = chunk(0, 1)  # it comes again
    assert joined.joins(chunk(10, 11, 20, 30))
    with capture_logs() as said:
        assert await held.process(joined, put_each)
    told = [line for line in said if line["event"] == "records_gone_unread"]
    assert [(line["first"], line["last"]) for line in told] == [(2, 9), (12, 19)]


async def resolved(value: int) -> int:
    return value


async def test_a_consumer_that_is_too_far_goes_back(partition: Partition, log: Log) -> None:
    """The group's offset may be that of a topic that is no more. What lies between is kept."""
    held, sought = table_of(partition), list[Mapping[TP, int]]()

    async def seek(places: Mapping[TP, int]) -> None:
        sought.append(places)

    held.seek = seek
    place = TopicPartition("in", 0)
    log.mark(place)
    for _ in range(8):
        log.append(place, b"k", b"v")
    assert not await held.process(chunk(5, 6), put_each)
    assert not await held.process(chunk(7), put_each), "it was fetched before"
    assert sought == [{TP("in", 0): 0}] * 2
    assert await held.process(chunk(1, 2), put_each), "before it lies but the end of a transaction"
    assert await held.process(chunk(3, 4, 5), put_each)
    assert await held.process(chunk(7), put_each), "from then on they come in order"
    assert len(sought) == 2
    assert committed(log)[-1] == ("out", b"k", b"7")


# Rebalances


async def test_what_stays_goes_on_through_a_rebalance(
    partition: Partition, other: Partition, log: Log
) -> None:
    held = table_of(partition)
    held.held[1] = other
    producer, answers = partition._producer, answers_to(log, partition)
    waiting = asyncio.create_task(held.process(chunk(0), put_each))
    await asyncio.sleep(0.01)
    with log.installed():
        await asyncio.wait_for(held.assign({0}, 2), 1)
    assert not waiting.done(), "it was in hand all the while"
    answers.set()
    assert await waiting
    assert partition._producer is producer, "it was not taken again"
    assert await held.process(chunk(1), put_each), "fetched before the rebalance"
    assert await held.process(chunk(2, generation=2), put_each)
    assert not other.ready
    assert list(held.held) == [0]


async def test_a_chunk_waits_for_the_assignment_by_which_it_came(
    partition: Partition, other: Partition, log: Log
) -> None:
    """Its fetch may end while another partition, with something in hand, is given up."""
    held = table_of(partition)
    held.held[1] = other
    await other.lock.acquire()
    with log.installed():
        assigning = asyncio.create_task(held.assign({0}, 2))
        waiting = asyncio.create_task(held.process(chunk(0, generation=2), put_each))
        await asyncio.sleep(0.01)
        found = waiting.done()
        other.lock.release()
        await assigning
    assert not found
    assert await waiting


@pytest.mark.parametrize("why", ["fenced", "a generation without it"])
async def test_what_another_may_have_held_is_taken_again(
    partition: Partition, log: Log, why: str
) -> None:
    held, producer = table_of(partition), partition._producer
    if why == "fenced":
        log.fails_with = ProducerFenced()
        assert not await held.process(chunk(0), put_each)
        log.fails_with = None
    with log.installed():
        await held.assign({0}, 2 if why == "fenced" else 3)
        await until(lambda: partition.ready)
    assert partition._producer is not producer
    assert not await held.process(chunk(1), put_each), "what lies before it may be missing"
    assert await held.process(chunk(0, generation=held._generation), put_each)


async def test_a_partition_in_the_middle_of_being_taken_is_not_taken_twice(
    partition: Partition, log: Log
) -> None:
    held = table_of(partition)
    await partition.suspend()
    with log.installed():
        await held.assign({0}, 3)
        task = held._taking[0]
        await held.assign({0}, 4)
        assert held._taking[0] is task
        await until(lambda: partition.ready)
    assert held._taking == {}


async def test_a_rebalance_does_not_wait_for_the_whole_of_a_chunk(
    partition: Partition, log: Log
) -> None:
    held = table_of(partition)

    def slowly(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        for each in put_each(transaction, records):
            time.sleep(0.002)
            yield each

    task = asyncio.create_task(held.process(chunk(*range(5_000)), slowly))
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    await held.assign(set(), 2)
    assert time.monotonic() - begun < 3
    assert not await task
    told = [int(record.value or b"") for record in log.all_of("out")]
    assert told == list(range(len(told))), "what was folded is committed"
    assert 0 < len(told) < 5_000


async def test_a_partition_let_go_of_in_the_middle_of_a_turn_is_not_live(
    partition: Partition, log: Log
) -> None:
    """A turn takes it again, and a rebalance waits for the turn: until it is taken it is not."""
    async with partition.lock:
        suspending = asyncio.create_task(partition.suspend())
        await asyncio.sleep(0.01)
        with log.installed():
            await partition.take()
        assert partition.ready
    await suspending
    assert not partition.ready


async def test_what_stands_is_looked_at_again_by_whoever_takes_it_again(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "log", structlog.testing.CapturingLogger())
    held = table_of(partition)
    await held.lanes.submit(chunk(0), fails_at(0, KeyError("?")), partial(asyncio.sleep, 0))
    await until(lambda: bool(held.lanes.halts))
    with log.installed():
        await held.assign({0}, 3)
        await until(lambda: partition.ready)
    assert held.lanes.halts == []
    await until(lambda: held.lanes.held_back == frozenset())


async def test_a_chunk_from_behind_a_beginning_shares_no_turn(partition: Partition) -> None:
    held = table_of(partition)
    behind = Waiting(replace(chunk(500), topic="again"), put_each, 64)
    first = Waiting(chunk(0), put_each, 64)
    held._waiting[0] = [first, behind]
    assert held._sharing(partition, first) == [first]


async def test_a_partition_taken_again_within_a_turn_goes_back_too(
    partition: Partition, log: Log
) -> None:
    """Its input was made again meanwhile: the consumer is sent to the beginning of that."""
    held, sought = table_of(partition), list[Mapping[TP, int]]()

    async def seek(places: Mapping[TP, int]) -> None:
        sought.append(places)

    held.seek = seek
    log.append(TopicPartition("in", 0), b"k", b"v")
    assert await held.process(chunk(0), put_each)
    log.delete("in")
    log.fails_with = RequestTimedOutError()

    async def fail_once(_: str) -> None:
        log.before_commit = None
        asyncio.get_running_loop().call_soon(setattr, log, "fails_with", None)

    log.before_commit = fail_once
    with log.installed():
        assert not await held.process(chunk(1), put_each), "it is from behind the beginning"
    assert sought[0] == {TP("in", 0): 0}


async def test_due_rows_whose_partition_cannot_be_taken_again_end_the_process(
    partition: Partition, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their transaction is in the log and not in the store: nothing may be folded on that."""
    held, failures = table_of(partition), list[BaseException]()
    held.on_failure(failures.append)
    transaction = Transaction(partition.store)
    transaction.put(b"late", b"x", 5)
    await partition.commit(transaction, {})

    def clear(transaction: Transaction, keys: Sequence[bytes]) -> Iterator[None]:
        yield
        transaction.put(b"late", b"told", 0)

    async def commits_without_an_answer(name: str) -> None:
        log.before_commit = None
        log.end_transaction(name, True)
        log.fails_with = RequestTimedOutError()

    async def is_away() -> list[str]:
        log.fails_with = None
        raise KafkaConnectionError("no broker")

    log.before_commit = commits_without_an_answer
    monkeypatch.setattr(partition, "_catch_up", is_away)
    with log.installed():
        held.begin_due(10, 10, clear)
        waiting = asyncio.create_task(held.process(chunk(0), put_each))
        with suppress(KafkaConnectionError):
            await held.due_done()
        assert not await waiting, "the store is behind the log"
    assert [type(error) for error in failures] == [KafkaConnectionError]
    assert held.lanes.halts == []
    assert not partition.ready


async def test_a_record_that_cannot_be_folded_as_its_partition_goes_ends_nothing(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "log", structlog.testing.CapturingLogger())
    held, failures = table_of(partition), list[BaseException]()
    held.on_failure(failures.append)
    given_up = list[asyncio.Task[None]]()

    def fails(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        given_up.append(asyncio.create_task(held.assign(set(), 2)))
        for _ in range(3):
            time.sleep(2 * HOLD_SECONDS)
            yield
        raise KeyError("?")

    await held.lanes.submit(chunk(0), fails, partial(asyncio.sleep, 0))
    await until(lambda: bool(given_up))
    await given_up[0]
    await asyncio.sleep(0.01)
    assert failures == []
    assert held.lanes.halts == [], "it is another's now"


@pytest.mark.parametrize(
    "error",
    [
        EndUnknown("RequestTimedOutError"),
        BatchRefused(SentBatch("out", 0, 1, 1, cast(Any, None)), MessageSizeTooLargeError()),
    ],
    ids=["no answer", "refused"],
)
async def test_a_partition_that_is_let_go_of_is_not_taken_from_its_next_holder(
    partition: Partition, log: Log, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder would be shut out, and end, since no rebalance follows."""
    held, going = table_of(partition), list[asyncio.Task[None]]()

    async def goes_to_another(*_: object) -> None:
        going.append(asyncio.create_task(held.assign(set(), 2)))
        await asyncio.sleep(0.01)
        log.fence("test-people-0")
        raise error

    monkeypatch.setattr(partition, "commit", goes_to_another)
    with log.installed():
        assert not await held.process(chunk(0), put_each)
    await going[0]
    assert log._epochs["test-people-0"] == 2, "its next holder is not fenced"
    assert held.lanes.halts == []


async def test_a_topic_made_again_before_its_first_commit_is_read_whole(
    partition: Partition, log: Log
) -> None:
    """A chunk of the old one may wait for long, where its partition stands still."""
    log.append(TopicPartition("in", 0), b"k", b"old")
    log.delete("in")
    for _ in range(3):
        log.append(TopicPartition("in", 0), b"k", b"new")
    assert await table_of(partition).process(chunk(0), put_each)
    with log.installed():
        await partition.take()
    assert partition.store.applied_offset("in") == -1
