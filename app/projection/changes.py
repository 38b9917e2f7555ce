"""A change of somebody's status, as others than its person may see it."""

from datetime import datetime

from msgspec import Struct

from models.codes import Colour, Reason, Status, StatusChange


class PublicStatus(Struct, frozen=True):
    """A change's `Status`, as others than its person may see it."""

    colour: Colour
    reasons: tuple[Reason, ...] = ()


class PublicCause(Struct, frozen=True, omit_defaults=True):
    """Who brought a change about, and by what; neither if time did."""

    source: str | None = None
    type: str | None = None


class PublicChange(Struct, frozen=True):
    """A change of somebody's status, without the person and without the event's id."""

    at: datetime
    before: PublicStatus
    after: PublicStatus
    cause: PublicCause
    city: str | None


def public(change: StatusChange) -> PublicChange:
    """Return what others than the person may see of a change."""
    return PublicChange(
        change.at,
        _public_status(change.before),
        _public_status(change.after),
        PublicCause(change.cause.source, change.cause.type),
        change.city,
    )


def _public_status(status: Status) -> PublicStatus:
    return PublicStatus(status.colour, status.reasons)
