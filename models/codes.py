"""What the judgement yields: a person's code, its reasons, and how they lift.

A `HealthCode` does not depend on when it is read: it holds every reason as an interval `[start,
end)`. `judge` reads it at an instant. So a reason that ends by time ends at that instant wherever
the code is read, and nothing has to be written.
"""

import hashlib
import re
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Protocol

from msgspec import Struct

from models.events import Instant


class Colour(StrEnum):
    """Two colours only. Someone unknown or not verified has no code, and so is never green."""

    RED = "red"
    GREEN = "green"
    NONE = "none"


class Reason(IntEnum):
    """Why a code is red, by rank: the lowest number is shown first."""

    CONFIRMED_OR_POSITIVE = 1  # 确诊病例或核酸检测阳性
    SUSPECTED_CASE = 2  # 疑似病例
    CLOSE_CONTACT = 3  # 密切接触者
    OUT_OF_PROVINCE_CODE = 4  # 外省健康码红黄码人员
    CENTRALISED_QUARANTINE = 5  # 集中隔离人员
    HOME_QUARANTINE = 6  # 居家隔离人员

    @property
    def slug(self) -> str:
        """The name as it is written over HTTP, such as `close-contact`."""
        return self.name.lower().replace("_", "-")


class ConditionKind(StrEnum):
    """What a reason waits for before it lifts."""

    TIME = "time"  # a period passes; not_before is its end
    NEGATIVE_TEST = "negative-test"  # a negative NAT sampled from not_before on
    DISCHARGE = "discharge"  # the case's discharge
    EXCLUSION = "exclusion"  # the suspicion is excluded, or promoted to a confirmed case
    PROVINCE_GREEN = "province-green"  # the same province reports green
    RELEASE_NOTICE = "release-notice"  # 解除医学观察电子告知书


class Owner(StrEnum):
    """Who must act for a condition to be met."""

    TIME = "time"
    LABORATORY = "laboratory"
    CDC = "cdc"
    QUARANTINE_COMMAND = "quarantine-command"
    PROVINCE = "province"


class EventRef(Struct, frozen=True, order=True):
    """Identity of an event."""

    source: str
    id: str


class Identified(Protocol):
    """What has the identity of an event: an event, or a fact."""

    @property
    def source(self) -> str:
        """Who sent it."""

    @property
    def id(self) -> str:
        """Unique within the source."""


def ref(of: Identified) -> EventRef:
    """Return the identity of an event, or of the event of a fact."""
    return EventRef(of.source, of.id)


REFERENCE = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""The 32 signs of a reference: without 0, 1, I and O, which are taken for each other by eye and
ear."""

_REFERENCE_BYTES = (
    5  # of 5 bits each: eight signs, so that of a million events hardly two share one
)


def reference_of(event: EventRef) -> str:
    """Return the short name of an event, such as `K7QF-2M9PX`, to be read out on a telephone.

    It is a digest, so it tells nothing, and whoever has the event can find it by that. The last
    sign is a check (Luhn modulo 32): one wrong sign, or two neighbours swapped, is noticed.
    """
    named = f"{event.source}\0{event.id}".encode()
    digest = int.from_bytes(hashlib.blake2b(named, digest_size=_REFERENCE_BYTES).digest(), "big")
    signs = [digest >> shift & 31 for shift in range(35, -1, -5)]
    return _written([*signs, -_luhn([*signs, 0]) % 32])


def read_reference(text: str) -> str | None:
    """Return a reference as it is written, whatever its case and gaps; None if it has a mistake."""
    signs = [REFERENCE.find(sign) for sign in re.sub(r"[\s-]", "", text.upper())]
    if len(signs) != 9 or min(signs) < 0 or _luhn(signs) % 32:
        return None
    return _written(signs)


def _written(signs: list[int]) -> str:
    said = "".join(REFERENCE[sign] for sign in signs)
    return f"{said[:4]}-{said[4:]}"


def _luhn(signs: list[int]) -> int:
    """Add up the signs, every second from the end but one doubled, as digits to the base of 32."""
    doubled = (sign * (1 + place % 2) for place, sign in enumerate(reversed(signs)))
    return sum(n // 32 + n % 32 for n in doubled)


class Condition(Struct, frozen=True, omit_defaults=True):
    """One line of a lift checklist. Met at `t` if `met_at <= t`.

    `not_before` is the earliest instant at which it can be met, None where it depends on the
    owner alone; `met_by` names the event that met it. `apart_s`: a test that meets it is sampled at
    least so many seconds after the one that meets the line before it.
    """

    kind: ConditionKind
    owner: Owner
    not_before: Instant | None = None
    met_at: Instant | None = None
    met_by: EventRef | None = None
    apart_s: int | None = None


class Interval(Struct, frozen=True, omit_defaults=True):
    """A reason, open in `[start, end)`; `end` is None while a condition is unmet.

    `conditions` must all be met for it to lift. `policy` is the version that governs it: of the
    one in force at `start` and those that follow, the one by which it ends first.
    """

    reason: Reason
    start: Instant
    opened_by: EventRef
    policy: str
    end: Instant | None = None
    conditions: tuple[Condition, ...] = ()
    province: str | None = None

    def is_open(self, at: datetime) -> bool:
        """Say whether the reason holds at `at`."""
        return self.start <= at and (self.end is None or at < self.end)

    def earliest_end(self, at: datetime) -> datetime | None:
        """Earliest instant, not before `at`, at which the reason can lift.

        None where an owner must act and no date for that is known.
        """
        if self.end is not None:
            return self.end
        steps = self.earliest(at)
        return None if None in steps else max([at, *(step for step in steps if step is not None)])

    def earliest(self, at: datetime) -> list[datetime | None]:
        """Return for each condition when it can be met at the earliest by someone who begins at
        `at` and does each as early as possible; of a met one, when it was met. None where no date
        is known."""
        found: list[datetime | None] = []
        begun = False
        for condition in self.conditions:
            instant = condition.met_at
            if instant is None and condition.not_before is not None:
                instant = max(at, condition.not_before)
                if begun and condition.apart_s is not None and found[-1] is not None:
                    instant = max(instant, found[-1] + timedelta(seconds=condition.apart_s))
                begun = True
            found.append(instant)
        return found


class HealthCode(Struct, frozen=True, omit_defaults=True):
    """A person's code as the topic health-codes carries it; read it with `judge`.

    `version` grows by one with every change of the code; `judged_at` is the instant of the last
    change but of `complete_until`. `colour` and `reasons` are what status-changes last told, in
    `told_version` (for counting, not for showing). An interval leaves it some time after its end
    (policy). `complete_until`: an event that arrived then is still to be counted against its
    source's limit, and the code may lack all that arrived since; None if it lacks nothing. How
    often that changes is of the moment: a replay ends in the same code, and may count other
    versions.
    """

    person: str
    version: int
    judged_at: Instant
    colour: Colour = Colour.NONE
    reasons: tuple[Reason, ...] = ()
    told_version: int = 0
    verified_since: Instant | None = None
    city: str | None = None
    intervals: tuple[Interval, ...] = ()
    complete_until: Instant | None = None


class Judgement(Struct, frozen=True):
    """A code at an instant: the open reasons by rank, and when the code next changes by itself."""

    colour: Colour
    open: tuple[Interval, ...]
    changes_at: Instant | None

    @property
    def status(self) -> "Status":
        """The colour and the open reasons by rank, each once."""
        return Status(self.colour, tuple(sorted({interval.reason for interval in self.open})))


_GREEN = Judgement(Colour.GREEN, (), None)


def judge(code: HealthCode, at: datetime) -> Judgement:
    """Read `code` at `at`: `NONE` if not verified by then, else red if a reason is open, else
    green."""
    intervals = code.intervals
    verified = code.verified_since is not None and code.verified_since <= at
    if verified and not intervals:  # as nearly everybody's
        return _GREEN
    open_now = tuple(
        sorted((i for i in intervals if i.is_open(at)), key=lambda i: (i.reason, i.start))
    )
    red_or_green = Colour.RED if open_now else Colour.GREEN
    edges = [code.verified_since, *(edge for i in intervals for edge in (i.start, i.end))]
    ahead = (edge for edge in edges if edge is not None and edge > at)
    return Judgement(red_or_green if verified else Colour.NONE, open_now, min(ahead, default=None))


class Cause(Struct, frozen=True, omit_defaults=True):
    """What brought a change about: an event, or (all None) the passing of time.

    `corrects` is the id of the event, of the same source, that it takes back: None for an event
    that corrects nothing, or whose claim to do so has no effect.
    """

    source: str | None = None
    id: str | None = None
    type: str | None = None
    corrects: str | None = None


class Status(Struct, frozen=True):
    """What is told of a person: the colour and the open reasons by rank, each once."""

    colour: Colour
    reasons: tuple[Reason, ...] = ()


NO_CODE = Status(Colour.NONE)
"""The status of someone about whom nothing is known."""


class StatusChange(Struct, frozen=True, omit_defaults=True):
    """One link in a person's chain of changes, from no code to the present.

    `version` is the code's version after the change, `previous_version` that of the change
    before (0 at the first). `at` is the instant the change holds from: an event's arrival, or
    the instant at which a reason ends or begins by time.
    """

    person: str
    version: int
    previous_version: int
    at: Instant
    before: Status
    after: Status
    cause: Cause
    city: str | None = None


STATUS_CHANGED = "yuekang.status.changed.v1"
"""Type of the CloudEvent on status-changes."""


class StatusChanged(Struct, frozen=True, kw_only=True):
    """The CloudEvent on status-changes; `id` is `<person>:<version>`, so copies are known."""

    id: str
    time: Instant
    partitionkey: str
    data: StatusChange
    type: str = STATUS_CHANGED
    source: str = "/yuekang"
    specversion: str = "1.0"
    datacontenttype: str = "application/json"

    def __post_init__(self) -> None:
        if self.id != f"{self.data.person}:{self.data.version}":
            raise ValueError(f"id {self.id!r} is not <person>:<version> of its data")


def changed(change: StatusChange) -> StatusChanged:
    """Wrap a change as its CloudEvent."""
    return StatusChanged(
        id=f"{change.person}:{change.version}",
        time=change.at,
        partitionkey=change.person,
        data=change,
    )
