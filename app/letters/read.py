"""The letters on dead-letters and parked, as agents.dead_letters writes them."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from msgspec import Struct

FETCH_MS = 500
SILENT_SECONDS_MAX = 30.0
RECORDS_MAX = 500
"""Records read at a time; with their fetch of 1 MiB a partition this bounds the memory."""

Header = tuple[str, bytes]
Record: TypeAlias = ConsumerRecord[bytes, bytes]


class Place(Struct, frozen=True):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] at {self.offset}"


class Letter(Struct, frozen=True):
    """A record that was refused or put aside. `came_from` is None where time brought it about."""

    place: Place
    at: datetime
    came_from: Place | None
    reason: str
    detail: str
    source: str | None
    refused: bool
    sealed: bool
    bytes_left_out: int
    key: bytes | None
    value: bytes | None
    own_headers: tuple[Header, ...]
    """Those that the record itself had."""


def letter_in(record: Record) -> Letter:
    """Read a letter."""
    ours = {name: (raw or b"") for name, raw in record.headers if name.startswith("yk_")}

    def text(name: str) -> str | None:
        return ours[name].decode(errors="replace") if name in ours else None

    value = record.value or b""
    return Letter(
        place=Place(record.topic, record.partition, record.offset),
        at=datetime.fromtimestamp(record.timestamp / 1_000, UTC),
        came_from=_came_from(ours),
        reason=text("yk_reason") or "",
        detail=text("yk_detail") or "",
        source=text("yk_source"),
        refused=ours.get("yk_refused") == b"true",
        sealed=ours.get("yk_sealed") == b"true",
        bytes_left_out=int(ours.get("yk_bytes", b"%d" % len(value))) - len(value),
        key=record.key,
        value=None if "yk_tombstone" in ours else value,
        own_headers=tuple((n, raw or b"") for n, raw in record.headers if n not in ours),
    )


def _came_from(ours: Mapping[str, bytes]) -> Place | None:
    if "yk_topic" not in ours:
        return None
    return Place(ours["yk_topic"].decode(), int(ours["yk_partition"]), int(ours["yk_offset"]))


class Filter(Struct, frozen=True):
    """Which letters are wanted; None: any."""

    topic: str | None = None
    reason: str | None = None
    source: str | None = None
    since: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Say whether a letter is wanted."""
        came_from = letter.came_from and letter.came_from.topic
        return (
            self.topic in (None, came_from)
            and self.reason in (None, letter.reason)
            and self.source in (None, letter.source)
            and (self.since is None or letter.at >= self.since)
        )


class Range(Struct, frozen=True):
    """The offsets of a partition: from `begin` to before `end`."""

    begin: int
    end: int


class Reader:
    """A topic as it is now: what is committed later is not read."""

    def __init__(
        self, consumer: "AIOKafkaConsumer[bytes, bytes]", ranges: Mapping[TopicPartition, Range]
    ) -> None:
        self._consumer = consumer
        self._ranges = ranges

    @property
    def ranges(self) -> dict[int, Range]:
        """The offsets there are, by partition."""
        return {tp.partition: found for tp, found in self._ranges.items()}

    async def records(self, since: datetime | None = None) -> AsyncIterator[Record]:
        """Yield the records, of each partition in its order; with `since` no much older ones."""
        starts = {tp: found.begin for tp, found in self._ranges.items()}
        if since is not None:
            times = dict.fromkeys(self._ranges, int(since.timestamp() * 1_000))
            for tp, first in (await self._consumer.offsets_for_times(times)).items():
                starts[tp] = self._ranges[tp].end if first is None else first.offset
        async for record in self._from(starts):
            yield record

    async def one(self, partition: int, offset: int) -> Record | None:
        """Return the record that lies there, None where there is none."""
        for tp, found in self._ranges.items():
            if tp.partition == partition and found.begin <= offset < found.end:
                async for record in self._from({tp: offset}):
                    return record if record.offset == offset else None
        return None

    async def _from(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[Record]:
        """Yield what lies between `starts` and the ends; raise `TimeoutError` if Kafka is away."""
        # Not by another assignment: aiokafka 0.14 may never stop if that comes just before.
        self._consumer.pause(*(self._ranges.keys() - starts.keys()))
        for tp, start in starts.items():
            self._consumer.seek(tp, start)
        positions, moved_at = dict(starts), time.monotonic()
        # Markers of transactions take offsets too: it is the position that tells what is left.
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


@asynccontextmanager
async def reading(
    bootstrap: str, topic: str, partitions: int, ends: Mapping[int, int] | None = None
) -> AsyncIterator[Reader]:
    """Read what is committed in a topic now; with `ends` only what lies before those offsets."""
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(tps)
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
