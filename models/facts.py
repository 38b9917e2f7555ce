"""An event in a person's row: with its arrival, and written in few bytes.

A row has many events and reads few of them, so each stays as written until a rule asks for it. An
event is written as its type's number and its values, without names: a third of what CloudEvents
take. Rows of before have events with names; both are read, and what is written is of the new kind.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from operator import attrgetter, or_
from typing import Any, get_args

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple, fields

from models.events import (
    CaseConfirmed,
    CaseDischarged,
    CaseExcluded,
    CaseRetracted,
    CaseSuspected,
    ContactListed,
    ContactRetracted,
    ContactWithdrawn,
    IdentityRetracted,
    IdentityVerified,
    NatResultReported,
    NatResultReportedV2,
    NatResultRetracted,
    ProvincialCodeReported,
    ProvincialCodeRetracted,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineRetracted,
    QuarantineTransferred,
    StatusEvent,
)

NUMBERS: dict[type, int] = {
    IdentityVerified: 1,
    IdentityRetracted: 2,
    NatResultReported: 3,
    NatResultRetracted: 4,
    CaseSuspected: 5,
    CaseConfirmed: 6,
    CaseExcluded: 7,
    CaseDischarged: 8,
    CaseRetracted: 9,
    ContactListed: 10,
    ContactWithdrawn: 11,
    ContactRetracted: 12,
    QuarantineOrdered: 13,
    QuarantineTransferred: 14,
    QuarantineReleased: 15,
    QuarantineRetracted: 16,
    ProvincialCodeReported: 17,
    ProvincialCodeRetracted: 18,
    NatResultReportedV2: 19,
}
"""The number of each type in stored rows. A number is never given to another type, and fields are
only ever added to a type's data at the end, with a default."""


class Fact(Struct, frozen=True, array_like=True):
    """An event about a person, and when it arrived (its append to the log)."""

    source: str
    id: str
    supersedes: str | None
    arrived_at: datetime
    written: Raw

    def event(self, person: str) -> StatusEvent:
        """Return the event, which is about `person`."""
        return _read(self, person)


identity: Callable[[Any], tuple[str, str]] = attrgetter("source", "id")
"""The source and id of a fact or an event."""


def find(facts: Sequence[Fact], own: tuple[str, str]) -> Fact | None:
    """Return the fact of the source and id `own`; `facts` are sorted by both."""
    place = bisect_left(facts, own, key=identity)
    return facts[place] if place < len(facts) and identity(facts[place]) == own else None


def named_by(facts: Sequence[Fact], claim: Fact | StatusEvent) -> Fact | None:
    """Return the fact of the event that `claim` says it corrects."""
    return None if claim.supersedes is None else find(facts, (claim.source, claim.supersedes))


def fact_of(event: StatusEvent, arrived_at: datetime) -> Fact:
    """Return `event` as a fact."""
    return Fact(event.source, event.id, event.supersedes, arrived_at, Raw(_write(event)))


def same(fact: Fact, other: Fact, person: str) -> bool:
    """Say whether two facts about `person` are of one event with one content."""
    if fact.written == other.written:
        return True
    return not _is_compact(fact) and fact.event(person) == other.event(person)


def rewritten(fact: Fact, event: StatusEvent) -> Fact:
    """Return a fact of before, which has its names, as it is written now; `event` is its event."""
    return fact if _is_compact(fact) else fact_of(event, fact.arrived_at)


def _compact(cls: type) -> Any:
    """Return a struct for what is written of an event of type `cls`."""
    types = {field.name: field.type for field in fields(cls)}
    described = [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in fields(types["data"])
    ]
    data = msgspec.defstruct(types["data"].__name__, described, array_like=True)
    written = [("time", types["time"]), ("sequence", int), ("data", data)]
    return msgspec.defstruct(cls.__name__, written, array_like=True, tag=NUMBERS[cls])


_COMPACT: dict[type, Any] = {cls: _compact(cls) for cls in NUMBERS}
_FULL: dict[Any, tuple[Any, Any]] = {
    written: (cls, next(field.type for field in fields(cls) if field.name == "data"))
    for cls, written in _COMPACT.items()
}
_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[Raw], Any] = msgspec.msgpack.Decoder(reduce(or_, _COMPACT.values())).decode
_decode_named: Callable[[Raw], StatusEvent] = msgspec.msgpack.Decoder(StatusEvent).decode
_ARRAYS = range(0x90, 0xA0)
"""First bytes of a short array in MessagePack; an event with names begins with that of a map."""


def _is_compact(fact: Fact) -> bool:
    return memoryview(fact.written)[0] in _ARRAYS


def _write(event: StatusEvent) -> bytes:
    written = NUMBERS[type(event)], event.time, int(event.sequence), astuple(event.data)
    return _encode(written)  # the same bytes as of the structs by which it is read


def _read(fact: Fact, person: str) -> StatusEvent:
    if not _is_compact(fact):
        return _decode_named(fact.written)
    found = _decode(fact.written)
    cls, data = _FULL[type(found)]
    event: StatusEvent = cls(
        specversion="1.0",
        id=fact.id,
        source=fact.source,
        time=found.time,
        partitionkey=person,
        sequence=str(found.sequence),
        supersedes=fact.supersedes,
        data=data(*astuple(found.data)),
    )
    return event


assert set(get_args(StatusEvent)) == NUMBERS.keys(), "every type has a number"
