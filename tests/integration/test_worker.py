"""The worker as a process on a real Kafka: what it judges, what it refuses, what it survives."""

import asyncio
import gzip
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as BatchBuilder
from redis.asyncio import Redis

from agents.poison import FORWARDED_FROM
from app.development.sample.broken import BREAKAGES, TOPIC
from app.engine.partition import Partition, TableSettings
from app.engine.topics import Topics
from app.process.consumer import LogRecord
from app.process.kafka import Brokers
from app.process.scheduling import CPUS_GIVEN
from app.projection.freshness import PEOPLE
from app.projection.state import read_state
from app.topics.authentic import OURS
from app.topics.catalogue import changelog_of, input_topics, partition_of
from app.topics.codec import encode
from app.topics.letters import letter_in, opened
from app.topics.records import structured
from models.codes import Colour, HealthCode, StatusChanged
from models.events import Event
from oracle import replay
from support import builders as b
from support.brokers import Kafka
from support.macs import KEYS
from support.records import PARTITIONS, BadName
from support.views import running_projection
from support.workers import (
    DEAD_LETTER_KEY,
    Worker,
    drained,
    everything,
    running_worker,
    send,
    until,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with running_worker(kafka, tmp_path_factory.mktemp("worker")) as running:
        yield running


def someone() -> str:
    return "p1-" + "".join(secrets.choice(LETTERS) for _ in range(32))


def headers(record: LogRecord) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


async def code_of(kafka: Kafka, person: str, version: int = 1) -> HealthCode:
    """Wait for a person's code in at least this version."""

    def found(records: list[LogRecord]) -> HealthCode | None:
        values = [r.value for r in records if r.key == person.encode()]
        code = msgspec.json.decode(values[-1] or b"", type=HealthCode) if values else None
        return code if code and code.version >= version else None

    return await until(kafka, "health-codes", found)


async def changes_of(kafka: Kafka, person: str) -> list[StatusChanged]:
    return [
        msgspec.json.decode(r.value or b"", type=StatusChanged)
        for r in await everything(kafka, "status-changes")
        if r.key == person.encode()
    ]


async def append(
    kafka: Kafka, topic: str, key: bytes | None, value: bytes | None, **kw: Any
) -> Any:
    """Append one record as it is; return where it lies."""
    settings = {
        name: kw.pop(name) for name in ("compression_type", "max_request_size") if name in kw
    }
    async with kafka.producer(**settings) as out:
        return await out.send_and_wait(topic, value, key, **kw)


async def letters_of(kafka: Kafka, place: Any, count: int = 1) -> list[LogRecord]:
    """Wait for the dead letters of the record that lies at `place`."""

    def found(records: list[LogRecord]) -> list[LogRecord] | None:
        wanted = {
            "yk_topic": place.topic,
            "yk_partition": str(place.partition),
            "yk_offset": str(place.offset),
        }
        letters = [r for r in records if wanted.items() <= headers(r).items()]
        return letters if len(letters) >= count else None

    return await until(kafka, "dead-letters", found)


@pytest.mark.parametrize("codec", CODECS)
async def test_a_batch_in_each_codec_is_read(
    worker: Worker, kafka: Kafka, codec: str | None
) -> None:
    people = [someone() for _ in range(50)]
    await send(kafka, [b.verified(person=p) for p in people], compression_type=codec)
    for person in people[:1] + people[-1:]:
        assert (await code_of(kafka, person)).colour is Colour.GREEN


async def test_a_record_in_any_partition_counts_once_and_its_source_is_told(
    worker: Worker, kafka: Kafka
) -> None:
    person = someone()
    right = partition_of(person.encode(), PARTITIONS)
    event = b.verified(person=person)
    for number in range(PARTITIONS):
        place = await append(kafka, "identities", person.encode(), encode(event), partition=number)
        if number != right:
            [letter] = await letters_of(kafka, place)
            said = headers(letter)
            assert (said["yk_reason"], said["yk_refused"]) == ("wrong-partition", "false")
    assert (await code_of(kafka, person)).colour is Colour.GREEN
    await drained(kafka)
    records = [r for r in await everything(kafka, "identities") if r.key == person.encode()]
    assert sum(FORWARDED_FROM in headers(r) for r in records) == PARTITIONS - 1
    assert {r.partition for r in records if FORWARDED_FROM in headers(r)} == {right}
    assert len(await changes_of(kafka, person)) == 1


@pytest.mark.parametrize("size", [70_000, 2_000_000, 3_500_000])
async def test_a_large_value_is_a_dead_letter(worker: Worker, kafka: Kafka, size: int) -> None:
    person = someone()
    value = encode(b.negative(b.day(2), person=person)).replace(b"Laboratory 1", b"x" * size)
    # Compressed, so that the broker's own bound on a batch does not meet it first.
    place = await append(
        kafka, TOPIC, person.encode(), value, compression_type="gzip", max_request_size=8_000_000
    )
    [letter] = await letters_of(kafka, place)
    refused = opened(letter_in(letter), bytes(DEAD_LETTER_KEY))
    raw = refused.value or b""
    assert refused.reason == "too-large"
    assert value.startswith(raw)
    assert len(raw) == min(len(value), 3 * 1024 * 1024)
    assert refused.bytes_kept + refused.bytes_left_out == len(value)
    await send(kafka, [b.verified(person=person)])
    assert (await code_of(kafka, person)).colour is Colour.GREEN


async def test_a_header_name_that_is_not_utf_8_stops_nothing(
    worker: Worker, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka cannot read it: without app.engine.records the worker ends here, again and again."""
    for module in (message_accumulator, producer):
        monkeypatch.setattr(module, "DefaultRecordBatchBuilder", BatchBuilder)
    person = someone()
    event = structured(b.verified(person=person))
    name = BadName("name", b"\xff\xfe\xfd\xfc")
    await append(kafka, event.topic, event.key, event.value, headers=[(name, b"v")])
    assert (await code_of(kafka, person)).colour is Colour.GREEN


async def test_what_fell_due_while_no_worker_ran_is_told_once_with_its_instant(
    kafka: Kafka, tmp_path: Path, worker: Worker
) -> None:
    """Stops the shared worker for a while."""
    person = someone()
    end = datetime.now(UTC) + timedelta(seconds=3)
    order = b.ordered("home", b.day(1), end, person=person)
    await send(kafka, [b.verified(person=person), order])
    assert (await code_of(kafka, person, 3)).colour is Colour.RED
    worker.stop()
    assert worker.exited() == 0, worker.tail()
    await asyncio.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1)
    worker.start()
    await asyncio.to_thread(worker.wait_ready)
    code = await code_of(kafka, person, 4)
    assert code.colour is Colour.GREEN
    changes = await changes_of(kafka, person)
    assert [c.data.at for c in changes][-1] == end
    assert len(changes) == 3


async def test_a_view_without_a_worker_says_how_old_it_is(
    kafka: Kafka, tmp_path: Path, worker: Worker, redis_url: str
) -> None:
    """Health-codes is at its end all the time; what is not judged yet is in the input."""
    redis = Redis.from_url(redis_url.removesuffix("/0") + "/5")
    person = someone()

    async def age(number: int) -> float:
        state = await read_state(redis)
        if state is None:
            return 1e9
        until = state.positions[kafka.named("health-codes")][number].known_until
        return 1e9 if until is None else time.time() - until

    with running_projection(kafka, redis_url.removesuffix("/0") + "/5", tmp_path):
        place = await append(
            kafka, "identities", person.encode(), encode(b.verified(person=person))
        )
        await code_of(kafka, person)
        async with asyncio.timeout(30):
            while max([await age(number) for number in range(4)]) > 4:
                await asyncio.sleep(0.2)
        worker.stop()
        unread = b.positive(b.day(2), person=person)
        await append(kafka, TOPIC, person.encode(), encode(unread))
        await asyncio.sleep(6)
        assert await age(place.partition) > 5
        worker.start()
        await asyncio.to_thread(worker.wait_ready)
        async with asyncio.timeout(30):
            while await age(place.partition) > 4:
                await asyncio.sleep(0.2)
    assert (await code_of(kafka, person, 3)).colour is Colour.RED
    await redis.aclose()


async def test_an_open_transaction_of_a_source_is_named_and_what_it_holds_up_is_told_after_it(
    kafka: Kafka, worker: Worker
) -> None:
    person = someone()
    verified = structured(b.verified(person=person))
    number = partition_of(person.encode(), PARTITIONS)
    name = f"{kafka.named('identities')}[{number}]: a transaction of its source is open at offset "

    async with kafka.producer(transactional_id=kafka.named("hangs")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait("identities", b"{}", partition=number)
        await append(
            kafka, verified.topic, verified.key, verified.value, headers=list(verified.headers)
        )
        async with asyncio.timeout(20):
            while name not in (said := await worker.readiness()):
                await asyncio.sleep(0.2)
        assert "holds up 2 records" in said
        await producer.abort_transaction()
    assert (await code_of(kafka, person)).colour is Colour.GREEN
    async with asyncio.timeout(20):
        while await worker.readiness() != "ready\n":
            await asyncio.sleep(0.2)


async def test_from_a_corrections_arrival_to_its_green_is_measured(
    kafka: Kafka, tmp_path: Path, worker: Worker, redis_url: str
) -> None:
    database = redis_url.removesuffix("/0") + "/6"
    people = [someone() for _ in range(5)]
    positives = {person: b.positive(b.day(2), person=person) for person in people}
    with running_projection(kafka, database, tmp_path) as projection:
        await asyncio.to_thread(projection.wait_ready)
        await send(kafka, [b.verified(person=person) for person in people])
        for person in people:
            await code_of(kafka, person)
        await send(kafka, list(positives.values()))
        for person in people:
            await code_of(kafka, person, 3)
        begun = time.monotonic()
        await send(
            kafka,
            [b.retracted(result, b.day(3), person=person) for person, result in positives.items()],
        )
        name = "yuekang_projection_correction_seconds"
        async with asyncio.timeout(20):
            while f"{name}_count 5.0" not in (scraped := projection.get("/metrics")[1]):
                await asyncio.sleep(0.05)
        waited = time.monotonic() - begun
        for person in people:
            cause = (await changes_of(kafka, person))[-1].data.cause
            assert cause.corrects == positives[person].id
    total = next(
        float(line.rpartition(" ")[2])
        for line in scraped.splitlines()
        if line.startswith(f"{name}_sum ")
    )
    assert 0 < total <= 5 * waited


def day_of_many(people: int) -> list[Event]:
    """A life for each of many: verified, red one way or another, some of it taken back."""
    events: list[Any] = []
    for number in range(people):
        person = someone()
        events.append(b.verified(person=person))
        positive = b.positive(b.day(2), person=person, source="/laboratories/440100-001")
        match number % 4:
            case 0:
                events += [positive, b.retracted(positive, b.day(3), person=person)]
            case 1:
                events += [
                    positive,
                    positive,
                    *[b.negative(b.day(n), person=person) for n in (4, 6)],
                ]
            case 2:
                events += [b.provincial("red", b.day(2), person=person)]
                events += [b.provincial("green", b.day(3), person=person)]
            case 3:
                events += [b.contact(b.day(2), person=person), b.suspected(b.day(4), person=person)]
    return events


async def test_killed_again_and_again_it_ends_as_a_pure_replay_does(
    worker: Worker, kafka: Kafka, tmp_path: Path
) -> None:
    events = day_of_many(1_500)
    sending = asyncio.create_task(send_in_parts(kafka, events))
    for _ in range(4):
        await asyncio.sleep(0.8)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        while worker.exited() is None:
            await asyncio.sleep(0.02)
        worker.start()
    await sending
    await asyncio.to_thread(worker.wait_ready)
    await drained(kafka)
    inputs = [
        record
        for topic in input_topics()
        if topic.folds_into == "people"
        for record in await everything(kafka, topic.name)
    ]
    expected, refused = replay.replay(inputs)
    found = replay.table(await everything(kafka, "yuekang-people-changelog"))
    assert len(found) >= 1_500
    letters = await everything(kafka, "dead-letters")
    assert replay.differences(expected, found) == []
    assert sum(headers(r)["yk_refused"] == "true" for r in letters) == refused >= len(BREAKAGES)
    assert replay.broken_chains(await everything(kafka, "status-changes"), found) == []
    codes = {
        key.decode(): msgspec.json.decode(value, type=HealthCode)
        for key, value in replay.newest(await everything(kafka, "health-codes")).items()
    }
    assert codes == {person: row.code for person, row in found.items() if row.code.version}


def test_every_thread_of_a_worker_keeps_to_the_cpu_that_it_is_given(
    broker: Brokers, worker_id: str, tmp_path: Path
) -> None:
    kafka, cpu = Kafka(broker, f"one-cpu-{worker_id}-"), max(CPUS_GIVEN)
    asyncio.run(kafka.create_topics())
    with Worker(kafka, tmp_path, more={"YUEKANG_WORKER_CPU": str(cpu)}).running() as worker:
        threads = [int(task.name) for task in Path(f"/proc/{worker.pid}/task").iterdir()]
        where = {thread: os.sched_getaffinity(thread) for thread in threads}
        policies = {os.sched_getscheduler(thread) for thread in threads}
    assert len(where) > 1
    assert all(found == {cpu} for found in where.values()), where
    assert policies == {os.SCHED_BATCH}


def test_a_topic_that_was_made_again_is_read_from_its_beginning(
    broker: Brokers, worker_id: str, tmp_path: Path
) -> None:
    """What was applied of the old one lies behind the new one's end: nothing may be left out."""
    kafka = Kafka(broker, f"made-anew-{worker_id}-")
    person, topic = someone(), "laboratory-results"
    negatives = [b.negative(b.day(2), person=person) for _ in range(20)]

    asyncio.run(kafka.create_topics())
    with running_worker(kafka, tmp_path):
        asyncio.run(send(kafka, [b.verified(person=person), *negatives]))
        assert asyncio.run(code_of(kafka, person)).colour is Colour.GREEN
        asyncio.run(drained(kafka))
    asyncio.run(made_again(kafka, topic))
    asyncio.run(send(kafka, [b.positive(b.day(3), person=person)]))
    with running_worker(kafka, tmp_path) as worker:
        assert asyncio.run(code_of(kafka, person, 3)).colour is Colour.RED
        assert "input_made_again" in worker.log.read_text()


def test_the_log_and_not_the_group_says_where_reading_goes_on(
    broker: Brokers, worker_id: str, tmp_path: Path
) -> None:
    """Of a topic that was made again the group's offset lies at the end: nothing would ever come.
    A worker that takes it and dies before it has read anything leaves the same behind."""
    kafka = Kafka(broker, f"group-ahead-{worker_id}-")
    person, topic = someone(), "laboratory-results"
    place = TopicPartition(kafka.named(topic), partition_of(person.encode(), PARTITIONS))

    async def commit_the_end() -> None:
        async with AIOKafkaConsumer(
            **kafka.brokers.client,
            group_id=kafka.named(PEOPLE.name),
            enable_auto_commit=False,
        ) as consumer:
            consumer.assign([place])
            await consumer.commit(await consumer.end_offsets([place]))

    async def take_and_die() -> None:
        topics = Topics(kafka.brokers)
        changelog = kafka.named(changelog_of("people"))
        settings = TableSettings(
            "people",
            kafka.named(PEOPLE.name),
            kafka.brokers,
            tmp_path / "other",
            changelog,
            (place.topic,),
            KEYS.of(OURS),
            KEYS.is_ours,
        )
        held = Partition(settings, place.partition, topics)
        await held.take()
        assert held.store.applied_offset(place.topic) == -1
        await held.suspend()
        held.drop()
        await topics.close()

    asyncio.run(kafka.create_topics())
    with running_worker(kafka, tmp_path):
        asyncio.run(send(kafka, [b.verified(person=person), b.negative(b.day(2), person=person)]))
        assert asyncio.run(code_of(kafka, person)).colour is Colour.GREEN
        asyncio.run(drained(kafka))
    asyncio.run(made_again(kafka, topic))
    asyncio.run(send(kafka, [b.positive(b.day(3), person=person)] * 3))
    asyncio.run(commit_the_end())

    asyncio.run(take_and_die())
    with running_worker(kafka, tmp_path):
        assert asyncio.run(code_of(kafka, person, 3)).colour is Colour.RED


def test_what_was_deleted_before_it_was_read_is_said(
    broker: Brokers, worker_id: str, tmp_path: Path
) -> None:
    """As by retention while no worker runs. What is left is folded."""
    kafka = Kafka(broker, f"deleted-{worker_id}-")
    person, topic = someone(), "laboratory-results"
    number = partition_of(person.encode(), PARTITIONS)
    place = TopicPartition(kafka.named(topic), number)

    async def delete(before: int) -> None:
        admin = AIOKafkaAdminClient(**kafka.brokers.client)
        await admin.start()
        await admin.delete_records({place: RecordsToDelete(before)})
        await admin.close()

    asyncio.run(kafka.create_topics())
    with running_worker(kafka, tmp_path):
        negatives = [b.negative(b.day(2), person=person) for _ in range(3)]
        asyncio.run(send(kafka, [b.verified(person=person), *negatives]))
        asyncio.run(drained(kafka))
    asyncio.run(send(kafka, [b.negative(b.day(2), person=person) for _ in range(5)]))
    asyncio.run(delete(7))
    asyncio.run(send(kafka, [b.positive(b.day(3), person=person)]))
    with running_worker(kafka, tmp_path) as worker:
        assert asyncio.run(code_of(kafka, person, 3)).colour is Colour.RED
        [told] = [
            json.loads(line)
            for line in worker.log.read_text().splitlines()
            if "records_gone_unread" in line
        ]
    assert (told["topic"], told["partition"]) == (kafka.named(topic), number)
    assert (told["first"], told["last"]) == (3, 6)


async def made_again(kafka: Kafka, topic: str) -> None:
    """Delete a topic, and make it again."""
    await kafka.delete_topic(topic)
    await kafka.create_topics()


async def send_in_parts(kafka: Kafka, events: list[Event]) -> None:
    """Send events, and between them one of each kind that is broken."""
    person = someone()
    valid = b.negative(b.day(2), person=person, source="/laboratories/440100-001")
    await send(kafka, [b.verified(person=person), valid])
    for begin in range(0, len(events), 200):
        await send(kafka, events[begin : begin + 200])
        await asyncio.sleep(0.1)
        for breakage in BREAKAGES[begin // 200 :: len(events) // 200 + 1]:
            record = breakage.record(valid)
            await append(
                kafka, record.topic, record.key, record.value, headers=list(record.headers)
            )


async def test_no_person_is_in_the_log(worker: Worker) -> None:
    assert b"p1-" not in worker.log.read_bytes()


def test_gzip_of_a_large_value_is_small() -> None:
    """Or the test of large values would meet the broker's bound instead of ours."""
    assert len(gzip.compress(b"x" * 3_500_000)) < 1_000_000
