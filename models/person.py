"""What is held about one person, and how one more event folds into it.

A row holds the events that can still bear on the code, each with its arrival, and the code. The
code is that of all events ever accepted, so it does not depend on their order, number or time of
arrival: a duplicate changes nothing, a late event takes the place it would have had, a correction
may come before what it corrects.

A row stays small for a lifetime: what can bear on nothing any more leaves it for the person's
history (models.history), and is read again when a late event or a correction reaches it. At its
bound a row gives up the oldest on which nothing open rests. If nothing may leave, it grows and an
alert rises: nothing that bears on a code is refused for room.

What is *told* (status-changes) follows arrival: `advance` tells what changed by time, `fold` what
changed by an event. Both keep one chain per person; each link has the version of the last.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from models.codes import (
    Cause,
    ConditionKind,
    EventRef,
    HealthCode,
    Interval,
    Reason,
    Status,
    StatusChange,
    judge,
    ref,
)
from models.corrections import corrects, replaced_by
from models.events import (
    IdentityVerified,
    NatResultReported,
    ProvincialCodeReported,
    ProvincialColour,
    StatusEvent,
    type_of,
)
from models.facts import Fact, fact_of, identity, rewritten, same
from models.history import (
    EPOCH,
    History,
    Pages,
    ReadFact,
    cannot_lift,
    first_arrivals,
    instants,
    may_go_back,
    may_leave,
    oldest_that_may_leave,
    reached_by,
    read_pages,
    with_page,
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
from models.reasons import Assessment, assess, opens_nothing
from models.results import is_final, swab_too_old

PAGE_MIN = 16
"""Fewer events leave a row only at its bound: its history is written seldom."""

LOOKS_APART = timedelta(days=1)
"""How long a row goes on after a look at what may leave it, unless it exceeds `facts_max`."""


class Person(Struct, frozen=True, array_like=True):
    """A row of the person table. Everything until `judged_at` has been told.

    `due_at` is the next instant at which time alone changes something, None if it never does.
    `facts` are sorted by (source, id), each identity once. A row is `plain` while it holds nothing
    but who someone is, and results that open nothing. `closed_at` is when the last reason ended
    that tests can lift, None if one is open or to come. `looked_at` is when the row was last looked
    through for what may leave it, and `looked_size` how many facts it had then.
    """

    code: HealthCode
    judged_at: datetime
    due_at: datetime | None = None
    plain: bool = True
    facts: tuple[Fact, ...] = ()
    closed_at: datetime | None = None
    looked_at: datetime | None = None
    looked_size: int = 0
    history: History = History()

    @property
    def events(self) -> list[StatusEvent]:
        """The events of the facts, in their order."""
        return [fact.event(self.code.person) for fact in self.facts]


class FoldOutcome(Struct, frozen=True):
    """A row after an event or the passing of time, and what to tell of it, in order.

    `pages` are those of the history that changed; an empty one was given up. `lost` of them were
    given up before their time, for room.
    """

    person: Person
    changes: tuple[StatusChange, ...] = ()
    notices: tuple[Notice, ...] = ()
    pages: dict[int, tuple[Fact, ...]] = {}
    lost: int = 0


def unknown(person: str, at: datetime) -> Person:
    """Return the row of someone about whom nothing is known: no code."""
    return Person(HealthCode(person=person, version=0, judged_at=at), at)


def whole(row: Person, pages: Pages) -> Person:
    """Return a row with all that has left it for its history."""
    return replace(row, facts=_joined(row.facts, read_pages(row.history, pages)))


def _no_pages(number: int) -> Sequence[Fact]:
    raise KeyError(number)


def fold(
    row: Person, event: StatusEvent, arrived_at: datetime, pages: Pages = _no_pages
) -> FoldOutcome:
    """Fold `event`, which arrived at `arrived_at`, into `row`; `pages` reads its history.

    The outcome first tells what changed by time until then. A redelivered or duplicated event
    changes nothing. The same identity with other content is refused.
    """
    outcome = advance(row, arrived_at)
    row, new = outcome.person, fact_of(event, arrived_at)
    if (known := _find(row.facts, identity(new))) is not None:
        return _known_before(outcome, event, new, known)
    if _says_nothing_new(row, event):
        plain = row.plain and opens_nothing(event)
        row = replace(row, facts=_joined(row.facts, [new]), plain=plain)
        outcome = replace(outcome, person=row)
        if isinstance(event, NatResultReported) and is_final(event) and swab_too_old(event):
            notice = no_effect(Idle(event, Obstacle.SWAB_TOO_OLD, None))
            outcome = replace(outcome, notices=(*outcome.notices, notice))
        return _made_smaller(outcome)
    past: Sequence[Fact] = ()
    # Beyond the bound of a row its history is not read for each result of a flood.
    crowded = len(row.facts) > policy_at(row.judged_at).facts_max and opens_nothing(event)
    if row.history.until is not None and not crowded and reached_by(row.history, event, row.events):
        past = read_pages(row.history, pages)
        if (known := _find(past, identity(new))) is not None:
            return _known_before(outcome, event, new, known)
    return _made_smaller(_folded(outcome, event, new, past), past)


def _says_nothing_new(row: Person, event: StatusEvent) -> bool:
    """Say whether `event` can change nothing: it opens nothing, it corrects nothing and nothing
    corrects it, and all that it could lift ended before it happened."""
    if opens_nothing(event):
        ended = row.plain or (row.closed_at is not None and min(instants(event)) > row.closed_at)
    else:
        ended = _is_one_green_more(row, event)
    return (
        ended
        and cannot_lift(row.history, event)
        and (row.plain or all(fact.supersedes != event.id for fact in row.facts))
    )


def _is_one_green_more(row: Person, event: StatusEvent) -> bool:
    """Say whether a province says green of someone who is not red or yellow in any."""
    if not isinstance(event, ProvincialCodeReported) or event.supersedes is not None:
        return False
    first = min(instants(event))
    lasts = (i.end for i in row.code.intervals if i.reason is Reason.OUT_OF_PROVINCE_CODE)
    return (
        event.data.colour is ProvincialColour.GREEN
        # What ended earlier is in the code no more.
        and first > row.judged_at - policy_at(row.judged_at).ended_kept
        and all(end is not None and end < first for end in lasts)
    )


def _folded(
    outcome: FoldOutcome, event: StatusEvent, new: Fact, past: Sequence[Fact]
) -> FoldOutcome:
    """Judge the row of `outcome` with `new`, the fact of `event`, and what was read of its
    past."""
    row, at = outcome.person, outcome.person.judged_at
    facts = _joined(row.facts, [new, *past])
    target = _target(facts, event, row.code.person)
    corrected = None if target is None or not corrects(event, target) else target.id
    held = replace(
        row,
        facts=facts,
        plain=row.plain
        and not past
        and isinstance(event, IdentityVerified)
        and event.supersedes is None,
    )
    events = held.events
    found = assess(events)
    cause = Cause(event.source, event.id, type_of(event), corrected)
    judged, change = _judge_again(held, found, at, cause)
    notices = [*outcome.notices, *_used_again(row, facts), *_claims(held, events, event, target)]
    wait_is_over = _deadline(new) <= at
    if event.supersedes is not None and target is None and wait_is_over:
        notices.append(without_target(event))  # read so late that its wait is over
    notices += _idle_by_now(event, events, found.idle, wait_is_over=wait_is_over)
    return FoldOutcome(judged, (*outcome.changes, *change), tuple(notices))


def _made_smaller(outcome: FoldOutcome, past: Sequence[Fact] = ()) -> FoldOutcome:
    """Let leave the row of `outcome` what may: always what was read of the past and has not become
    important again; of the rest, now and then."""
    row, at = outcome.person, outcome.person.judged_at
    full = len(row.facts) > policy_at(at).facts_max
    grown = len(row.facts) >= row.looked_size + PAGE_MIN
    rested = full or row.looked_at is None or at >= row.looked_at + LOOKS_APART
    if not past and not (grown and rested):
        return outcome
    entries = [
        ReadFact(rewritten(fact, event), event)
        for fact, event in zip(row.facts, row.events, strict=True)
    ]
    found = assess(entry.event for entry in entries)
    on_a_page = set(map(ref, past))
    leaves = may_leave(entries, found, at, on_a_page)
    go_back = leaves & on_a_page
    if len(leaves - on_a_page) < PAGE_MIN:
        leaves, go_back = set(), may_go_back(entries, found, at, on_a_page)
    entries = [entry for entry in entries if entry.ref not in go_back]
    if not leaves and len(entries) > policy_at(at).facts_max:
        if go_back:
            found = assess(entry.event for entry in entries)
        leaves = oldest_that_may_leave(entries, found, at)
    history, pages, lost = row.history, outcome.pages, 0
    if leaving := [entry for entry in entries if entry.ref in leaves - on_a_page]:
        history, pages, lost = with_page(history, leaving, at)
    stay = [entry for entry in entries if entry.ref not in leaves]
    row = replace(
        row,
        facts=tuple(entry.fact for entry in stay),
        plain=all(_is_plain(entry.event) for entry in stay),
        history=history,
        looked_at=at,
        looked_size=len(stay),
    )
    return replace(outcome, person=row, pages=pages, lost=lost)


def _is_plain(event: StatusEvent) -> bool:
    return opens_nothing(event) or (isinstance(event, IdentityVerified) and not event.supersedes)


def _known_before(outcome: FoldOutcome, event: StatusEvent, new: Fact, known: Fact) -> FoldOutcome:
    """Return `outcome` of an event that was known: a copy changes nothing, another content is
    refused."""
    if same(known, new, outcome.person.code.person):
        return outcome
    return replace(outcome, notices=(*outcome.notices, conflict(event)))


def _joined(facts: tuple[Fact, ...], others: Sequence[Fact]) -> tuple[Fact, ...]:
    """Return facts with those of `others` that are not among them, in their order."""
    if len(others) == 1:
        [new] = others
        place = bisect_left(facts, identity(new), key=identity)
        return (*facts[:place], new, *facts[place:])
    return tuple(first_arrivals((*facts, *others)))


def given_up(row: Person) -> bool:
    """Say whether older events were given up: after `history_kept`, or for room."""
    return row.history.first > 1


def overfull(row: Person) -> bool:
    """Say whether a row holds more than it should, because none of its events may leave: its
    sources send what no one person can be in, and someone must look."""
    policy = policy_at(row.judged_at)
    return len(row.facts) > policy.facts_max + policy.facts_reserved


def advance(row: Person, to: datetime) -> FoldOutcome:
    """Tell what time alone changes in `(row.judged_at, to]`, each change at its own instant.

    The result does not depend on how often or when this runs.
    """
    changes: list[StatusChange] = []
    notices: list[Notice] = []
    while row.due_at is not None and row.due_at <= to:
        found = assess(row.events)
        notices += _unanswered(row, found.idle, row.due_at)
        row, change = _judge_again(row, found, row.due_at, Cause())
        changes += change
    if to > row.judged_at:
        row = replace(row, judged_at=to)
    return FoldOutcome(row, tuple(changes), tuple(notices))


def _judge_again(
    row: Person, found: Assessment, at: datetime, cause: Cause
) -> tuple[Person, tuple[StatusChange, ...]]:
    """Judge as of `at` what the facts of `row` were found to mean; the code's version grows if
    anything in it changed."""
    old = row.code
    code = replace(
        old,
        verified_since=found.verified_since,
        city=found.city,
        intervals=tuple(i for i in found.intervals if (u := _kept_until(i)) is None or u > at),
    )
    shown = judge(code, at)
    ends = [_open_to_tests_until(interval, at) for interval in found.intervals]
    row = replace(
        row,
        judged_at=at,
        due_at=_due_at(code, shown.changes_at, _waiting(row, found.idle), at),
        closed_at=_latest(ends, at),
    )
    told, status = Status(old.colour, old.reasons), shown.status
    if code == old and status == told:
        return row, ()
    version = old.version + 1
    code = replace(
        code, version=version, judged_at=at, colour=status.colour, reasons=status.reasons
    )
    if status == told:
        return replace(row, code=code), ()
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
    return replace(row, code=replace(code, told_version=version)), (change,)


def _latest(ends: Iterable[datetime | None], at: datetime) -> datetime | None:
    """Return the last of `ends`; None if one lies after `at`, or is not known."""
    latest = EPOCH
    for end in ends:
        if end is None or end > at:
            return None
        latest = max(latest, end)
    return latest


def _open_to_tests_until(interval: Interval, at: datetime) -> datetime | None:
    """Return until when a result must have happened to bear on a reason, as judged at `at`; None if
    any may.

    A positive of a confirmed case ends with it, unless results of before the case come late.
    """
    if interval.reason is Reason.CLOSE_CONTACT or any(
        condition.kind is ConditionKind.NEGATIVE_TEST for condition in interval.conditions
    ):
        return interval.end
    return at if interval.reason is Reason.CONFIRMED_OR_POSITIVE else EPOCH


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


def _deadline(fact: Fact) -> datetime:
    return fact.arrived_at + policy_at(fact.arrived_at).correction_wait


def _waiting(row: Person, idle: Iterable[Idle]) -> list[Fact]:
    """Return the facts that name something that has not arrived: an event to correct, or a case,
    listing or order to close."""
    closing = {ref(one.event) for one in idle if one.why is Obstacle.NOT_BEGUN}
    return [
        fact
        for fact in row.facts
        if (fact.supersedes is not None and _named(row.facts, fact) is None)
        or (closing and ref(fact) in closing)
    ]


def _find(facts: Sequence[Fact], own: tuple[str, str]) -> Fact | None:
    place = bisect_left(facts, own, key=identity)
    return facts[place] if place < len(facts) and identity(facts[place]) == own else None


def _named(facts: Sequence[Fact], claim: Fact | StatusEvent) -> Fact | None:
    """Find the fact of the event that `claim` says it corrects."""
    return None if claim.supersedes is None else _find(facts, (claim.source, claim.supersedes))


def _target(facts: Sequence[Fact], claim: StatusEvent, person: str) -> StatusEvent | None:
    found = _named(facts, claim)
    return None if found is None else found.event(person)


def _used_again(row: Person, facts: Sequence[Fact]) -> Iterator[Notice]:
    """Object to events whose id was in the history, with another content: that one stays."""
    for fact in row.facts:
        first = _find(facts, identity(fact))
        if first is not None and first is not fact and not same(first, fact, row.code.person):
            yield conflict(fact.event(row.code.person))


def _claims(
    row: Person, events: Sequence[StatusEvent], event: StatusEvent, target: StatusEvent | None
) -> list[Notice]:
    """Object to corrections that, as the arrival of `event` shows, have no effect. `target` is what
    it says that it corrects.

    The correcting events themselves stay: what they say of their own counts, whatever arrived
    first.
    """
    notices = []
    if target is not None and not corrects(event, target):
        notices.append(no_correction(event, target))
    elif target is not None and (by := replaced_by(events, event, target)) is not None:
        notices.append(no_effect(Idle(event, Obstacle.REPLACED, by)))
    elif target is None and event.supersedes is not None:
        others = {fact.source for fact in row.facts if fact.id == event.supersedes}
        if others:
            notices.append(of_other_source(event, others))
    claims = (
        fact.event(row.code.person)
        for fact in row.facts
        if fact.supersedes == event.id and fact.source == event.source
    )
    notices += (no_correction(claim, event) for claim in claims if not corrects(claim, event))
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


def _unanswered(row: Person, idle: Sequence[Idle], at: datetime) -> list[Notice]:
    """Object to events whose wait for what they name ends at `at`."""
    due = {ref(fact): fact for fact in _waiting(row, idle) if _deadline(fact) == at}
    idle = [one for one in idle if one.why is Obstacle.NOT_BEGUN and ref(one.event) in due]
    lost = (
        fact.event(row.code.person)
        for fact in due.values()
        if fact.supersedes is not None and _named(row.facts, fact) is None
    )
    return [*map(no_effect, idle), *map(without_target, lost)]
