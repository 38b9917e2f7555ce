"""One partition of a table: written to the log first and to RocksDB second, and fenced.

It is held by one worker at a time. Taking it (`Partition.take`):

1. fence: a transactional producer named after the partition is initialised. The broker finishes
   or aborts the predecessor's open transaction and refuses all its later writes;
2. catch up: changelog records after the store's own offset are read (read_committed) and written
   to the store. The log is complete, since nobody else can write to it any more. A store of another
   changelog, known by its id, is emptied. If an input is another topic of the same name, or ends
   before its applied offset, that offset is forgotten, so that no record is skipped. What was
   applied before is recognised by the event's id;
3. live: chunks and due rows are processed (`app.engine.table`), from the applied offsets on.

Committing (`Partition.commit`), in this order:

1. one transaction: changed rows, the applied offsets of the input, and the outputs; 2. the same
rows, applied offsets and changelog offset in one RocksDB write batch; 3. each second the group's
offset follows the applied one (`ChunkConsumer.force_commit`).

Dying between any two steps loses nothing and emits nothing twice. Before the end of 1 the broker
aborts; after it the log holds all, and catching up repairs the store. A chunk that comes again lies
at or before the applied offset and is skipped. A step that fails for another reason ends the
process, and a new one starts from 1.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from app.engine.lineage import Lineage
from app.engine.producer import UNKNOWN, Producer
from app.engine.store import APPLIED, DUE, TOPIC_ID, Store
from app.engine.topics import Topics
from app.engine.transaction import Transaction, by_place
from app.process import metrics
from app.process.consumer import Consumer, LogRecord
from app.process.kafka import Brokers
from app.process.macs import FOLLOWS, MAC, MacKey
from app.process.producers import FENCED, close, unawaited
from app.process.tasks import in_thread

log = structlog.get_logger()

BATCH_BYTES_MAX = 900_000
"""Largest record batch sent, below the topics' max.message.bytes of 1 MiB."""

REQUEST_BYTES_MAX = 8 * 1024 * 1024
"""Largest request, before it is compressed: several batches go in one."""

PROGRESS_SECONDS = 2.0
"""How often a long catch-up says how far it is."""

FENCE_SECONDS_MAX = 5.0
"""How long whoever gives up taking a partition waits for the answer to its fence."""

ENDS_SECONDS_MAX = 5.0
"""How long a start waits to learn where the inputs end."""

CATCH_UP_WAIT_MS = 20
"""How long a fetch waits for more: hardly, since what is read while catching up has its end. On
their one connection, all other requests to the broker wait behind a fetch."""

CATCH_UP_RECORDS = 400
"""Records applied to the store at a time while catching up, in some 5 ms. Then the event loop goes
on: the partitions that stay with this worker must not stand still while it takes another."""


class Fenced(Exception):
    """Another worker has taken the partition."""


class EndUnknown(Exception):
    """Whether the transaction is in the log is not known: take the partition again."""


class BatchRefused(Exception):
    """The broker refused a batch for good, so its transaction is not in the log."""

    def __init__(self, batch: "SentBatch", error: KafkaError) -> None:
        super().__init__(
            f"the broker refuses {batch.records} records ({batch.size:,} bytes) for "
            f"{batch.topic}[{batch.partition}]: {type(error).__name__}"
        )


class TableSettings(NamedTuple):
    """Where a table lives, and the input topics that fold into it. All that is written gets a MAC
    by `mac_key`; `is_ours` says whether a record's is by such a key."""

    name: str
    application: str
    brokers: Brokers
    directory: Path
    changelog: str
    topics: tuple[str, ...]
    mac_key: MacKey
    is_ours: Callable[[LogRecord], bool]


class Partition:
    """One partition of a table, while this worker holds it."""

    def __init__(self, settings: TableSettings, number: int, topics: Topics) -> None:
        self.number = number
        self.followed: dict[str, int] = {}
        """The topics whose next record came since the last take, so that the others come in order
        (`app.engine.gaps`), with the `end` of the chunk that was applied last, or 0. Another one
        after each take."""
        self.ids: dict[str, str] = {}
        """The ids of the topics that were applied, and of the changelog."""
        self._identified: set[str] = set()
        self._topics = topics
        self.live = asyncio.Event()
        self.lost = False
        self.lock = asyncio.Lock()
        self._settings = settings
        self._tp = TopicPartition(settings.changelog, number)
        self._producer: Producer | None = None
        self._store: Store | None = None

    @property
    def ready(self) -> bool:
        """Say whether it is caught up and, as far as is known, held by nobody else."""
        return self.live.is_set() and not self.lost

    @property
    def store(self) -> Store:
        """The store, open since `take`."""
        assert self._store is not None, "partition is not taken"
        return self._store

    async def take(self) -> None:
        """Fence the predecessor, catch up with the log, go live.

        Taken again while it is held, it has another producer, and the store is level with the log,
        whatever became of the transaction before.
        """
        await self._close_producer()
        await self._fence()
        if forgotten := await self._catch_up():
            await self.commit(Transaction(self.store), dict.fromkeys(forgotten, -1))
        self.followed = {}
        self.lost = False
        self.live.set()

    async def suspend(self) -> None:
        """Let go of the partition for a rebalance: finish what is in hand, then close the producer.

        The store stays open for the next take.
        """
        self.live.clear()
        async with self.lock:
            self.live.clear()  # a turn that took it again has set it
            await self._close_producer()

    async def _close_producer(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await close(producer)

    @property
    def in_doubt(self) -> bool:
        """Say whether a request of its producer may still be on its way: take it again then."""
        return self._producer is not None and self._producer.in_doubt

    def drop(self) -> None:
        """Give the partition up for good; call it only after `suspend`. Whoever waits for it goes
        on."""
        self.lost = True
        self.live.set()
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _fence(self) -> None:
        producer = Producer(
            **self._settings.brokers.client,
            transactional_id=f"{self._settings.application}-{self._settings.name}-{self.number}",
            acks="all",
            compression_type="zstd",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
        )
        starting = asyncio.ensure_future(producer.start())
        try:
            await asyncio.shield(starting)
        except BaseException:  # also when a rebalance cancels it
            # Unanswered, the request could come after that of whoever has the partition next.
            await asyncio.wait([starting], timeout=FENCE_SECONDS_MAX)
            starting.cancel()
            await close(producer)
            raise
        self._producer = producer

    async def _catch_up(self) -> list[str]:
        """Bring the store to the log's end; return what `_forgotten` does."""
        if self._store is None:
            self._store = Store(self._settings.directory / self._settings.name / str(self.number))
        store, topics = self._store, self._topics
        log_id = await topics.id_of(self._tp.topic)
        if store.log_id not in (None, log_id):
            log.warning("changelog_made_again", **self.where)
            store.wipe()
        store.keep_log_id(log_id)
        consumer = Consumer(
            **self._settings.brokers.client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
            fetch_max_wait_ms=CATCH_UP_WAIT_MS,
        )
        try:
            await consumer.start()
            consumer.assign([self._tp])
            end = (await consumer.end_offsets([self._tp]))[self._tp]
            if store.offset >= end:
                log.warning("store_ahead_of_log", **self.where, stored=store.offset, end=end)
                store.wipe()
                store.keep_log_id(log_id)
            consumer.seek(self._tp, store.offset + 1)
            started = said_at = time.monotonic()
            applied, lineage = 0, Lineage(store.followed, self._settings.is_ours)
            while (position := await consumer.position(self._tp)) < end:
                if time.monotonic() > said_at + PROGRESS_SECONDS:
                    said_at = time.monotonic()
                    log.info("catching_up", **self.where, rows=applied, left=end - position)
                # Markers of transactions move the position and are no records: hence no long wait.
                fetched = await consumer.getmany(timeout_ms=50, max_records=CATCH_UP_RECORDS)
                for records in fetched.values():
                    ours = [record for record in records if lineage.takes(record)]
                    rows = [(record.key, record.value) for record in ours]
                    # RocksDB works beside the event loop, where other partitions catch up.
                    await in_thread(store.write, rows, records[-1].offset, lineage.followed)
                    applied += len(ours)
            if lineage.strange and not applied:
                raise RuntimeError(
                    f"{self._tp.topic}[{self.number}] has {lineage.strange} records, and none was "
                    "made with a key that this worker has: set YUEKANG_MAC_KEY to that of the "
                    "workers before, and YUEKANG_MAC_KEY_VERSION."
                )
            seconds = round(time.monotonic() - started, 1)
            log.info("caught_up", **self.where, rows=applied, seconds=seconds)
            self.ids, self._identified = {self._tp.topic: log_id}, set()
            return await self._forgotten(topics, consumer)
        finally:
            await consumer.stop()

    async def _forgotten(self, topics: Topics, consumer: Consumer) -> list[str]:
        """Return the inputs from which the applied offset is not.

        A topic with another id was made again, however far it reaches. One that ends before its
        applied offset has lost its end. Neither is a reason to skip a record: all is read again,
        and what was applied before is recognised by the event's id.
        """
        forgotten, offsets = list[str](), self.store.applied_offsets()
        # Also of what was never applied: asked after a fetch, it could be the next topic's.
        self.ids |= await topics.known({*self._settings.topics, *offsets})
        for topic, applied in offsets.items():
            if applied < 0 or (topic_id := self.ids.get(topic)) is None:
                continue
            known = self.store.topic_id(topic)
            place = {**self.where, "topic": topic, "applied": applied}
            if known == topic_id:
                self._identified.add(topic)
            if known not in (None, topic_id):
                log.error("input_made_again", **place)
            elif (end := await self._end_of(consumer, topic)) is not None and applied >= end:
                log.error("input_shorter_than_applied", **place, end=end)
            else:
                continue
            metrics.WORKER_INPUTS_SHORTER.labels(topic).inc()
            forgotten.append(topic)
        return forgotten

    async def _end_of(self, consumer: Consumer, topic: str) -> int | None:
        """Return where an input ends; None if that is not known in time. One without a leader holds
        back no other: it is the same topic, so nobody reads it before it has one."""
        tp = TopicPartition(topic, self.number)
        try:
            async with asyncio.timeout(ENDS_SECONDS_MAX):
                return int((await consumer.end_offsets([tp]))[tp])
        except (KafkaError, TimeoutError) as error:
            name = type(error).__name__
            log.warning("input_end_unknown", seldom=True, **self.where, topic=topic, error=name)
            return None

    @property
    def where(self) -> dict[str, Any]:
        """Its table and its number, as a line of the log names them."""
        return {"table": self._settings.name, "partition": self.number}

    async def commit(self, transaction: Transaction, offsets: Mapping[str, int]) -> None:
        """Write `transaction` and the applied `offsets` of the input: log first, then store.

        Raises `Fenced` when another worker has taken the partition, and `BatchRefused` when the
        broker refuses a batch for good; nothing of `transaction` is then in the log. Raises
        `EndUnknown` when nobody can tell: after `take`, the store has what the log has.
        """
        assert self._producer is not None, "partition is not taken"
        rows = [(key, DUE.pack(due) + row) for key, (due, row) in transaction.rows.items()]
        rows += ((APPLIED + topic.encode(), b"%d" % offset) for topic, offset in offsets.items())
        if not rows:
            return
        rows += await self._new_ids(offsets)
        before = self.store.offset
        follows = ((FOLLOWS, b"%d" % before),)
        with _told_apart():
            await self._producer.begin_transaction()
            changelog = await self._send(
                self._tp.topic, self.number, [(key, value, follows) for key, value in rows]
            )
            outputs = [
                batch
                for place, told in by_place(transaction.outputs, self.number).items()
                for batch in await self._send(*place, [(o.key, o.value, o.headers) for o in told])
            ]
            # aiokafka commits what the broker took although it refused another batch.
            *_, last = await asyncio.gather(*(_acked(batch) for batch in (*outputs, *changelog)))
            await self._producer.commit_transaction()
        self.store.write(rows, last.offset + changelog[-1].records - 1, before)

    async def _new_ids(self, offsets: Mapping[str, int]) -> list[tuple[bytes, bytes]]:
        """Return the rows for the ids of the topics whose applied offset has none, or another."""
        if offsets.keys() <= self._identified:
            return []
        if unknown := offsets.keys() - self.ids.keys():
            self.ids |= await self._topics.known(unknown)
        new = self.ids.keys() & offsets.keys() - self._identified
        self._identified |= new
        return [
            (TOPIC_ID + topic.encode(), DUE.pack(0) + self.ids[topic].encode()) for topic in new
        ]

    async def _send(
        self,
        topic: str,
        number: int,
        records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]],
    ) -> list["SentBatch"]:
        """Send records in as few batches as fit."""
        producer, mac = self._producer, self._settings.mac_key.header
        assert producer is not None
        sent = []
        batch = producer.create_batch()
        for key, value, own in records:
            headers = list(own)
            if MAC not in dict(own):  # what is forwarded has that of its source
                headers.append(mac(topic, key, value, own))
            while batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                assert batch.record_count(), "a batch takes at least one record of any size"
                sent.append(await self._submit(batch, topic, number))
                await asyncio.sleep(0)  # filling one takes some ms
                batch = producer.create_batch()
        sent.append(await self._submit(batch, topic, number))
        return sent

    async def _submit(self, batch: Any, topic: str, number: int) -> "SentBatch":
        assert self._producer is not None
        future = await self._producer.send_batch(batch, topic, partition=number)
        unawaited(future)
        return SentBatch(topic, number, batch.record_count(), batch.size(), future)


class SentBatch(NamedTuple):
    """A batch on its way: where to, records and bytes before compression, the broker's word."""

    topic: str
    partition: int
    records: int
    size: int
    metadata: "asyncio.Future[RecordMetadata]"


async def _acked(batch: SentBatch) -> RecordMetadata:
    try:
        return await batch.metadata
    except (*FENCED, *UNKNOWN):
        raise
    except KafkaError as error:
        raise BatchRefused(batch, error) from error


@contextmanager
def _told_apart() -> Iterator[None]:
    """Raise `Fenced` or `EndUnknown` for the errors of aiokafka that mean it."""
    try:
        yield
    except FENCED as error:
        raise Fenced(type(error).__name__) from error
    except UNKNOWN as error:
        raise EndUnknown(type(error).__name__) from error
