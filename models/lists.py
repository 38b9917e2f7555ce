"""The lists of a person's health information that bear on no code, and how an event joins one.

The manual names the lists (三（二）查看本人健康信息). Results of nucleic acid tests and release
notices are not among them: they do bear on the code, so they are facts of the person's row
(models.person).

A list holds what it was sent, newest first, each (source, id) once. A correction or retraction
hides what it names and stays itself, so it may come first. Policy bounds a list in number and in
age. If a list is full, the oldest entry leaves, and the list says that there was more. The age of a
correction counts from its sending, whatever instant it is about. So it stays as long as what it
names could, and nothing that was taken back returns.

So the result does not depend on the order of arrival, with one exception: a correction cannot bring
back what had left.
"""

from bisect import bisect_left
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
    TelecomVisitReported,
    TelecomVisitRetracted,
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
    TelecomVisitReported: (ListName.TELECOM_VISITS, "data.seen_at"),
    TelecomVisitRetracted: (ListName.TELECOM_VISITS, _RETRACTED),
}
"""Which list an event joins, and the instant that gives it its place there."""

_AT: dict[type[ListedEvent], Callable[[ListedEvent], datetime]] = {
    kind: attrgetter(path) for kind, (_, path) in OF.items()
}


_NOTHING = Raw(b"null")


class Entry(Struct, frozen=True, omit_defaults=True):
    """An event in a list: when it happened, when it arrived, and its data as it was sent.

    `data` is null in a retraction, which is kept for what it takes back and never shown. `sent_at`
    is a correction's `time`; None in an entry that corrects nothing.
    """

    source: str
    id: str
    sequence: str
    at: Instant
    arrived_at: Instant
    data: Raw
    supersedes: str | None = None
    sent_at: Instant | None = None

    @property
    def held_from(self) -> datetime:
        """The instant from which its age counts."""
        return self.at if self.sent_at is None else max(self.at, self.sent_at)

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Place among the entries of the same source."""
        return int(self.sequence), self.at, self.id

    @property
    def family(self) -> str:
        """The same for all: a list has events of one kind."""
        return ""

    @property
    def retracts(self) -> bool:
        """Whether it takes an earlier entry back, and has nothing to show."""
        return self.data == _NOTHING


class Listing(Struct, frozen=True, omit_defaults=True):
    """A row of the table: one list of one person, by `held_from`, newest first.

    `more` says that entries left it because it was full, not because of their age.
    """

    entries: tuple[Entry, ...] = ()
    more: bool = False


class Conflict(Exception):
    """The list already has an event of this identity with other content. That event stays."""


EMPTY = Listing()


def list_of(event: ListedEvent) -> ListName:
    """Return the list that `event` joins."""
    return OF[type(event)][0]


def add(listing: Listing, event: ListedEvent, arrived_at: datetime) -> Listing:
    """Return the list with `event`, which arrived at `arrived_at`; for a duplicate, the same list.

    Raise `Conflict` if the list has this identity with other content.
    """
    entry = _entry(event, arrived_at)
    for known in listing.entries:
        if known.id == entry.id and known.source == entry.source:
            if replace(known, arrived_at=arrived_at, sent_at=entry.sent_at) == entry:
                return listing
            raise Conflict
    bound = bound_of(list_of(event), arrived_at)
    listing = _advance(listing, bound, arrived_at)
    entries, place = listing.entries, _place(entry)
    at = bisect_left(range(len(entries)), True, key=lambda n: _place(entries[n]) < place)
    kept = _in_time((*entries[:at], entry, *entries[at:]), bound, arrived_at)
    return Listing(kept[: bound.kept_max], listing.more or len(kept) > bound.kept_max)


def drop_old(listing: Listing, name: ListName, to: datetime) -> Listing:
    """Return the list without what is too old at `to`."""
    return _advance(listing, bound_of(name, to), to)


def _advance(listing: Listing, bound: ListBound, to: datetime) -> Listing:
    kept = _in_time(listing.entries, bound, to)
    # An entry that left because the list was full was older than all that stayed. So it is too old
    # by now as well.
    return Listing(kept, listing.more and len(kept) == len(listing.entries))


def due_at(listing: Listing, name: ListName, at: datetime) -> datetime | None:
    """Return when, as seen at `at`, the next entry leaves for its age; None for an empty list."""
    if not listing.entries:
        return None
    return listing.entries[-1].held_from + bound_of(name, at).kept_for


def shown(listing: Listing, name: ListName, at: datetime) -> list[Entry]:
    """Return the entries to show at `at`, newest first: those neither taken back nor too old."""
    oldest = at - bound_of(name, at).kept_for
    return sorted(
        (e for e in standing(listing.entries) if e.data != _NOTHING and e.at > oldest),
        key=lambda entry: (entry.at, _place(entry)),
        reverse=True,
    )


def bound_of(name: ListName, at: datetime) -> ListBound:
    """Return the bound of a list by the policy in force at `at`, whatever the dates of its
    entries."""
    return policy_at(at).lists[name]


def _in_time(entries: tuple[Entry, ...], bound: ListBound, at: datetime) -> tuple[Entry, ...]:
    """Return the entries that are not too old; the oldest stand at the end."""
    oldest, count = at - bound.kept_for, len(entries)
    while count and entries[count - 1].held_from <= oldest:
        count -= 1
    return entries[:count]


def _place(entry: Entry) -> tuple[datetime, int, datetime, str, str]:
    """Return the sort key of an entry. A correction comes before what it names, so at the end of a
    full list the correction leaves later."""
    return entry.held_from, *entry.order, entry.source


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
        sent_at=event.time if event.supersedes is not None else None,
    )
