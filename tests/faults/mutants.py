"""The engine with one of its safeguards taken out, and the fault that shows what it was for.

A mutant is put into the processes under test by `faults.process`; it is never in the application.
The suite must catch each. One that it does not catch means that the suite is weak, that what was
taken out is superfluous, or that it saves what the suite does not compare, as memory or a wait.

Each replaces a method or a name of the engine, and an `ignore` where it does tells mypy that it is
meant: `method-assign` for a method, `attr-defined` for a name that a module only imports.
"""

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import app.engine.partition as partition
import app.engine.table as table
import app.projection.codes as readmodel
import app.projection.follow as projection
from app.engine.chunks import Chunk, ChunkConsumerThread
from app.engine.lanes import Halted, Lanes
from app.engine.partition import Partition
from app.engine.producer import Producer
from app.engine.store import AGENDA, APPLIED, DUE, META, Store
from app.engine.table import Table
from app.engine.topics import Topics
from app.engine.transaction import Fold, Output, Transaction, by_place
from app.process.consumer import Consumer
from app.topics.clock import BrokerClock
from faults.points import catching_up, mark_catching_up


class Mutant(NamedTuple):
    """What is taken out, and the faults, one after another, that provoke the harm."""

    breaks: str
    install: Callable[[], None]
    faults: tuple[str, ...]
    why_uncaught: str = ""
    """Why no comparison can catch it: what else keeps the harm away, or that there is only a wait.
    It may stay uncaught."""
    splits_steps: bool = False
    """It makes two of what is one step, and a point may be passed between them."""


def no_guard() -> None:
    Store.applied_offset = lambda self, topic: -1  # type: ignore[method-assign]


def store_before_log() -> None:
    commit = Partition.commit

    async def reversed_(
        self: Partition, transaction: Transaction, offsets: Mapping[str, int]
    ) -> None:
        self.store.write(_stored(transaction, offsets), self.store.offset)
        await commit(self, transaction, offsets)

    Partition.commit = reversed_  # type: ignore[method-assign]


def no_fence() -> None:
    # aiokafka has no types: its class is Any to mypy.
    class OwnName(Producer):
        def __init__(self, *args: Any, transactional_id: str, **kwargs: Any) -> None:
            own = f"{transactional_id}-{os.getpid()}"
            super().__init__(*args, transactional_id=own, **kwargs)

    partition.Producer = OwnName  # type: ignore[assignment, attr-defined]


def catch_up_reads_uncommitted() -> None:
    partition.Consumer = _reads_uncommitted()  # type: ignore[attr-defined]


def input_reads_uncommitted() -> None:
    create = ChunkConsumerThread._create_worker_consumer

    def uncommitted(self: ChunkConsumerThread, transport: Any) -> Any:
        consumer = create(self, transport)
        consumer._isolation_level = "read_uncommitted"
        return consumer

    ChunkConsumerThread._create_worker_consumer = uncommitted  # type: ignore[method-assign]


def projection_reads_uncommitted() -> None:
    projection.Consumer = _reads_uncommitted()  # type: ignore[attr-defined]


def _reads_uncommitted() -> Any:
    def consumer(*args: Any, isolation_level: str = "", **kwargs: Any) -> Any:
        return Consumer(*args, isolation_level="read_uncommitted", **kwargs)

    return consumer


def told_after_its_transaction() -> None:
    commit = Partition.commit

    async def apart(self: Partition, transaction: Transaction, offsets: Mapping[str, int]) -> None:
        told, transaction.outputs = transaction.outputs, []
        await commit(self, transaction, offsets)
        transaction.outputs = told
        producer = self._producer
        if told and producer is not None:
            await producer.begin_transaction()
            await _tell(self, told)
            await producer.commit_transaction()

    Partition.commit = apart  # type: ignore[method-assign]


def told_dropped() -> None:
    send = Partition._send
    count = 0

    async def forgetful(self: Partition, topic: str, number: int, records: Iterable[Any]) -> Any:
        nonlocal count
        if topic == "status-changes":
            count += 1
            if count % 20 == 0:
                return []
        return await send(self, topic, number, records)

    Partition._send = forgetful  # type: ignore[method-assign]


def timer_without_the_row() -> None:
    commit = Partition.commit

    async def without(
        self: Partition, transaction: Transaction, offsets: Mapping[str, int]
    ) -> None:
        producer = self._producer
        if offsets or producer is None:
            await commit(self, transaction, offsets)
            return
        await producer.begin_transaction()
        await _tell(self, transaction.outputs)
        await producer.commit_transaction()
        self.store.write(_stored(transaction, offsets), self.store.offset)

    Partition.commit = without  # type: ignore[method-assign]


def place_not_in_the_transaction() -> None:
    send = Partition._send

    async def placeless(self: Partition, topic: str, number: int, records: Iterable[Any]) -> Any:
        kept = [record for record in records if not (record[0] or b"").startswith(APPLIED)]
        return await send(self, topic, number, kept)

    Partition._send = placeless  # type: ignore[method-assign]


def catch_up_skipped() -> None:
    async def only_open(self: Partition) -> list[str]:
        if self._store is None:
            path = self._settings.directory / self._settings.name / str(self.number)
            self._store = Store(path)
        return []

    Partition._catch_up = only_open  # type: ignore[method-assign]


def turns_not_taken() -> None:
    """The lock is taken for the commit alone, after the rows were read."""
    commit = Partition.commit

    @asynccontextmanager
    async def no_turn(self: Table, number: int, generation: int) -> AsyncIterator[Partition | None]:
        partition = self.held.get(number)
        if partition is None or generation < self._since[number]:
            yield None
            return
        await partition.live.wait()
        holds = partition.ready
        yield partition if holds and generation >= self._since[number] else None

    async def locked(self: Partition, transaction: Transaction, offsets: Mapping[str, int]) -> None:
        async with self.lock:
            await commit(self, transaction, offsets)

    Table._turn = no_turn  # type: ignore[method-assign]
    Partition.commit = locked  # type: ignore[method-assign]
    # Each has a transaction of its own: to fold another's twice is another fault.
    table.fits = lambda chunks: False  # type: ignore[attr-defined]


def generation_not_checked() -> None:
    turn = Table._turn

    def any_generation(self: Table, number: int, generation: int) -> Any:
        return turn(self, number, self._generation)

    Table._turn = any_generation  # type: ignore[method-assign]


def agenda_not_rebuilt() -> None:
    """Due instants are written as rows change, but not as a store catches up."""
    mark_catching_up()
    write = Store.write

    def without(
        self: Store, rows: Iterable[tuple[bytes, bytes | None]], offset: int, followed: int = -1
    ) -> None:
        if not catching_up.get():
            write(self, rows, offset, followed)
            return
        rows = list(rows)
        write(self, rows, offset, followed)
        for key, value in rows:
            if value is not None and not key.startswith(META):
                self._db.delete(AGENDA + value[: DUE.size] + key)

    Store.write = without  # type: ignore[method-assign]


def catch_up_before_fence() -> None:
    async def reversed_(self: Partition) -> None:
        await self._close_producer()
        forgotten = await self._catch_up()
        await self._fence()
        if forgotten:
            await self.commit(Transaction(self.store), dict.fromkeys(forgotten, -1))
        self.followed = {}
        self.lost = False
        self.live.set()

    Partition.take = reversed_  # type: ignore[method-assign]


def no_topic_ids() -> None:
    ids = Topics.ids

    async def all_alike(self: Topics, names: Collection[str]) -> dict[str, str]:
        return dict.fromkeys(await ids(self, names), "0" * 32)

    Topics.ids = all_alike  # type: ignore[method-assign]


def clock_not_compared() -> None:
    BrokerClock.agrees = lambda self: True  # type: ignore[method-assign]


def no_new_producer() -> None:
    Partition.in_doubt = property(lambda self: False)  # type: ignore[assignment, method-assign]


def halted_passed_over() -> None:
    process = Table.process

    async def left_out(self: Table, chunk: Chunk, fold: Fold) -> bool:
        try:
            return await process(self, chunk, fold)
        except Halted:
            return False

    Table.process = left_out  # type: ignore[method-assign]


def halted_fetched_on() -> None:
    hold_back = Lanes._hold_back

    def by_size_alone(self: Lanes) -> None:
        halts, self._halts = self._halts, {}
        hold_back(self)
        self._halts = halts

    Lanes._hold_back = by_size_alone  # type: ignore[method-assign]


def offset_before_its_rows() -> None:
    """The store's offset is written first, its rows a moment later."""
    write = Store.write

    def in_two(
        self: Store, rows: Iterable[tuple[bytes, bytes | None]], offset: int, followed: int = -1
    ) -> None:
        rows = list(rows)
        write(self, (), offset, followed)
        write(self, rows, offset, followed)

    Store.write = in_two  # type: ignore[method-assign]


def redis_state_not_compared() -> None:
    readmodel._APPLY = _replaced("return 0", "")


def redis_versions_not_compared() -> None:
    readmodel._APPLY = _replaced("elseif not old or version(old) < version(new) then", "else")


def _replaced(old: str, new: str) -> str:
    assert readmodel._APPLY.count(old) == 1, f"{old!r} is not in the script"
    return readmodel._APPLY.replace(old, new)


def _stored(
    transaction: Transaction, offsets: Mapping[str, int]
) -> list[tuple[bytes, bytes | None]]:
    """Return what the engine writes to the store for a chunk."""
    rows: list[tuple[bytes, bytes | None]] = [
        (key, None if row is None else DUE.pack(row[0]) + row[1])
        for key, row in transaction.rows.items()
    ]
    return rows + [(APPLIED + topic.encode(), b"%d" % at) for topic, at in offsets.items()]


async def _tell(partition: Partition, told: list[Output]) -> None:
    """Send what is told, within a transaction that is open."""
    for place, records in by_place(told, partition.number).items():
        await partition._send(*place, [(t.key, t.value, t.headers) for t in records])


MUTANTS: Mapping[str, Mutant] = {
    "no-guard": Mutant(
        "Records at or before the applied offset are applied again.",
        no_guard,
        ("worker dies before offset commit",),
    ),
    "store-before-log": Mutant(
        "A chunk goes to RocksDB before its transaction is confirmed.",
        store_before_log,
        ("only worker dies before confirmation, its store written out",),
    ),
    "offset-before-rows": Mutant(
        "The store's offset is written in a batch before that of its rows.",
        offset_before_its_rows,
        ("only worker dies after store write, its store written out",),
        splits_steps=True,
    ),
    "no-fence": Mutant(
        "Each process has transactional ids of its own, so none shuts out its predecessor.",
        no_fence,
        ("worker stopped before changelog send, woken after its session",),
    ),
    "catch-up-reads-uncommitted": Mutant(
        "Catching up reads aborted transactions too.",
        catch_up_reads_uncommitted,
        ("worker lingers and dies before confirmation",),
    ),
    "input-reads-uncommitted": Mutant(
        "Agents get records of transactions that were given up.",
        input_reads_uncommitted,
        (),
    ),
    "told-after-its-transaction": Mutant(
        "What is told goes out in a transaction after that of the rows.",
        told_after_its_transaction,
        ("worker dies after confirmation of rows",),
    ),
    "told-dropped": Mutant(
        "One batch of status-changes in twenty is not sent.",
        told_dropped,
        (),
    ),
    "timer-without-the-row": Mutant(
        "What time changes is told without the row in the same transaction.",
        timer_without_the_row,
        ("store: deleted",),
    ),
    "place-not-in-the-transaction": Mutant(
        "The applied offset is kept in the store alone.",
        place_not_in_the_transaction,
        ("worker dies before offset commit", "store: deleted"),
    ),
    "catch-up-skipped": Mutant(
        "A partition goes live without reading its changelog.",
        catch_up_skipped,
        ("worker killed",),
    ),
    "turns-not-taken": Mutant(
        "Agents of one partition read rows while another's commit is under way.",
        turns_not_taken,
        (),
    ),
    "generation-not-checked": Mutant(
        "Chunks from before a rebalance are processed after it.",
        generation_not_checked,
        ("third worker joins, second leaves and returns", "worker killed"),
        "Faust clears its queues in a rebalance, and a chunk in an agent's hands is refused while "
        "its partition is not live; taken again, what is applied is left out by its offset, and "
        "what is missing before it is looked for (`app.engine.gaps`)",
    ),
    "catch-up-before-fence": Mutant(
        "A partition is brought level with the log before its predecessor is shut out.",
        catch_up_before_fence,
        ("worker stopped before confirmation, taken over slowly, woken, killed",),
    ),
    "no-topic-ids": Mutant(
        "A topic that was made again is taken for the one before.",
        no_topic_ids,
        ("input: made again",),
    ),
    "no-new-producer": Mutant(
        "After a request without an answer the producer goes on with the same epoch.",
        no_new_producer,
        ("end of a transaction comes late, worker dies",) * 3,
    ),
    "clock-not-compared": Mutant(
        "What falls due is told by a worker's clock, however far it is from the broker's.",
        clock_not_compared,
        ("clock: 5 minutes ahead",),
    ),
    "halted-passed-over": Mutant(
        "Where a chunk cannot go on, the next of its partition does.",
        halted_passed_over,
        ("partition: a record cannot be folded",),
    ),
    "halted-fetched-on": Mutant(
        "What stands still is fetched on, up to the bounds of what waits.",
        halted_fetched_on,
        ("partition: a record cannot be folded",),
        "nothing behind a chunk that stands is processed before it: what is fetched on costs "
        "memory alone, up to the bounds of what waits",
    ),
    "agenda-not-rebuilt": Mutant(
        "A store that catches up does not learn when its rows are due.",
        agenda_not_rebuilt,
        ("store: deleted",),
    ),
    "redis-state-not-compared": Mutant(
        "A batch is written to Redis whatever was written since.",
        redis_state_not_compared,
        ("projection stopped before write without changes, replaced by one that is killed, woken",),
    ),
    "redis-versions-not-compared": Mutant(
        "An older code replaces a newer one in Redis.",
        redis_versions_not_compared,
        ("projection stopped before write to Redis, replaced, woken", "Redis flushed"),
        "a batch is written only where the state is the one it began from, so codes come in the "
        "log's order, in which their versions rise",
    ),
    "projection-reads-uncommitted": Mutant(
        "The projection reads aborted transactions too.",
        projection_reads_uncommitted,
        ("worker lingers and dies before confirmation",),
    ),
}
