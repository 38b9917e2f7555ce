"""Let a parked source go on: the release is written to every partition, and the worker applies it
with its next chunk."""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.projection.freshness import GROUPS
from app.topics.catalogue import CATALOGUE, PARKED, SOURCE_RELEASES
from app.topics.letters import Letter
from app.topics.reading import reading
from models.sources import released

TOPIC = CATALOGUE.topics[SOURCE_RELEASES]
ASK_SECONDS = 0.5


async def release(bootstrap: str, source: str, wait_seconds: float) -> bool:
    """Release `source`; return whether the worker has applied that in every partition in time."""
    event = released(source, str(uuid.uuid4()), datetime.now(UTC))
    value = msgspec.json.encode(event)
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True
    ) as producer:
        places = [
            await producer.send_and_wait(TOPIC.name, value, source.encode(), number)
            for number in range(TOPIC.partitions)
        ]
    offsets = {place.partition: place.offset for place in places}
    until = time.monotonic() + wait_seconds
    while True:
        applied = await _applied(bootstrap)
        if all(applied.get(number, 0) > offset for number, offset in offsets.items()):
            return True
        if time.monotonic() > until:
            return False
        await asyncio.sleep(ASK_SECONDS)


async def still_parked(bootstrap: str) -> Callable[[Letter], bool]:
    """Return a function that says whether a letter's source is still parked.

    It is, unless the source was released since the letter. Only releases that the worker has
    applied count. They are few: an operator writes each.
    """
    newest: dict[tuple[int, str], datetime] = {}
    applied = await _applied(bootstrap)
    ends = {number: applied.get(number, 0) for number in range(TOPIC.partitions)}
    async with reading(bootstrap, TOPIC.name, TOPIC.partitions, ends) as reader:
        async for record in reader.records():
            at = datetime.fromtimestamp(record.timestamp / 1_000, UTC)
            newest[record.partition, (record.key or b"").decode(errors="replace")] = at

    def parked(letter: Letter) -> bool:
        released_at = newest.get((letter.place.partition, letter.source or ""))
        on_parked = letter.place.topic == PARKED
        return on_parked and (released_at is None or released_at < letter.at)

    return parked


async def _applied(bootstrap: str) -> dict[int, int]:
    """Return, for each partition, the offset up to which every worker has applied it.

    A worker that never committed anything is left out: it holds nothing parked.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        committed = [await admin.list_consumer_group_offsets(group.name) for group in GROUPS]
    finally:
        await admin.close()
    applied: dict[int, int] = {}
    for offsets in filter(None, committed):
        for number in range(TOPIC.partitions):
            metadata = offsets.get(TopicPartition(TOPIC.name, number))
            offset = 0 if metadata is None else metadata.offset
            applied[number] = min(offset, applied.get(number, offset))
    return applied
