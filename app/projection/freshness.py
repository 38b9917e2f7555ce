"""Until when a worker has applied its input. Kafka knows: what its group has committed, against
where the log ends.

An offset is committed after everything before it is on the changelog and on health-codes. Ask here
first, then read either topic to its end: what you read is complete up to the instant returned, even
if no worker is running.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct
from msgspec.structs import replace

from app.process.consumer import Consumer
from app.process.tasks import end
from app.projection.state import Position
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
SCANS = Group(group_of(APPLICATION), "scans")
GROUPS = (PEOPLE, LISTS)

log = structlog.get_logger()


class InputsApplied(Struct, frozen=True):
    """What was learned at `asked_at`: for each partition, the instant up to which every appended
    event is applied (s since 1970). Empty before the group's first commit."""

    asked_at: float
    until: dict[int, float]


def _of_all(answers: Sequence[InputsApplied | None]) -> InputsApplied | None:
    """Return what is known of several groups together; None if one has not answered yet."""
    known = [answer for answer in answers if answer is not None]
    if len(known) < len(answers):
        return None
    numbers = {number for answer in known for number in answer.until}
    return InputsApplied(
        max(answer.asked_at for answer in known),
        {n: min(answer.until[n] for answer in known if n in answer.until) for n in numbers},
    )


class Watch:
    """Asks once a second while it runs; `newest` is the last answer, None at first."""

    def __init__(self, bootstrap: str, group: Group) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self.newest: InputsApplied | None = None

    async def run(self) -> None:
        """Ask until cancelled. While Kafka is away the last answer stays, and grows old."""
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            consumer = Consumer(
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
                log.warning("freshness_unknown", error=type(error).__name__)
                await asyncio.sleep(INTERVAL_SECONDS)
            finally:
                await consumer.stop()
                await admin.close()


async def ask(
    admin: AIOKafkaAdminClient, consumer: Consumer, group: Group = PEOPLE
) -> InputsApplied:
    """Ask once; raise a `KafkaError` if Kafka does not answer."""
    committed = {
        tp: metadata.offset
        for tp, metadata in (await admin.list_consumer_group_offsets(group.name)).items()
        if metadata.offset >= 0
    }
    asked_at = time.time()
    inputs = group.inputs
    ends = await consumer.end_offsets(inputs)
    until: dict[int, float] = {}
    for tp in inputs:
        offset, instant = committed.get(tp, 0), asked_at
        if offset < ends[tp]:
            unread = await first_between(consumer, tp, offset, ends[tp])
            instant = asked_at if unread is None else unread.timestamp / 1_000
        until[tp.partition] = min(instant, until.get(tp.partition, instant))
    return InputsApplied(asked_at, until)


class Freshness:
    """Marks positions with the instant up to which the input behind them is applied.

    `groups` names, for each topic that is followed, the groups that write it.
    """

    def __init__(self, bootstrap: str, groups: Mapping[str, tuple[Group, ...]]) -> None:
        self._groups = groups
        self._watches = {
            group: Watch(bootstrap, group) for writers in groups.values() for group in writers
        }
        self._waited_for: dict[str, InputsApplied] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask Kafka as long as the context is open."""
        self._tasks = [asyncio.create_task(watch.run()) for watch in self._watches.values()]
        try:
            yield
        finally:
            await end(*self._tasks)

    def mark(self, positions: dict[TopicPartition, Position]) -> None:
        """Put into `positions` what is known of the worker by now.

        An answer counts once everything is here that was told before it was asked for. The newest
        answer is taken if it counts already, else the one that is waited for. Raise what ended a
        watch, if anything did: that is a bug, and codes would grow old in silence.
        """
        for task in self._tasks:
            if task.done():
                task.result()
        for topic, groups in self._groups.items():
            newest = _of_all([self._watches[group].newest for group in groups])
            for answer in (newest, self._waited_for.get(topic)):
                if answer is not None and _counts(answer, positions, topic):
                    positions.update(_marked(positions, answer, topic))
                    self._waited_for.pop(topic, None)
                    break
            if topic not in self._waited_for and newest is not None:
                self._waited_for[topic] = newest


def _counts(
    answer: InputsApplied, positions: Mapping[TopicPartition, Position], topic: str
) -> bool:
    return all(
        (position.as_of or 0.0) >= answer.asked_at
        for tp, position in positions.items()
        if tp.topic == topic
    )


def _marked(
    positions: Mapping[TopicPartition, Position], answer: InputsApplied, topic: str
) -> dict[TopicPartition, Position]:
    return {
        tp: replace(
            position, applied_until=max(answer.until[tp.partition], position.applied_until or 0.0)
        )
        for tp, position in positions.items()
        if tp.topic == topic and tp.partition in answer.until
    }
