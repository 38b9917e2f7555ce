"""A file is a case, a listing or an order of one source. Which of its reports closes which.

The reports of a file are read in their places (models.corrections). What closes, closes all that is
open in its file, except what it cannot have closed: what was neither sent nor in effect at the
instant that it names (`precedes`). A wrong year turns nobody green.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from models.corrections import Order
from models.events import (
    CaseConfirmed,
    CaseDischarged,
    CaseExcluded,
    CaseSuspected,
    ContactListed,
    ContactWithdrawn,
    Envelope,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineTransferred,
    StatusEvent,
    counts_from,
)

CaseReport = CaseSuspected | CaseConfirmed | CaseExcluded | CaseDischarged
ContactReport = ContactListed | ContactWithdrawn
QuarantineReport = QuarantineOrdered | QuarantineTransferred | QuarantineReleased
FileReport = CaseReport | ContactReport | QuarantineReport

E_co = TypeVar("E_co", bound=Envelope, covariant=True)
R = TypeVar("R", bound=FileReport)


class Placed(NamedTuple, Generic[E_co]):
    """An event that counts, with the place in which it is read."""

    place: Order
    event: E_co


class Track(NamedTuple):
    """The types of reports that open something in a file, that close it, and that go on with it
    while it is open."""

    opens: type
    closes: tuple[type, ...]
    goes_on: tuple[type, ...] = ()


CONFIRMED_CASE = Track(CaseConfirmed, (CaseDischarged,))
SUSPECTED_CASE = Track(CaseSuspected, (CaseExcluded, CaseConfirmed))
LISTING = Track(ContactListed, (ContactWithdrawn,))
ORDER = Track(QuarantineOrdered, (QuarantineReleased,), goes_on=(QuarantineTransferred,))


OPENING = tuple(track.opens for track in (CONFIRMED_CASE, SUSPECTED_CASE, LISTING, ORDER))
"""What begins a case, a listing or an order. Every other report about one can only follow it."""


class Closed(NamedTuple):
    """What was open together, in its places, and what closed it; None if it is open still.

    `opened` is empty where `by` closes nothing, or goes on with nothing. The types are those of the
    track.
    """

    opened: Sequence[Placed[Any]]
    by: Placed[Any] | None


def file_of(event: StatusEvent) -> str | None:
    """Return what a source calls the case, listing or order that `event` is about, with its kind;
    None for an event about no such thing."""
    match event:
        case CaseSuspected() | CaseConfirmed() | CaseExcluded() | CaseDischarged():
            return f"case {event.data.case}"
        case ContactListed() | ContactWithdrawn():
            return f"listing {event.data.listing}"
        case QuarantineOrdered() | QuarantineTransferred() | QuarantineReleased():
            return f"order {event.data.order}"
        case _:
            return None


def precedes(closing: FileReport, opened: Placed[R]) -> bool:
    """Say whether `closing` is dated before what it would close was sent, and before it held.

    The second alone is right: an order may be revoked before it begins. A confirmation may be dated
    before the suspicion that it ends; it turns nobody green.
    """
    return not isinstance(closing, CaseConfirmed) and counts_from(closing) < held_from(opened)


def held_from(opened: Placed[R]) -> datetime:
    """Return when what opened something was sent, or when it held, whichever was first."""
    sent_at: datetime = opened.place[1]
    return min(counts_from(opened.event), sent_at)


def walk(reports: Sequence[Placed[R]], track: Track) -> Iterator[Closed]:
    """Yield what is closed together, with what closed it, and at last what stays open; of
    `reports`, in their places."""
    opened: list[tuple[datetime, Placed[R]]] = []  # by `held_from`, so what stays is at the end
    for report in reports:
        goes_on = opened and isinstance(report.event, track.goes_on)
        if goes_on or isinstance(report.event, track.opens):
            insort(opened, (held_from(report), report))
        elif isinstance(report.event, track.closes + track.goes_on):
            stays = bisect_left(opened, True, key=lambda one: precedes(report.event, one[1]))
            yield Closed(_in_their_places(opened[:stays]), report)
            del opened[:stays]
    yield Closed(_in_their_places(opened), None)


def _in_their_places(opened: Iterable[tuple[datetime, Placed[R]]]) -> Sequence[Placed[R]]:
    return sorted((report for _, report in opened), key=attrgetter("place"))


def steps_after(
    step: Placed[Any], released: Placed[Any] | None, steps: Iterable[Placed[R]]
) -> Iterator[Placed[R]]:
    """Yield those of `steps`, all of one order, that take the place of `step`, which `released`
    ends: what is in between, and is not dated before it."""
    for later in steps:
        if (
            step.place < later.place
            and (released is None or later.place < released.place)
            and not precedes(later.event, step)
        ):
            yield later


def suspicions(reports: Sequence[Placed[R]]) -> Sequence[Placed[R]]:
    """Leave out the suspicions of a case that is confirmed: none opens meanwhile."""
    kept, confirmed = [], list[Placed[R]]()
    for report in reports:
        match report.event:
            case CaseConfirmed():
                confirmed.append(report)
            case CaseDischarged() as discharge:
                confirmed = [case for case in confirmed if precedes(discharge, case)]
            case CaseSuspected() if confirmed:
                continue
        kept.append(report)
    return kept
