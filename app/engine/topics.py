"""Which topic it is that bears a name, and where it begins.

A topic that is deleted and made again has the same name and another id (KIP-516). aiokafka asks for
metadata in a version that has no ids yet, so that one request is written out here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from io import BytesIO
from typing import Any, TypeVar
from uuid import UUID

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from faust.types import TP

from app.process.consumer import Consumer
from app.process.kafka import Brokers

AGAIN_SECONDS = 0.5
"""How long a question waits that was not answered."""

NO_ID = UUID(int=0)

T = TypeVar("T")

log = structlog.get_logger()


class Topics:
    """Asks the broker, over one connection that is made with the first question."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._consumer: Consumer | None = None
        self._lock = asyncio.Lock()

    async def ids(self, names: Collection[str]) -> dict[str, str]:
        """Return the id of each topic; leave out those that are not there. Raise a `KafkaError`."""
        client = (await self._connected())._client
        answer = await client.send(client.get_random_node(), MetadataRequest(list(names)))
        found = {}
        for code, name, topic_id, *_ in answer.topics:
            error = for_code(code)
            if error is UnknownTopicOrPartitionError:
                continue
            if topic_id == NO_ID:
                raise error(name)
            found[name] = topic_id.hex
        return found

    async def known(self, names: Collection[str]) -> dict[str, str]:
        """Return the id of each topic; leave out those that are not there. Ask until the broker
        answers, and say so."""
        return await _answer(lambda: self.ids(names), "topics_unknown")

    async def id_of(self, name: str) -> str:
        """Return a topic's id. Ask until the broker shows the topic, which it does a moment after
        it has made it, and say so."""
        while not (found := await self.known([name])):
            log.warning("topic_missing", seldom=True, topic=name)
            await asyncio.sleep(AGAIN_SECONDS)
        return found[name]

    async def begin(self, tp: TP) -> int:
        """Return the first offset of a partition that is kept. Ask until the broker answers, and
        say so."""
        place = TopicPartition(tp.topic, tp.partition)

        async def ask() -> int:
            consumer = await self._connected()
            return int((await consumer.beginning_offsets([place]))[place])

        return await _answer(ask, "beginning_unknown", topic=tp.topic)

    async def first(self, tp: TP, offset: int) -> int:
        """Return the offset of the first record from `offset` on that is kept and committed, or
        where those end. Ask until the broker answers, and say so."""
        place = TopicPartition(tp.topic, tp.partition)

        async def ask() -> int:
            consumer = self._new_consumer()
            try:
                await consumer.start()
                consumer.assign([place])
                end = int((await consumer.end_offsets([place]))[place])
                consumer.seek(place, offset)
                while await consumer.position(place) < end:
                    for records in (await consumer.getmany(timeout_ms=50, max_records=1)).values():
                        return int(records[0].offset)
                return end
            finally:
                await consumer.stop()

        return await _answer(ask, "beginning_unknown", topic=tp.topic)

    def _new_consumer(self) -> Consumer:
        return Consumer(
            **self._brokers.client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    async def _connected(self) -> Consumer:
        async with self._lock:
            if self._consumer is None:
                consumer = self._new_consumer()
                try:
                    await consumer.start()
                except BaseException:
                    await consumer.stop()
                    raise
                self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()


async def _answer(ask: Callable[[], Awaitable[T]], unknown: str, **where: str) -> T:
    """Return the broker's answer; ask until it gives one, and log `unknown` each time."""
    while True:
        try:
            return await ask()
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning(unknown, seldom=True, **where, error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)


# aiokafka has no types: its classes are Any to mypy.
class _Uuid(AbstractType[UUID]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class MetadataResponse_v12(Response):  # type: ignore[misc]
    """Topics with their ids; brokers and partitions are of no interest."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", CompactArray(Int32)),
                        ("isr_nodes", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc]
    """Asks for topics by name, and makes none."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[MetadataRequest_v12]):  # type: ignore[misc]
    """Metadata of topics, with their ids."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[MetadataRequest_v12]) -> Any:
        no_tags: dict[int, bytes] = {}
        topics = [(NO_ID, name, no_tags) for name in self._names]
        return request_struct_class(topics, False, False, no_tags)
