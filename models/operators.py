"""What an operator says by name: typed events. Here are those that let something go on, a parked
source, a partition that stands still, what is held. Changes of the register are `models.register`.
"""

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from models.codes import Reason
from models.events import EVENT_ID, SOURCE_LENGTH_MAX, Instant

SOURCE_RELEASED: Final = "yuekang.source.released.v1"
PARTITION_RELEASED: Final = "yuekang.partition.released.v1"
OPENINGS_APPROVED: Final = "yuekang.openings.approved.v1"

SOURCE_READ = r"/[A-Za-z0-9/._-]{1,95}"
"""What can be read as a source, even in a record that is refused for its source."""

OPERATOR = re.compile(r"^/operators/[a-z0-9]+(-[a-z0-9]+)*$(?!\n)")
"""An operator by name. One operator has one spelling: `$` alone lets a line's end stand behind it,
and would make two of one."""

UNNAMED = "/operator"
"""Of releases of before; it may be anybody, so it is no second operator."""

OperatorEventId = Annotated[
    str,
    Meta(pattern=EVENT_ID.pattern, description="Unique within the source; printable ASCII."),
]
OperatorName = Annotated[
    str,
    Meta(
        pattern=OPERATOR.pattern,
        max_length=SOURCE_LENGTH_MAX,
        description="The operator by name, /operators/….",
    ),
]
AnyOperator = Annotated[
    str,
    Meta(
        pattern=rf"^{UNNAMED}$(?!\n)|{OPERATOR.pattern}",
        max_length=SOURCE_LENGTH_MAX,
        description="The operator by name, /operators/…; /operator in releases of before.",
    ),
]
SourceRead = Annotated[
    str,
    Meta(
        pattern=f"^{SOURCE_READ}$",
        description="A source as it is read from a record, also from one that is refused for it.",
    ),
]


class SourceReleasedData(Struct, frozen=True, forbid_unknown_fields=True):
    source: SourceRead


class OperatorEvent(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"
):
    """What each CloudEvent has that an operator writes."""

    id: OperatorEventId
    time: Instant
    source: OperatorName
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


class SourceReleased(OperatorEvent, frozen=True, kw_only=True, tag=SOURCE_RELEASED):
    """An operator has looked, and lets a source go on.

    Written to every partition; each holder of a partition forgets what it counted of the source
    there, in every topic.
    """

    source: AnyOperator
    data: SourceReleasedData


class PartitionReleasedData(Struct, frozen=True, forbid_unknown_fields=True):
    """The partition and the table that goes on. With `topic` and `offset` that record is left
    aside; without a topic, what stands there because of time alone goes on too."""

    table: Annotated[str, Meta(pattern=r"^[a-z]{1,20}$")]
    partition: Annotated[int, Meta(ge=0)]
    reason: Annotated[str, Meta(min_length=1, max_length=200)]
    topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] | None = None
    offset: Annotated[int, Meta(ge=0)] | None = None


class PartitionReleased(OperatorEvent, frozen=True, kw_only=True, tag=PARTITION_RELEASED):
    """An operator has looked, and lets a partition go on that stands still. Written to that
    partition alone."""

    source: AnyOperator
    data: PartitionReleasedData


class OpeningsApprovedData(Struct, frozen=True, forbid_unknown_fields=True):
    """What a source sent for one reason and first arrived at `until` or before; `why` it is
    believed. `subject` is the `sub` of the operator's token."""

    source: SourceRead
    reason: Annotated[str, Meta(pattern=f"^({'|'.join(reason.slug for reason in Reason)})$")]
    until: Instant
    why: Annotated[str, Meta(min_length=1, max_length=200)]
    subject: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class OpeningsApproved(OperatorEvent, frozen=True, kw_only=True, tag=OPENINGS_APPROVED):
    """An operator has looked at what is held of a source for one reason (models.quotas). It goes on
    once a second operator has. Written to the partition of that source alone."""

    data: OpeningsApprovedData


AnyRelease = SourceReleased | PartitionReleased | OpeningsApproved
"""What lies on source-releases."""


def released(source: str, id: str, at: datetime, by: str) -> SourceReleased:
    """Return the release of `source` by an operator, such as /operators/chen."""
    return SourceReleased(id=id, time=at, source=by, data=SourceReleasedData(source))
