"""Let a parked source go on, or a partition that stands still; approve what is held.

Each release is a line of the audit log first. That of a source is written to every partition, that
of a partition to it alone, an approval to the partition of openings that has the source. The worker
applies it with its next chunk.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from app.audit.entries import Act
from app.audit.trail import note_command
from app.process.consumer import LogRecord
from app.process.kafka import Brokers
from app.projection.freshness import GROUPS, LISTS, PEOPLE, QUOTAS, SCANS, SUBMISSIONS_GROUP, Group
from app.topics.admin import asking
from app.topics.authentic import NotAuthentic, SourceKeys
from app.topics.catalogue import CATALOGUE, PARKED, SOURCE_RELEASES
from app.topics.letters import Letter
from app.topics.openings import openings_partition
from app.topics.reading import reading
from app.topics.records import Record
from models.operators import (
    AnyRelease,
    OpeningsApproved,
    OpeningsApprovedData,
    PartitionReleased,
    PartitionReleasedData,
    SourceReleased,
    released,
)
from models.quotas import Quota, milliseconds

TOPIC = CATALOGUE.topics[SOURCE_RELEASES]
ASK_SECONDS = 0.5

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyRelease).decode


async def release(
    brokers: Brokers, keys: SourceKeys, source: str, by: str, wait_seconds: float
) -> bool:
    """Release `source` as the operator `by`; return whether the worker has applied that in every
    partition in time."""
    event = released(source, str(uuid.uuid4()), datetime.now(UTC), by)
    record = keys.signed(Record(TOPIC.name, source.encode(), _encode(event)), event.source)
    await note_command(brokers, by, Act.SOURCE_RELEASED, source, details={"id": event.id})
    places = await _write(brokers, record, range(TOPIC.partitions))
    offsets = {place.partition: place.offset for place in places}
    return await _is_applied(brokers, offsets, GROUPS, wait_seconds)


async def release_partition(
    brokers: Brokers, keys: SourceKeys, data: PartitionReleasedData, by: str, wait_seconds: float
) -> bool:
    """Release a partition as the operator `by`; return whether the worker of its table has applied
    that in time."""
    event = PartitionReleased(id=str(uuid.uuid4()), time=datetime.now(UTC), source=by, data=data)
    record = keys.signed(Record(TOPIC.name, data.table.encode(), _encode(event)), event.source)
    details = {"id": event.id}
    if data.topic is not None:
        details["topic"] = data.topic
    if data.offset is not None:
        details["left_aside"] = str(data.offset)
    about = f"{data.table}[{data.partition}]"
    await note_command(brokers, by, Act.PARTITION_RELEASED, about, data.reason, details)
    [place] = await _write(brokers, record, [data.partition])
    every = (PEOPLE, QUOTAS, LISTS, SCANS, SUBMISSIONS_GROUP)
    groups = [group for group in every if group.table == data.table]
    return await _is_applied(brokers, {place.partition: place.offset}, groups, wait_seconds)


async def approve_openings(
    brokers: Brokers, keys: SourceKeys, data: OpeningsApprovedData, by: str, wait_seconds: float
) -> bool:
    """Approve what is held as the operator `by`; return whether the worker has applied that in
    time."""
    event = OpeningsApproved(id=str(uuid.uuid4()), time=datetime.now(UTC), source=by, data=data)
    record = keys.signed(Record(TOPIC.name, data.source.encode(), _encode(event)), event.source)
    details = {"id": event.id, "reason": data.reason, "until": data.until.isoformat()}
    await note_command(brokers, by, Act.OPENINGS_APPROVED, data.source, data.why, details)
    [place] = await _write(brokers, record, [openings_partition(data.source)])
    return await _is_applied(brokers, {place.partition: place.offset}, [PEOPLE], wait_seconds)


async def approved(brokers: Brokers, keys: SourceKeys, source: str, reason: str) -> Quota:
    """Return who approves what is held of `source` for `reason`, as the worker knows it too."""
    quota, number = Quota(), openings_partition(source)
    async for record, release in _releases(brokers, keys):
        match release:
            case OpeningsApproved(source=by, data=data) if record.partition == number:
                if (data.source, data.reason) == (source, reason):
                    until = min(milliseconds(data.until), record.timestamp)
                    quota.approve(by, until, data.subject)
    return quota


async def _write(
    brokers: Brokers, record: Record, partitions: Iterable[int]
) -> list[RecordMetadata]:
    """Write a record to each of `partitions`; return where it lies."""
    producer = AIOKafkaProducer(**brokers.client, acks="all", enable_idempotence=True)
    try:
        await producer.start()
        return [
            await producer.send_and_wait(
                record.topic, record.value, record.key, number, headers=list(record.headers)
            )
            for number in partitions
        ]
    finally:
        await producer.stop()


async def _is_applied(
    brokers: Brokers, offsets: Mapping[int, int], groups: Iterable[Group], wait_seconds: float
) -> bool:
    """Wait until each partition's offset is applied by all of `groups`; say whether it was."""
    until = time.monotonic() + wait_seconds
    while True:
        applied = await _applied(brokers, groups)
        if all(applied.get(number, 0) > offset for number, offset in offsets.items()):
            return True
        if time.monotonic() > until:
            return False
        await asyncio.sleep(ASK_SECONDS)


async def still_parked(brokers: Brokers, keys: SourceKeys) -> Callable[[Letter], bool]:
    """Return a function that says whether a letter's source is still parked.

    It is, unless the source was released since the letter. Only releases that the worker has
    applied count. They are few: an operator writes each.
    """
    newest: dict[tuple[int, str], datetime] = {}
    applied = await _applied(brokers, GROUPS)
    ends = {number: applied.get(number, 0) for number in range(TOPIC.partitions)}
    async for record, release in _releases(brokers, keys, ends):
        if isinstance(release, SourceReleased):
            at = datetime.fromtimestamp(record.timestamp / 1_000, UTC)
            newest[record.partition, release.data.source] = at

    def parked(letter: Letter) -> bool:
        released_at = newest.get((letter.place.partition, letter.source or ""))
        on_parked = letter.place.topic == PARKED
        return on_parked and (released_at is None or released_at < letter.at)

    return parked


async def _releases(
    brokers: Brokers, keys: SourceKeys, ends: Mapping[int, int] | None = None
) -> AsyncIterator[tuple[LogRecord, AnyRelease]]:
    """Yield what operators have written, up to `ends`; leave out what the worker refuses."""
    async with reading(brokers, TOPIC.name, TOPIC.partitions, ends) as reader:
        async for record in reader.records():
            try:
                release, author = _decode(record.value or b""), keys.author(record)
            except (msgspec.DecodeError, UnicodeDecodeError, NotAuthentic):
                continue
            if release.source == author:
                yield record, release


async def _applied(brokers: Brokers, groups: Iterable[Group]) -> dict[int, int]:
    """Return, for each partition, the offset up to which the workers of `groups` have applied it.

    A worker that never committed anything is left out: it holds nothing parked.
    """
    async with asking(brokers) as admin:
        committed = [await admin.list_consumer_group_offsets(group.name) for group in groups]
    applied: dict[int, int] = {}
    for offsets in filter(None, committed):
        for number in range(TOPIC.partitions):
            metadata = offsets.get(TopicPartition(TOPIC.name, number))
            offset = 0 if metadata is None else metadata.offset
            applied[number] = min(offset, applied.get(number, offset))
    return applied
