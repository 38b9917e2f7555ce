"""Topics read as they are now, whole to their end.

Only what is committed is read. Markers of transactions take offsets too, so an offset before the
end does not mean that there is a record.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError
from msgspec import Struct

from app.process.consumer import Consumer, LogRecord
from app.process.kafka import Brokers

Fetched: TypeAlias = Mapping[TopicPartition, Sequence[LogRecord]]
"""What one fetch brought: the records of each partition, in its order."""

FETCH_MS = 100
"""How long one look for records may take."""

SILENT_SECONDS_MAX = 30.0
RECORDS_MAX = 500
"""Records read at a time. With their fetch of 1 MiB a partition this bounds the memory."""


class Range(Struct, frozen=True):
    """The offsets of a partition from `begin` to before `end`."""

    begin: int
    end: int


class Reader:
    """A topic as it is now: what is committed later is not read."""

    def __init__(self, consumer: Consumer, ranges: Mapping[TopicPartition, Range]) -> None:
        self._consumer = consumer
        self._ranges = ranges

    @property
    def ranges(self) -> dict[int, Range]:
        """The offsets there are, by partition."""
        return {tp.partition: found for tp, found in self._ranges.items()}

    async def records(self, since: datetime | None = None) -> AsyncIterator[LogRecord]:
        """Yield the records, those of each partition in its order; with `since` no much older
        ones."""
        starts = {tp: found.begin for tp, found in self._ranges.items()}
        if since is not None:
            times = dict.fromkeys(self._ranges, int(since.timestamp() * 1_000))
            for tp, first in (await self._consumer.offsets_for_times(times)).items():
                starts[tp] = self._ranges[tp].end if first is None else first.offset
        async for record in self._from(starts):
            yield record

    async def one(self, partition: int, offset: int) -> LogRecord | None:
        """Return the record at this offset, or None."""
        for tp, found in self._ranges.items():
            if tp.partition == partition and found.begin <= offset < found.end:
                async for record in self._from({tp: offset}):
                    return record if record.offset == offset else None
        return None

    async def _from(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[LogRecord]:
        """Yield what lies between `starts` and the ends; raise `TimeoutError` if Kafka is away."""
        self._consumer.assign(list(starts))  # not before: nothing else is fetched
        for tp, start in starts.items():
            self._consumer.seek(tp, start)
        positions, moved_at = dict(starts), time.monotonic()
        while any(position < self._ranges[tp].end for tp, position in positions.items()):
            fetched = await self._consumer.getmany(timeout_ms=FETCH_MS, max_records=RECORDS_MAX)
            for tp, records in fetched.items():
                for record in records:
                    if record.offset < self._ranges[tp].end:
                        yield record
            before, positions = positions, {tp: await self._consumer.position(tp) for tp in starts}
            if positions != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > SILENT_SECONDS_MAX:
                raise TimeoutError(f"Kafka gave nothing for {SILENT_SECONDS_MAX:g} s")


async def _let_in(consumer: Consumer, topic: str) -> None:
    """Raise an error if the broker shows this client no such topic. aiokafka would ask for its ends
    until 40 s are over, and say that time is over."""
    client = consumer._client
    await client.add_topic(topic)
    if topic in client.cluster.unauthorized_topics:
        raise TopicAuthorizationFailedError(topic)


@asynccontextmanager
async def reading(
    brokers: Brokers, topic: str, partitions: int, ends: Mapping[int, int] | None = None
) -> AsyncIterator[Reader]:
    """Read what is committed in a topic now; with `ends` only what lies before those offsets."""
    consumer = Consumer(
        **brokers.client,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        await _let_in(consumer, topic)
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        begins = await consumer.beginning_offsets(tps)
        found = await consumer.end_offsets(tps)
        ends = {} if ends is None else ends
        yield Reader(
            consumer,
            {
                tp: Range(begins[tp], min(found[tp], ends.get(tp.partition, found[tp])))
                for tp in tps
            },
        )
    finally:
        await consumer.stop()
