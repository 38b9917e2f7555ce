"""What the pages need from the view, and nothing more.

The view passes one object that has these methods; tests pass a small one of their own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

from app.view.pages.chart import Minute
from app.web.language import Text
from models.codes import Colour, HealthCode, Reason, judge
from models.events import DisplayDetail, NationalStatusData
from models.information import Item, Section

Cause = Literal["store", "stale", "busy"]


class Unavailable(Exception):
    """A code cannot be shown now (亮码失败): why, and after how many seconds to try again."""

    def __init__(self, cause: Cause, retry_after_s: int) -> None:
        super().__init__(f"code cannot be shown: {cause}; try again after {retry_after_s} s")
        self.cause: Cause = cause
        self.retry_after_s = retry_after_s


class Read(Struct, frozen=True):
    """A code as it was read: up to when its data goes, and whether that is long ago."""

    code: HealthCode | None
    at: datetime
    as_of: datetime | None
    lag_s: float | None
    stale: bool

    @property
    def colour(self) -> Colour:
        """The colour at `at`; none for who is unknown or not verified."""
        return Colour.NONE if self.code is None else judge(self.code, self.at).colour


class CityCount(Struct, frozen=True):
    """People by colour whose identity was verified in a city."""

    red: int
    green: int


class PartitionLag(Struct, frozen=True):
    """How far a partition of health-codes is projected: up to when, and how far behind."""

    partition: int
    as_of: datetime | None
    lag_s: float | None


class Counts(Struct, frozen=True):
    """How many people there are by colour, by reason (one person may have several), by city."""

    at: datetime
    colours: Mapping[Colour, int]
    reasons: Mapping[Reason, int]
    cities: Mapping[str, CityCount]
    lags: Sequence[PartitionLag]


class Sample(Struct, frozen=True):
    """A synthetic person whose page is worth opening, in development: `hint` leads to the login."""

    hint: str
    what: Text


class SectionAnswer(Struct, frozen=True):
    """A section of someone's health information, newest line first.

    `as_of`: everything that had arrived until then is in it; `stale` if that is long before.
    `more`: older lines were let go of, since only so many are kept.
    """

    section: Section
    as_of: datetime
    stale: bool
    more: bool
    items: tuple[Item, ...]


class PagePort(Protocol):
    """What the view gives the pages. A method raises `Unavailable` where it has no answer."""

    @property
    def token_valid_s(self) -> int:
        """How long a display token, and so a drawn QR, is good for."""
        ...

    async def read(self, person: str) -> Read:
        """Read a code; raises `Unavailable` also where it is too old to show a colour by it."""
        ...

    def token(self, person: str) -> str:
        """A fresh display token, to be drawn as a QR."""
        ...

    def record(self, person: str, detail: DisplayDetail) -> None:
        """Record that a code was shown, or why it could not be; returns at once."""
        ...

    async def sections(self, person: str, wanted: Sequence[Section]) -> Sequence[SectionAnswer]:
        """Read sections of someone's health information."""
        ...

    async def national_status(self, person: str) -> NationalStatusData | None:
        """Read the newest "health status" of the national platform."""
        ...

    async def counts(self) -> Counts:
        """Count people, as told by status-changes."""
        ...

    async def minutes(self) -> Sequence[Minute]:
        """The last 60 minutes, oldest first."""
        ...

    def samples(self) -> Sequence[Sample]:
        """Sample people; none outside development."""
        ...

    def openapi(self) -> Mapping[str, Any]:
        """The view's own OpenAPI 3.1 document."""
        ...

    def asyncapi(self) -> Mapping[str, Any]:
        """The AsyncAPI 3 document of the topics."""
        ...
