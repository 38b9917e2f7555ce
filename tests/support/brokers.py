"""A real Kafka, started by what `yuekang up` starts it with: one a run, whoever runs the tests."""

import asyncio
import fcntl
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from app.access.acls import Acl, acl_of, create
from app.access.passwords import set_passwords
from app.access.rights import CLUSTER_NAME, PROCESSES, Right, rights_of
from app.development.stack.broker import Broker
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.topics.admin import create_topics
from app.topics.catalogue import Catalogue
from app.topics.records import Record
from support.macs import ENVIRONMENT, signed

NOBODY = "127.0.0.1:1"
NO_BROKERS = Brokers(NOBODY)

PASSWORD = "of everybody in these tests"
"""A user of another prefix is another one all the same."""


@dataclass(frozen=True)
class Kafka:
    """A broker, and what the names on it begin with that one module's tests have for themselves.

    A process takes the prefix from its environment, once. In this process, which runs many
    modules, names are as in topics.yaml: whoever goes to the broker from here calls `named`.
    """

    brokers: Brokers = NO_BROKERS
    prefix: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process of ours where to go, and lets it do anything there."""
        return {
            **os.environ,
            "YUEKANG_KAFKA": self.brokers.servers,
            "YUEKANG_TOPIC_PREFIX": self.prefix,
            **ENVIRONMENT,
            **_known_as(self.brokers),
        }

    def known_as(self, process: str) -> dict[str, str]:
        """What lets a process do there what it may, and no more."""
        if self.brokers == NO_BROKERS or not self.brokers.by_password:
            return {}
        user = self.prefix + process
        return _known_as(replace(self.brokers, mechanism="SCRAM-SHA-512", user=user))

    def brokers_of(self, process: str) -> Brokers:
        """Return the brokers, for a process."""
        known = self.known_as(process)
        return replace(
            self.brokers,
            mechanism="SCRAM-SHA-512",
            user=known["YUEKANG_KAFKA_USER"],
            password=known["YUEKANG_KAFKA_PASSWORD"],
        )

    def environment_of(self, process: str) -> dict[str, str]:
        """What tells a process where to go, and as whom."""
        return {**self.environment, **self.known_as(process)}

    def named(self, name: str) -> str:
        """Return what a topic or a group is called on the broker."""
        return self.prefix + name

    async def create_topics(self) -> None:
        """Make the topics of topics.yaml, unless they are there, and who may do what with them."""
        await create_topics(self.brokers, Catalogue.load(prefix=self.prefix))
        if self.brokers.by_password:
            users = {self.prefix + process: PASSWORD for process in PROCESSES}
            await set_passwords(self.brokers, users)
            await create(self.brokers, self.acls())

    def acls(self) -> list[Acl]:
        """Return what each process may do with these names."""
        return [
            acl_of(f"User:{self.prefix}{process}", self._own(right))
            for process in PROCESSES
            for right in rights_of(process)
        ]

    def _own(self, right: Right) -> Right:
        name = right.name
        return replace(right, name=name if name == CLUSTER_NAME else self.prefix + name)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic; return when it is gone, and may be made again."""
        admin = AIOKafkaAdminClient(**self.brokers.client)
        await admin.start()
        try:
            await admin.delete_topics([self.named(name)])
            while self.named(name) in await admin.list_topics():
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    def producer(self, **settings: Any) -> AIOKafkaProducer:
        """Return a producer that is told names as in topics.yaml."""
        return Producer(self, **settings)


def _known_as(brokers: Brokers) -> dict[str, str]:
    if not brokers.by_password:
        return {}
    return {
        "YUEKANG_KAFKA_SECURITY": brokers.security,
        "YUEKANG_KAFKA_MECHANISM": brokers.mechanism,
        "YUEKANG_KAFKA_USER": brokers.user,
        "YUEKANG_KAFKA_PASSWORD": brokers.password,
    }


# aiokafka has no types: its class is Any to mypy.
class Producer(AIOKafkaProducer):  # type: ignore[misc]
    """Sends to the topics of one module."""

    def __init__(self, kafka: Kafka, **settings: Any) -> None:
        super().__init__(**kafka.brokers.client, acks="all", **settings)
        self._kafka = kafka

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
        author: str | None = "",
    ) -> Any:
        """As aiokafka's, with a MAC of the author; with none if that is None, and unless it is
        said, of the source that the record names."""
        name, record = self._kafka.named(topic), Record(topic, key, value, tuple(headers or ()))
        if author is not None:
            record = signed(record, author, name)
        return await super().send(
            name, value, key, partition, timestamp_ms, headers=list(record.headers)
        )

    async def send_and_wait(self, *args: Any, **kw: Any) -> Any:
        """As aiokafka's."""
        return await (await self.send(*args, **kw))


def shared_broker(directory: Path) -> tuple[Brokers, Callable[[], None]]:
    """Return the one broker of `directory`, and what lets go of it.

    Whoever comes first starts it, and ends it when it is the last to let go: until then letting
    go waits for the others. A lock ends with its process, so none that was killed is waited for.
    """
    directory.mkdir(exist_ok=True)
    address = directory / "address"
    users = (directory / "users").open("w")
    with (directory / "start").open("w") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if address.exists() and _answers(address.read_text()):  # whoever started it may have died
            port = int(address.read_text().partition(":")[2])
            return Broker(directory, port, 0, PASSWORD).brokers, users.close
        broker = Broker(directory, free_port(), free_port(), PASSWORD)
        broker.stop_seconds_max = 0.0  # nobody wants what it holds
        broker.start()
        try:
            broker.wait_ready()
        except BaseException:
            broker.stop()
            raise
        address.write_text(broker.brokers.servers)

    def end() -> None:
        fcntl.flock(users, fcntl.LOCK_EX)
        address.unlink(missing_ok=True)
        broker.stop()
        users.close()

    return broker.brokers, end


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), 5):
        return True
    return False


@contextmanager
def running_broker(directory: Path) -> Iterator[Brokers]:
    """Run a broker that is nobody else's."""
    with Broker(directory, free_port(), free_port()).running() as broker:
        yield broker.brokers
