"""Records as a consumer hands them over, made without a broker."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord

from app.process.consumer import LogRecord
from app.topics.catalogue import CATALOGUE, partition_of
from app.topics.codec import encode
from app.topics.records import Record
from models.events import Event, type_of
from support.macs import signed

PARTITIONS = CATALOGUE.partitions


def record(
    event: Event | bytes | None,
    arrived_at: datetime,
    offset: int = 0,
    topic: str | None = None,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    author: str | None = "",
) -> LogRecord:
    """The record of an event, or of bytes that are none, with a MAC of its author; with none if
    that is None."""
    if isinstance(event, bytes | None):
        value: Any = event
    else:
        value, key = encode(event), key or event.partitionkey.encode()
        topic = topic or CATALOGUE.topic_of(type_of(event)).name
    assert topic is not None
    if author is not None:
        headers = signed(Record(topic, key, value, tuple(headers)), author).headers
    milliseconds = int(arrived_at.timestamp() * 1000)
    return ConsumerRecord(
        topic=topic,
        partition=partition_of(key or b"", PARTITIONS),
        offset=offset,
        timestamp=milliseconds,
        timestamp_type=1,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )


class BadName(str):
    """A text that is written as other bytes."""

    raw: bytes

    def __new__(cls, text: str, raw: bytes) -> "BadName":
        self = super().__new__(cls, text)
        self.raw = raw
        return self

    def encode(self, *_: Any) -> bytes:
        return self.raw
