"""An agency writes to Kafka itself: to submissions alone, where nothing lies longer than a day.

It is an agency as docs/kafka.md has it: a user of the broker with `publisher_rights`, the key of
its source, and the ten lines of that document.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAuthorizationFailedError
from msgspec.structs import replace

from app.access.acls import acl_of, create
from app.access.passwords import set_passwords
from app.access.rights import publisher_rights
from app.development.stack.broker import Broker
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.topics.admin import differences
from app.topics.authentic import authority_key, source_key
from app.topics.catalogue import CATALOGUE, DAY_MS, SUBMISSIONS, Catalogue
from app.topics.codec import encode
from app.topics.letters import letter_in, opened
from models.codes import Colour, HealthCode
from models.events import Event
from support import builders as b
from support.brokers import PASSWORD, Kafka
from support.macs import MAC_KEY
from support.views import someone
from support.workers import DEAD_LETTER_KEY, Worker, everything, running_workers, send, until

SOURCE = "/laboratories/440100-001"
KEY = source_key(authority_key(MAC_KEY, "laboratory"), SOURCE)
NUMBER = "11010519491231002X"
INPUT = "laboratory-results"


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with running_workers(kafka, tmp_path_factory.mktemp("workers")) as running:
        yield running


@pytest.fixture(scope="module")
def laboratory(kafka: Kafka) -> Brokers:
    """The brokers, as a laboratory goes to them."""
    user = f"{kafka.prefix}lab-1"
    rights = [kafka._own(right) for right in publisher_rights("laboratory")]

    async def let_in() -> None:
        await set_passwords(kafka.brokers, {user: PASSWORD})
        await create(kafka.brokers, [acl_of(f"User:{user}", right) for right in rights])

    asyncio.run(let_in())
    return replace(kafka.brokers, mechanism="SCRAM-SHA-512", user=user, password=PASSWORD)


def header(topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
    """What the lines in docs/kafka.md make."""
    names: dict[str, Any] = {}
    [lines] = re.findall(r"```python\n(.*?)```", Path("docs/kafka.md").read_text(), re.S)
    exec(lines, names)
    return names["mac_header"](KEY.hex(), 1, SOURCE, topic, key, value, headers)


async def write(kafka: Kafka, to: Brokers, topic: str, person: str, value: bytes) -> None:
    name, key = kafka.named(topic), person.encode()
    headers = [("content-type", b"application/cloudevents+json")]
    headers.append(header(name, key, value, headers))
    async with AIOKafkaProducer(**to.client, acks="all") as producer:
        await producer.send_and_wait(name, value, key, headers=headers)


def positive(person: str) -> Event:
    at = datetime.now(UTC) - timedelta(hours=12)
    event: Event = b.positive(at, person=person, source=SOURCE)
    return event


async def test_an_agency_cannot_write_to_an_input(kafka: Kafka, laboratory: Brokers) -> None:
    for topic in CATALOGUE.topics:
        if topic != SUBMISSIONS:
            with pytest.raises(TopicAuthorizationFailedError):
                await write(kafka, laboratory, topic, "p", b"{}")


async def test_what_is_taken_turns_a_code_red_and_what_is_refused_lies_there_alone(
    worker: Worker, kafka: Kafka, laboratory: Brokers
) -> None:
    person = someone()
    await send(kafka, [b.verified(datetime.now(UTC) - timedelta(days=1), person=person)])
    text = encode(positive(person)).replace(b"Laboratory 1", f"check card {NUMBER}".encode())
    await write(kafka, laboratory, SUBMISSIONS, person, text)
    await write(kafka, laboratory, SUBMISSIONS, person, encode(positive(person)))

    def red(records: list[Any]) -> bool:
        codes = [r for r in records if r.key == person.encode()]
        return any(
            msgspec.json.decode(r.value, type=HealthCode).colour is Colour.RED for r in codes
        )

    assert await until(kafka, "health-codes", red)
    [record] = await until(kafka, "dead-letters", list)
    letter = letter_in(record)
    assert (letter.reason, letter.source) == ("document-number", SOURCE)
    assert letter.came_from is not None
    assert letter.came_from.topic == kafka.named(SUBMISSIONS)
    assert opened(letter, bytes(DEAD_LETTER_KEY)).value == text
    found = {topic for topic in CATALOGUE.topics if await has(kafka, topic, NUMBER)}
    assert found == {SUBMISSIONS}, "looked for where it is, and nowhere else"
    assert len(await everything(kafka, INPUT)) == 2, "the positive, and what came back counted"


async def has(kafka: Kafka, topic: str, text: str) -> bool:
    """Say whether a text stands in any record of a topic."""
    return any(
        text.encode() in (part or b"")
        for record in await everything(kafka, topic)
        for part in (record.key, record.value, *(raw for _, raw in record.headers))
    )


async def test_the_broker_has_been_told_to_delete_it(kafka: Kafka) -> None:
    """What its settings mean says tests/unit/test_catalogue.py."""
    assert await differences(kafka.brokers, Catalogue.load(prefix=kafka.prefix)) == []


# Whether a broker does that

TIMES_FASTER = 20_000
"""A day takes 4.3 s here."""

LOOKS = {"log.retention.check.interval.ms": 100, "log.initial.task.delay.ms": 100}
SLACK_SECONDS = 3.0


class QuickBroker(Broker):
    """One that looks for what is to delete ten times a second, and not every five minutes."""

    def _configuration(self) -> str:
        return super()._configuration() + "".join(f"{k}={v}\n" for k, v in LOOKS.items())


@pytest.fixture
def quick_broker(tmp_path: Path) -> Iterator[QuickBroker]:
    with QuickBroker(tmp_path, free_port(), free_port()).running() as broker:
        yield broker


def faster(settings: dict[str, str]) -> dict[str, str]:
    """The settings of a topic on a broker of `TIMES_FASTER`."""
    quick = {n: str(int(v) // TIMES_FASTER) for n, v in settings.items() if n in KEEPS}
    return {**settings, **quick, "file.delete.delay.ms": "0"}


KEEPS = ("retention.ms", "segment.ms")


async def test_a_broker_deletes_a_submission_within_a_day_while_others_are_written(
    quick_broker: QuickBroker, tmp_path: Path
) -> None:
    """And without `bounded` it does not: the segment that is written to stays."""
    settings = faster(CATALOGUE.topics[SUBMISSIONS].settings)
    unbounded = {name: value for name, value in settings.items() if name != "segment.ms"}
    topics = {SUBMISSIONS: settings, "unbounded": unbounded}
    admin = AIOKafkaAdminClient(**quick_broker.brokers.client)
    await admin.start()
    await admin.create_topics([NewTopic(n, 1, 1, topic_configs=of) for n, of in topics.items()])
    await admin.close()
    gone: dict[str, float] = {}
    day = DAY_MS / TIMES_FASTER / 1_000
    async with (
        AIOKafkaProducer(**quick_broker.brokers.client, acks="all") as producer,
        AIOKafkaConsumer(**quick_broker.brokers.client) as consumer,
    ):
        for name in topics:
            await producer.send_and_wait(name, NUMBER.encode())
        assert on_disk(tmp_path) == topics.keys()
        began = time.monotonic()
        while (at := time.monotonic() - began) < day + SLACK_SECONDS and SUBMISSIONS not in gone:
            for name in topics:
                await producer.send_and_wait(name, b"another")
                place = TopicPartition(name, 0)
                if (await consumer.beginning_offsets([place]))[place] > 0:
                    gone.setdefault(name, at)
            await asyncio.sleep(0.02)
    assert gone.keys() == {SUBMISSIONS}
    assert gone[SUBMISSIONS] > 0.8 * day, "not sooner than said: a worker may be away"
    assert on_disk(tmp_path) == {"unbounded"}


def on_disk(directory: Path) -> set[str]:
    """The topics in whose files the number stands."""
    return {
        file.parent.name.rpartition("-")[0]
        for file in (directory / "kafka" / "log").glob("*/*.log")
        if NUMBER.encode() in file.read_bytes()
    }
