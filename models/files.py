"""A file is a case, a listing or an order of one source. Which of its reports closes which.

The reports of a file are read in their places (models.corrections). What closes, closes all that is
open in its file, except what it cannot have closed: what was neither sent nor in effect at the
instant that it names (`precedes`). A wrong year turns nobody green.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, assert_never

from models.corrections import Order
from models.events import (
    CaseConfirmed,
    CaseDischarged,
    CaseExcluded,
    CaseRetracted,
    CaseSuspected,
    ContactListed,
    ContactRetracted,
    ContactWithdrawn,
    Envelope,
    IdentityRetracted,
    IdentityVerified,
    NatResultReported,
    NatResultRetracted,
    ProvincialCodeReported,
    ProvincialCodeRetracted,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineRetracted,
    QuarantineTransferred,
    StatusEvent,
)

CaseReport = CaseSuspected | CaseConfirmed | CaseExcluded | CaseDischarged
ContactReport = ContactListed | ContactWithdrawn
QuarantineReport = QuarantineOrdered | QuarantineTransferred | QuarantineReleased
FileReport = CaseReport | ContactReport | QuarantineReport

OPENING = (CaseSuspected, CaseConfirmed, ContactListed, QuarantineOrdered)
"""What begins a case, a listing or an order. Every other report about one can only follow it."""

E = TypeVar("E", bound=Envelope)
R = TypeVar("R", bound=FileReport)


class Placed(NamedTuple, Generic[E]):
    """An event that counts, with the place in which it is read."""

    place: Order
    event: E


class Closed(NamedTuple):
    """What was open together, in its places, and what closed it; None if it is open still.

    Their types are among those that `walk` was told.
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


def counts_from(event: StatusEvent) -> datetime:
    """Return the instant from which what `event` says counts; for a retraction, its own time."""
    match event:
        case IdentityVerified(data=identity):
            return identity.verified_at
        case NatResultReported(data=result):
            return result.reported_at
        case CaseSuspected(data=suspected):
            return suspected.reported_at
        case CaseConfirmed(data=confirmed):
            return confirmed.confirmed_at
        case CaseExcluded(data=excluded):
            return excluded.excluded_at
        case CaseDischarged(data=discharged):
            return discharged.discharged_at
        case ContactListed(data=listed):
            return listed.listed_at
        case ContactWithdrawn(data=withdrawn):
            return withdrawn.withdrawn_at
        case QuarantineOrdered(data=ordered):
            return ordered.starts_at
        case QuarantineTransferred(data=transferred):
            return transferred.transferred_at
        case QuarantineReleased(data=released):
            return released.released_at
        case ProvincialCodeReported(data=code):
            return code.reported_at
        case (
            IdentityRetracted()
            | NatResultRetracted()
            | CaseRetracted()
            | ContactRetracted()
            | QuarantineRetracted()
            | ProvincialCodeRetracted()
        ):
            return event.time
        case _:
            assert_never(event)


def precedes(closing: FileReport, opened: Placed[R]) -> bool:
    """Say whether `closing` is dated before what it would close was sent, and before it held.

    The second alone is right: an order may be revoked before it begins. A confirmation may be dated
    before the suspicion that it ends; it turns nobody green.
    """
    sent_at: datetime = opened.place[1]
    return not isinstance(closing, CaseConfirmed) and counts_from(closing) < min(
        counts_from(opened.event), sent_at
    )


def walk(
    reports: Sequence[Placed[R]],
    opens: tuple[type, ...],
    closes: tuple[type, ...],
    goes_on: tuple[type, ...] = (),
) -> Iterator[Closed]:
    """Yield what is closed together, with what closed it, and at last what stays open.

    Of `reports`, in their places, those of the types `opens` open and those of `closes` close.
    Those of `goes_on` open too, while something is open.
    """
    opened: list[Placed[R]] = []
    for report in reports:
        if isinstance(report.event, opens) or (opened and isinstance(report.event, goes_on)):
            opened.append(report)
        elif isinstance(report.event, closes):
            stays = [one for one in opened if precedes(report.event, one)]
            if len(stays) < len(opened):
                yield Closed([one for one in opened if one not in stays], report)
            opened = stays
    yield Closed(opened, None)
