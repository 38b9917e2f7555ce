"""Writes events to Kafka, and answers when all replicas in sync have them.

If Kafka is away, nothing stops except the writing: the gateway starts without it, answers 503, and
goes on when it is back.

aiokafka's idempotent producer never gives up on a record. A record that Kafka refuses for good
leaves a gap in the sequence, after which that partition takes nothing more. So a late write is
answered as late (it may still arrive, which does no harm: the event is the same), and any error
makes a new producer.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from aiokafka.structs import RecordMetadata

from app.process import metrics
from app.process.kafka import Brokers
from app.process.producers import close
from app.process.tasks import end
from app.topics.catalogue import partition_of
from app.topics.records import KafkaPlace, Record
from app.web.problems import Refused, retry_later

WRITE_SECONDS_MAX = 5.0
"""How long a write waits for the broker's word; after that the answer is 503."""

EVENTS_IN_FLIGHT_MAX = 5_000
"""Events that wait for the broker's word over all requests; more are answered 503 at once."""

METADATA_SECONDS_MAX = 2.0
RECONNECT_SECONDS = 1.0
RETRY_AFTER_SECONDS = 2
REQUEST_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 256 * 1024
"""A partition's share of a full batch of events fits in one; Kafka's own bound is 1 MiB."""

TRANSIENT = (KafkaTimeoutError, UnknownTopicOrPartitionError)
"""Errors before a record has its number in the sequence: they leave no gap."""

log = structlog.get_logger()


class Writer:
    """The producer, connected in the background and replaced after an error.

    Call `start` in the event loop that writes, and `stop` at the end. `stop` waits for what is on
    its way, for a bounded time.
    """

    def __init__(
        self,
        brokers: Brokers,
        write_seconds_max: float = WRITE_SECONDS_MAX,
        events_in_flight_max: int = EVENTS_IN_FLIGHT_MAX,
    ) -> None:
        self._brokers = brokers
        self._write_seconds_max = write_seconds_max
        self._events_in_flight_max = events_in_flight_max
        self._producer: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._events_in_flight = 0

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._task = asyncio.create_task(self._keep_connected())

    async def stop(self) -> None:
        """Wait for what is on its way, then close."""
        if self._task is not None:
            await end(self._task)

    def check(self) -> None:
        """Raise what ended the connecting, if anything did: that is a bug, and ends the process."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def write(self, records: Sequence[Record]) -> list[KafkaPlace]:
        """Write all, in order, and return where each went.

        Raise `Refused` (503) if that is not confirmed in time; some may still have been written.
        """
        self.check()
        if not records:
            return []
        if self._events_in_flight + len(records) > self._events_in_flight_max:
            raise retry_later(
                "busy",
                f"{self._events_in_flight} events wait for Kafka already. {_AGAIN}",
                RETRY_AFTER_SECONDS,
            )
        self._count(len(records))
        try:
            async with asyncio.timeout(self._write_seconds_max):
                return await self._write(records)
        except TimeoutError:
            raise _away(f"It did not answer within {self._write_seconds_max:g} s.") from None
        finally:
            self._count(-len(records))

    def _count(self, more: int) -> None:
        self._events_in_flight += more
        metrics.WRITER_EVENTS_IN_FLIGHT.set(self._events_in_flight)

    async def _write(self, records: Sequence[Record]) -> list[KafkaPlace]:
        producer = self._producer
        if producer is None:
            raise _away("It cannot be reached.")
        try:
            sent = [await self._send(producer, record) for record in records]
            # Shielded: giving up here must not cancel what others wait for.
            metadata = await asyncio.gather(*(asyncio.shield(future) for future in sent))
        except KafkaError as error:
            raise _away(f"It answered with {type(error).__name__}.") from None
        return [KafkaPlace(m.topic, m.partition, m.offset) for m in metadata]

    async def write_in_batches(self, records: Sequence[Record]) -> None:
        """Write many records of one topic, those of a key in order; nothing else joins them.

        For many it takes a third of the CPU time of `write`: no future for each record. Raise
        `Refused` (503) if Kafka does not confirm all in time; some may still have been written.
        Then the producer is replaced, so that what is written again never piles up in it.
        """
        self.check()
        producer = self._producer
        if producer is None:
            raise _away("It cannot be reached.")
        try:
            async with asyncio.timeout(self._write_seconds_max):
                await asyncio.gather(*await self._send_in_batches(producer, records))
        except TimeoutError as error:
            self._fail(producer, error)
            raise _away(f"It did not answer within {self._write_seconds_max:g} s.") from None
        except KafkaError as error:
            self._fail(producer, error)
            raise _away(f"It answered with {type(error).__name__}.") from None

    async def _send_in_batches(
        self, producer: AIOKafkaProducer, records: Sequence[Record]
    ) -> "list[asyncio.Future[RecordMetadata]]":
        """Hand records to the producer; return the futures of the broker's word on each batch."""
        topic = records[0].topic
        partitions = len(await producer.partitions_for(topic))
        batches: list[tuple[int, Any]] = []
        filling: dict[int, Any] = {}
        for record in records:
            assert record.key is not None, "its key says where it lies"
            partition = partition_of(record.key, partitions)
            batch = filling.get(partition)
            if batch is None or not _joins(batch, record):
                batch = filling[partition] = producer.create_batch()
                batches.append((partition, batch))
                _joins(batch, record)  # the first always does
        return [
            await producer.send_batch(batch, topic, partition=partition)
            for partition, batch in batches
        ]

    async def _send(
        self, producer: AIOKafkaProducer, record: Record
    ) -> "asyncio.Future[RecordMetadata]":
        """Hand a record to the producer; return the future of the broker's word."""
        try:
            sent: asyncio.Future[RecordMetadata] = await producer.send(
                record.topic, value=record.value, key=record.key, headers=list(record.headers)
            )
        except TRANSIENT:
            raise
        except KafkaError as error:
            self._fail(producer, error)
            raise
        sent.add_done_callback(lambda done: self._heed(producer, done))
        return sent

    def _heed(self, producer: AIOKafkaProducer, done: "asyncio.Future[RecordMetadata]") -> None:
        """Notice a record that failed, even if nobody waits for it any more."""
        if not done.cancelled() and (error := done.exception()) is not None:
            self._fail(producer, error)

    def _fail(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        if producer is self._producer and not self._broken.is_set():
            log.error("kafka_write_failed", error=type(error).__name__)
            self._broken.set()

    async def topics(self) -> set[str]:
        """Ask Kafka for its topics; raise `Refused` (503) if it does not answer in time."""
        producer = self._producer
        if producer is None:
            raise _away("It could not be reached yet.")
        try:
            async with asyncio.timeout(METADATA_SECONDS_MAX):
                metadata: Any = await producer.client.fetch_all_metadata()
        except (TimeoutError, KafkaError) as error:
            raise _away(f"Asked for its topics, it failed ({type(error).__name__}).") from None
        return set(metadata.topics())

    async def _keep_connected(self) -> None:
        while True:
            self._broken.clear()
            producer = AIOKafkaProducer(
                **self._brokers.client,
                acks="all",
                enable_idempotence=True,
                compression_type="zstd",
                linger_ms=2,
                max_batch_size=BATCH_BYTES_MAX,
                max_request_size=REQUEST_BYTES_MAX,
                request_timeout_ms=int(self._write_seconds_max * 1000),
            )
            try:
                started = time.monotonic()
                await producer.start()
                self._producer = producer
                metrics.WRITER_KAFKA_CONNECTED.set(1)
                log.info("kafka_connected", seconds=round(time.monotonic() - started, 3))
                await self._broken.wait()
            except (KafkaError, OSError) as error:
                log.warning("kafka_away", seldom=True, why=await self._brokers.told(error))
                await asyncio.sleep(RECONNECT_SECONDS)
            finally:
                metrics.WRITER_KAFKA_CONNECTED.set(0)
                self._producer = None
                await close(producer)


def _joins(batch: Any, record: Record) -> bool:
    """Add a record to a batch of aiokafka's; say whether there was room for it."""
    headers = list(record.headers)
    return (
        batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
        is not None
    )


_AGAIN = "Send the same again; an event that was written already stays one event."


def _away(why: str) -> Refused:
    return retry_later(
        "kafka-away",
        f"{why} Whether the events are written is not known. {_AGAIN}",
        RETRY_AFTER_SECONDS,
    )
