"""The lists of a person's health information that bear on no code, and how an event joins one.

What they are is the manual's (三（二）查看本人健康信息). Results of nucleic acid tests and release
notices are not among them: they are facts of the person's row (models.person), since they do bear
on the code.

A list holds what it was sent, newest first, each (source, id) once. A correction or retraction
hides what it names and stays itself, so it may come first. A list is bounded by policy in number
and in age; at its bound the oldest leaves, and the list says that there was more. So the end does
not depend on the order of arrival, except that a correction cannot bring back what had left.
"""

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from models.corrections import standing
from models.events import (
    BorderEntryRecorded,
    BorderEntryRetracted,
    DeclarationSubmitted,
    DisplayRecorded,
    EntryRegistrationRetracted,
    EntryRegistrationSubmitted,
    HealthCertificateIssued,
    HealthCertificateRetracted,
    IggResultReported,
    IggResultRetracted,
    Instant,
    ListedEvent,
    ListName,
    NationalStatusReported,
    NationalStatusRetracted,
    TemperatureMeasured,
    TemperatureRetracted,
)
from models.policy import ListBound, policy_at

_RETRACTED = "time"

OF: Final[dict[type[ListedEvent], tuple[ListName, str]]] = {
    IggResultReported: (ListName.IGG_RESULTS, "data.sampled_at"),
    IggResultRetracted: (ListName.IGG_RESULTS, _RETRACTED),
    HealthCertificateIssued: (ListName.CERTIFICATES, "data.issued_at"),
    HealthCertificateRetracted: (ListName.CERTIFICATES, _RETRACTED),
    NationalStatusReported: (ListName.NATIONAL_STATUSES, "data.reported_at"),
    NationalStatusRetracted: (ListName.NATIONAL_STATUSES, _RETRACTED),
    EntryRegistrationSubmitted: (ListName.ENTRY_REGISTRATIONS, "data.registered_at"),
    EntryRegistrationRetracted: (ListName.ENTRY_REGISTRATIONS, _RETRACTED),
    BorderEntryRecorded: (ListName.BORDER_ENTRIES, "data.entered_at"),
    BorderEntryRetracted: (ListName.BORDER_ENTRIES, _RETRACTED),
    DeclarationSubmitted: (ListName.DECLARATIONS, "data.declared_at"),
    DisplayRecorded: (ListName.DISPLAYS, "data.displayed_at"),
    TemperatureMeasured: (ListName.TEMPERATURES, "data.measured_at"),
    TemperatureRetracted: (ListName.TEMPERATURES, _RETRACTED),
}
"""Which list an event joins, and the instant that it has its place by."""

_AT: dict[type[ListedEvent], Callable[[ListedEvent], datetime]] = {
    kind: attrgetter(path) for kind, (_, path) in OF.items()
}


_NOTHING = Raw(b"null")


class Entry(Struct, frozen=True, omit_defaults=True):
    """An event in a list: when it happened, when it arrived, and its data as it was sent.

    `data` is null in a retraction, which is kept for what it takes back and never shown.
    """

    source: str
    id: str
    sequence: str
    at: Instant
    arrived_at: Instant
    data: Raw
    supersedes: str | None = None

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Place among the entries of the same source."""
        return int(self.sequence), self.at, self.id


class Listing(Struct, frozen=True, omit_defaults=True):
    """A row of the table: one list of one person, newest first.

    `more` says that entries left it because it was full, not because of their age.
    """

    entries: tuple[Entry, ...] = ()
    more: bool = False


class Conflict(Exception):
    """An event of the same identity is in the list already, with another content, which stays."""


EMPTY = Listing()


def list_of(event: ListedEvent) -> ListName:
    """Return the list that `event` joins."""
    return OF[type(event)][0]


def add(listing: Listing, event: ListedEvent, arrived_at: datetime) -> Listing:
    """Return the list with `event`, which arrived at `arrived_at`; the same one for a duplicate.

    Raise `Conflict` where its identity is there with another content.
    """
    entry, entries = _entry(event, arrived_at), listing.entries
    for known in entries:
        if known.id == entry.id and known.source == entry.source:
            if replace(known, arrived_at=arrived_at) == entry:
                return listing
            raise Conflict
    bound = bound_of(list_of(event), arrived_at)
    at = next((n for n, e in enumerate(entries) if _place(e) < _place(entry)), len(entries))
    kept = _in_time((*entries[:at], entry, *entries[at:]), bound, arrived_at)
    return Listing(kept[: bound.kept_max], listing.more or len(kept) > bound.kept_max)


def advance(listing: Listing, name: ListName, to: datetime) -> Listing:
    """Return the list without what is too old at `to`."""
    return Listing(_in_time(listing.entries, bound_of(name, to), to), listing.more)


def due_at(listing: Listing, name: ListName, at: datetime) -> datetime | None:
    """Return when, as seen at `at`, the next entry leaves for its age; None while there is none."""
    return listing.entries[-1].at + bound_of(name, at).kept_for if listing.entries else None


def shown(listing: Listing, name: ListName, at: datetime) -> list[Entry]:
    """Return what is to be shown at `at`, newest first: neither taken back, nor too old."""
    stand = {(entry.source, entry.id) for entry in standing(listing.entries)}
    return [
        entry
        for entry in _in_time(listing.entries, bound_of(name, at), at)
        if entry.data != _NOTHING and (entry.source, entry.id) in stand
    ]


def bound_of(name: ListName, at: datetime) -> ListBound:
    """Return the bound of a list by the policy in force at `at`, whenever its entries are from."""
    return policy_at(at).lists[name]


def _in_time(entries: tuple[Entry, ...], bound: ListBound, at: datetime) -> tuple[Entry, ...]:
    """Return the entries that are not too old; the oldest stand at the end."""
    oldest, count = at - bound.kept_for, len(entries)
    while count and entries[count - 1].at <= oldest:
        count -= 1
    return entries[:count]


def _place(entry: Entry) -> tuple[datetime, int, str, str]:
    return entry.at, int(entry.sequence), entry.source, entry.id


_write = msgspec.json.Encoder().encode


def _entry(event: ListedEvent, arrived_at: datetime) -> Entry:
    retracted = OF[type(event)][1] == _RETRACTED
    return Entry(
        source=event.source,
        id=event.id,
        sequence=event.sequence,
        at=_AT[type(event)](event),
        arrived_at=arrived_at,
        data=_NOTHING if retracted else Raw(_write(event.data)),
        supersedes=event.supersedes,
    )
