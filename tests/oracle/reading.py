"""Read all that is committed, once, and go on from there."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.process.consumer import LogRecord
from app.projection.freshness import PEOPLE
from oracle.layout import NUMBERS

READ_SECONDS_MAX = 30.0


class Reader:
    """Reads every partition of some topics from its beginning; `positions` are the next offsets."""

    def __init__(self, bootstrap: str, topics: Iterable[str]) -> None:
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer[bytes, bytes] | None = None
        self.positions = {TopicPartition(name, number): 0 for name in topics for number in NUMBERS}

    async def drop(self) -> None:
        """Let go of Kafka; what comes next begins with a new connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def begin_again(self, topic: str) -> None:
        """Read a topic from its beginning: it is another one of the same name."""
        await self.drop()
        for number in NUMBERS:
            self.positions[TopicPartition(topic, number)] = 0

    async def read_on(self, take: Callable[[TopicPartition, Sequence[LogRecord]], None]) -> None:
        """Read what was committed until now, and hand it on; raise `KafkaError` where that cannot
        be had."""
        try:
            await self._read_on(take)
        except (KafkaError, OSError, TimeoutError, asyncio.CancelledError):
            await self.drop()
            raise

    async def _read_on(self, take: Callable[[TopicPartition, Sequence[LogRecord]], None]) -> None:
        consumer = await self._connected()
        async with asyncio.timeout(READ_SECONDS_MAX):
            ends = await consumer.end_offsets(list(self.positions))
            while any(self.positions[tp] < end for tp, end in ends.items()):
                fetched = await consumer.getmany(timeout_ms=100)
                for tp, records in fetched.items():
                    take(tp, records)
                    self.positions[tp] = records[-1].offset + 1
                for tp in self.positions:  # the ends of transactions are no records
                    self.positions[tp] = await consumer.position(tp)

    async def _connected(self) -> "AIOKafkaConsumer[bytes, bytes]":
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=4 * 1024 * 1024,
            )
            await self._consumer.start()
            self._consumer.assign(list(self.positions))
            for tp, position in self.positions.items():
                self._consumer.seek(tp, position)
        return self._consumer


async def newest_rows(
    bootstrap: str, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, dict[bytes, bytes]]:
    """Return the newest value of each key, as a reader finds it who begins at the beginning."""
    fresh: dict[TopicPartition, dict[bytes, bytes]] = {tp: {} for tp in ends}
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        consumer.assign(list(ends))
        await consumer.seek_to_beginning()
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    if record.offset < ends[tp]:
                        assert record.key is not None
                        fresh[tp][record.key] = record.value or b""
    finally:
        await consumer.stop()
    return fresh


async def uncommitted(bootstrap: str, last: Mapping[tuple[str, int], int]) -> list[str]:
    """Name the input partitions whose `last` record the group has not committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(PEOPLE.name)
    finally:
        await admin.close()
    committed = {
        place: offsets[tp].offset if (tp := TopicPartition(*place)) in offsets else -1
        for place in last
    }
    return [
        f"{topic}[{number}]: {committed[topic, number]} of {offset + 1}"
        for (topic, number), offset in sorted(last.items())
        if committed[topic, number] < offset + 1
    ]
