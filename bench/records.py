"""What both folds' input has in common."""

from base64 import b32encode
from typing import NamedTuple

from app.topics.authentic import SourceKeys, mac_variables
from app.topics.catalogue import CATALOGUE
from app.topics.codec import source_in

PARTITIONS = 4
"""Of every topic of the benchmark, as of those of topics.yaml."""


class Record(NamedTuple):
    """A record to be published; `timestamp_ms` is when it arrived, None for now. It is authentic
    for `author`, by default for the source that it names; it has no MAC where it names none."""

    topic: str
    key: bytes
    value: bytes | None
    timestamp_ms: int | None = None
    author: str | None = None


MAC_KEY = bytes(range(32))
"""Of every stack that is measured: there is nothing in them to protect."""

KEYS = SourceKeys.of_master(MAC_KEY)

ENVIRONMENT = mac_variables(MAC_KEY)


def headers_of(record: Record) -> list[tuple[str, bytes]]:
    """Return the headers with which a record is published."""
    author = record.author or source_in(record.value, ())
    if author is None or CATALOGUE.authority_of(author) is None:  # as in the counting fold
        return []
    return [KEYS.of(author).header(record.topic, record.key, record.value, ())]


def person_key(digest: bytes) -> str:
    """Return 20 bytes as the key of a person who belongs to no document."""
    return "p1-" + b32encode(digest).decode().lower()
