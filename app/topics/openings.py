"""What may open a reason for red, on its way round by the topic `openings`, and the mark that it
bears when it is back.

    input, partition of the person      openings, partition of the source
    event ──────────────────────────────> Opening (event, where it lay, when it came)
    event, yk_counted <────────────────── counted, within the limit or approved
    nothing, yk_counted <──────────────── held

Nobody but a worker can make the mark: a MAC under the workers' own key, over what the mark says and
over the record's own MAC, which covers all that the record says. So the event's author stays known
by its own.
"""

from typing import NamedTuple

import msgspec
from msgspec import Struct

from app.process.consumer import LogRecord
from app.process.macs import MAC
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, OPENINGS, partition_of
from app.topics.marks import marked, marked_text
from app.topics.records import CLOUDEVENT, Record
from models.codes import Reason
from models.events import Event

COUNTED = "yk_counted"
"""Header of a record that was counted: when it first arrived (ms since 1970), the offset at which
that was, and the workers' MAC. It is the last of its headers."""

RESENT_FROM = "yk_resent_from"
"""Header of a record that is sent again: the letter's topic, partition and offset. If the record is
refused again, its new letter leaves this header out."""

OPENING_MAC = "yk_opening_mac"
"""Header of a held record: the MAC that it had on openings, with which it goes back there."""


class Opening(Struct, frozen=True):
    """An event that may open `reason`, where it lay, and when it first arrived there (ms since
    1970). `event` is its JSON; `person` its key."""

    topic: str
    partition: int
    offset: int
    arrived: int
    reason: Reason
    person: str
    event: msgspec.Raw


encode_opening = msgspec.json.Encoder().encode
decode_opening = msgspec.json.Decoder(Opening).decode
"""Raise `msgspec.DecodeError` for what is no opening."""


def opening_of(record: LogRecord, event: Event, reason: Reason) -> Opening:
    """Return what goes to openings for the `event` in a record of an input."""
    return Opening(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        reason,
        event.partitionkey,
        msgspec.Raw(msgspec.json.encode(event)),
    )


class CountedMark(NamedTuple):
    """What the mark says: when the event first arrived (ms since 1970), and at which offset of its
    input it lay then: None in a mark of before rows noted what is away. What was held arrives when
    it goes on. `way` is that by which it went round, as its record tells by where it lies and whose
    it is."""

    arrived: int
    offset: int | None
    way: str


def as_counted(opening: Opening, source: str, arrived_at: int, keys: SourceKeys) -> Record:
    """Return the record that goes back to the input: the event of `source`, and the mark that it
    arrived at `arrived_at` (ms since 1970)."""
    return _back(opening, source, bytes(opening.event), arrived_at, keys)


def as_held(opening: Opening, source: str, keys: SourceKeys) -> Record:
    """Return the record that goes back to the input in place of an event that is held: nothing, and
    the mark. So the person's code waits for it no longer."""
    return _back(opening, source, None, opening.arrived, keys)


def _back(
    opening: Opening, source: str, value: bytes | None, arrived_at: int, keys: SourceKeys
) -> Record:
    record = Record(opening.topic, opening.person.encode(), value, CLOUDEVENT)
    said = b"%d-%d" % (arrived_at, opening.offset)
    return marked(keys.signed(record, source), COUNTED, said, keys)


def counted_mark(record: LogRecord, source: str, keys: SourceKeys) -> CountedMark | None:
    """Return the mark of a record of an input, which `source` has made by its own MAC, if a worker
    made it; None if it has no mark, or if nobody knows who says so."""
    said = marked_text(record, COUNTED, keys)
    if said is None:
        return None
    arrived, _, offset = said.partition(b"-")
    return CountedMark(int(arrived), int(offset) if offset else None, way_of(record, source))


def way_of(record: LogRecord, source: str) -> str:
    """Return by which way an event of `source` leaves the input of `record` and comes back there:
    the input, and the partition of openings between. What goes by one way keeps its order."""
    return f"{record.topic}/{openings_partition(source)}"


def openings_partition(source: str) -> int:
    """Return the partition of openings, and of the table that counts them, that has all of a
    source."""
    return partition_of(source.encode(), CATALOGUE.topics[OPENINGS].partitions)


def of_source(record: LogRecord) -> str:
    """Return the source of a record of openings."""
    return (record.key or b"").decode()


def as_it_lay(source: str, value: bytes | None, mac: bytes) -> Record:
    """Return the record of what is held, as it lay on openings and goes there again."""
    return Record(OPENINGS, source.encode(), value, ((MAC, mac),))
