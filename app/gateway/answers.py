"""What the gateway answers when it does not refuse."""

from msgspec import Struct

from app.web.problems import Problem


class Accepted(Struct, frozen=True):
    """An event that Kafka has confirmed, and where it lies."""

    status: int
    id: str
    source: str
    topic: str
    partition: int
    offset: int


class Results(Struct, frozen=True):
    """An answer for each event of a batch, in its order."""

    results: list[Accepted | Problem]


class PersonKeyOf(Struct, frozen=True):
    """The person key of one document."""

    person: str


class PersonKeyResults(Struct, frozen=True):
    """An answer for each document, in its order."""

    results: list[PersonKeyOf | Problem]
