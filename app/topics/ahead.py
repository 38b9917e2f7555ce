"""Where many partitions end, and what lies there from an offset on: asked of all at once.

A partition without a leader is not known now, and holds back no other: aiokafka's own questions
wait until each has one.

Below the high watermark lie records, markers of transactions, what transactions aborted, and, from
the last stable offset on, what a transaction that is still open holds back. Only the log tells them
apart: so it is fetched, a bounded piece of it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import KafkaConnectionError, KafkaError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from msgspec import Struct

from app.process.consumer import Consumer

FETCH_BYTES_MAX = 1024 * 1024
"""Bytes of records that one broker answers with, over all partitions; one batch may come on top.
What does not fit is not known until it is asked for again."""

BEGIN, END = -2, -1
"""Which offset ListOffsets returns, in place of an instant."""


class Ahead(Struct, frozen=True):
    """What lies from an offset on: nothing to apply before `offset`, and there what `at` says.

    `at` is when the record at `offset` was appended (s since 1970), None if none is known there.
    `end` is the high watermark. With `is_open` a transaction that is still open begins at `offset`,
    and nobody who reads what is committed comes further.
    """

    offset: int
    end: int
    at: float | None = None
    is_open: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to apply up to the end."""
        return self.offset >= self.end


async def ends_of(
    consumer: Consumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return where partitions end, the high watermark; one is missing if it is not known now.

    Raise a `KafkaError` if a broker does not answer.
    """
    return await _offsets(consumer, partitions, END)


async def look_ahead(
    consumer: Consumer, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Ahead]:
    """Return what lies from these offsets on; a partition is missing if it is not known now.

    An offset that the log no longer has stands for its beginning. Raise a `KafkaError` if a broker
    does not answer.
    """
    found, gone = await _fetch(consumer, offsets, READ_COMMITTED)
    if gone:
        begins = await _offsets(consumer, gone, BEGIN)
        found |= (await _fetch(consumer, begins, READ_COMMITTED))[0]
    open_at = {tp: ahead.offset for tp, ahead in found.items() if ahead.is_open}
    records, _ = await _fetch(consumer, open_at, READ_UNCOMMITTED)
    return found | {
        tp: Ahead(offset, found[tp].end, records[tp].at if tp in records else None, is_open=True)
        for tp, offset in open_at.items()
    }


async def _fetch(
    consumer: Consumer, offsets: Mapping[TopicPartition, int], isolation: int
) -> tuple[dict[TopicPartition, Ahead], list[TopicPartition]]:
    """Fetch once from every leader; return what was found, and where the offset is out of range."""
    leaders = await _leaders(consumer, offsets)
    answers = await asyncio.gather(
        *(
            _fetch_from(consumer, leader, {tp: offsets[tp] for tp in led}, isolation)
            for leader, led in leaders.items()
        )
    )
    found, gone = dict[TopicPartition, Ahead](), list[TopicPartition]()
    for answer in answers:
        for tp, error, ahead in answer:
            if error is OffsetOutOfRangeError:
                gone.append(tp)
            elif ahead is None:
                consumer._client.force_metadata_update()  # its leader moved: unknown for now
            else:
                found[tp] = ahead
    return found, gone


async def _leaders(
    consumer: Consumer, partitions: Iterable[TopicPartition]
) -> dict[int, list[TopicPartition]]:
    """Return which broker leads which partitions. One that nobody leads is left out, and its
    topic's metadata are asked for again, behind this answer."""
    client, leaders = consumer._client, defaultdict[int, list[TopicPartition]](list)
    topics = {tp.topic for tp in partitions}
    if not all(await asyncio.gather(*(client.add_topic(topic) for topic in topics))):
        raise KafkaConnectionError("no broker says who leads which partitions")
    for tp in partitions:
        leader = client.cluster.leader_for_partition(tp)
        leaders[-1 if leader is None else leader].append(tp)
    if leaders.pop(-1, None):
        client.force_metadata_update()
    return leaders


async def _offsets(
    consumer: Consumer, partitions: Collection[TopicPartition], which: int
) -> dict[TopicPartition, int]:
    leaders = await _leaders(consumer, partitions)
    answers = await asyncio.gather(
        *(_offsets_from(consumer, leader, led, which) for leader, led in leaders.items())
    )
    return {tp: offset for answer in answers for tp, offset in answer.items()}


async def _offsets_from(
    consumer: Consumer, leader: int, partitions: Iterable[TopicPartition], which: int
) -> dict[TopicPartition, int]:
    topics: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for tp in partitions:
        topics[tp.topic].append((tp.partition, which))
    request = OffsetRequest(-1, READ_UNCOMMITTED, list(topics.items()))
    response = await consumer._client.send(leader, request)
    found = {
        TopicPartition(topic, number): int(offset)
        for topic, answers in response.topics
        for number, error, _, offset, *_ in answers
        if not error
    }
    if found.keys() != set(partitions):
        consumer._client.force_metadata_update()  # a leader moved: unknown for now
    return found


async def _fetch_from(
    consumer: Consumer, leader: int, offsets: Mapping[TopicPartition, int], isolation: int
) -> list[tuple[TopicPartition, type[KafkaError], Ahead | None]]:
    topics: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for tp, offset in offsets.items():
        topics[tp.topic].append((tp.partition, offset, FETCH_BYTES_MAX))
    request = FetchRequest(0, 0, FETCH_BYTES_MAX, isolation, list(topics.items()))
    response = await consumer._client.send(leader, request)
    return [
        (tp, error, _ahead(tp, offsets[tp], isolation, answer) if not answer[0] else None)
        for topic, partitions in response.topics
        for number, *answer in partitions
        for tp, error in [(TopicPartition(topic, number), for_code(answer[0]))]
    ]


def _ahead(tp: TopicPartition, offset: int, isolation: int, answer: Any) -> Ahead:
    # As aiokafka's own fetcher has it: the last stable offset is the first of the rest, the records
    # are the last, and the transactions that were aborted the one before, or with version 11 the
    # second before.
    _, end, stable, *_ = answer
    aborted = next((part for part in answer[3:] if isinstance(part, list)), None)
    records = PartitionRecords(
        tp, fetcher.MemoryRecords(answer[-1]), aborted, offset, None, None, True, isolation
    )
    for record in records:
        return Ahead(record.offset, end, record.timestamp / 1_000)
    clear_to = records.next_fetch_offset
    return Ahead(clear_to, end, is_open=isolation == READ_COMMITTED and stable <= clear_to < end)
