"""The letters on dead-letters and parked, as agents.dead_letters writes them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from app.process.consumer import LogRecord
from app.topics.records import Header, KafkaPlace

PARKED_PATH = "/parked"
"""Where a worker's status server tells its `ParkedSource`s."""


class ParkedSource(Struct, frozen=True):
    """A source that is parked in a partition of a topic since the record at `offset`, which reached
    the limit."""

    source: str
    topic: str
    partition: int
    offset: int


class Letter(Struct, frozen=True):
    """A record that was refused or put aside. `came_from` is None if time brought it about."""

    place: KafkaPlace
    at: datetime
    came_from: KafkaPlace | None
    reason: str
    detail: str
    source: str | None
    refused: bool
    sealed: bool
    bytes_left_out: int
    key: bytes | None
    value: bytes | None
    own_headers: tuple[Header, ...]
    """The headers that the record itself had."""


def letter_in(record: LogRecord) -> Letter:
    """Read a letter."""
    ours = {name: (raw or b"") for name, raw in record.headers if name.startswith("yk_")}

    def text(name: str) -> str | None:
        return ours[name].decode(errors="replace") if name in ours else None

    value = record.value or b""
    return Letter(
        place=KafkaPlace(record.topic, record.partition, record.offset),
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


def _came_from(ours: Mapping[str, bytes]) -> KafkaPlace | None:
    if "yk_topic" not in ours:
        return None
    return KafkaPlace(ours["yk_topic"].decode(), int(ours["yk_partition"]), int(ours["yk_offset"]))


class LetterFilter(Struct, frozen=True):
    """Which letters are wanted. None takes any."""

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
