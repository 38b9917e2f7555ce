"""The real fold for engines that bring one event at a time: row in, row and what is told out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES, partition_of
from app.topics.codec import Code, Refusal, decode
from bench import workload
from bench.records import PARTITIONS
from models.codes import changed
from models.person import fold, unknown
from models.rows import decode_row, encode_row

_encode_json = msgspec.json.Encoder().encode

Header = tuple[str, bytes]


class Incoming(NamedTuple):
    """A record as it came."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None


class Told(NamedTuple):
    """A record to be sent, under the key of its cause; `topic` lacks the side's prefix."""

    topic: str
    value: bytes
    headers: Sequence[Header] = ()


def fold_one(stored: bytes | None, record: Incoming) -> tuple[bytes | None, list[Told]]:
    """Fold one record into a row; return the row to store, None for no change, and what to tell."""
    at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    try:
        event: Any = decode(record.value, record.key, (), workload.INPUT, at)
        if stored is None and partition_of(record.key, PARTITIONS) != record.partition:
            raise Refusal(Code.WRONG_PARTITION, "")
    except Refusal as refusal:
        return None, [_dead_letter(record, str(refusal.code), True)]
    row = unknown(event.partitionkey, at) if stored is None else decode_row(stored)
    outcome = fold(row, event, at)
    person = outcome.person
    if person.facts is row.facts and not outcome.changes and not outcome.notices:
        return None, []
    told = [Told(STATUS_CHANGES, _encode_json(changed(change))) for change in outcome.changes]
    if person.code.version != row.code.version:
        told.append(Told(HEALTH_CODES, _encode_json(person.code)))
    told += (_dead_letter(record, str(n.objection), n.refused) for n in outcome.notices)
    return encode_row(person), told


def _dead_letter(record: Incoming, reason: str, refused: bool) -> Told:
    headers = (
        ("yk_partition", b"%d" % record.partition),
        ("yk_offset", b"%d" % record.offset),
        ("yk_reason", reason.encode()),
        ("yk_refused", b"true" if refused else b"false"),
    )
    return Told(DEAD_LETTERS, record.value or b"", headers)
