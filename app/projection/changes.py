"""A change of somebody's status, as others than its person may see it."""

from datetime import datetime

from msgspec import Struct

from models.codes import Colour, Reason


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
    city: str | None = None


class PublicChanged(Struct, frozen=True):
    """What others may see of a change's CloudEvent (models.codes.StatusChanged), by the same
    names."""

    data: PublicChange
