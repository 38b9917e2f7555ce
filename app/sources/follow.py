"""How a process keeps its register up with the topic.

    begin:  read all of the topic into a new register ── at its end ──> it takes the old one's place
      │                                                                        │
      │                                                              follow: record by record
      └──────────────────── any trouble: a second later ───────────────────────┘

The topic is compacted, so to read it all takes moments. While Kafka is away, what was known last
holds: a source that was let in stays in. Nothing is read twice into the same register, so what the
topic has lost meanwhile is not kept.
"""

import asyncio
import time
from collections.abc import Mapping

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.process import metrics
from app.process.consumer import Consumer
from app.process.kafka import Brokers
from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.sources.register import Register
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER

FETCH_WAIT_MS = 500
"""The longest that the broker may take to answer. A change is seen at once; that nothing changed is
known after this time."""

RECORDS_MAX = 500
AGAIN_SECONDS = 1.0
YIELD_EVERY = 100
"""Records in a row without a look at anything else: 2.5 ms."""

PARTITIONS = tuple(
    TopicPartition(SOURCE_REGISTER, number)
    for number in range(CATALOGUE.topics[SOURCE_REGISTER].partitions)
)

log = structlog.get_logger()


class RegisterFollower:
    """Keeps `register` up with the topic, between `start` and `stop`, in one event loop."""

    def __init__(self, brokers: Brokers, keys: SourceKeys) -> None:
        self.register = Register()
        self._brokers = brokers
        self._keys = keys
        self._tried = asyncio.Event()
        self._trouble = "It has just been started."
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read; return at once."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            await end(self._task, again_after=CANCEL_AGAIN_SECONDS)

    def check(self) -> None:
        """Raise what ended the reading, if anything did: that is a bug, and ends the process."""
        if self._task is not None and self._task.done():
            self._task.result()

    def unready(self) -> list[str]:
        """Say why nobody is known yet; nothing once the topic was read to its end."""
        if self.register.complete:
            return []
        return [f"The register of sources is not read yet. {self._trouble}"]

    async def tried(self, seconds_max: float) -> None:
        """Return when the register is read, when that has failed once, or when time is over."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._tried.wait()
        except TimeoutError:
            log.warning("register_not_read_in_time", seconds=seconds_max)

    async def _run(self) -> None:
        while True:
            try:
                await self._read_and_follow()
            except (KafkaError, OSError, TimeoutError) as error:
                self._trouble = await self._brokers.told(error)
                log.warning("register_away", seldom=True, why=self._trouble)
            self._tried.set()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read_and_follow(self) -> None:
        consumer = Consumer(
            **self._brokers.client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            await consumer.start()
            consumer.assign(PARTITIONS)
            begins = await consumer.beginning_offsets(PARTITIONS)
            ends = await consumer.end_offsets(PARTITIONS)
            for tp, offset in begins.items():
                consumer.seek(tp, offset)
            self._trouble = "It is being read."
            found = Register()
            await self._read_to(consumer, found, ends)
            self.register.become(found)
            self._tried.set()
            log.info("register_followed", sources=len(self.register))
            while True:
                await self._take_next(consumer, self.register)
                metrics.REGISTER_SOURCES.set(len(self.register))
                metrics.REGISTER_SEEN_SECONDS.set(time.time() - _seen_at(consumer))
        finally:
            await consumer.stop()

    async def _read_to(
        self, consumer: Consumer, register: Register, ends: Mapping[TopicPartition, int]
    ) -> None:
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            await self._take_next(consumer, register)

    async def _take_next(self, consumer: Consumer, register: Register) -> None:
        fetched = await consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=RECORDS_MAX)
        count = 0
        for records in fetched.values():
            for record in records:
                register.apply(record, self._keys)
                count += 1
                if count % YIELD_EVERY == 0:
                    await asyncio.sleep(0)


def _seen_at(consumer: Consumer) -> float:
    """Return when the broker last said where each partition ends (s since 1970)."""
    return min((consumer.last_poll_timestamp(tp) or 0) / 1_000 for tp in PARTITIONS)
