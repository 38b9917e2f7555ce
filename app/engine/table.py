"""A table that is written to the log first and to RocksDB second, fenced per partition.

One partition of a table is held by one worker at a time. Taking it (`Partition.take`):

1. fence: a transactional producer named after the partition is initialised. The broker finishes
   or aborts the predecessor's open transaction and refuses all its later writes;
2. catch up: changelog records after the store's own offset are read (read_committed) and written
   to the store. The log is complete, since nobody else can write to it any more;
3. live: chunks and due rows are processed, one at a time per partition; while the log answers
   to one, those of other partitions are folded.

Processing (`Partition.commit`), in this order:

1. one transaction: changed rows, the place reached in the input, and everything told;
2. the same rows, place and changelog offset in one RocksDB write batch;
3. the caller acks; Faust commits the group's offset when it likes.

Dying between any two steps loses nothing and tells nothing twice: before the end of 1 the broker
aborts, after it the log holds all, and catching up repairs the store; a chunk that comes again
lies at or before the place reached and is left out. A step that fails for another reason ends the
process, and a new one starts from 1.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber, ProducerFenced
from aiokafka.structs import RecordMetadata
from prometheus_client import Counter

from app import metrics
from app.engine.chunks import Chunk, fits
from app.engine.store import DUE, PLACE, Store

log = structlog.get_logger()

BATCH_BYTES_MAX = 900_000
"""Largest record batch sent, below the topics' max.message.bytes of 1 MiB."""

REQUEST_BYTES_MAX = 8 * 1024 * 1024
"""Largest request, before it is compressed: several batches go in one."""

FENCED_SECONDS_MAX = 30.0
"""How long a fenced partition waits for the rebalance that should follow."""

PROGRESS_SECONDS = 2.0
"""How often a long catching up says how far it is."""

CATCH_UP_RECORDS = 20_000
"""Records applied to the store at a time while catching up; bounds its memory."""


class Told(NamedTuple):
    """A record for an output topic. It goes to the same partition number as its cause."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Work:
    """What one chunk reads and changes: rows are read through, and written when it commits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[bytes, bytes | None] = {}
        self.rows: dict[bytes, tuple[int, bytes]] = {}
        self.told: list[Told] = []
        self._newest: dict[tuple[str, bytes | None], int] = {}
        self._counted: list[tuple[Counter, int]] = []

    def read(self, keys: Iterable[bytes]) -> None:
        """Read the rows at `keys` together, which costs less than one by one in `get`."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._read]
        self._read.update(zip(wanted, self._store.get_many(wanted), strict=True))

    def get(self, key: bytes) -> bytes | None:
        """Return the row at `key` as this chunk sees it."""
        if key in self.rows:
            return self.rows[key][1]
        if key not in self._read:
            self.read([key])
        stored = self._read[key]
        return None if stored is None else stored[DUE.size :]

    def put(self, key: bytes, value: bytes, due: int = 0) -> None:
        """Write a row; `due` in microseconds of the epoch, 0 for never.

        A row is never deleted: compaction takes a tombstone from the log, and a store that has not
        seen it by then would keep the row for good.
        """
        self.rows[key] = (due, value)

    def tell(self, told: Told) -> None:
        """Add a record for an output topic."""
        self.told.append(told)

    def tell_newest(self, told: Told) -> None:
        """Add a record for a compacted topic, in place of an earlier one with its key."""
        place = self._newest.setdefault((told.topic, told.key), len(self.told))
        self.told[place : place + 1] = [told]

    def count(self, counter: Counter, by: int = 1) -> None:
        """Raise a metric once this work is in the log; never if it does not get there."""
        self._counted.append((counter, by))

    def committed(self) -> None:
        """Raise what was counted."""
        for counter, by in self._counted:
            counter.inc(by)


Fold = Callable[[Work, Sequence["ConsumerRecord[bytes, bytes]"]], None]


class TableSettings(NamedTuple):
    """Where a table lives."""

    name: str
    application: str
    bootstrap: str
    directory: Path
    changelog: str


@dataclass(eq=False, slots=True)
class Waiting:
    """A chunk that waits for its turn on a partition; `committed` says what came of it."""

    chunk: Chunk
    fold: Fold
    committed: bool | None = None


class Partition:
    """One partition of a table, while this worker holds it. Each topic has at most one chunk
    among those `waiting`."""

    def __init__(self, settings: TableSettings, number: int) -> None:
        self.number = number
        self.live = asyncio.Event()
        self.lost = False
        self.lock = asyncio.Lock()
        self.waiting: list[Waiting] = []
        self._settings = settings
        self._tp = TopicPartition(settings.changelog, number)
        self._producer: AIOKafkaProducer | None = None
        self._store: Store | None = None

    @property
    def ready(self) -> bool:
        """Say whether it is caught up and, as far as is known, nobody else's."""
        return self.live.is_set() and not self.lost

    @property
    def store(self) -> Store:
        """The store, open since `take`."""
        assert self._store is not None, "partition is not taken"
        return self._store

    async def take(self) -> None:
        """Fence the predecessor, catch up with the log, go live."""
        await self._fence()
        await self._catch_up()
        self.lost = False
        self.live.set()

    async def release(self) -> None:
        """Give the partition up: finish what is in hand, then let go of log and store."""
        self.live.clear()
        async with self.lock:
            if self._producer is not None:
                producer, self._producer = self._producer, None
                await producer.stop()

    def drop(self) -> None:
        """Give the partition up for good; only after `release`. Whoever waits for it goes on."""
        self.lost = True
        self.live.set()
        self.close()

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _fence(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap,
            transactional_id=f"{self._settings.application}-{self._settings.name}-{self.number}",
            acks="all",
            compression_type="zstd",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
        )
        try:
            await producer.start()
        except BaseException:  # also when a rebalance cancels it
            await producer.stop()
            raise
        self._producer = producer

    async def _catch_up(self) -> None:
        if self._store is None:
            self._store = Store(self._settings.directory / self._settings.name / str(self.number))
        store = self._store
        consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        try:
            await consumer.start()
            consumer.assign([self._tp])
            end = (await consumer.end_offsets([self._tp]))[self._tp]
            if store.offset >= end:
                log.warning("store_ahead_of_log", **self._where(), stored=store.offset, end=end)
                store.wipe()
            consumer.seek(self._tp, store.offset + 1)
            started = told_at = time.monotonic()
            applied = 0
            while (position := await consumer.position(self._tp)) < end:
                if time.monotonic() > told_at + PROGRESS_SECONDS:
                    told_at = time.monotonic()
                    log.info("catching_up", **self._where(), rows=applied, left=end - position)
                fetched = await consumer.getmany(timeout_ms=500, max_records=CATCH_UP_RECORDS)
                for records in fetched.values():
                    store.write(((r.key, r.value) for r in records), records[-1].offset)
                    applied += len(records)
            seconds = round(time.monotonic() - started, 1)
            log.info("caught_up", **self._where(), rows=applied, seconds=seconds)
        finally:
            await consumer.stop()

    def _where(self) -> dict[str, Any]:
        return {"table": self._settings.name, "partition": self.number}

    async def commit(self, work: Work, places: Mapping[str, int]) -> None:
        """Write `work` and the `places` reached in the input: the log first, then the store.

        Raises `ProducerFenced` when another worker has taken the partition; nothing of `work` is
        then in the log.
        """
        assert self._producer is not None, "partition is not taken"
        rows = [(key, DUE.pack(due) + row) for key, (due, row) in work.rows.items()]
        rows += ((PLACE + topic.encode(), b"%d" % offset) for topic, offset in places.items())
        if not rows:
            return
        await self._producer.begin_transaction()
        sent = [
            await self._send(self._tp.topic, [(key, value, ()) for key, value in rows]),
            *[
                await self._send(topic, [(t.key, t.value, t.headers) for t in told])
                for topic, told in _by_topic(work.told).items()
            ],
        ]
        await self._producer.commit_transaction()
        last: RecordMetadata = sent[0][-1][0].result()
        self.store.write(rows, last.offset + sent[0][-1][1] - 1)

    async def _send(
        self,
        topic: str,
        records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]],
    ) -> list[tuple["asyncio.Future[RecordMetadata]", int]]:
        """Send records in as few batches as fit; return each batch's future and its count."""
        producer = self._producer
        assert producer is not None
        sent = []
        batch = producer.create_batch()
        for key, value, headers in records:
            while batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                assert batch.record_count(), "a batch takes at least one record of any size"
                sent.append((await self._submit(batch, topic), batch.record_count()))
                batch = producer.create_batch()
        sent.append((await self._submit(batch, topic), batch.record_count()))
        return sent

    async def _submit(self, batch: Any, topic: str) -> "asyncio.Future[RecordMetadata]":
        assert self._producer is not None
        future: asyncio.Future[RecordMetadata] = await self._producer.send_batch(
            batch, topic, partition=self.number
        )
        return future


class Table:
    """The partitions of a table that this worker holds, and how agents process with them."""

    def __init__(self, settings: TableSettings) -> None:
        self.settings = settings
        self.held: dict[int, Partition] = {}
        self._generation = -1
        self._newest = -1
        self._taking: set[asyncio.Task[None]] = set()
        self._in_hand: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._on_failure: Callable[[BaseException], None] = _unhandled

    def on_failure(self, callback: Callable[[BaseException], None]) -> None:
        """Call `callback` when taking a partition or a chunk fails; it must end the process."""
        self._on_failure = callback

    async def revoke(self) -> None:
        """A rebalance begins: finish the chunks in hand and let go of every partition."""
        self._generation = -1
        taking = list(self._taking)
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
        await asyncio.gather(*(p.release() for p in self.held.values()))

    async def assign(self, numbers: Iterable[int], generation: int) -> None:
        """A rebalance ended: take `numbers`, in the background; close what is no longer held."""
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
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def stop(self) -> None:
        """Finish what is in hand, and close."""
        await self.revoke()
        for partition in self.held.values():
            partition.drop()
        self.held.clear()

    async def begin(self, chunk: Chunk, fold: Fold, ack: Callable[[], Awaitable[object]]) -> None:
        """Begin to `process` a chunk, and `ack` it when that is done.

        Returns as soon as the one before of the same topic partition has ended, so there is one at
        a time of each, in order; while the log answers to one, others are folded. What fails ends
        the process.
        """
        source = chunk.topic, chunk.partition
        if (before := self._in_hand.get(source)) is not None:
            await asyncio.wait([before])  # and not `await before`: an agent's end would cancel it
            before.result()

        async def process() -> None:
            if await self.process(chunk, fold):
                await ack()

        task = self._in_hand[source] = asyncio.create_task(process())
        task.add_done_callback(self._ended)
        await asyncio.sleep(0)  # let it begin

    async def process(self, chunk: Chunk, fold: Fold) -> bool:
        """Fold the records of `chunk` that were not applied yet; say whether to ack it.

        A chunk from before a rebalance is left to whoever holds its partition now, who gets it
        again. `fold` runs alone on its partition, and sees the rows as all chunks before left
        them. Chunks of other topics that wait for the same turn share one transaction.
        """
        if chunk.generation > self._newest:
            raise RuntimeError(
                f"a chunk of generation {chunk.generation} came before its partitions were "
                "assigned: left out, it would be lost"
            )
        held = self.held.get(chunk.partition)
        if held is None:
            return False
        mine = Waiting(chunk, fold)
        held.waiting.append(mine)
        try:
            async with self._turn(chunk.partition, chunk.generation) as partition:
                if partition is not None and mine.committed is None:
                    await self._process_waiting(partition, mine)
        finally:
            if mine in held.waiting:
                held.waiting.remove(mine)
        return bool(mine.committed)

    async def _process_waiting(self, partition: Partition, first: Waiting) -> None:
        """Fold `first`, whose turn it is, and of what else waits as much as one chunk may have;
        commit all of it at once."""
        work, places, turn = Work(partition.store), dict[str, int](), list[Waiting]()
        others = [w for w in partition.waiting if w is not first and w.committed is None]
        for each in (first, *others):
            if each.chunk.generation != self._generation:
                continue
            if turn and not fits([*(t.chunk for t in turn), each.chunk]):
                break
            turn.append(each)
            topic = each.chunk.topic
            place = places.get(topic, partition.store.place(topic))
            records = [record for record in each.chunk.records if record.offset > place]
            if records:
                work.count(metrics.WORKER_RECORDS.labels(topic), len(records))
                each.fold(work, records)
                places[topic] = records[-1].offset
        committed = not places or await self._commit(partition, work, places)
        for each in turn:
            each.committed = committed

    async def process_due(
        self, until: int, limit: int, fold: Callable[[Work, Sequence[bytes]], None]
    ) -> int:
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
                work = Work(partition.store)
                fold(work, keys)
                await self._commit(partition, work, {})
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

    async def _commit(self, partition: Partition, work: Work, places: Mapping[str, int]) -> bool:
        try:
            with metrics.WORKER_CHUNK_SECONDS.labels(self.settings.name).time():
                await partition.commit(work, places)
        except (ProducerFenced, OutOfOrderSequenceNumber) as error:
            # Another worker holds the partition, and this one has not heard of the rebalance yet.
            # A batch that was under way may be told as out of order.
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
        for topic, told in _by_topic(work.told).items():
            work.count(metrics.WORKER_TOLD.labels(topic), len(told))
        work.committed()
        return True

    def _check_fenced(self, partition: Partition, generation: int) -> None:
        """End the process where a rebalance should have come and has not: only it can take the
        partition anew. A transaction that the broker gave up on fences too, with no successor."""
        held = self.held.get(partition.number) is partition
        if held and partition.lost and generation == self._generation:
            self._on_failure(
                RuntimeError(
                    f"partition {partition.number} of {self.settings.name} was fenced, and no "
                    f"rebalance followed within {FENCED_SECONDS_MAX:g} s"
                )
            )


def _by_topic(told: Iterable[Told]) -> dict[str, list[Told]]:
    topics: dict[str, list[Told]] = {}
    for record in told:
        topics.setdefault(record.topic, []).append(record)
    return topics


def _unhandled(error: BaseException) -> None:
    raise error
