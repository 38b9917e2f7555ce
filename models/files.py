"""A file is a case, a listing or an order of one source. Which of its reports closes which.

The reports of a file are read in their places (models.corrections). What closes, closes all that is
open in its file, except what it cannot have closed: what was neither sent nor in effect at the
instant that it names (`precedes`). A wrong year turns nobody green.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
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
