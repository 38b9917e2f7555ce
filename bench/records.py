"""What both folds' input has in common."""

from base64 import b32encode
from typing import NamedTuple

PARTITIONS = 4
"""Of every topic of the benchmark, as of those of topics.yaml."""


class Record(NamedTuple):
    """A record to be published; `timestamp_ms` is when it arrived, None for now."""

    topic: str
    key: bytes
    value: bytes | None
    timestamp_ms: int | None = None


def person_key(digest: bytes) -> str:
    """Return 20 bytes as the key of a person who belongs to no document."""
    return "p1-" + b32encode(digest).decode().lower()
