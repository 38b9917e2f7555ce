"""A table: the partitions that this worker holds, and the turns that chunks take on them.

One chunk of a topic partition is in hand at a time, in order (`app.engine.lanes`). One
transaction is under way on a partition of the table at a time. While the log answers to it, chunks
of other partitions are folded. Chunks of other topics that come to the same partition wait for a
turn and share a transaction; none has the partition for long while others wait.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from faust.types import TP

from app.engine.chunks import Chunk, fits
from app.engine.gaps import follows
from app.engine.halts import halt_of
from app.engine.lanes import Halted, Lanes
from app.engine.partition import BatchRefused, EndUnknown, Fenced, Partition, TableSettings
from app.engine.store import StoreFailed
from app.engine.topics import Topics
from app.engine.transaction import DueFold, Fold, Transaction
from app.engine.turns import Waiting, paced
from app.process import metrics
from app.process.tasks import end

log = structlog.get_logger()

FENCED_SECONDS_MAX = 30.0
"""How long a fenced partition waits for the rebalance that should follow."""

ASSIGNED_SECONDS_MAX = 30.0
"""How long a chunk waits for the assignment by which it came: as long as that may take."""

PART_RECORDS = 512
"""Records that are folded before time and the size of their rows are looked at, at most: as many as
are folded within `TURN_SECONDS`."""

FIRST_PART = 64
"""Records in the first part of a topic partition: how large its rows are is not known yet, and all
of a part is read, sent and written in one go each."""

CAREFUL = 8
"""A part that failed is tried again in so many parts, each in a transaction of its own, until the
one record is found that cannot be folded."""

TRANSACTION_BYTES_MAX = 8 * 1024 * 1024
"""When what a transaction has read and written exceeds this after a part, it is committed and
another begins. So memory follows the rows and not only the bytes of the input, and no transaction
comes near the broker's time-out."""

TURN_SECONDS = 0.1
"""How long the chunks of a turn are folded while other chunks of the partition wait. What is left
of them waits for another turn: a flood about one person holds up nobody for longer."""

DUE_PART = 64
"""Due rows that are folded before the time is looked at."""

IDS_SECONDS = 1.0
"""How often is asked whether topics are still those that were taken."""


class Table:
    """The partitions of a table that this worker holds, and how agents process with them.

    Agents hand in chunks to `lanes`, which calls `process`. Whoever made `topics` closes it.
    """

    def __init__(self, settings: TableSettings, topics: Topics) -> None:
        self.settings = settings
        self._topics = topics
        self.held: dict[int, Partition] = {}
        self._generation = -1
        self._assigned = asyncio.Condition()
        self._since: dict[int, int] = {}
        """Of each partition, the generation in which it was taken last."""
        self._taking: dict[int, asyncio.Task[None]] = {}
        self.lanes = Lanes(settings.name, self.process, self._ended)
        self._waiting: defaultdict[int, list[Waiting]] = defaultdict(list)
        self._parts: dict[TP, int] = {}
        self._due: dict[int, asyncio.Task[None]] = {}
        self._gone: dict[TP, int] = {}
        """Up to where it was said which records are gone."""
        self._watching: asyncio.Task[None] | None = None
        self.seek: Callable[[Mapping[TP, int]], Awaitable[object]] = _no_seek
        """Lets the consumer go to an offset of each of some topic partitions."""
        self._on_failure: Callable[[BaseException], None] = _unhandled

    def on_failure(self, callback: Callable[[BaseException], None]) -> None:
        """Call `callback` when taking a partition fails, or the log or the store under a chunk; it
        must end the process."""
        self._on_failure = callback

    async def assign(self, numbers: Iterable[int], generation: int) -> None:
        """A rebalance ended: hold `numbers`, and give up the others.

        What stays here goes on, and was not stopped: Kafka's protocol revokes all partitions before
        it assigns any, but the fence keeps two workers from writing, and whoever takes a partition
        reads the log to its end. So a partition is taken, in the background, only if it comes from
        elsewhere, was fenced, or may have been held by another meanwhile: in a generation of the
        group that this worker was no member of.
        """
        numbers = set(numbers)
        without_us = generation not in (self._generation, self._generation + 1)
        await asyncio.gather(*(self._give_up(n) for n in set(self.held) - numbers))
        async with self._assigned:
            self._generation = generation
            self._assigned.notify_all()
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
            self._watching.add_done_callback(self._ended)
        for number in sorted(numbers):
            here = number in self._taking or (number in self.held and self.held[number].ready)
            if here and not without_us:
                continue
            self._since[number] = generation
            held = self.held.setdefault(number, Partition(self.settings, number, self._topics))
            await self._suspend(held)
            self.lanes.go_on(number)  # another may have dealt with it; the record says it again
            task = self._taking[number] = asyncio.create_task(self._take(held))
            task.add_done_callback(partial(self._taken, number))

    async def end_taking(self) -> None:
        """The group is about to be joined: take nothing more before `assign`.

        What is being taken may be another's by then. If this worker's request to fence it came
        after the other's own, the other would be shut out, and nobody would have it.
        """
        await asyncio.gather(*(self._suspend(self.held[number]) for number in list(self._taking)))

    async def _suspend(self, partition: Partition) -> None:
        """Finish what is in hand of a partition, and let go of it."""
        if (task := self._taking.pop(partition.number, None)) is not None:
            await end(task)
        await partition.suspend()

    async def _give_up(self, number: int) -> None:
        partition = self.held.pop(number)
        await self._suspend(partition)
        partition.drop()
        self.lanes.go_on(number)  # it is another's now

    def _taken(self, number: int, task: "asyncio.Task[None]") -> None:
        if self._taking.get(number) is task:
            del self._taking[number]
        self._ended(task)

    async def _take(self, partition: Partition) -> None:
        """Take a partition, and let the consumer go on at what was not applied: the log says that,
        and the group's offset may be of a topic that is no more."""
        await partition.take()
        await self.seek(self._unread_of(partition))

    def unread(self) -> dict[TP, int]:
        """Return the offset from which nothing was applied yet, of each input of what is live."""
        found = dict[TP, int]()
        for held in self.held.values():
            if held.ready:
                found |= self._unread_of(held)
        return found

    def _unread_of(self, partition: Partition) -> dict[TP, int]:
        applied = partition.store.applied_offsets()
        return {TP(t, partition.number): applied.get(t, -1) + 1 for t in self.settings.topics}

    async def _watch(self) -> None:
        """End the process when a topic is made again under it: a new start reads it from its
        beginning, and the changelog as it is."""
        while True:
            await asyncio.sleep(IDS_SECONDS)
            live = [held for held in self.held.values() if held.ready]
            if not live:
                continue
            found = await self._topics.known({topic for held in live for topic in held.ids})
            for held in live:
                for topic, topic_id in held.ids.items():
                    if found.get(topic, topic_id) != topic_id:
                        raise RuntimeError(
                            f"{topic} was deleted and made again while {self.settings.name} "
                            f"[{held.number}] was held; the next start reads all of the new one"
                        )

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def stop(self) -> dict[TP, int]:
        """Finish what is in hand, and close the stores; return what `unread` does."""
        if self._watching is not None:
            await end(self._watching)
        ready = [held for held in self.held.values() if held.ready]
        await asyncio.gather(*(self._suspend(held) for held in ready))
        left = [self._unread_of(held) for held in ready if not held.lost]
        await asyncio.gather(*(self._give_up(number) for number in list(self.held)))
        await self.due_done()
        return {tp: at for each in left for tp, at in each.items()}

    async def process(self, chunk: Chunk, fold: Fold) -> bool:
        """Fold the records of `chunk` that were not applied yet; say whether to ack it.

        A chunk from before a rebalance is left to the worker that holds its partition now, which
        gets it again. `fold` runs alone on its partition, and sees the rows as all chunks before
        left them. Chunks of other topics that wait for the same turn share one transaction. Raises
        `Halted` where `fold` fails, or the broker refuses what it writes, at one record.
        """
        await self._until_assigned(chunk)
        part = self._parts.get(TP(chunk.topic, chunk.partition), FIRST_PART)
        mine, waiting = Waiting(chunk, fold, part), self._waiting[chunk.partition]
        waiting.append(mine)
        try:
            while mine.is_open:
                async with self._turn(chunk.partition, chunk.generation) as partition:
                    if partition is None:
                        return False
                    followed = partition.followed
                    unread = partition.store.applied_offset(chunk.topic) + 1
                    is_next = mine.is_next(partition)
                    if is_next and mine.is_open:
                        followed.setdefault(chunk.topic, 0)
                        await self._fold_and_commit(partition, self._sharing(partition, mine))
                if not is_next:
                    if not await follows(self._topics, chunk, unread, followed, self._gone):
                        await self.seek({TP(chunk.topic, chunk.partition): unread})
                        return False  # it comes again, after what lies before it
                    mine.followed = followed
        finally:
            waiting.remove(mine)
        if mine.halt is not None:
            raise Halted(mine.halt)
        return bool(mine.committed)

    async def _until_assigned(self, chunk: Chunk) -> None:
        """Wait until the assignment is known by which a chunk came: Faust fetches on while
        partitions are given up for it. Left out, the chunk would be lost."""
        try:
            async with asyncio.timeout(ASSIGNED_SECONDS_MAX), self._assigned:
                await self._assigned.wait_for(lambda: chunk.generation <= self._generation)
        except TimeoutError:
            raise RuntimeError(f"generation {chunk.generation} was never assigned") from None

    def _sharing(self, partition: Partition, first: Waiting) -> list[Waiting]:
        """Return `first` and other waiting chunks, up to the bounds of one chunk."""
        if first.careful:
            return [first]
        turn = list[Waiting]()
        others = [
            w
            for w in self._waiting[partition.number]
            if w is not first and w.is_open and not w.had_a_turn
        ]
        for each in (first, *others):
            if each.chunk.generation < self._since[partition.number]:
                continue
            if turn and not fits([*(t.chunk for t in turn), each.chunk]):
                break
            if not each.is_next(partition):
                continue
            turn.append(each)
        return turn

    async def _fold_and_commit(self, partition: Partition, turn: Sequence[Waiting]) -> None:
        """Fold the chunks of a turn and commit them, and say of each whether it was: at once, or in
        parts where they exceed `TRANSACTION_BYTES_MAX`.

        What is not folded within `TURN_SECONDS` while others wait is left for another turn, and
        what is not when the partition is to be let go of, for whoever holds it then. A
        commit that is fenced leaves all out that is not committed; what was before it stands. What
        fails is left for another turn, in smaller parts; at one record it is told why.
        """
        transaction, offsets = Transaction(partition.store), dict[str, int]()
        counts, folded, followed = Counter[Waiting](), list[Waiting](), partition.followed
        until = time.monotonic() + TURN_SECONDS

        async def commit() -> bool:
            nonlocal transaction, offsets
            try:
                committed = not offsets or await self._commit(partition, transaction, offsets)
            except BatchRefused as error:
                committed = False
                if await self._take_in_turn(partition):  # its transaction is open
                    committed = None
                    for each in counts:
                        self._failed(partition, each, counts[each], error, alone=len(counts) == 1)
            if committed is False:
                for each in turn:
                    each.committed = bool(each.committed)
            if not committed:
                return False
            for each in folded:
                each.committed = True
                if each.chunk.end is not None:
                    followed[each.chunk.topic] = each.chunk.end
            transaction, offsets = Transaction(partition.store), {}
            counts.clear()
            return True

        for each in turn:
            each.had_a_turn, topic, begun = True, each.chunk.topic, False
            applied = offsets.get(topic, partition.store.applied_offset(topic))
            records = [record for record in each.chunk.records if record.offset > applied]
            while records:
                late = time.monotonic() > until and self._others_wait(partition, turn)
                over = begun and (late or not partition.live.is_set())  # it is to be let go of
                full = transaction.size > TRANSACTION_BYTES_MAX
                if (over or full or (each.careful and counts)) and not await commit():
                    return
                if over:
                    return
                part, records = records[: each.part], records[each.part :]
                try:
                    seconds = await paced(each.fold(transaction, part))
                except StoreFailed:
                    raise
                except Exception as error:
                    self._failed(partition, each, len(part), error, alone=not counts)
                    return
                transaction.count(metrics.WORKER_RECORDS.labels(topic), len(part))
                offsets[topic], begun = part[-1].offset, True
                counts[each] += len(part)
                self._fit_part(each, len(part), seconds)
            folded.append(each)
        await commit()

    def _failed(
        self, partition: Partition, each: Waiting, count: int, error: Exception, *, alone: bool
    ) -> None:
        """Try a chunk again, in smaller parts, or say why it cannot go on: `count` records of it
        failed, `alone` in their transaction."""
        if not alone or count > 1:
            each.careful, each.part = True, max(1, count // CAREFUL) if alone else count
            return
        applied = partition.store.applied_offset(each.chunk.topic)
        offset = next(r.offset for r in each.chunk.records if r.offset > applied)
        each.halt = halt_of(
            self.settings.name, each.chunk.partition, each.chunk.topic, offset, error
        )

    def _fit_part(self, each: Waiting, count: int, seconds: float) -> None:
        """Let the next part of a chunk take `TURN_SECONDS`, and be at most twice as long."""
        in_a_turn = int(count * TURN_SECONDS / max(seconds, 1e-6))
        each.part = max(1, min(in_a_turn, 2 * each.part, PART_RECORDS))
        self._parts[TP(each.chunk.topic, each.chunk.partition)] = each.part

    def _others_wait(self, partition: Partition, turn: Sequence[Waiting]) -> bool:
        return any(w not in turn and w.is_open for w in self._waiting[partition.number])

    def begin_due(self, until: int, limit: int, fold: DueFold) -> None:
        """Begin to fold the rows of each live partition that are due at `until` (µs): at most
        `limit` in a turn.

        No partition waits for another. One whose rows of an earlier call are still in hand is left
        out. One whose rows cannot be folded stands still.
        """
        for number, held in self.held.items():
            if number not in self._due and held.ready and not self.lanes.is_halted(number):
                task = asyncio.create_task(self._fold_due(number, until, limit, fold))
                self._due[number] = task
                task.add_done_callback(partial(self._due_ended, number))

    def _due_ended(self, number: int, task: "asyncio.Task[None]") -> None:
        del self._due[number]
        self._ended(task)

    async def due_done(self) -> None:
        """Wait until no due rows are in hand."""
        await asyncio.gather(*self._due.values())

    async def _fold_due(self, number: int, until: int, limit: int, fold: DueFold) -> None:
        while await self._due_turn(number, until, limit, fold):
            pass

    async def _due_turn(self, number: int, until: int, limit: int, fold: DueFold) -> int:
        async with self._turn(number, self._generation) as partition:
            if partition is None or not (keys := partition.store.due(until, limit)):
                return 0
            transaction, count = Transaction(partition.store), 0
            over = time.monotonic() + TURN_SECONDS
            try:
                while count < len(keys) and time.monotonic() < over:
                    part = keys[count : count + DUE_PART]
                    await paced(fold(transaction, part))
                    count += len(part)
            except StoreFailed:
                raise
            except Exception as error:
                self._halt_due(number, error)
                return 0
            try:
                await self._commit(partition, transaction, {})
            except BatchRefused as error:
                if await self._take_in_turn(partition):
                    self._halt_due(number, error)
                return 0
        return count

    def _halt_due(self, number: int, error: Exception) -> None:
        self.lanes.halt(halt_of(self.settings.name, number, None, None, error))

    @asynccontextmanager
    async def _turn(self, number: int, generation: int) -> AsyncIterator[Partition | None]:
        """Wait until the partition is live and free; None if it is held no more by then, or was
        taken again since `generation`."""
        partition = self.held.get(number)
        if partition is None or generation < self._since[number]:
            yield None
            return
        await partition.live.wait()
        async with partition.lock:
            try:
                still = partition.ready and generation >= self._since[number]
                yield partition if still else None
            except BaseException:
                # Log and store may differ now; whoever waits for the partition must not go on.
                partition.lost = True
                raise

    async def _commit(
        self, partition: Partition, transaction: Transaction, offsets: Mapping[str, int]
    ) -> bool | None:
        """Commit; say whether it was. None: nobody knows, but the store has what the log has, so
        whatever is not applied is to be folded again. Raise `BatchRefused`."""
        if partition.lost:  # within this turn
            return False
        try:
            with metrics.WORKER_CHUNK_SECONDS.labels(self.settings.name).time():
                await partition.commit(transaction, offsets)
        except Fenced as error:
            # Another worker holds the partition, and this one has not heard of the rebalance yet.
            partition.lost = True
            metrics.WORKER_FENCED.labels(self.settings.name).inc()
            asyncio.get_running_loop().call_later(
                FENCED_SECONDS_MAX, self._check_fenced, partition, self._generation
            )
            log.warning("fenced", **partition.where, error=str(error))
            return False
        except EndUnknown as error:
            if not await self._take_again(partition, str(error)):
                return False
            applied = partition.store.applied_offset
            if not offsets or any(applied(topic) < last for topic, last in offsets.items()):
                return None
        if partition.in_doubt:
            await self._take_again(partition, "a request had no answer")
        for topic, count in Counter(output.topic for output in transaction.outputs).items():
            transaction.count(metrics.WORKER_OUTPUTS.labels(topic), count)
        transaction.committed()
        return True

    async def _take_again(self, partition: Partition, why: str) -> bool:
        """Take a partition again whose producer has something on its way that may come late; say
        whether it was."""
        if partition.live.is_set():
            log.warning("producer_replaced", **partition.where, why=why)
            metrics.WORKER_PRODUCERS_REPLACED.labels(self.settings.name).inc()
        return await self._take_in_turn(partition)

    async def _take_in_turn(self, partition: Partition) -> bool:
        """Take a partition again whose turn it is; say whether it was. One that is to be let go of
        is left to whoever has it next, whom this would shut out: no rebalance would follow."""
        if partition.live.is_set():
            await self._take(partition)
        else:
            partition.lost = True
        return not partition.lost

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


def _unhandled(error: BaseException) -> None:
    raise error


async def _no_seek(places: Mapping[TP, int]) -> None:
    """Stand in for a consumer that is missing."""
