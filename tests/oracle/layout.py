"""What lies where: the inputs of each table, its changelog, and what a transaction of it says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiokafka.partitioner import murmur2

from app.engine.store import APPLIED, DUE, TOPIC_ID
from app.process.consumer import LogRecord
from app.topics.authentic import NotAuthentic
from app.topics.catalogue import CATALOGUE, EVERY_TABLE
from app.topics.codec import Code, Refusal, decode
from app.topics.openings import CountedMark, counted_mark
from oracle.replay import arrival
from support.macs import KEYS

NUMBERS = range(CATALOGUE.partitions)
INPUTS = {topic.name: topic for topic in CATALOGUE.topics.values() if topic.folds_into}
CHANGELOGS = {table: f"yuekang-{table}-changelog" for table in ("people", "scans", "quotas")}
FORWARDED_FROM = "yk_forwarded_from"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Transaction(NamedTuple):
    """Consecutive records of a changelog: markers take offsets, so a gap parts transactions."""

    table: str
    number: int
    records: list[LogRecord]


def places_of(transaction: Transaction) -> Iterator[tuple[str, int]]:
    """Yield the inputs that a transaction stands for, each with the offset reached."""
    for record in transaction.records:
        if record.key is not None and record.key.startswith(APPLIED):
            yield record.key[len(APPLIED) :].decode(), int(record.value or b"")


def topic_ids_of(transaction: Transaction) -> dict[str, str]:
    """Return the ids of topics that a transaction writes beside their places."""
    return {
        record.key[len(TOPIC_ID) :].decode(): (record.value or b"")[DUE.size :].decode()
        for record in transaction.records
        if record.key is not None and record.key.startswith(TOPIC_ID)
    }


def tables_of(topic: str) -> tuple[str, ...]:
    """Return the tables that an input topic folds into."""
    into = INPUTS[topic].folds_into
    return tuple(CHANGELOGS) if into == EVERY_TABLE else (str(into),)


def decoded(record: LogRecord) -> tuple[Any, Refusal | None]:
    """Return the event of a record, or why it is refused."""
    topic = INPUTS[record.topic]
    try:
        event = decode(record.value, record.key, record.headers, topic, arrived(record))
    except Refusal as refusal:
        return None, refusal
    if is_misplaced(record) and FORWARDED_FROM in dict(record.headers):
        return None, Refusal(Code.WRONG_PARTITION, "")
    return event, None


def arrived(record: LogRecord) -> datetime:
    """Return when a record counts as arrived: when it first did, if it comes back counted."""
    mark = mark_in(record)
    return arrival(record) if mark is None else datetime.fromtimestamp(mark.arrived / 1_000, UTC)


def mark_in(record: LogRecord) -> CountedMark | None:
    """Return the mark of a record that comes back counted, or is held; None of any other."""
    try:
        return counted_mark(record, KEYS.author(record), KEYS)
    except NotAuthentic:
        return None


def is_misplaced(record: LogRecord) -> bool:
    """Say whether a record lies in another partition than its own; of a scan nobody asks."""
    right = (murmur2(record.key) & 0x7FFFFFFF) % INPUTS[record.topic].partitions
    return record.topic != "scans" and bool(right != record.partition)


def microseconds(at: datetime | None) -> int:
    """Return an instant as a due row has it."""
    return 0 if at is None else (at - _EPOCH) // timedelta(microseconds=1)
