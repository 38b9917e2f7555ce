"""What is known about one person, and how one more event folds into it.

A row holds the events that can still bear on the code, each with its arrival, and the code. The
code is that of all events ever accepted, so it does not depend on their order, number or time of
arrival: a duplicate changes nothing, a late event takes the place it would have had, a correction
may come before what it corrects. Of someone who has more events than a row and its reserve hold,
the order may decide how long a reason holds (decision 19).

A row stays small for a lifetime: what can bear on nothing any more leaves it for the person's
history (models.history), and is read again when a late event or a correction reaches it. At its
bound a row gives up the oldest on which nothing open rests. If nothing may leave, it grows and an
alert rises. Only what one source says of someone who is red, beyond what a row holds of a source,
is put aside.

What is *told* (status-changes) follows arrival: `advance` tells what changed by time, `fold` what
changed by an event. Both keep one chain per person; each link has the version of the last.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from models.answers import deadline, in_time, on_arrival, waiting
from models.codes import (
    Cause,
    Colour,
    ConditionKind,
    HealthCode,
    Interval,
    Reason,
    Status,
    StatusChange,
    judge,
    ref,
)
from models.corrections import corrects
from models.events import (
    IdentityVerified,
    NatResultReported,
    ProvincialCodeReported,
    ProvincialColour,
    StatusEvent,
    type_of,
)
from models.facts import Fact, fact_of, find, identity, named_by, same
from models.history import (
    EPOCH,
    PAGE_MIN,
    History,
    Pages,
    ReadFact,
    cannot_lift,
    first_arrivals,
    instants,
    is_crowded,
    part,
    reached_by,
    read_pages,
    with_pages,
)
from models.idle import Idle, Obstacle
from models.notices import Notice, conflict, no_effect, row_full
from models.outstanding import Outstanding, came_back, complete_until, sent_away
from models.policy import policy_at
from models.reasons import Assessment, assess, may_open, opens_nothing
from models.results import is_final, swab_too_old

LOOKS_APART = timedelta(days=1)
"""How long a row goes on after a look at what may leave it, unless it exceeds `facts_max`."""


class Person(Struct, frozen=True, array_like=True):
    """A row of the person table. Everything until `judged_at` has been told.

    `due_at` is the next instant at which time alone changes something, None if it never does.
    `facts` are sorted by (source, id), each identity once. A row is `plain` while it holds nothing
    but who someone is, and results that open nothing. `closed_at` is when the last reason ended
    that tests can lift, None if one is open or to come. `looked_at` is when the row was last looked
    through for what may leave it, and `looked_size` how many facts it had then. `outstanding`
    is what is still to be counted before it is folded.
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
    outstanding: tuple[Outstanding, ...] = ()

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
    facts = first_arrivals((*row.facts, *read_pages(row.history, pages)))
    return replace(row, facts=tuple(facts))


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
    if (known := find(row.facts, identity(new))) is not None:
        return _known_before(outcome, event, new, known)
    if _is_too_much(row, event):
        return replace(outcome, notices=(*outcome.notices, row_full(event)))
    if _says_nothing_new(row, event):
        plain = row.plain and opens_nothing(event)
        row = replace(row, facts=_joined(row.facts, [new]), plain=plain)
        outcome = replace(outcome, person=row)
        if isinstance(event, NatResultReported) and is_final(event) and swab_too_old(event):
            notice = no_effect(Idle(event, Obstacle.SWAB_TOO_OLD, None))
            outcome = replace(outcome, notices=(*outcome.notices, notice))
        return _made_smaller(outcome)
    past: Sequence[Fact] = ()
    if row.history.until and reached_by(row.history, event, row.events, row.judged_at):
        past = read_pages(row.history, pages)
        if (known := find(past, identity(new))) is not None:
            return _known_before(outcome, event, new, known)
    return _folded(outcome, event, new, past)


def holds(row: Person, event: StatusEvent) -> bool:
    """Say whether an event of this identity was folded into `row`, and is in it still."""
    return find(row.facts, (event.source, event.id)) is not None


def send_away(row: Person, way: str, offset: int, arrived_at: datetime) -> Person:
    """Return `row` once the event at `offset` has left by `way`, to be counted before it is
    folded."""
    outstanding = sent_away(row.outstanding, way, offset, arrived_at)
    return _of_newer_version(row, _with_outstanding(row, outstanding))


def fold_back(
    row: Person,
    way: str,
    offset: int,
    event: StatusEvent | None,
    arrived_at: datetime,
    pages: Pages = _no_pages,
) -> FoldOutcome:
    """Fold `event` as `fold` does, which had left from `offset` by `way` and is back.

    None where nothing is left to fold, since it is held or refused: the code waits no longer.
    """
    back = _with_outstanding(row, came_back(row.outstanding, way, offset))
    outcome = FoldOutcome(back) if event is None else fold(back, event, arrived_at, pages)
    return replace(outcome, person=_of_newer_version(row, outcome.person))


def _with_outstanding(row: Person, outstanding: tuple[Outstanding, ...]) -> Person:
    if outstanding == row.outstanding:
        return row
    return replace(
        row,
        outstanding=outstanding,
        code=replace(row.code, complete_until=complete_until(outstanding)),
    )


def _of_newer_version(before: Person, after: Person) -> Person:
    """Return `after` with a newer version of its code than `before`, if it is complete until
    another instant."""
    code = after.code
    if code.complete_until == before.code.complete_until or code.version > before.code.version:
        return after
    return replace(after, code=replace(code, version=code.version + 1))


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


def _is_too_much(row: Person, event: StatusEvent) -> bool:
    """Say whether a source says more of one person than a row has room for, where none may leave.
    No one person can be in so much.

    What opens a reason is too much only of someone who is red by that source many times over; what
    corrects, and what closes, only where the source corrected, or closed, as often.
    """
    most = policy_at(row.judged_at).facts_of_source_max
    if len(row.facts) < most or opens_nothing(event):
        return False
    own = [fact for fact in row.facts if fact.source == event.source]
    if event.supersedes is not None:
        return sum(fact.supersedes is not None for fact in own) >= most
    if not may_open(event):
        return sum(type(one) is type(event) for one in _events_of(row, own)) >= most
    if row.code.colour is not Colour.RED:
        return False
    if sum(_is_open_by(i, event.source, row.judged_at) for i in row.code.intervals) >= most:
        return True
    # Steps of one order take each other's place: few are open, and none may leave.
    return len(own) >= 2 * most and sum(map(may_open, _events_of(row, own))) >= 2 * most


def _events_of(row: Person, facts: Iterable[Fact]) -> Iterator[StatusEvent]:
    return (fact.event(row.code.person) for fact in facts)


def _is_open_by(interval: Interval, source: str, at: datetime) -> bool:
    return interval.opened_by.source == source and (interval.end is None or interval.end > at)


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
    """Judge the row of `outcome` with `new`, the fact of `event`, and what was read of its past;
    then make it smaller."""
    row, at = outcome.person, outcome.person.judged_at
    facts = _joined(row.facts, [new, *past])
    named = named_by(facts, event)
    target = None if named is None else named.event(row.code.person)
    plain = row.plain and not past and isinstance(event, IdentityVerified)
    held = replace(row, facts=facts, plain=plain and event.supersedes is None)
    events = held.events
    found = assess(events)
    corrected = None if target is None or not corrects(event, target) else target.id
    cause = Cause(event.source, event.id, type_of(event), corrected)
    judged, change = _judge_again(held, found, at, cause)
    answers = on_arrival(
        event, target, row.facts, facts, events, found.idle, wait_is_over=deadline(new) <= at
    )
    outcome = FoldOutcome(judged, (*outcome.changes, *change), (*outcome.notices, *answers))
    return _made_smaller(outcome, past, events, found)


def _made_smaller(
    outcome: FoldOutcome,
    past: Sequence[Fact] = (),
    events: Sequence[StatusEvent] | None = None,
    found: Assessment | None = None,
) -> FoldOutcome:
    """Let leave the row of `outcome` what may: always what was read of the past and has not become
    important again; of the rest, now and then. `events` are those of the row, `found` what they
    mean, where that is known."""
    row, at = outcome.person, outcome.person.judged_at
    if not past:
        if len(row.facts) < row.looked_size + PAGE_MIN:
            return outcome
        full = len(row.facts) > policy_at(at).facts_max
        if not full and row.looked_at is not None and at < row.looked_at + LOOKS_APART:
            return outcome
    events = row.events if events is None else events
    entries = [ReadFact.of(fact, event) for fact, event in zip(row.facts, events, strict=True)]
    found = assess(events) if found is None else found
    stay, leaving, crowded_out = part(entries, found, at, set(map(ref, past)))
    history, pages, lost = row.history, outcome.pages, 0
    if leaving:
        history, pages, lost = with_pages(history, leaving, at, crowded_out=crowded_out)
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
    """Return facts with those of `others` that are not among them, in their order; a single other
    is never among them."""
    if len(others) == 1:
        [new] = others
        place = bisect_left(facts, identity(new), key=identity)
        return (*facts[:place], new, *facts[place:])
    return tuple(first_arrivals((*facts, *others)))


def given_up(row: Person) -> bool:
    """Say whether older events were given up: after `history_kept`, or for room."""
    return row.history.first > 1


def overfull(row: Person) -> bool:
    """Say whether a row holds more than it has room for, because none of its events may leave: its
    sources send what no one person can be in, and someone must look."""
    return is_crowded(len(row.facts) - PAGE_MIN, row.judged_at)


def advance(row: Person, to: datetime) -> FoldOutcome:
    """Tell what time alone changes in `(row.judged_at, to]`, each change at its own instant.

    The result does not depend on how often or when this runs.
    """
    changes: list[StatusChange] = []
    notices: list[Notice] = []
    while row.due_at is not None and row.due_at <= to:
        found = assess(row.events)
        notices += in_time(row.code.person, row.facts, found.idle, row.due_at)
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
        due_at=_due_at(code, shown.changes_at, waiting(row.facts, found.idle), at),
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
    code: HealthCode, changes_at: datetime | None, waits_for_more: Iterable[Fact], at: datetime
) -> datetime | None:
    """Return the next instant after `at` at which time alone changes something: the status, what
    the code keeps, or the wait for what an event names."""
    leaves = (_kept_until(interval) for interval in code.intervals)
    waits = (until for fact in waits_for_more if (until := deadline(fact)) > at)
    return min((due for due in (changes_at, *leaves, *waits) if due is not None), default=None)


def _kept_until(interval: Interval) -> datetime | None:
    """Return when an interval leaves the code. It leaves at that instant, not with whatever comes
    next. So a code is a function of the facts and the instant."""
    return interval.end and interval.end + policy_at(interval.end).ended_kept
