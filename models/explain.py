"""Why a code is, or was, what it is: what held at one instant, as known at another.

The two instants ask different things. `at` is the instant asked about. `known_at` says whose
knowledge answers: that of the events which had arrived by then. An event that arrives at `t` is
known at `t`, and what it changes holds from `t` on. A reason that ends at `t` is over at `t`.
Arrival is the append to the log, to the millisecond. So of two events that arrive in the same
millisecond, neither is known before the other.

| `known_at` | What is answered |
|---|---|
| = `at` | what was shown then |
| > `at` | hindsight: what `known_at` knew of then, late events and corrections included |
| < `at` | a forecast made at `known_at`: what holds at `at` if nothing else arrives |
| None | what is known now, by all that is held; an `at` to come is a forecast |

`explain(row, t, t)` says what status-changes told to hold at `t`. They differ in three cases, and
in none of them does the row know better:

- Between an event's arrival and its judgement, the code before it went on being shown: for some
  milliseconds, or for as long as no worker runs.
- The log's clock ran back, or the timer had judged beyond an event's arrival before the event was
  read. Then the change is told at the later instant, since a chain does not run back. Here the
  change stands at the arrival.
- A policy was written after the fact. It speaks for that time as well: the rules are applied as
  they are dated now, and the version is named.

What cannot be said. A row with its history (models.history) holds every event that was accepted,
for as long as policy keeps it (`history_kept`; `given_up` says whether something is gone). What was
refused was never in it: the same identity with another content, whatever the codec refuses. Those
events did not count then and do not now; dead-letters has them. Of copies, the first arrival
stands. A log that is written again (another generation of topics) has other arrivals. Someone who
was forgotten has no row, and nothing can be said about them at any time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from msgspec import Struct

from models.codes import Colour, EventRef, HealthCode, Interval, Reason, Status, judge, ref
from models.corrections import corrects, settle
from models.events import (
    StatusEvent,
    counts_from,
    type_of,
)
from models.facts import Fact
from models.person import Person, given_up
from models.policy import policy_at
from models.reasons import assess

TRIALS_MAX = 200
"""Judgements spent on finding the fewest events that make a difference: milliseconds for most rows,
some seconds for one with a hundred contacts open at once. Beyond it the events named may include
some that are not needed; none is left out."""


class Answer(Struct, frozen=True):
    """What holds at `at`, by what was known at `known_at` (None: all that the row holds).

    `open` are the reasons by rank, `ended` those that were over at `at`, `ahead` those that begin
    later. `policy` is the version in force at `at`; each reason names the one that governs it.
    """

    at: datetime
    known_at: datetime | None
    colour: Colour
    policy: str
    verified_since: datetime | None
    city: str | None
    changes_at: datetime | None
    open: tuple[Interval, ...]
    ended: tuple[Interval, ...]
    ahead: tuple[Interval, ...]

    @property
    def status(self) -> Status:
        """The colour and the open reasons by rank, each once: as status-changes tells it."""
        return Status(self.colour, tuple(sorted({interval.reason for interval in self.open})))

    @property
    def policies(self) -> tuple[str, ...]:
        """Every version that applies: the one in force, and those of the open reasons."""
        return tuple(sorted({self.policy, *(interval.policy for interval in self.open)}))


class Heard(Struct, frozen=True):
    """An event: the instant from which what it says counts, and when it arrived."""

    source: str
    id: str
    type: str
    counts_from: datetime
    arrived_at: datetime
    supersedes: str | None


class Claim(StrEnum):
    """What becomes of a correction."""

    IN_FORCE = "in-force"
    TAKEN_BACK = "taken-back"  # by another correction
    TARGET_NOT_KNOWN = "target-not-known"  # it has not arrived, or is another source's
    TARGET_IS_OF_OTHER_KIND = "target-is-of-other-kind"  # a case does not correct a contact
    TARGET_IS_LATER = "target-is-later"  # what it names does not come before it


class Known(Heard, frozen=True):
    """An event that had arrived. It counts unless another takes it back: the retraction that
    names it, or the correction that stands in its place.

    `claim` is None for an event that corrects nothing. `bears_on` are the open reasons that name
    the event: it opened them, or it meets a line of their checklists.
    """

    taken_back_by: EventRef | None
    claim: Claim | None
    bears_on: tuple[Reason, ...]


class Explanation(Struct, frozen=True):
    """An answer, and the events that it rests on, both in order of arrival.

    `unknown` had not arrived at `known_at`. `given_up`: older events are not kept any more.
    """

    person: str
    answer: Answer
    known: tuple[Known, ...]
    unknown: tuple[Heard, ...]
    given_up: bool


class Change(Struct, frozen=True):
    """An open reason about which more, or less, is known: as it was `then` and as it is `now`."""

    then: Interval
    now: Interval


class Difference(Struct, frozen=True):
    """How what is known now of an instant differs from what was shown then.

    `only_then` and `only_now` are open reasons that the other side does not have. `changed` reasons
    are on both sides, with different lines of the checklist met by then. `because` are late events
    that turn the one answer into the other: as few as suffice, and the earliest arrivals that do.
    """

    colour: bool
    only_then: tuple[Interval, ...]
    only_now: tuple[Interval, ...]
    changed: tuple[Change, ...]
    because: tuple[Heard, ...]

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        return self.colour or bool(self.only_then or self.only_now or self.changed)


class Comparison(Struct, frozen=True):
    """`then`: what was shown at an instant. `now`: what is known now of that instant."""

    then: Answer
    now: Answer
    difference: Difference


Entry = tuple[Fact, StatusEvent]
"""A fact with its event, which is read once."""


def explain(row: Person, at: datetime, known_at: datetime | None = None) -> Explanation:
    """Say what holds at `at` by what was known at `known_at`, and by which events."""
    entries = _entries(row)
    known = _known(entries, known_at)
    answer = _answer(row.code.person, [event for _, event in known], at, known_at)
    return Explanation(
        person=row.code.person,
        answer=answer,
        known=tuple(_described(known, answer.open)),
        unknown=tuple(_heard(entry) for entry in entries[len(known) :]),
        given_up=given_up(row),
    )


def compare(row: Person, at: datetime) -> Comparison:
    """Compare what was shown at `at` with what is known now of `at`.

    Only what held at that instant is compared: the colour, the open reasons, and which lines of
    their checklists were met. What followed from them afterwards makes no difference: that a reason
    has lifted since says nothing about the day on which it was open.
    """
    entries = _entries(row)
    known = _known(entries, at)
    late = entries[len(known) :]
    base = [event for _, event in known]

    def answer(more: Sequence[Entry], known_at: datetime | None) -> Answer:
        return _answer(row.code.person, [*base, *(event for _, event in more)], at, known_at)

    then, now = answer([], at), answer(late, None)
    wanted = _held(now)
    because: Sequence[Entry] = []
    if _held(then) != wanted:
        because = _fewest(late, lambda some: _held(answer(some, None)) == wanted)
    return Comparison(then, now, _difference(then, now, [_heard(entry) for entry in because]))


def answers(row: Person, since: datetime, until: datetime) -> Iterator[Answer]:
    """Yield what was shown at `since`, and at each instant up to `until` at which that may have
    changed: an arrival, or an edge of a reason by what was known then."""
    entries = _entries(row)
    arrivals = sorted({fact.arrived_at for fact, _ in entries if since < fact.arrived_at <= until})
    for begin, end in pairwise([since, *arrivals, None]):
        assert begin is not None, "only the last end is open"
        known = [event for _, event in _known(entries, begin)]
        at: datetime | None = begin
        while at is not None and at <= until and (end is None or at < end):
            answer = _answer(row.code.person, known, at, at)
            yield answer
            at = answer.changes_at


def _entries(row: Person) -> list[Entry]:
    """Return what the row holds, in order of arrival."""
    facts = sorted(row.facts, key=lambda fact: (fact.arrived_at, fact.source, fact.id))
    return [(fact, fact.event(row.code.person)) for fact in facts]


def _known(entries: Sequence[Entry], known_at: datetime | None) -> Sequence[Entry]:
    """Return the first of `entries`: those that had arrived at `known_at`."""
    if known_at is None:
        return entries
    return [entry for entry in entries if entry[0].arrived_at <= known_at]


def _answer(
    person: str, events: Iterable[StatusEvent], at: datetime, known_at: datetime | None
) -> Answer:
    found = assess(events)
    code = HealthCode(
        person=person,
        version=0,
        judged_at=at,
        verified_since=found.verified_since,
        intervals=found.intervals,
    )
    shown = judge(code, at)
    return Answer(
        at=at,
        known_at=known_at,
        colour=shown.colour,
        policy=policy_at(at).version,
        verified_since=found.verified_since,
        city=found.city,
        changes_at=shown.changes_at,
        open=shown.open,
        ended=tuple(i for i in found.intervals if i.end is not None and i.end <= at),
        ahead=tuple(i for i in found.intervals if at < i.start),
    )


def _heard(entry: Entry) -> Heard:
    fact, event = entry
    return Heard(
        source=fact.source,
        id=fact.id,
        type=type_of(event),
        counts_from=counts_from(event),
        arrived_at=fact.arrived_at,
        supersedes=fact.supersedes,
    )


def _described(known: Sequence[Entry], open: Sequence[Interval]) -> Iterator[Known]:
    """Say of each known event whether it counts, what it corrects, and what it bears on."""
    events = {ref(event): event for _, event in known}
    settled = settle(events.values())
    counting = {ref(event) for event in settled.standing}
    for entry in known:
        heard, event = _heard(entry), entry[1]
        instead = settled.instead_of.get((heard.source, heard.id))
        bears_on = {interval.reason for interval in open if ref(event) in _named(interval)}
        yield Known(
            source=heard.source,
            id=heard.id,
            type=heard.type,
            counts_from=heard.counts_from,
            arrived_at=heard.arrived_at,
            supersedes=heard.supersedes,
            taken_back_by=ref(instead) if instead is not None else None,
            claim=_claim(event, events, counting),
            bears_on=tuple(sorted(bears_on)),
        )


def _claim(
    event: StatusEvent, known: dict[EventRef, StatusEvent], counting: set[EventRef]
) -> Claim | None:
    """Say what becomes of the correction that `event` claims to be; None if it claims to be no
    such."""
    if event.supersedes is None:
        return None
    target = known.get(EventRef(event.source, event.supersedes))
    if target is None:
        return Claim.TARGET_NOT_KNOWN
    if event.family != target.family:
        return Claim.TARGET_IS_OF_OTHER_KIND
    if not corrects(event, target):
        return Claim.TARGET_IS_LATER
    return Claim.IN_FORCE if ref(event) in counting else Claim.TAKEN_BACK


def _named(interval: Interval) -> set[EventRef | None]:
    """Return the events that a reason names: what opened it, and what met its checklist."""
    return {interval.opened_by, *(condition.met_by for condition in interval.conditions)}


Held = tuple[object, ...]


def _held(answer: Answer) -> Held:
    """Return what held at the answer's instant, without what came of it afterwards."""
    return (answer.colour, *(_open_then(interval, answer.at) for interval in answer.open))


def _open_then(interval: Interval, at: datetime) -> Held:
    met = tuple(
        (condition.kind, condition.met_by)
        for condition in interval.conditions
        if condition.met_at is not None and condition.met_at <= at
    )
    return *_same(interval), interval.start, interval.policy, met


def _same(interval: Interval) -> tuple[Reason, EventRef]:
    """Return what makes a reason the same one, whatever else is known of it."""
    return interval.reason, interval.opened_by


def _difference(then: Answer, now: Answer, because: Sequence[Heard]) -> Difference:
    before = {_same(interval): interval for interval in then.open}
    after = {_same(interval): interval for interval in now.open}
    return Difference(
        colour=then.colour is not now.colour,
        only_then=tuple(i for same, i in before.items() if same not in after),
        only_now=tuple(i for same, i in after.items() if same not in before),
        changed=tuple(
            Change(before[same], after[same])
            for same in before
            if same in after
            and _open_then(before[same], then.at) != _open_then(after[same], now.at)
        ),
        because=tuple(because),
    )


def _fewest(late: Sequence[Entry], suffices: Callable[[Sequence[Entry]], bool]) -> Sequence[Entry]:
    """Drop from `late`, which suffices, every event that is not needed, the last arrivals first.

    The strides double while they succeed, since of many events mostly few matter. Whenever this
    stops, what is left suffices.
    """
    left, end, size = list(late), len(late), len(late)
    for _ in range(TRIALS_MAX):
        if not end:
            break
        begin = max(0, end - size)
        fewer = [*left[:begin], *left[end:]]
        if suffices(fewer):
            left, end, size = fewer, begin, 2 * size
        elif end - begin > 1:
            size = (end - begin) // 2
        else:
            end -= 1
    return left
