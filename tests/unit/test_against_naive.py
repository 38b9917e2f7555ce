"""`models/` held against the naive oracle, and against what must hold for any set of events.

The oracle (tests/oracle/naive.py) judges the whole list of events with no fold. Worlds, and the
steps of the machine at the end, come from strategies.py; a failure prints the smallest world
that shows it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from models import policy
from models.checks import faults
from models.codes import NO_CODE, Colour, ConditionKind, Owner, Reason, Status, StatusChange, judge
from models.corrections import settle
from models.events import (
    IdentityVerified,
    NatResultReported,
    Result,
    ResultStatus,
    StatusEvent,
)
from models.person import FoldOutcome, Person, advance, fold, unknown
from models.reasons import assess
from oracle.naive import (
    effective,
    naive,
    spells,
    verified_since,
)
from support import builders as b
from support.spells import union
from support.strategies import (
    POLICY_SETS,
    STEP,
    STEPS_MAX,
    arrivals,
    at_step,
    retract,
    status_events,
    worlds,
)

START = at_step(0)
LATER = at_step(STEPS_MAX)
"""By then every event of a world has happened and arrived."""

HORIZON = LATER + timedelta(days=366)
"""Beyond everything that a world can open or end."""


def edges(events: Sequence[StatusEvent]) -> list[datetime]:
    """Return every instant at which the oracle's answer may change, and one before them all."""
    since = verified_since(events)
    instants = {spell.start for spell in spells(events)}
    instants |= {spell.end for spell in spells(events) if spell.end is not None}
    return sorted({START - timedelta(days=1), *instants, *([since] if since else [])})


def status(events: Iterable[StatusEvent], at: datetime) -> Status:
    """Return the oracle's answer in the form in which changes are told."""
    colour, reasons = naive(events, at)
    return Status(colour, tuple(sorted(reasons)))


def fold_all(events: Iterable[StatusEvent], arrived_at: datetime = LATER) -> Person:
    row = unknown(b.PERSON, START)
    for event in events:
        row = fold(row, event, arrived_at).person
    return row


def state(row: Person) -> tuple[object, ...]:
    """Return what a row says when all has been told, apart from how it came about.

    Arrivals, and so the chain of told changes and its versions, differ between two runs.
    """
    end = advance(row, HORIZON).person
    facts = [msgspec.json.encode(event) for event in row.events]
    return facts, *content(end)


def content(row: Person) -> tuple[object, ...]:
    """Return what a row's code says, without its version."""
    code = row.code
    return code.colour, code.reasons, code.verified_since, code.city, code.intervals


def assert_chain(told: Sequence[StatusChange]) -> None:
    """Each change starts from the one before, says something new, and time does not run back."""
    links = [(NO_CODE, 0), *((change.after, change.version) for change in told)]
    for (after, version), change in zip(links, told, strict=False):
        assert (change.before, change.previous_version) == (after, version)
        assert change.after != change.before
        assert change.version > version
    assert all(one.at <= next_one.at for one, next_one in pairwise(told))


# --- the oracle, held against cases worked out by hand --------------------------------------

WORKED: dict[str, tuple[list[StatusEvent], datetime, Colour, set[Reason]]] = {
    "nobody": ([], b.day(1), Colour.NONE, set()),
    "not yet verified": ([b.verified(b.day(2))], b.day(1), Colour.NONE, set()),
    "verified": ([b.verified(b.day(2))], b.day(2), Colour.GREEN, set()),
    "positive, not verified": (
        [b.positive(b.day(1))],
        b.day(2),
        Colour.NONE,
        {Reason.CONFIRMED_OR_POSITIVE},
    ),
    "negatives 23 hours apart": (
        [b.verified(), b.positive(b.day(1)), b.negative(b.day(2)), b.negative(b.day(3, 7))],
        b.day(9),
        Colour.RED,
        {Reason.CONFIRMED_OR_POSITIVE},
    ),
    "negatives 24 hours apart": (
        [b.verified(), b.positive(b.day(1)), b.negative(b.day(2)), b.negative(b.day(3))],
        b.day(3, 14),
        Colour.GREEN,
        set(),
    ),
    "negatives do not lift a case": (
        [
            b.verified(),
            b.positive(b.day(1)),
            b.confirmed(b.day(2)),
            b.negative(b.day(2)),
            b.negative(b.day(4)),
            b.discharged(b.day(5)),
        ],
        b.day(18),
        Colour.RED,
        {Reason.CONFIRMED_OR_POSITIVE},
    ),
    "one negative meets one requirement": (
        [b.verified(), b.contact(b.day(1)), *[b.negative(b.day(16))] * 2],
        b.day(30),
        Colour.RED,
        {Reason.CLOSE_CONTACT},
    ),
    "four negatives meet four": (
        [b.verified(), b.contact(b.day(1)), *[b.negative(b.day(n)) for n in (2, 5, 8, 15)]],
        b.day(15, 14),
        Colour.GREEN,
        set(),
    ),
    "a transfer leaves no gap": (
        [
            b.verified(),
            b.ordered("centralised", b.day(1), b.day(4)),
            b.transferred("home", b.day(8), b.day(15)),
        ],
        b.day(8),
        Colour.RED,
        {Reason.HOME_QUARANTINE},
    ),
}


@pytest.mark.parametrize(("events", "at", "colour", "reasons"), WORKED.values(), ids=WORKED)
def test_the_oracle_agrees_with_cases_worked_out_by_hand(
    events: list[StatusEvent], at: datetime, colour: Colour, reasons: set[Reason]
) -> None:
    assert naive(events, at) == (colour, reasons)


@given(worlds())
def test_the_worlds_are_valid(world: list[StatusEvent]) -> None:
    assert [fault for event in world for fault in faults(event, LATER)] == []


# --- the judgement ------------------------------------------------------------------------------


@st.composite
def chained(draw: st.DrawFn) -> list[StatusEvent]:
    """A world with chains: each correction of the source and family of what it corrects, with what
    another such event says, and a higher sequence."""
    events = draw(worlds(events_min=2))
    for number in range(draw(st.integers(1, 8))):
        target = draw(st.sampled_from(events[-6:]))
        fields = {
            "id": f"c{number}",
            "supersedes": target.id,
            "sequence": str(int(target.sequence) + draw(st.integers(1, 9))),
            "time": target.time + draw(st.integers(0, 9)) * STEP,
        }
        if target.retracts or draw(st.integers(0, 3)) == 0:
            made = retract(target, id="any", sequence=0)
        else:
            alike = [other for other in events if type(other) is type(target)]
            made = replace(target, data=draw(st.sampled_from(alike)).data)
        events.append(replace(made, **fields))
    return events


@pytest.mark.parametrize("policies", POLICY_SETS.values(), ids=POLICY_SETS)
def test_the_judgement_agrees_with_the_oracle(policies: tuple[policy.Policy, ...]) -> None:
    chains: set[int] = set()
    moved = 0

    @given(worlds(events_min=2) | chained())
    def agree(world: list[StatusEvent]) -> None:
        nonlocal moved
        settled = settle(world)
        moved += any(settled.place(event) != event.order for event in settled.standing)
        chains.update(Counter(map(settled.place, world)).values())
        with patch.object(policy, "POLICIES", policies):
            found = assess(world)
            right = spells(world)
        assert found.verified_since == verified_since(world)
        assert union((x.reason, x.start, x.end) for x in found.intervals) == union(right)

    agree()
    assert max(chains) >= 4, "there were chains"
    assert moved > 20, "and what stands in the place of another"


def test_a_new_exposure_restarts_the_count() -> None:
    world = [
        b.contact(b.day(1), b.day(2), sequence=1),
        b.contact(b.day(4), b.day(5), sequence=2),
        *[b.negative(b.day(n)) for n in (2, 5, 8, 15)],
    ]
    for at in (b.day(16), b.day(40)):
        assert naive(world, at)[1] == {Reason.CLOSE_CONTACT}
        assert any(interval.is_open(at) for interval in assess(world).intervals)


@pytest.mark.parametrize(
    ("reported_at", "open_then"),
    [(b.day(4), True), (b.day(5), False)],
    ids=["with the pair", "after it"],
)
def test_a_positive_sampled_with_the_second_negative_voids_a_pair_that_is_not_complete(
    reported_at: datetime, open_then: bool
) -> None:
    world = [
        b.positive(b.day(1), b.day(1)),
        b.negative(b.day(2), b.day(2)),
        b.negative(b.day(4), b.day(4)),
        b.positive(b.day(4), reported_at),
    ]
    assert bool(naive(world, b.day(4))[1]) is open_then
    assert any(interval.is_open(b.day(4)) for interval in assess(world).intervals) is open_then
    assert any(interval.is_open(b.day(6)) for interval in assess(world).intervals)


@given(worlds())
def test_a_checklist_that_is_met_ends_its_reason(world: list[StatusEvent]) -> None:
    """Only the withdrawal of a contact ends a reason before its checklist is met."""
    for interval in assess(world).intervals:
        met_at = [condition.met_at for condition in interval.conditions if condition.met_at]
        assert all(
            condition.met_by is not None
            for condition in interval.conditions
            if condition.met_at is not None and condition.owner is not Owner.TIME
        )
        if interval.conditions and len(met_at) == len(interval.conditions):
            assert interval.end is not None
            due = max(interval.start, *met_at)
            if interval.reason is Reason.CLOSE_CONTACT:
                assert max(interval.start, interval.end) <= due
            else:
                assert max(interval.start, interval.end) == due
        elif interval.conditions and interval.end is not None:
            assert interval.reason is Reason.CLOSE_CONTACT


@given(worlds())
def test_each_required_test_is_met_by_a_negative_of_its_own(world: list[StatusEvent]) -> None:
    results = {(x.source, x.id): x for x in effective(world) if isinstance(x, NatResultReported)}
    for interval in assess(world).intervals:
        tests = [x for x in interval.conditions if x.kind is ConditionKind.NEGATIVE_TEST]
        met = [(x, x.met_by) for x in tests if x.met_by is not None]
        assert len({met_by for _, met_by in met}) == len(met)
        for condition, met_by in met:
            result = results[met_by.source, met_by.id].data
            assert (result.result, result.status) == (Result.NEGATIVE, ResultStatus.FINAL)
            assert condition.not_before is None or condition.not_before <= result.sampled_at
            assert condition.met_at is not None


@given(worlds(), st.booleans())
def test_negatives_taken_when_the_checklist_says_lift_the_reason(
    world: list[StatusEvent], early: bool
) -> None:
    """And not if the last of them is taken before its time."""
    for interval in assess(world).intervals:
        pending = [condition for condition in interval.conditions if condition.met_at is None]
        if not pending or any(x.kind is not ConditionKind.NEGATIVE_TEST for x in pending):
            continue
        if interval.end is not None:  # withdrawn: nothing is waited for
            continue
        times: list[datetime] = []
        for condition in pending:
            at = condition.not_before
            assert at is not None
            if times and condition.apart_s is not None:
                at = max(at, times[-1] + timedelta(seconds=condition.apart_s))
            times.append(at + timedelta(seconds=1))
        if early:
            times[-1] -= timedelta(hours=1)
        taken = [
            b.negative(at, at, id=f"taken{n}", source="/laboratories/3")
            for n, at in enumerate(times)
        ]
        still_open = [x for x in assess([*world, *taken]).intervals if x.end is None]
        if early:
            # With a negative of before, a positive that is reported later may void, it may lift
            # this reason; then that of the later positive is open.
            assert any(x.reason is interval.reason for x in still_open)
        else:
            assert all(x.opened_by != interval.opened_by for x in still_open)


@given(worlds())
def test_a_reason_without_an_end_says_what_it_waits_for(world: list[StatusEvent]) -> None:
    for interval in assess(world).intervals:
        if interval.end is None:
            assert any(condition.met_at is None for condition in interval.conditions)


# --- the fold ---------------------------------------------------------------------------------


@given(worlds(), st.randoms(use_true_random=False), st.data())
def test_any_order_and_any_duplication_give_the_same_state(
    world: list[StatusEvent], random: Random, data: st.DataObject
) -> None:
    copies = data.draw(st.lists(st.sampled_from(world), max_size=6)) if world else []
    other = [*world, *copies]
    random.shuffle(other)
    assert state(fold_all(other)) == state(fold_all(world))


@given(worlds(), st.data())
def test_any_arrival_gives_the_same_state(world: list[StatusEvent], data: st.DataObject) -> None:
    """Clocks of different partitions and topics run apart: arrivals may run backwards."""
    row = unknown(b.PERSON, START)
    told: list[StatusChange] = []
    for event in data.draw(st.permutations(world)):
        outcome = fold(row, event, data.draw(arrivals(event)))
        row = outcome.person
        told += outcome.changes
    assert state(row) == state(fold_all(world))
    assert_chain(told)


@given(worlds(), st.data())
def test_any_split_and_replay_tells_the_same(world: list[StatusEvent], data: st.DataObject) -> None:
    """Neither a timer nor a redelivery adds, loses or moves a change, or a version.

    A replay starts from a row as it was stored, and repeats what that row has seen.
    """
    whole = unknown(b.PERSON, START)
    parts = whole
    told: list[StatusChange] = []
    told_in_parts: list[StatusChange] = []
    now = START
    for number, event in enumerate(world):
        now += timedelta(hours=data.draw(st.integers(0, 96)))
        outcome = fold(whole, event, now)
        whole = outcome.person
        told += outcome.changes
        if data.draw(st.booleans()):
            timer = advance(parts, parts.judged_at + (now - parts.judged_at) * 0.5)
            stored = msgspec.msgpack.encode(timer.person)
            parts = msgspec.msgpack.decode(stored, type=Person)
            told_in_parts += timer.changes
        again = data.draw(st.integers(0, number))
        for replayed in [*world[again:number], event, event]:
            outcome = fold(parts, replayed, now)
            parts = outcome.person
            told_in_parts += outcome.changes
    assert parts == whole
    assert told_in_parts == told


@given(worlds(), st.data())
def test_the_fold_agrees_with_the_oracle_at_every_instant_to_come(
    world: list[StatusEvent], data: st.DataObject
) -> None:
    row = fold_all(world)
    for at in {LATER, *(edge for edge in edges(world) if edge > LATER)}:
        assert judge(row.code, at).status == status(world, at)


@given(worlds())
def test_never_green_unless_verified(world: list[StatusEvent]) -> None:
    row = fold_all(event for event in world if not isinstance(event, IdentityVerified))
    assert all(judge(row.code, at).colour is Colour.NONE for at in [LATER, *edges(world)])


@given(worlds())
def test_red_if_and_only_if_a_reason_is_open(world: list[StatusEvent]) -> None:
    row = fold_all([*world, b.verified(START, id="verified", source="/identity-providers/other")])
    for at in {LATER, *(edge for edge in edges(world) if edge > LATER)}:
        shown = judge(row.code, at)
        assert (shown.colour is Colour.RED) == bool(shown.open)
        assert shown.colour is not Colour.NONE


@given(worlds(events_min=1), st.data())
def test_a_correction_equals_never_having_sent_the_corrected_event(
    world: list[StatusEvent], data: st.DataObject
) -> None:
    """Wherever it arrives, before what it corrects or after; what that corrected stands again. Of a
    longer chain what it said is gone, and the chain keeps its place."""
    known = {(other.source, other.id) for other in world}
    named = {(other.source, other.supersedes) for other in world}
    ends = [
        other
        for other in world
        if (other.source, other.id) not in named
        and (other.supersedes is None or (other.source, other.supersedes) in known)
    ]
    assume(ends)
    event = data.draw(st.sampled_from(ends))
    correction = retract(event, id="correction", sequence=10**17)
    never_sent = [other for other in world if other is not event]
    place = data.draw(st.integers(0, len(world)))
    _, *corrected = state(fold_all([*world[:place], correction, *world[place:]]))
    _, *without = state(fold_all(never_sent))
    assert corrected == without
    assert spells([*world, correction]) == spells(never_sent)


@given(worlds(events_min=1), st.data())
def test_a_correction_taken_back_equals_never_having_been_sent(
    world: list[StatusEvent], data: st.DataObject
) -> None:
    event = data.draw(st.sampled_from(world))
    correction = retract(event, id="correction", sequence=10**17)
    back = retract(correction, id="back", sequence=10**17 + 1)
    _, *taken_back = state(fold_all(data.draw(st.permutations([*world, correction, back]))))
    _, *without = state(fold_all(world))
    assert taken_back == without


# --- the machine --------------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """One person's events as they arrive, with copies, corrections and time going by.

    The oracle writes its own chain of changes by judging the events again at each instant at which
    its answer may change. It and the chain that `models.person` tells must be the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.row = unknown(b.PERSON, START)
        self.sent: list[StatusEvent] = []
        self.now = 0
        self.told: list[StatusChange] = []
        self.expected: list[tuple[datetime, Status]] = []

    def last(self) -> Status:
        return self.expected[-1][1] if self.expected else NO_CODE

    def expect(self, at: datetime) -> None:
        now = status(self.sent, at)
        if now != self.last():
            self.expected.append((at, now))

    def take(self, outcome: FoldOutcome) -> None:
        if content(outcome.person) == content(self.row) and not outcome.changes:
            assert outcome.person.code == self.row.code
        self.row = outcome.person
        self.told += outcome.changes

    def arrive(self, event: StatusEvent) -> None:
        self.take(fold(self.row, event, at_step(self.now)))
        self.sent.append(event)
        self.expect(at_step(self.now))

    def is_news(self, event: StatusEvent) -> bool:
        return all((event.source, event.id) != (other.source, other.id) for other in self.sent)

    @initialize(now=st.integers(1, 60), verified=st.booleans())
    def begin(self, now: int, verified: bool) -> None:
        self.pass_time(now)
        if verified:
            self.arrive(b.verified(START, id="verified", sequence=0))

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        event = data.draw(status_events(self.now))
        if self.is_news(event):
            self.arrive(event)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_a_copy(self, data: st.DataObject) -> None:
        self.arrive(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), sequence=st.integers(0, 30))
    def take_back(self, data: st.DataObject, sequence: int) -> None:
        event = data.draw(st.sampled_from(self.sent))
        back = retract(event, id=f"back{len(self.sent)}", sequence=sequence)
        self.arrive(back)

    @precondition(lambda self: edges(self.sent)[-1] > at_step(self.now))
    @rule()
    def wait_until_something_changes_by_time(self) -> None:
        at = next(edge for edge in edges(self.sent) if edge > at_step(self.now))
        self.pass_time((at - at_step(self.now)) // STEP)

    @rule(steps=st.integers(1, 60))
    def pass_time(self, steps: int) -> None:
        before = at_step(self.now)
        self.now += steps
        now = at_step(self.now)
        for at in edges(self.sent):
            if before < at <= now:
                self.expect(at)
        self.take(advance(self.row, now))

    @invariant()
    def what_is_told_is_what_the_oracle_expects(self) -> None:
        assert [(change.at, change.after) for change in self.told] == self.expected

    @invariant()
    def the_chain_has_no_gap(self) -> None:
        assert_chain(self.told)

    @invariant()
    def what_is_shown_now_and_later_is_what_the_oracle_says(self) -> None:
        now = at_step(self.now)
        for at in {now, *(edge for edge in edges(self.sent) if edge > now)}:
            assert judge(self.row.code, at).status == status(self.sent, at)


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=30)
