"""What is read from the read model, and the error if it cannot be read.

The modules that read (`codes`, `counts`, `information`) return these types; the modules that show
(HTTP, the pages) take them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from app.projection.state import Position
from app.web.language import Text
from models.codes import Colour, HealthCode, Reason, judge
from models.information import Item, Section

UnavailableCause = Literal["store", "stale", "busy"]


class Unavailable(Exception):
    """A code cannot be shown now (亮码失败): why, and after how many seconds to try again."""

    def __init__(self, cause: UnavailableCause, retry_after_s: int) -> None:
        super().__init__(f"code cannot be shown: {cause}; try again after {retry_after_s} s")
        self.cause: UnavailableCause = cause
        self.retry_after_s = retry_after_s


class Read(Struct, frozen=True):
    """A code as it was read at `at`: by data up to `as_of`, and whether those are stale."""

    code: HealthCode | None
    at: datetime
    as_of: datetime
    lag_s: float
    stale: bool
    told_until: float = 0.0
    """The instant up to which everything that workers told is in it (s since 1970)."""
    positions: tuple[Position, ...] = ()
    """How far the read model was, of each partition of health-codes."""

    @property
    def colour(self) -> Colour:
        """The colour at `at`; none for a person who is unknown or not verified."""
        return Colour.NONE if self.code is None else judge(self.code, self.at).colour


class CityCount(Struct, frozen=True):
    """People whose identity was verified in a city, by colour."""

    red: int
    green: int


class PartitionLag(Struct, frozen=True):
    """How far a partition of health-codes is projected: to which instant, and how far behind."""

    partition: int
    as_of: datetime | None
    lag_s: float | None


class Counts(Struct, frozen=True):
    """How many people there are by colour, by reason (one person may have several), by city.

    They know of all changes up to number `changes` of `epoch` (app.projection.state).
    """

    at: datetime
    colours: Mapping[Colour, int]
    reasons: Mapping[Reason, int]
    cities: Mapping[str, CityCount]
    lags: Sequence[PartitionLag]
    epoch: str = ""
    changes: int = 0
    held: int = 0
    """Events that may open a reason and wait for two operators (models.quotas)."""


class ChangesOfMinute(Struct, frozen=True):
    """Changes within the minute that starts at `start`."""

    start: datetime
    to_red: int
    other: int

    @property
    def all(self) -> int:
        """Every change of the minute."""
        return self.to_red + self.other


class SectionAnswer(Struct, frozen=True):
    """A section of someone's health information, newest line first.

    It has everything that had arrived by `as_of`; `stale` if that is long before. `more`: there
    were older lines, but only the newest are kept.
    """

    section: Section
    as_of: datetime
    stale: bool
    more: bool
    items: tuple[Item, ...]


class Sample(Struct, frozen=True):
    """A synthetic person whose page is worth opening, in development: `hint` leads to the login.

    `story` names what happened to them, as the sample day does; `colour` is what they have by it.
    """

    hint: str
    what: Text
    story: str
    colour: Colour
