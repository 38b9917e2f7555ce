"""Until when a group has applied its input, as a real broker says: what counts as lag, and what
holds it up."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.admin import DeleteGroupsRequest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.process.consumer import Consumer
from app.process.kafka import Brokers
from app.process.tasks import end
from app.projection.freshness import PEOPLE, SUSPECT_SECONDS, HeldUp, Inputs, InputsApplied, Watch
from app.topics.ahead import Ahead, look_ahead
from app.topics.catalogue import CATALOGUE
from support.brokers import Kafka
from support.workers import GroupOf

ALL = range(CATALOGUE.partitions)


class Group:
    """A group on topics of the test's own, which commits what it is told to, and who asks of it."""

    def __init__(self, kafka: Kafka, admin: AIOKafkaAdminClient, consumer: Consumer) -> None:
        self._kafka = kafka
        self._admin = admin
        self._consumer = consumer
        self.tp = TopicPartition(kafka.named("laboratory-results"), 1)
        self.begin("people-g1")

    def begin(self, name: str) -> None:
        """Go on as a group that nobody has asked of."""
        self.name = self._kafka.named(name)
        self._inputs = Inputs(GroupOf(self.name, PEOPLE.table, prefix=self._kafka.prefix))

    async def ask(self) -> InputsApplied:
        """Ask once."""
        return await self._inputs.ask(self._admin, self._consumer)

    def watch(self) -> Watch:
        """Return what asks once a second."""
        people = GroupOf(self.name, PEOPLE.table, prefix=self._kafka.prefix)
        return Watch(self._kafka.brokers, people)

    async def stood(self) -> InputsApplied:
        """Ask once it has stood for so long that its log is looked into."""
        await self.ask()
        await asyncio.sleep(SUSPECT_SECONDS + 0.1)
        return await self.ask()

    async def commit(self, offset: int) -> None:
        """Commit as the worker does."""
        async with AIOKafkaConsumer(
            **self._kafka.brokers.client, group_id=self.name, enable_auto_commit=False
        ) as consumer:
            consumer.assign([self.tp])
            await consumer.commit({self.tp: offset})

    async def forget(self) -> None:
        """Delete the group's offsets, as the broker does with those that expired."""
        coordinator = await self._admin.find_coordinator(self.name)
        answer = await self._admin._send_request(DeleteGroupsRequest([self.name]), coordinator)
        assert [error for _, error in answer.results] == [0]

    async def ahead(self, *partitions: TopicPartition) -> dict[TopicPartition, Ahead]:
        """Look into partitions from their beginning."""
        return await look_ahead(self._consumer, dict.fromkeys(partitions, 0))

    def depose(self) -> None:
        """Let the asker's client believe that the partition has no leader, until it hears more."""
        numbers = self._consumer._client.cluster._partitions[self.tp.topic]
        numbers[self.tp.partition] = numbers[self.tp.partition]._replace(leader=-1)

    async def append(self, producer: AIOKafkaProducer) -> float:
        """Append one record; return when the broker did (s since 1970)."""
        appended = await producer.send_and_wait("laboratory-results", b"{}", partition=1)
        return float(appended.timestamp) / 1_000

    def producer(self) -> AIOKafkaProducer:
        """Return the producer of a source."""
        return self._kafka.producer()

    @asynccontextmanager
    async def transactions(self) -> AsyncIterator[AIOKafkaProducer]:
        """Yield the producer of a source that writes transactions."""
        id = self._kafka.named(secrets.token_hex(4))
        async with self._kafka.producer(transactional_id=id) as producer:
            yield producer


async def has_coordinators(admin: AIOKafkaAdminClient) -> bool:
    """Say whether the broker has made the topic of groups' offsets, which it does when asked."""
    try:
        return bool(await admin.find_coordinator("anybody"))
    except GroupCoordinatorNotAvailableError:
        return False


@pytest.fixture
async def group(broker: Brokers) -> AsyncIterator[Group]:
    kafka = Kafka(broker, f"freshness-{secrets.token_hex(4)}-")
    await kafka.create_topics()
    admin = AIOKafkaAdminClient(**broker.client)
    consumer = Consumer(**broker.client)
    await admin.start()
    await consumer.start()
    async with asyncio.timeout(30):
        while not await has_coordinators(admin):
            await asyncio.sleep(0.2)
        group = Group(kafka, admin, consumer)
        while (await group.ask()).until.keys() != set(ALL):  # topics that are made have no leaders
            await asyncio.sleep(0.05)
    group.begin("people-g1")
    yield group
    await consumer.stop()
    await admin.close()


async def test_an_empty_input_is_applied(group: Group) -> None:
    answer = await group.ask()
    assert answer.until == dict.fromkeys(ALL, answer.asked_at)


async def test_an_open_transaction_of_a_source_makes_codes_old_and_is_named(group: Group) -> None:
    before = await group.ask()
    async with group.transactions() as producer:
        await producer.begin_transaction()
        since = await group.append(producer)
        await group.append(producer)
        answer = await group.stood()
        assert answer.until[1] == before.asked_at <= since
        assert answer.until[0] == answer.asked_at, "the others do not wait for it"
        assert answer.held_up == {group.tp: HeldUp(0, since)}
        await asyncio.sleep(0.5)
        again = await group.ask()
        assert (again.until[1], again.held_up) == (before.asked_at, answer.held_up)
        await producer.commit_transaction()
        await group.commit(2)
        answer = await group.stood()
        assert (answer.until, answer.held_up) == (dict.fromkeys(ALL, answer.asked_at), {})


async def test_it_is_said_once_and_measured_until_it_goes_on(group: Group) -> None:
    name, labels = "yuekang_projection_held_up_seconds", {"topic": group.tp.topic, "partition": "1"}
    watch = group.watch()
    async with group.transactions() as producer:
        await producer.begin_transaction()
        await group.append(producer)
        with capture_logs() as logs:
            running = asyncio.create_task(watch.run())
            async with asyncio.timeout(20):
                while (REGISTRY.get_sample_value(name, labels) or 0.0) < 3:
                    await asyncio.sleep(0.1)
                await producer.abort_transaction()
                while REGISTRY.get_sample_value(name, labels) is not None:
                    await asyncio.sleep(0.1)
            await end(running)
    held_up, goes_on = [line for line in logs if line["event"] != "freshness_unknown"]
    assert (held_up["event"], goes_on["event"]) == ("input_held_up", "input_goes_on")
    assert (held_up["topic"], held_up["partition"], held_up["offset"]) == (*group.tp, 0)


async def test_what_was_appended_before_an_open_transaction_is_no_matter_of_its(
    group: Group,
) -> None:
    async with group.producer() as plain, group.transactions() as producer:
        first = await group.append(plain)
        await producer.begin_transaction()
        await group.append(producer)
        answer = await group.stood()
        assert (answer.until[1], answer.held_up) == (first, {})
        await producer.abort_transaction()


@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
async def test_a_transaction_marker_at_the_end_is_no_lag(group: Group, end: str) -> None:
    async with group.transactions() as producer:
        await producer.begin_transaction()
        await group.append(producer)
        await getattr(producer, end)()
    if end == "commit_transaction":
        await group.commit(1)
    answer = await group.stood()
    assert answer.until == dict.fromkeys(ALL, answer.asked_at)


@pytest.mark.parametrize("of", ["new group", "new generation", "expired offsets"])
async def test_a_group_that_has_committed_nothing_has_not_judged_its_backlog(
    group: Group, of: str
) -> None:
    async with group.producer() as producer:
        since = await group.append(producer)
        if of != "new group":
            await group.commit(1)
            answer = await group.ask()
            assert answer.until[1] == answer.asked_at
        if of == "new generation":
            group.begin("people-g2")
        if of == "expired offsets":
            await group.forget()
            assert (await group.ask()).until[1] == answer.asked_at, "that it was is still true"
            group.begin("people-g1")
        for _ in range(2):
            answer = await group.ask()
            assert answer.until[1] == since < answer.asked_at
            await asyncio.sleep(0.1)
        await group.commit(1)
        answer = await group.ask()
        assert answer.until[1] == answer.asked_at


async def test_a_partition_without_a_leader_grows_old_by_itself(group: Group) -> None:
    before = await group.ask()
    group.depose()
    async with asyncio.timeout(5):
        answer = await group.ask()
        assert answer.until == dict.fromkeys(ALL, answer.asked_at) | {1: before.asked_at}
        while (answer := await group.ask()).until[1] == before.asked_at:
            await asyncio.sleep(0.05)
    assert answer.until == dict.fromkeys(ALL, answer.asked_at), "it has one again"


async def test_where_a_partition_ends_that_was_never_known_nothing_is_fresh(group: Group) -> None:
    await group.ask()
    group.begin("people-g2")
    group.depose()
    answer = await group.ask()
    assert answer.until == dict.fromkeys(set(ALL) - {1}, answer.asked_at)


async def test_what_loses_its_leader_before_it_is_looked_into_is_left_out(group: Group) -> None:
    async with group.producer() as producer:
        since = await group.append(producer)
    other = TopicPartition(group.tp.topic, 0)
    assert await group.ahead(group.tp, other) == {group.tp: Ahead(0, 1, since), other: Ahead(0, 0)}
    group.depose()
    assert await group.ahead(group.tp, other) == {other: Ahead(0, 0)}


async def test_a_topic_made_anew_that_is_shorter_than_the_offset_is_not_applied(
    group: Group,
) -> None:
    async with group.producer() as producer:
        since = await group.append(producer)
    await group.commit(7)
    assert (await group.ask()).until[1] == since


async def test_who_comes_on_comes_on_by_the_ends_that_were_seen(group: Group) -> None:
    async with group.producer() as producer:
        await group.ask()
        await group.append(producer)
        first = await group.ask()
        await group.append(producer)
        await asyncio.sleep(0.05)
        second = await group.ask()
        await group.commit(1)
        answer = await group.ask()
        assert first.asked_at == answer.until[1] < second.asked_at < time.time()
