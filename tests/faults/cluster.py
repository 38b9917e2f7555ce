"""Three brokers that take each other's place, or one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from msgspec.structs import replace

from app.development.stack.broker import COMMON, Broker
from app.topics.catalogue import CATALOGUE

CLUSTER_ID = "yFaultSuiteOfYuekang00"

SETTINGS = {
    "unclean.leader.election.enable": "false",
    # Shorter than the workers' session, or a broker that is gone would cost them theirs.
    "replica.lag.time.max.ms": "5000",
    "group.min.session.timeout.ms": "1000",
    # Leaders go back to the first of their replicas: a reassignment in another order moves them.
    "auto.leader.rebalance.enable": "true",
    "leader.imbalance.check.interval.seconds": "2",
    "leader.imbalance.per.broker.percentage": "0",
    # Compacted topics are really compacted, though not what the oracle has yet to read.
    "log.segment.bytes": str(4 * 1024 * 1024),
    "log.cleaner.backoff.ms": "5000",
    "log.cleaner.min.cleanable.ratio": "0.1",
    "log.cleaner.min.compaction.lag.ms": "600000",
    # An open transaction of a dead agency's producer holds up readers for no longer.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2000",
}


def with_copies(copies: int) -> None:
    """Let the catalogue of this process ask for so many copies of each partition."""
    CATALOGUE.topics.update(
        {name: replace(t, replication_factor=copies) for name, t in CATALOGUE.topics.items()}
    )


def stamp_by_broker(topic: str) -> None:
    """Let a topic be made so that the broker stamps what is appended, as a
    worker's own clock may be wrong."""
    CATALOGUE.topics[topic] = replace(CATALOGUE.topics[topic], stamped_by_log=True)


class Place(NamedTuple):
    """Where a broker is for clients, and its port for controllers."""

    address: str
    port: int
    controller_port: int


class Node(Broker):
    """One broker of several, which are at `places` in order of their numbers."""

    ready_seconds_max = 120.0

    def __init__(self, directory: Path, number: int, places: Sequence[Place]) -> None:
        self._place = places[number - 1]
        super().__init__(
            directory / f"broker-{number}", self._place.port, self._place.controller_port
        )
        self.number = number
        self._places = places
        self.bootstrap = f"{self._place.address}:{self._place.port}"
        self.wanted = True

    def _cluster_id(self) -> str:
        return CLUSTER_ID

    def _configuration(self) -> str:
        copies = min(3, len(self._places))
        settings = {
            **SETTINGS,
            "node.id": self.number,
            "listeners": f"BROKER://0.0.0.0:{self._port},CONTROLLER://127.0.0.1:"
            f"{self._controller_port}",
            "advertised.listeners": f"BROKER://{self.bootstrap}",
            "controller.quorum.voters": ",".join(
                f"{n}@127.0.0.1:{place.controller_port}" for n, place in enumerate(self._places, 1)
            ),
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": max(1, copies - 1),
            "log.dirs": self._home / "log",
        }
        own = "".join(f"{name}={value}\n" for name, value in settings.items())
        return COMMON.read_text() + own


async def behind(bootstrap: str) -> list[str]:
    """Name the partitions with a copy that is not in step; raise `KafkaError` if none answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    await admin.start()
    try:
        topics = await admin.describe_topics()
        return [
            f"{topic['topic']}[{partition['partition']}]"
            for topic in topics
            for partition in topic["partitions"]
            if len(partition["isr"]) < len(partition["replicas"]) or partition["leader"] < 0
        ]
    finally:
        await admin.close()


async def wait_in_step(bootstrap: str, seconds_max: float = 90.0) -> None:
    """Return when every copy of every partition is in step."""
    async with asyncio.timeout(seconds_max):
        while True:
            try:
                if not await behind(bootstrap):
                    return
            except (KafkaError, OSError):
                pass
            await asyncio.sleep(0.5)


async def reorder(bootstrap: str, order: Sequence[int]) -> None:
    """Give every partition its replicas in this order: the first becomes the leader."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    await admin.start()
    try:
        topics = await admin.describe_topics()
        request = AlterPartitionReassignmentsRequest(
            10_000,
            [
                (
                    topic["topic"],
                    [
                        (p["partition"], _rotated(order, p["partition"]), {})
                        for p in topic["partitions"]
                    ],
                    {},
                )
                for topic in topics
            ],
            {},
        )
        answer = await admin._send_request(request)
        if answer.error_code:
            raise KafkaError(f"reassignment: {answer.error_message}")
    finally:
        await admin.close()


def _rotated(order: Sequence[int], by: int) -> list[int]:
    by %= len(order)
    return [*order[by:], *order[:by]]
