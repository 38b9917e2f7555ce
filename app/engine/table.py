"""A table: the partitions that this worker holds, and the turns that chunks take on them.

One chunk of a topic partition is in hand at a time, in order; what comes meanwhile waits. One
transaction is under way on a partition of the table at a time. While the log answers to it, chunks
of other partitions are folded. Chunks of other topics that come to the same partition wait for a
turn and share a transaction; none has the partition for long while others wait.
"""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice

import structlog
from aiokafka.errors import OutOfOrderSequenceNumber, ProducerFenced
from faust.types import TP

from app.engine.chunks import Chunk, fits
from app.engine.partition import Partition, TableSettings
from app.engine.transaction import DueFold, Fold, Transaction
from app.process import metrics

log = structlog.get_logger()

FENCED_SECONDS_MAX = 30.0
"""How long a fenced partition waits for the rebalance that should follow."""


PART_RECORDS = 512
"""Records that are folded before the size of their rows is looked at."""

TRANSACTION_BYTES_MAX = 8 * 1024 * 1024
"""When what a transaction has read and written exceeds this after a part, it is committed and
another begins. So memory follows the rows and not only the bytes of the input, and no transaction
comes near the broker's time-out."""

TURN_SECONDS = 0.1
"""How long the chunks of a turn are folded while other chunks of the partition wait. What is left
of them waits for another turn: a flood about one person holds up nobody for longer."""

WAITING_BYTES_MAX = 32 * 1024 * 1024
"""Bytes that wait behind the chunks in hand; above it, what has some waiting is fetched no more
until it has been processed."""

HOLD_SECONDS = 0.005
"""How long a fold holds the event loop at a time; one record more may come on top."""


@dataclass(eq=False, slots=True)
class Waiting:
    """A chunk that waits for its turn on a partition; `committed` says what came of it."""

    chunk: Chunk
    fold: Fold
    committed: bool | None = None
    had_a_turn: bool = False


@dataclass(eq=False, slots=True)
class Submitted:
    """A chunk that was handed in, and whom to tell when it is done."""

    chunk: Chunk
    fold: Fold
    acks: list[Callable[[], Awaitable[object]]]


class Table:
    """The partitions of a table that this worker holds, and how agents process with them.

    `held_back` are the topic partitions that have enough waiting, so nothing more should be fetched
    of them.
    """

    def __init__(self, settings: TableSettings) -> None:
        self.settings = settings
        self.held: dict[int, Partition] = {}
        self._generation = -1
        self._newest = -1
        self._taking: set[asyncio.Task[None]] = set()
        self.held_back: frozenset[TP] = frozenset()
        self._lanes: defaultdict[TP, deque[Submitted]] = defaultdict(deque)
        self._lanes_in_hand: set[asyncio.Task[None]] = set()
        self._waiting: defaultdict[int, list[Waiting]] = defaultdict(list)
        self._on_failure: Callable[[BaseException], None] = _unhandled

    def on_failure(self, callback: Callable[[BaseException], None]) -> None:
        """Call `callback` when taking a partition or a chunk fails; it must end the process."""
        self._on_failure = callback

    async def revoke(self) -> None:
        """A rebalance begins: finish the chunks in hand and give up every partition."""
        self._generation = -1
        taking = list(self._taking)
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
        await asyncio.gather(*(p.release() for p in self.held.values()))

    async def assign(self, numbers: Iterable[int], generation: int) -> None:
        """A rebalance ended: take `numbers`, in the background; close the others."""
        numbers = set(numbers)
        for number in set(self.held) - numbers:
            self.held.pop(number).drop()
        self._generation = self._newest = generation
        for number in sorted(numbers):
            partition = self.held.setdefault(number, Partition(self.settings, number))
            task = asyncio.create_task(partition.take())
            self._taking.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._taking.discard(task)
        self._lanes_in_hand.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def stop(self) -> None:
        """Finish what is in hand, and close."""
        await self.revoke()
        for partition in self.held.values():
            partition.drop()
        self.held.clear()

    async def submit(self, chunk: Chunk, fold: Fold, ack: Callable[[], Awaitable[object]]) -> None:
        """Hand in a chunk to `process`, and `ack` it when that is done.

        Returns at once. Each topic partition has one chunk in hand at a time, in order; what comes
        meanwhile waits as one chunk, up to the bounds of one. While the log answers to one, others
        are folded. So no partition waits for another. A failure ends the process, and what waited
        behind it is not processed.
        """
        lane = self._lanes[TP(chunk.topic, chunk.partition)]
        if len(lane) > 1 and lane[-1].chunk.joins(chunk):
            lane[-1].acks.append(ack)
        else:
            lane.append(Submitted(chunk, fold, [ack]))
        if len(lane) == 1:
            task = asyncio.create_task(self._process_lane(lane))
            self._lanes_in_hand.add(task)
            task.add_done_callback(self._ended)
        self._hold_back()
        await asyncio.sleep(0)  # let it begin

    async def _process_lane(self, lane: "deque[Submitted]") -> None:
        while lane:
            first = lane[0]
            if await self.process(first.chunk, first.fold):
                for ack in first.acks:
                    await ack()
            lane.popleft()
            self._hold_back()

    def _hold_back(self) -> None:
        behind = {
            tp: [submitted.chunk for submitted in islice(lane, 1, None)]
            for tp, lane in self._lanes.items()
            if len(lane) > 1
        }
        waiting = sum(chunk.size for chunks in behind.values() for chunk in chunks)
        # As much once more would not fit into one chunk.
        self.held_back = frozenset(
            tp
            for tp, chunks in behind.items()
            if waiting > WAITING_BYTES_MAX or not fits(chunks * 2)
        )

    async def process(self, chunk: Chunk, fold: Fold) -> bool:
        """Fold the records of `chunk` that were not applied yet; say whether to ack it.

        A chunk from before a rebalance is left to the worker that holds its partition now, which
        gets it again. `fold` runs alone on its partition, and sees the rows as all chunks before
        left them. Chunks of other topics that wait for the same turn share one transaction.
        """
        if chunk.generation > self._newest:
            raise RuntimeError(
                f"a chunk of generation {chunk.generation} came before its partitions were "
                "assigned: left out, it would be lost"
            )
        mine, waiting = Waiting(chunk, fold), self._waiting[chunk.partition]
        waiting.append(mine)
        try:
            while mine.committed is None:
                async with self._turn(chunk.partition, chunk.generation) as partition:
                    if partition is None:
                        return False
                    if mine.committed is None:
                        await self._fold_and_commit(partition, self._sharing(partition, mine))
        finally:
            waiting.remove(mine)
        return mine.committed

    def _sharing(self, partition: Partition, first: Waiting) -> list[Waiting]:
        """Return `first` and other waiting chunks, up to the bounds of one chunk."""
        turn = list[Waiting]()
        others = [
            w
            for w in self._waiting[partition.number]
            if w is not first and w.committed is None and not w.had_a_turn
        ]
        for each in (first, *others):
            if each.chunk.generation != self._generation:
                continue
            if turn and not fits([*(t.chunk for t in turn), each.chunk]):
                break
            turn.append(each)
        return turn

    async def _fold_and_commit(self, partition: Partition, turn: Sequence[Waiting]) -> None:
        """Fold the chunks of a turn and commit them, and say of each whether it was: at once, or in
        parts where they exceed `TRANSACTION_BYTES_MAX`.

        What is not folded within `TURN_SECONDS` while others wait is left for another turn. A
        commit that is fenced leaves all out that is not committed; what was before it stands.
        """
        transaction, offsets, folded = (
            Transaction(partition.store),
            dict[str, int](),
            list[Waiting](),
        )
        until = time.monotonic() + TURN_SECONDS

        async def commit() -> bool:
            nonlocal transaction, offsets
            if offsets and not await self._commit(partition, transaction, offsets):
                for each in turn:
                    each.committed = bool(each.committed)
                return False
            for each in folded:
                each.committed = True
            transaction, offsets = Transaction(partition.store), {}
            return True

        for each in turn:
            each.had_a_turn, topic = True, each.chunk.topic
            applied = offsets.get(topic, partition.store.applied_offset(topic))
            records = [record for record in each.chunk.records if record.offset > applied]
            for start in range(0, len(records), PART_RECORDS):
                is_over = start and time.monotonic() > until and self._others_wait(partition, turn)
                if (is_over or transaction.size > TRANSACTION_BYTES_MAX) and not await commit():
                    return
                if is_over:
                    return
                part = records[start : start + PART_RECORDS]
                transaction.count(metrics.WORKER_RECORDS.labels(topic), len(part))
                await _paced(each.fold(transaction, part))
                offsets[topic] = part[-1].offset
            folded.append(each)
        await commit()

    def _others_wait(self, partition: Partition, turn: Sequence[Waiting]) -> bool:
        return any(w not in turn and w.committed is None for w in self._waiting[partition.number])

    async def process_due(self, until: int, limit: int, fold: DueFold) -> int:
        """Fold at most `limit` rows of each live partition that are due at `until` (µs).

        Returns how many there were.
        """
        count = 0
        for number, held in list(self.held.items()):
            if not held.live.is_set():
                continue
            async with self._turn(number, self._generation) as partition:
                if partition is None or not (keys := partition.store.due(until, limit)):
                    continue
                transaction = Transaction(partition.store)
                await _paced(fold(transaction, keys))
                await self._commit(partition, transaction, {})
                count += len(keys)
        return count

    @asynccontextmanager
    async def _turn(self, number: int, generation: int) -> AsyncIterator[Partition | None]:
        """Wait until the partition is live and free; None if `generation` is over by then."""
        partition = self.held.get(number)
        if partition is None or generation != self._generation:
            yield None
            return
        await partition.live.wait()
        async with partition.lock:
            try:
                yield partition if partition.ready and generation == self._generation else None
            except BaseException:
                # Log and store may differ now; whoever waits for the partition must not go on.
                partition.lost = True
                raise

    async def _commit(
        self, partition: Partition, transaction: Transaction, offsets: Mapping[str, int]
    ) -> bool:
        try:
            with metrics.WORKER_CHUNK_SECONDS.labels(self.settings.name).time():
                await partition.commit(transaction, offsets)
        except (ProducerFenced, OutOfOrderSequenceNumber) as error:
            # Another worker holds the partition, and this one has not heard of the rebalance yet. A
            # batch that was under way may be reported as out of order.
            partition.lost = True
            metrics.WORKER_FENCED.labels(self.settings.name).inc()
            asyncio.get_running_loop().call_later(
                FENCED_SECONDS_MAX, self._check_fenced, partition, self._generation
            )
            log.warning(
                "fenced",
                table=self.settings.name,
                partition=partition.number,
                error=type(error).__name__,
            )
            return False
        for topic, count in Counter(output.topic for output in transaction.outputs).items():
            transaction.count(metrics.WORKER_OUTPUTS.labels(topic), count)
        transaction.committed()
        return True

    def _check_fenced(self, partition: Partition, generation: int) -> None:
        """End the process if a rebalance should have come and has not: only a rebalance can take
        the partition again. A transaction that the broker gave up on also fences, with no
        successor."""
        held = self.held.get(partition.number) is partition
        if held and partition.lost and generation == self._generation:
            self._on_failure(
                RuntimeError(
                    f"partition {partition.number} of {self.settings.name} was fenced, and no "
                    f"rebalance followed within {FENCED_SECONDS_MAX:g} s"
                )
            )


async def _paced(fold: Iterator[None]) -> None:
    """Run a fold, and let the event loop go on every `HOLD_SECONDS`."""
    until = time.monotonic() + HOLD_SECONDS
    for _ in fold:
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + HOLD_SECONDS


def _unhandled(error: BaseException) -> None:
    raise error
