"""What of a change others than its person may see, field by field."""

from app.projection.changes import PublicCause, PublicChange, PublicStatus
from models.codes import Status, StatusChange


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
