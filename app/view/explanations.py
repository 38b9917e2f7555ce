"""`GET /v1/people/{person}/explanation`: why a code is, or was, what it is, for the operator.

It is read from the person's row, which holds every event with its arrival (models.explain). An old
row still gives an answer, which is marked as stale: it opens no gate, and an operator needs it most
during a disturbance. Who asked about whom, and about which instants, is written to the audit log
before anything is read.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from msgspec import Struct
from redis.asyncio import Redis

from app.audit.entries import Act
from app.audit.trail import Trail
from app.process.clock import Clock
from app.view.codes import ReasonAnswer, reason_answer
from app.view.limits import (
    CLOCK_SECONDS,
    EXPLANATIONS_AT_ONCE_MAX,
    HISTORY_STALE_SECONDS,
    RETRY_BUSY_SECONDS,
    RETRY_STALE_SECONDS,
)
from app.view.reading import Unavailable
from app.view.rows import fetch_person
from app.web.problems import FieldError, Refused
from models.checks import EARLIEST, EARLIEST_DAY
from models.codes import Colour, EventRef, Interval, reference_of
from models.course import COURSE, Turn, course
from models.explain import Answer, Claim, Comparison, Explanation, Heard, Known, compare, explain
from models.person import Person, given_up, unknown

FORECAST_MAX = timedelta(days=3 * 366)
"""How far ahead an instant may lie. An order may start a year after it is sent, and last a year
from then. No known event changes a code later than that."""

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_PLUS_LOST = re.compile(r"[^ ]+T[^ ]+ \d\d:\d\d", re.ASCII | re.IGNORECASE)


class SideAnswer(Struct, frozen=True):
    """What holds at `at`, by what was known at `known_at`.

    `reasons` are open, by rank; `ended` were over by `at`; `ahead` begin later. `policy` was in
    force at `at`; `policies` are all versions that had a say in the answer.
    """

    at: datetime
    known_at: datetime
    colour: Colour
    verified_since: datetime | None
    city: str | None
    policy: str
    policies: list[str]
    changes_at: datetime | None
    reasons: list[ReasonAnswer]
    ended: list[ReasonAnswer]
    ahead: list[ReasonAnswer]


class EventAnswer(Struct, frozen=True):
    """An event that had arrived. It counts unless it is `taken_back_by` a correction in force.

    `counts_from` is the event's own instant. If it is a correction, `claim` says what becomes of
    it. `bears_on` names the open reasons that the event opened, or helps to lift by meeting a line
    of their checklist. `reference` is what a resident reads of it on the page of their code.
    """

    source: str
    id: str
    reference: str
    type: str
    counts_from: datetime
    arrived_at: datetime
    supersedes: str | None
    counts: bool
    taken_back_by: EventRef | None
    claim: Claim | None
    bears_on: list[str]


class ChangeAnswer(Struct, frozen=True):
    """An open reason that differs: as it was shown then, and as it is known now."""

    then: ReasonAnswer
    now: ReasonAnswer


class DifferenceAnswer(Struct, frozen=True):
    """What differs between `shown_then` and `known_now`, and the events that make it differ."""

    differs: bool
    colour: bool
    only_then: list[ReasonAnswer]
    only_now: list[ReasonAnswer]
    changed: list[ChangeAnswer]
    because: list[Heard]


class ExplanationAnswer(Struct, frozen=True):
    """Why a code is what it is: the answer to the question, what was shown then, what is known now.

    The row has what had arrived by `as_of`; `stale` if that is long before `asked_at`. `events` had
    arrived by the `known_at` that was asked; `not_known` came later. `given_up`:
    older events are not kept any more.
    """

    person: str
    asked_at: datetime
    as_of: datetime
    lag_s: float
    stale: bool
    given_up: bool
    answer: SideAnswer
    events: list[EventAnswer]
    not_known: list[Heard]
    shown_then: SideAnswer
    known_now: SideAnswer
    difference: DifferenceAnswer


class CourseAnswer(Struct, frozen=True):
    """How a code changed, in order, by what had arrived by `as_of`; `stale` if that is long ago.

    `given_up`: older events are not kept any more.
    """

    as_of: datetime
    stale: bool
    turns: tuple[Turn, ...]
    given_up: bool


class Explanations:
    """Explains codes. Belongs to one event loop."""

    def __init__(self, redis: Redis, trail: Trail, now: Clock) -> None:
        self._redis = redis
        self._trail = trail
        self._now = now
        self._at_work = 0

    async def explain(
        self, by: str, person: str, at: str | None, known_at: str | None
    ) -> ExplanationAnswer:
        """Answer what `by` asks.

        Raise `Refused` for an instant that cannot be read or is out of bounds, or if the question
        cannot be written down. Raise `Unavailable` if the row cannot be read, or is missing while
        the rows are too old to tell.
        """
        now = self._now()
        then = now if at is None else instant("at", at, now + FORECAST_MAX)
        soon = now + timedelta(seconds=CLOCK_SECONDS)
        known = None if known_at is None else instant("known_at", known_at, soon)
        instants = {"at": then} if known is None else {"at": then, "known_at": known}
        details = {name: instant.isoformat() for name, instant in instants.items()}
        await self._trail.note(by, Act.EXPLAINED, person, details=details)
        async with self._place():
            return await self._explain(person, now, then, known)

    async def course(self, person: str) -> CourseAnswer:
        """Answer a resident how their own code changed in the days of `COURSE`.

        Raise `Unavailable` as `explain` does.
        """
        async with self._place():
            now = self._now()
            found = await fetch_person(self._redis, person)
            stale = (now - found.as_of).total_seconds() > HISTORY_STALE_SECONDS
            row = found.row or unknown(person, now)
            # No later than the data are: of what came then, nothing is known.
            until = min(now, found.as_of)
            turns = await asyncio.to_thread(course, row, until - COURSE, until)
            return CourseAnswer(found.as_of, stale, tuple(turns), given_up(row))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._at_work >= EXPLANATIONS_AT_ONCE_MAX:
            raise Unavailable("busy", RETRY_BUSY_SECONDS)
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    async def _explain(
        self, person: str, now: datetime, at: datetime, known_at: datetime | None
    ) -> ExplanationAnswer:
        found = await fetch_person(self._redis, person)
        lag_s = max(0.0, (now - found.as_of).total_seconds())
        stale = lag_s > HISTORY_STALE_SECONDS
        if found.row is None and stale:
            # The person may be missing only because these rows are behind.
            raise Unavailable("stale", RETRY_STALE_SECONDS)
        # In a thread: a row with its history takes a while, and codes must not wait for it.
        row = found.row or unknown(person, at)
        explanation, comparison = await asyncio.to_thread(_judge, row, at, known_at)
        return ExplanationAnswer(
            person=person,
            asked_at=now,
            as_of=found.as_of,
            lag_s=round(lag_s, 3),
            stale=stale,
            given_up=explanation.given_up,
            answer=_side(explanation.answer, now),
            events=[_event(event) for event in explanation.known],
            not_known=list(explanation.unknown),
            shown_then=_side(comparison.then, now),
            known_now=_side(comparison.now, now),
            difference=_difference(comparison),
        )


def instant(name: str, text: str, latest: datetime) -> datetime:
    """Read the parameter `name`; raise `Refused` if it is not an instant, or is out of bounds."""
    if not _RFC3339.fullmatch(text):
        hint = " A + in an address is written %2B." if _PLUS_LOST.fullmatch(text) else ""
        raise _invalid(name, f"Not an RFC 3339 date-time with its zone.{hint}")
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise _invalid(name, f"There is no such instant: {error}.") from None
    if not EARLIEST <= found <= latest:
        until = latest.isoformat(timespec="seconds")
        raise _invalid(name, f"It lies outside {EARLIEST_DAY} to {until}.")
    return found


def _invalid(name: str, detail: str) -> Refused:
    expected = "such as 2022-03-08T10:00:00+08:00"
    return Refused("invalid", f"{name}: {detail}", (FieldError(name, detail, expected),))


def _judge(row: Person, at: datetime, known_at: datetime | None) -> tuple[Explanation, Comparison]:
    return explain(row, at, known_at), compare(row, at)


def _side(answer: Answer, now: datetime) -> SideAnswer:
    return SideAnswer(
        at=answer.at,
        known_at=min(now, answer.known_at or now),
        colour=answer.colour,
        verified_since=answer.verified_since,
        city=answer.city,
        policy=answer.policy,
        policies=list(answer.policies),
        changes_at=answer.changes_at,
        reasons=_reasons(answer.open, answer.at),
        ended=_reasons(answer.ended, answer.at),
        ahead=_reasons(answer.ahead, answer.at),
    )


def _reasons(intervals: Sequence[Interval], at: datetime) -> list[ReasonAnswer]:
    return [reason_answer(interval, at) for interval in intervals]


def _event(event: Known) -> EventAnswer:
    return EventAnswer(
        source=event.source,
        id=event.id,
        reference=reference_of(EventRef(event.source, event.id)),
        type=event.type,
        counts_from=event.counts_from,
        arrived_at=event.arrived_at,
        supersedes=event.supersedes,
        counts=event.taken_back_by is None,
        taken_back_by=event.taken_back_by,
        claim=event.claim,
        bears_on=[reason.slug for reason in event.bears_on],
    )


def _difference(comparison: Comparison) -> DifferenceAnswer:
    found, at = comparison.difference, comparison.then.at
    return DifferenceAnswer(
        differs=bool(found),
        colour=found.colour,
        only_then=_reasons(found.only_then, at),
        only_now=_reasons(found.only_now, at),
        changed=[
            ChangeAnswer(reason_answer(change.then, at), reason_answer(change.now, at))
            for change in found.changed
        ],
        because=list(found.because),
    )
