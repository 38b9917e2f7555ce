"""What the gateway answers when it does not refuse.

Lists of answers are dataclasses: msgspec describes no struct with a union that it could not read.
"""

from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from app.projection.refusals import ParkedIn, SourceLetter
from app.web.problems import Problem
from models.events import Instant


class Accepted(Struct, frozen=True):
    """An event that Kafka has confirmed, and where it lies."""

    status: int
    id: str
    source: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Results:
    """An answer for each event of a batch, in its order."""

    results: list[Accepted | Problem]


class PersonKeyOf(Struct, frozen=True):
    """The person key of one document."""

    person: str


@dataclass(frozen=True, slots=True)
class PersonKeyResults:
    """An answer for each document, in its order."""

    results: list[PersonKeyOf | Problem]


class ToldLetter(SourceLetter, frozen=True):
    """What became of an event that was accepted, or of a record on Kafka.

    With `cursor` as `after`, whoever asks goes on after this one.
    """

    cursor: str


class RefusalsAnswer(Struct, frozen=True):
    """What was refused of a source's, or had no effect, newest first; and where it is parked.

    All that was sent until `as_of` is judged, and told here; `now` is the gateway's clock. With
    `cursor` as `after` one goes on from here, with `older` as `before` one gets the next page; it
    is null on the last. `missed`, on the last page: there were older ones, and there is no room to
    keep them.
    """

    now: datetime
    as_of: datetime
    parked: list[ParkedIn]
    refusals: list[ToldLetter]
    cursor: str
    older: str | None
    missed: bool


class SignOfLife(Struct, frozen=True):
    """A sign of life in a stream: until when all is told; null while that cannot be known."""

    as_of: Instant | None


class Missed(Struct, frozen=True):
    """In a stream: letters are missing here, since they are kept no longer."""


class ParkedNow(Struct, frozen=True):
    """Where a source is parked, in a stream: when it begins, and whenever that changes."""

    parked: list[ParkedIn]
