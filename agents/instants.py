"""Instants as Kafka and the store have them."""

from datetime import UTC, datetime


def instant(milliseconds: int) -> datetime:
    """Return a record's timestamp (append to the log, in ms) as an instant."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def microseconds(at: datetime) -> int:
    """Return `at` in microseconds of the epoch."""
    seconds = int(at.timestamp() // 1)
    return seconds * 1_000_000 + at.microsecond
