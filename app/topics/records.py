"""Events as records on Kafka, in both modes of CloudEvents."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from app.topics.catalogue import CATALOGUE
from models.events import Event, type_of

Header = tuple[str, bytes]
Headers = Sequence[tuple[str, bytes | None]]
"""As read: on Kafka a header may have no value."""

CLOUDEVENT: tuple[Header, ...] = (("content-type", b"application/cloudevents+json"),)


class KafkaPlace(Struct, frozen=True):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] at {self.offset}"


class Record(Struct, frozen=True):
    """A record as it goes on Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = CLOUDEVENT


def structured(event: Event) -> Record:
    """Return a record in structured mode: the whole event in the value."""
    topic = CATALOGUE.topic_of(type_of(event)).name
    return Record(topic, event.partitionkey.encode(), msgspec.json.encode(event))


def binary(event: Event) -> Record:
    """Return a record in binary mode: attributes in headers, data in the value."""
    attributes: dict[str, Any] = msgspec.to_builtins(event)
    data = attributes.pop("data")
    content_type = attributes.pop("datacontenttype", "application/json")
    return Record(
        topic=CATALOGUE.topic_of(type_of(event)).name,
        key=event.partitionkey.encode(),
        value=msgspec.json.encode(data),
        headers=(
            ("content-type", content_type.encode()),
            *((f"ce_{name}", str(value).encode()) for name, value in attributes.items()),
        ),
    )
