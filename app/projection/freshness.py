"""Up to when a worker has judged its input, as Kafka knows it: what its group has committed,
against where the log ends.

An offset is committed after everything before it is on the changelog and on health-codes. So
whoever asks here, and then reads one of them to its end, knows up to when what is read there is
whole, also when no worker runs at all.
"""

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct

from app.topics.catalogue import APPLICATION, CATALOGUE, LISTS_APPLICATION, group_of
from app.topics.reading import first_between

INTERVAL_SECONDS = 1.0


class Group(Struct, frozen=True):
    """The consumer group of a worker, and the table that its input folds into."""

    name: str
    table: str

    @property
    def inputs(self) -> list[TopicPartition]:
        """Every partition that the worker reads for its table."""
        return [
            TopicPartition(topic.name, number)
            for topic in CATALOGUE.topics.values()
            if topic.folds_into == self.table
            for number in range(topic.partitions)
        ]


PEOPLE = Group(group_of(APPLICATION), "people")
LISTS = Group(group_of(LISTS_APPLICATION), "lists")
GROUPS = (PEOPLE, LISTS)

log = structlog.get_logger()


class Judged(Struct, frozen=True):
    """What was learned at `asked_at`: for each partition, the instant up to which every event
    appended is judged (s since 1970). Empty before the group's first commit."""

    asked_at: float
    until: dict[int, float]


class Watch:
    """Asks once a second for as long as it runs; `newest` is the last answer, None at first."""

    def __init__(self, bootstrap: str, group: Group) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self.newest: Judged | None = None

    async def run(self) -> None:
        """Ask until cancelled. While Kafka is away the last answer stays, and grows old."""
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
            )
            try:
                await admin.start()
                await consumer.start()
                while True:
                    self.newest = await ask(admin, consumer, self._group)
                    await asyncio.sleep(INTERVAL_SECONDS)
            except (KafkaError, OSError) as error:
                log.warning("judged_unknown", error=type(error).__name__)
                await asyncio.sleep(INTERVAL_SECONDS)
            finally:
                await consumer.stop()
                await admin.close()


async def ask(
    admin: AIOKafkaAdminClient, consumer: "AIOKafkaConsumer[bytes, bytes]", group: Group = PEOPLE
) -> Judged:
    """Ask once; raise a `KafkaError` where Kafka does not answer."""
    committed = {
        tp: metadata.offset
        for tp, metadata in (await admin.list_consumer_group_offsets(group.name)).items()
        if metadata.offset >= 0
    }
    asked_at = time.time()
    if not committed:
        return Judged(asked_at, {})
    inputs = group.inputs
    ends = await consumer.end_offsets(inputs)
    until: dict[int, float] = {}
    for tp in inputs:
        offset, instant = committed.get(tp, 0), asked_at
        if offset < ends[tp]:
            unread = await first_between(consumer, tp, offset, ends[tp])
            instant = asked_at if unread is None else unread.timestamp / 1_000
        until[tp.partition] = min(instant, until.get(tp.partition, instant))
    return Judged(asked_at, until)
