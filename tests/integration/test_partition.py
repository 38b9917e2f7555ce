"""A partition of a table on a real broker: what the broker refuses, and what it has lost."""

import asyncio
import gc
import secrets
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.protocol.transaction import EndTxnRequest

from app.engine.partition import BatchRefused, Fenced, Partition, TableSettings
from app.engine.producer import Producer
from app.engine.store import DUE
from app.engine.topics import Topics
from app.engine.transaction import Output, Transaction
from app.process.kafka import Brokers
from app.process.macs import FOLLOWS
from app.topics.authentic import OURS
from support.brokers import Kafka
from support.macs import KEYS
from support.workers import until

LOG, OUT, IN = "log", "out", "in"
HELD_SECONDS_MAX = 0.1


@pytest.fixture
def kafka(broker: Brokers) -> Kafka:
    """Topics and a fence of the test's own: one that is deleted and made again at once may still be
    written to by the end of an earlier transaction."""
    return Kafka(broker, f"partition-{secrets.token_hex(4)}-")


@pytest.fixture
async def partition(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Partition]:
    """A partition that is taken; of what it tells, the broker takes no more than 1,000 bytes."""
    admin = AIOKafkaAdminClient(**kafka.brokers.client)
    await admin.start()
    small = {"max.message.bytes": "1000"}
    log, out, input_ = map(kafka.named, (LOG, OUT, IN))
    topics = [NewTopic(log, 1, 1), NewTopic(out, 1, 1, topic_configs=small), NewTopic(input_, 1, 1)]
    await admin.create_topics(topics)
    await admin.close()
    settings = TableSettings(
        "people",
        kafka.named("test"),
        kafka.brokers,
        tmp_path,
        log,
        (input_,),
        KEYS.of(OURS),
        KEYS.is_ours,
    )
    topics_there = Topics(kafka.brokers)
    held = Partition(settings, 0, topics_there)
    await held.take()
    yield held
    await held.suspend()
    held.drop()
    await topics_there.close()


async def commit(kafka: Kafka, partition: Partition, told: bytes, place: int) -> None:
    transaction = Transaction(partition.store)
    transaction.put(b"row", told)
    transaction.emit(Output(kafka.named(OUT), b"k", told))
    await partition.commit(transaction, {kafka.named(IN): place})


async def taken_again(partition: Partition) -> None:
    await partition.suspend()
    await partition.take()


async def test_a_refused_batch_of_what_is_told_leaves_nothing_behind(
    partition: Partition, kafka: Kafka
) -> None:
    """aiokafka's commit alone would store the row, and nobody would ever be told."""
    with pytest.raises(BatchRefused, match=r"5,1[0-9]{2} bytes.*MessageSizeTooLarge"):
        await commit(kafka, partition, secrets.token_bytes(5_000), 0)
    await taken_again(partition)
    assert partition.store.get(b"row") is None
    assert partition.store.applied_offsets() == {}

    await commit(kafka, partition, b"short", 0)
    # The broker writes a transaction's markers after it has answered.
    assert [r.value for r in await until(kafka, OUT, list)] == [b"short"]
    told = await until(kafka, LOG, lambda found: found if len(found) >= 3 else None)
    assert len(told) == 3, "the row, the place and the topic's id, of the second alone"


async def test_the_place_reached_is_forgotten_where_the_input_ends_before_it(
    partition: Partition, kafka: Kafka
) -> None:
    async with kafka.producer() as producer:
        for _ in range(2):
            await producer.send_and_wait(IN, b"v")
    await commit(kafka, partition, b"v", 1)
    await taken_again(partition)
    assert partition.store.applied_offsets() == {kafka.named(IN): 1}, (
        "all that there is was applied"
    )

    await commit(kafka, partition, b"v", 2)
    await taken_again(partition)
    assert partition.store.applied_offsets() == {kafka.named(IN): -1}
    partition.store.wipe()
    await taken_again(partition)
    assert partition.store.applied_offsets() == {kafka.named(IN): -1}, "the log knows it too"


async def test_who_is_shut_out_hears_it_once_and_nothing_is_left_unheard(
    partition: Partition, kafka: Kafka, tmp_path: Path
) -> None:
    """A batch and its transaction end each with an error; Python logs one that nobody asks for."""
    unheard, loop = list[str](), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(str(context)))
    topics = Topics(kafka.brokers)
    settings = partition._settings._replace(directory=tmp_path / "other")
    other = Partition(settings, 0, topics)
    try:
        await other.take()
        with pytest.raises(Fenced):
            await commit(kafka, partition, b"v", 0)
        await partition.suspend()
        gc.collect()
        await asyncio.sleep(0.1)
    finally:
        loop.set_exception_handler(None)
        await other.suspend()
        other.drop()
        await topics.close()
    assert unheard == []


@pytest.mark.parametrize("when", ["before", "after", "fenced"])
async def test_a_commit_that_is_answered_with_an_error_that_says_nothing_is_asked_for_again(
    when: str, partition: Partition, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the broker answers one that it takes up while it fences the producer."""
    topics, send, answers = Topics(kafka.brokers), AIOKafkaClient.send, list[int]()
    other = Partition(partition._settings._replace(directory=tmp_path / "other"), 0, topics)

    async def fail_once(client: AIOKafkaClient, node: int, request: object, **options: Any) -> Any:
        if not isinstance(request, EndTxnRequest):
            return await send(client, node, request, **options)
        if not answers and when == "fenced":
            await other.take()
        if answers or when == "after":
            answer = await send(client, node, request, **options)
        if not answers:
            answer = Mock(error_code=-1)
        answers.append(answer.error_code)
        return answer

    await partition.suspend()
    monkeypatch.setattr(AIOKafkaClient, "send", fail_once)
    await partition.take()
    try:
        if when == "fenced":
            with pytest.raises(Fenced):
                await commit(kafka, partition, b"v", 0)
            return
        await commit(kafka, partition, b"v", 0)
        assert (answers[0], answers[-1]) == (-1, 0)
        assert partition.in_doubt
        await until(kafka, OUT, lambda found: [r.value for r in found] == [b"v"])
    finally:
        await other.suspend()
        other.drop()
        await topics.close()


async def test_after_a_request_without_an_answer_the_producer_is_another(
    partition: Partition, kafka: Kafka
) -> None:
    """The connection breaks under a commit, which aiokafka then sends again and ends."""
    await commit(kafka, partition, b"first", 0)
    assert not partition.in_doubt
    producer = partition._producer
    assert producer is not None
    ends, send = 0, producer.client.send

    async def break_once(node_id: int, request: object, **options: object) -> object:
        nonlocal ends
        if isinstance(request, EndTxnRequest):
            ends += 1
            if ends == 1:
                asyncio.get_running_loop().call_soon(_close_connections, producer)
        return await send(node_id, request, **options)

    producer.client.send = break_once
    await commit(kafka, partition, b"second", 1)
    assert ends >= 2
    assert partition.in_doubt
    await partition.take()
    assert not partition.in_doubt
    assert partition._producer is not producer
    await commit(kafka, partition, b"third", 2)
    assert [
        r.value for r in await until(kafka, OUT, lambda found: found if len(found) > 2 else None)
    ] == [b"first", b"second", b"third"]


async def test_other_partitions_go_on_while_one_catches_up(
    partition: Partition, kafka: Kafka
) -> None:
    """What holds the event loop holds up all that the worker has."""
    rows = 60_000
    for first in range(0, rows, 3_000):
        transaction = Transaction(partition.store)
        for number in range(first, first + 3_000):
            transaction.put(b"%06d" % number, secrets.token_bytes(100))
        await partition.commit(transaction, {kafka.named(IN): first})
    await partition.suspend()
    partition.store.wipe()
    turns = list[float]()

    async def others() -> None:
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    await partition.take()
    going_on.cancel()
    assert partition.store.get(b"%06d" % (rows - 1)) is not None
    longest = max(later - earlier for earlier, later in pairwise(turns))
    assert longest < HELD_SECONDS_MAX, f"the loop was held for {longest * 1000:.0f} ms"


def _close_connections(producer: Producer) -> None:
    for connection in producer.client._conns.values():
        connection.close(reason=CloseReason.CONNECTION_BROKEN)


# Which topic it is


async def made_again(kafka: Kafka, name: str) -> None:
    await kafka.delete_topic(name)
    admin = AIOKafkaAdminClient(**kafka.brokers.client)
    await admin.start()
    await admin.create_topics([NewTopic(kafka.named(name), 1, 1)])
    await admin.close()


async def test_a_topic_has_another_id_once_it_was_made_again(
    partition: Partition, kafka: Kafka
) -> None:
    topics, name = Topics(kafka.brokers), kafka.named(IN)
    before = await topics.known([name, "nowhere"])
    assert before.keys() == {name}
    assert await topics.known([name]) == before
    await made_again(kafka, IN)
    while not (after := await topics.known([name])):  # the broker shows it a moment later
        await asyncio.sleep(0.05)
    assert after != before
    await topics.close()


async def test_an_input_made_again_is_known_however_far_it_reaches(
    partition: Partition, kafka: Kafka
) -> None:
    async with kafka.producer() as producer:
        await producer.send_and_wait(IN, b"old")
    await commit(kafka, partition, b"v", 0)
    await made_again(kafka, IN)
    async with kafka.producer() as producer:
        for _ in range(3):
            await producer.send_and_wait(IN, b"new")
    await taken_again(partition)
    name = kafka.named(IN)
    assert partition.store.applied_offsets() == {name: -1}
    await commit(kafka, partition, b"v", 2)
    await taken_again(partition)
    assert partition.store.applied_offsets() == {name: 2}, "it is the same topic now"


async def test_a_store_is_never_of_two_changelogs(partition: Partition, kafka: Kafka) -> None:
    await commit(kafka, partition, b"old", 0)
    await partition.suspend()
    await made_again(kafka, LOG)
    async with kafka.producer() as producer:
        for number in range(20):
            row = DUE.pack(0) + b"new", b"of another %d" % number
            await producer.send_and_wait(LOG, *row, headers=[(FOLLOWS, b"-1")])
    await partition.take()
    assert partition.store.get(b"row") is None
    assert partition.store.get(b"of another 0") is not None
