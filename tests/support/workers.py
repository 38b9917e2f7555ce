"""A worker as its own process, and what it leaves on Kafka."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from nacl.public import PrivateKey

from app.development.stack.processes import HttpProcess
from app.engine import records
from app.engine.membership import MEMBER
from app.process.consumer import LogRecord
from app.process.ports import free_port
from app.projection.freshness import PEOPLE, QUOTAS, Group, Inputs
from app.topics.admin import partition_counts
from app.topics.catalogue import CATALOGUE
from app.topics.reading import reading
from app.topics.records import structured
from models.events import Event
from support.brokers import Kafka
from support.gateways import PLAIN, command

T = TypeVar("T")

DEAD_LETTER_KEY = PrivateKey(bytes(range(32)))
SECONDS_MAX = 30.0

records.install()  # some tests write what aiokafka alone cannot read


class Worker(HttpProcess):
    """`yuekang worker`, or the lists' one, with its data in `directory`."""

    def give_up_its_place(self) -> None:
        """Let it leave its group when it ends: without its file it does not come back."""
        give_up_places(self.directory / "data")

    def forget(self) -> None:
        """Take away its stores: at its next start it reads the changelog from the beginning."""
        shutil.rmtree(self.directory / "data" / "tables")

    async def readiness(self) -> str:
        """Return what it says of itself."""
        async with httpx.AsyncClient(verify=PLAIN) as client:
            return (await client.get(f"{self.url}/readyz")).text

    def __init__(
        self,
        kafka: Kafka,
        directory: Path,
        name: str = "worker",
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.kafka = kafka
        port = free_port()
        environment = {
            **kafka.environment_of(name),
            "YUEKANG_DATA_DIR": str(directory / "data"),
            f"YUEKANG_{name.split('-')[0].upper()}_STATUS_PORT": str(port),
            "YUEKANG_DEAD_LETTER_PUBLIC_KEY": bytes(DEAD_LETTER_KEY.public_key).hex(),
            **(more or {}),
        }
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(name, command(name), directory, environment, self.url)


def give_up_places(data: Path) -> None:
    """Let the worker with this folder of data be another member of its group from its end on."""
    for file in (data / "faust").glob(f"*/{MEMBER}"):
        file.unlink()


@contextmanager
def running_worker(kafka: Kafka, directory: Path, name: str = "worker") -> Iterator[Worker]:
    """Run a worker that is ready; at the end it must stop by itself, and leave its group."""
    worker = Worker(kafka, directory, name)
    worker.start()
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.give_up_its_place()
        worker.stop()
    assert worker.exited() == 0, worker.tail()


@contextmanager
def running_workers(kafka: Kafka, directory: Path) -> Iterator[Worker]:
    """Run a worker, and beside it the one that takes what agencies write to Kafka themselves."""
    with (
        running_worker(kafka, directory / "people") as worker,
        running_worker(kafka, directory / "submissions", "submissions-worker"),
    ):
        yield worker


async def send(kafka: Kafka, events: Sequence[Event], **settings: Any) -> None:
    """Append events to their topics, in order."""
    async with kafka.producer(**settings) as producer:
        sent = [
            await producer.send(r.topic, r.value, r.key, headers=list(r.headers))
            for r in map(structured, events)
        ]
        await asyncio.gather(*sent)


async def everything(kafka: Kafka, topic: str) -> list[LogRecord]:
    """Read a topic whole, as a reader sees it who trusts committed transactions alone.

    The records have the topic's name as in topics.yaml.
    """
    name = kafka.named(topic)
    partitions = (await partition_counts(kafka.brokers, [name]))[name]
    async with reading(kafka.brokers, name, partitions) as reader:
        return [replace(record, topic=topic) async for record in reader.records()]


async def until(kafka: Kafka, topic: str, found: Callable[[list[LogRecord]], T | None]) -> T:
    """Read `topic` until `found` returns something true of its records; return that."""
    async with asyncio.timeout(SECONDS_MAX):
        while not (value := found(await everything(kafka, topic))):
            await asyncio.sleep(0.2)
        return value


class GroupOf(Group, frozen=True):
    """A worker's group, on one module's topics."""

    prefix: str = ""

    @property
    def inputs(self) -> list[TopicPartition]:
        """Every partition that the worker reads for its table."""
        return [TopicPartition(self.prefix + tp.topic, tp.partition) for tp in super().inputs]


async def drained(kafka: Kafka) -> None:
    """Wait until the group has committed all that is there, whoever holds which partition: one
    that was killed may still be given some, and they stand still until Kafka misses it."""
    people, quotas = (
        Inputs(GroupOf(kafka.named(group.name), group.table, prefix=kafka.prefix))
        for group in (PEOPLE, QUOTAS)
    )
    admin = AIOKafkaAdminClient(**kafka.brokers.client)
    await admin.start()
    try:
        async with (
            asyncio.timeout(60),
            AIOKafkaConsumer(**kafka.brokers.client) as consumer,
        ):
            # What goes round is off its input, then counted, then back and applied.
            for inputs in (people, quotas, people):
                while (judged := await inputs.ask(admin, consumer)).until != dict.fromkeys(
                    range(CATALOGUE.partitions), judged.asked_at
                ):
                    await asyncio.sleep(0.5)
    finally:
        await admin.close()
