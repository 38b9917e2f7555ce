"""What is held about one person, and how one more event folds into it.

A row holds the events themselves, each with its time of arrival, and the code that follows from
them. The code is judged from the whole set. So the result does not depend on the order, number or
time of arrivals: a duplicate changes nothing, a late event takes the place it would have had, a
correction may come before what it corrects.

A row is bounded. One event too many makes the oldest leave on which the judgement does not rest. If
no event may leave, the row grows and an alert rises: nothing that bears on a code is refused for
room. What has left is as if it had never come. So beyond the bound the order of arrivals may
matter: for example to an opening that is reported only after all results later than it have left.

What is *told* (status-changes) follows arrival: `advance` tells what changed by time, `fold` what
changed by an event. Both keep one chain per person; each link has the version of the last.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from models.codes import Cause, EventRef, HealthCode, Interval, Status, StatusChange, judge
from models.corrections import corrects
from models.events import (
    IdentityVerified,
    NatResultReported,
    StatusEvent,
    counts_from,
    type_of,
)
from models.idle import Idle, Obstacle
from models.notices import (
    Notice,
    conflict,
    no_correction,
    no_effect,
    of_other_source,
    without_target,
)
from models.policy import policy_at
from models.reasons import Assessment, assess, opens_nothing, ref
from models.results import swab_too_old

LEAVING_TRIED_MAX = 16
"""How many events are tried for one that may leave a full row. Nearly always the first one may. The
exceptions are such as the negatives before a case was confirmed: no reason names them, yet they may
not leave."""


class Fact(Struct, frozen=True, array_like=True):
    """An event about a person, and when it arrived (its append to the log).

    The event itself is kept as written, and read when a rule asks for it. For most rows that a
    chunk touches, no rule does.
    """

    source: str
    id: str
    supersedes: str | None
    arrived_at: datetime
    written: Raw

    @property
    def event(self) -> StatusEvent:
        """The event."""
        return _read(self.written)


_read: Callable[[Raw], StatusEvent] = msgspec.msgpack.Decoder(StatusEvent).decode
_write = msgspec.msgpack.Encoder().encode


def _fact(event: StatusEvent, arrived_at: datetime) -> Fact:
    return Fact(event.source, event.id, event.supersedes, arrived_at, Raw(_write(event)))


class Person(Struct, frozen=True, array_like=True):
    """A row of the person table. Everything until `judged_at` has been told.

    `due_at` is the next instant at which time alone changes something, None if it never does.
    `facts` are sorted by (source, id), each identity once. A row is `plain` while it holds nothing
    but who someone is, and results that open nothing.
    """

    code: HealthCode
    judged_at: datetime
    due_at: datetime | None = None
    plain: bool = True
    facts: tuple[Fact, ...] = ()


class FoldOutcome(Struct, frozen=True):
    """A row after an event or the passing of time, and what to tell of it, in order."""

    person: Person
    changes: tuple[StatusChange, ...] = ()
    notices: tuple[Notice, ...] = ()


def unknown(person: str, at: datetime) -> Person:
    """Return the row of someone about whom nothing is known: no code."""
    return Person(HealthCode(person=person, version=0, judged_at=at), at)


def fold(row: Person, event: StatusEvent, arrived_at: datetime) -> FoldOutcome:
    """Fold `event`, which arrived at `arrived_at`, into `row`.

    The outcome first tells what changed by time until then. A redelivered or duplicated event
    changes nothing. The same identity with other content is refused.
    """
    outcome = advance(row, arrived_at)
    row, at = outcome.person, outcome.person.judged_at
    facts, new = row.facts, _fact(event, arrived_at)
    place = bisect_left(facts, _identity(new), key=_identity)
    if place < len(facts) and _identity(facts[place]) == _identity(new):
        if facts[place].written == new.written:
            return outcome
        return _telling(outcome, conflict(event))
    facts = (*facts[:place], new, *facts[place:])
    plain, policy = row.plain and opens_nothing(event), policy_at(at)
    if len(facts) > policy.facts_max:
        leaves = _place_that_may_leave(facts, plain)
        if leaves == place:
            return outcome
        if leaves is not None:
            facts = (*facts[:leaves], *facts[leaves + 1 :])
    if plain:  # one more of them says nothing new, and corrects nothing
        outcome = replace(outcome, person=Person(row.code, at, row.due_at, plain, facts))
        if isinstance(event, NatResultReported) and swab_too_old(event):
            return _telling(outcome, no_effect(Idle(event, Obstacle.SWAB_TOO_OLD, None)))
        return outcome
    stays_plain = row.plain and isinstance(event, IdentityVerified) and event.supersedes is None
    target = _target(facts, event)
    corrected = None if target is None or not corrects(event, target) else target.id
    events = [fact.event for fact in facts]
    found = assess(events)
    judged, change = _judge_again(
        row.code,
        facts,
        found,
        stays_plain,
        at,
        Cause(event.source, event.id, type_of(event), corrected),
    )
    notices = [*outcome.notices, *_claims(facts, event)]
    if event.supersedes is not None and target is None and _deadline(new) <= at:
        notices.append(without_target(event))  # read so late that its wait is over
    notices += _idle_by_now(event, events, found.idle, wait_is_over=_deadline(new) <= at)
    return FoldOutcome(judged, (*outcome.changes, *change), tuple(notices))


def full(row: Person) -> bool:
    """Say whether a row holds as many events as it may; then some may have left, or been
    refused."""
    return len(row.facts) >= policy_at(row.judged_at).facts_max


def overfull(row: Person) -> bool:
    """Say whether a row holds more than it should, because none of its events may leave: its
    sources send what no one person can be in, and someone must look."""
    policy = policy_at(row.judged_at)
    return len(row.facts) > policy.facts_max + policy.facts_reserved


def _place_that_may_leave(facts: tuple[Fact, ...], plain: bool) -> int | None:
    """Return the place of the oldest event that may leave; None if no event may.

    An event may leave if the assessment of `facts` is the same without it, no correction names it,
    and it waits for nothing. In a plain row the oldest result may.
    """
    events = [fact.event for fact in facts]
    if plain:
        _, oldest = min(
            (event.data.sampled_at, place)
            for place, event in enumerate(events)
            if isinstance(event, NatResultReported)
        )
        return oldest
    found = assess(events)
    stays = {c.met_by for interval in found.intervals for c in interval.conditions}
    stays |= {interval.opened_by for interval in found.intervals}
    stays |= {EventRef(fact.source, fact.supersedes) for fact in facts if fact.supersedes}
    stays |= {EventRef(fact.source, fact.id) for fact in _waiting(facts, found.idle)}
    oldest_first = sorted(
        (counts_from(event), place)
        for place, event in enumerate(events)
        if event.supersedes is None and ref(event) not in stays
    )
    for _, place in oldest_first[:LEAVING_TRIED_MAX]:
        without = assess([*events[:place], *events[place + 1 :]])
        if replace(without, idle=()) == replace(found, idle=()):
            return place
    return None


def advance(row: Person, to: datetime) -> FoldOutcome:
    """Tell what time alone changes in `(row.judged_at, to]`, each change at its own instant.

    The result does not depend on how often or when this runs.
    """
    changes: list[StatusChange] = []
    notices: list[Notice] = []
    while row.due_at is not None and row.due_at <= to:
        found = assess([fact.event for fact in row.facts])
        notices += _unanswered(row.facts, found.idle, row.due_at)
        row, change = _judge_again(row.code, row.facts, found, row.plain, row.due_at, Cause())
        changes += change
    if to > row.judged_at:
        row = Person(row.code, to, row.due_at, row.plain, row.facts)
    return FoldOutcome(row, tuple(changes), tuple(notices))


def _judge_again(
    old: HealthCode,
    facts: tuple[Fact, ...],
    found: Assessment,
    plain: bool,
    at: datetime,
    cause: Cause,
) -> tuple[Person, tuple[StatusChange, ...]]:
    """Judge as of `at` what `facts` were found to mean; the code's version grows if anything in it
    changed."""
    code = replace(
        old,
        verified_since=found.verified_since,
        city=found.city,
        intervals=tuple(i for i in found.intervals if (u := _kept_until(i)) is None or u > at),
    )
    shown = judge(code, at)
    due_at = _due_at(code, shown.changes_at, _waiting(facts, found.idle), at)
    told, status = Status(old.colour, old.reasons), shown.status
    if code == old and status == told:
        return Person(old, at, due_at, plain, facts), ()
    version = old.version + 1
    code = replace(
        code, version=version, judged_at=at, colour=status.colour, reasons=status.reasons
    )
    if status == told:
        return Person(code, at, due_at, plain, facts), ()
    change = StatusChange(
        person=code.person,
        version=version,
        previous_version=old.told_version,
        at=at,
        before=told,
        after=status,
        cause=cause,
        city=code.city,
    )
    return Person(replace(code, told_version=version), at, due_at, plain, facts), (change,)


def _due_at(
    code: HealthCode, changes_at: datetime | None, waiting: Iterable[Fact], at: datetime
) -> datetime | None:
    """Return the next instant after `at` at which time alone changes something: the status, what
    the code keeps, or the wait for what an event names."""
    leaves = (_kept_until(interval) for interval in code.intervals)
    waits = (deadline for fact in waiting if (deadline := _deadline(fact)) > at)
    return min((due for due in (changes_at, *leaves, *waits) if due is not None), default=None)


def _kept_until(interval: Interval) -> datetime | None:
    """Return when an interval leaves the code. It leaves at that instant, not with whatever comes
    next. So a code is a function of the facts and the instant."""
    return interval.end and interval.end + policy_at(interval.end).ended_kept


_identity: Callable[[Fact], tuple[str, str]] = attrgetter("source", "id")


def _deadline(fact: Fact) -> datetime:
    return fact.arrived_at + policy_at(fact.arrived_at).correction_wait


def _waiting(facts: tuple[Fact, ...], idle: Iterable[Idle]) -> list[Fact]:
    """Return the facts that name something that has not arrived: an event to correct, or a case,
    listing or order to close."""
    closing = {ref(one.event) for one in idle if one.why is Obstacle.NOT_BEGUN}
    return [
        fact
        for fact in facts
        if (fact.supersedes is not None and _target(facts, fact) is None)
        or (closing and EventRef(fact.source, fact.id) in closing)
    ]


def _target(facts: tuple[Fact, ...], claim: Fact | StatusEvent) -> StatusEvent | None:
    """Find the event that `claim` says it corrects."""
    if claim.supersedes is None:
        return None
    identity = claim.source, claim.supersedes
    place = bisect_left(facts, identity, key=_identity)
    if place < len(facts) and _identity(facts[place]) == identity:
        return facts[place].event
    return None


def _telling(outcome: FoldOutcome, notice: Notice) -> FoldOutcome:
    return replace(outcome, notices=(*outcome.notices, notice))


def _claims(facts: tuple[Fact, ...], event: StatusEvent) -> list[Notice]:
    """Object to corrections that, as the arrival of `event` shows, have no effect.

    The correcting events themselves stay: what they say of their own counts, whatever arrived
    first.
    """
    notices = []
    target = _target(facts, event)
    if target is not None and not corrects(event, target):
        notices.append(no_correction(event, target))
    elif target is None and event.supersedes is not None:
        others = {fact.source for fact in facts if fact.id == event.supersedes}
        if others:
            notices.append(of_other_source(event, others))
    notices += (
        no_correction(fact.event, event)
        for fact in facts
        if fact.supersedes == event.id
        and fact.source == event.source
        and not corrects(fact.event, event)
    )
    return notices


def _idle_by_now(
    event: StatusEvent, events: Sequence[StatusEvent], idle: Sequence[Idle], *, wait_is_over: bool
) -> list[Notice]:
    """Object to what has no effect now and had one, or waited for one, before `event` came.

    What nothing has begun yet waits; it is told when its wait is over.
    """
    new = ref(event)
    if all(ref(one.event) == new for one in idle):
        before: set[tuple[EventRef, Obstacle]] = set()
    else:
        known = assess([other for other in events if ref(other) != new])
        before = {(ref(one.event), one.why) for one in known.idle}
    return [
        no_effect(one)
        for one in idle
        if (ref(one.event), one.why) not in before
        and (one.why is not Obstacle.NOT_BEGUN or (ref(one.event) == new and wait_is_over))
    ]


def _unanswered(facts: tuple[Fact, ...], idle: Sequence[Idle], at: datetime) -> list[Notice]:
    """Object to events whose wait for what they name ends at `at`."""
    due = {(fact.source, fact.id): fact for fact in _waiting(facts, idle) if _deadline(fact) == at}
    notices = [no_effect(one) for one in idle if (one.event.source, one.event.id) in due]
    told = {(notice.event.source, notice.event.id) for notice in notices}
    return [*notices, *(without_target(due[own].event) for own in due if own not in told)]
