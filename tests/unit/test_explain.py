"""What held then, as known then and as known now: cases worked out by hand, and properties."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.codes import NO_CODE, Colour, EventRef, Reason, Status, StatusChange, judge
from models.course import TURNS_MAX, Lifting, course
from models.events import EVENT_TYPES, StatusEvent, counts_from
from models.explain import Claim, compare, explain
from models.person import Person, advance, fold, unknown
from models.policy import POLICIES
from oracle.naive import naive
from support import builders as b
from support.strategies import (
    STEPS_MAX,
    arrivals,
    at_step,
    retract,
    worlds,
)

START = at_step(0)
HORIZON = at_step(STEPS_MAX) + timedelta(days=800)
TICK = timedelta(milliseconds=1)
"""The least by which two arrivals differ."""

DAY = b.day
RED_1 = Status(Colour.RED, (Reason.CONFIRMED_OR_POSITIVE,))
GREEN = Status(Colour.GREEN)


def arrived(*events: tuple[Any, datetime]) -> Person:
    """Return the row after events, each with its arrival."""
    row = unknown(b.PERSON, DAY(1, 0))
    for event, at in events:
        row = fold(row, event, at).person
    return row


def shown(row: Person, at: datetime, known_at: datetime | None = None) -> Status:
    return explain(row, at, known_at).answer.status


def ids(events: Sequence[Any]) -> list[str]:
    return [event.id for event in events]


# The two instants


def test_an_event_that_arrives_at_an_instant_is_known_at_it() -> None:
    row = arrived((b.verified(), DAY(1)), (b.positive(DAY(2)), DAY(3)))
    assert shown(row, DAY(3), DAY(3)) == RED_1
    assert shown(row, DAY(3) - TICK, DAY(3) - TICK) == GREEN
    assert shown(row, DAY(1) - TICK, DAY(1) - TICK) == NO_CODE


def test_a_reason_that_ends_at_an_instant_is_over_at_it() -> None:
    row = arrived((b.verified(), DAY(1)), (b.ordered("home", DAY(1), DAY(8)), DAY(1)))
    assert shown(row, DAY(8), DAY(8)) == GREEN
    assert shown(row, DAY(8) - TICK, DAY(8) - TICK).colour is Colour.RED
    [ended] = explain(row, DAY(8)).answer.ended
    assert ended.end == DAY(8)


def test_what_arrives_in_the_same_millisecond_is_known_together() -> None:
    result = b.positive(DAY(2))
    row = arrived((b.verified(), DAY(1)), (result, DAY(3)), (b.retracted(result, DAY(3)), DAY(3)))
    assert shown(row, DAY(3), DAY(3)) == GREEN


def test_hindsight_knows_a_late_event_at_its_own_instant() -> None:
    row = arrived((b.verified(), DAY(1)), (b.positive(DAY(2, 0), DAY(2)), DAY(5)))
    assert shown(row, DAY(3), DAY(3)) == GREEN
    assert shown(row, DAY(3)) == RED_1
    assert shown(row, DAY(2)) == RED_1
    assert shown(row, DAY(2) - TICK) == GREEN


def test_a_forecast_is_made_by_what_was_known_and_by_time() -> None:
    order = b.ordered("home", DAY(3), DAY(8))
    row = arrived((b.verified(), DAY(1)), (order, DAY(2)), (b.positive(DAY(4)), DAY(5)))
    assert shown(row, DAY(6), DAY(2)) == Status(Colour.RED, (Reason.HOME_QUARANTINE,))
    assert shown(row, DAY(9), DAY(2)) == GREEN
    assert shown(row, DAY(9), DAY(5)) == RED_1
    assert shown(row, DAY(400)) == RED_1
    assert explain(row, DAY(2), DAY(2)).answer.ahead[0].opened_by.id == order.id
    assert explain(row, DAY(2), DAY(2)).answer.changes_at == DAY(3)


def test_an_event_that_had_not_arrived_is_told_apart() -> None:
    found = b.positive(DAY(2))
    row = arrived((b.verified(id="who"), DAY(1)), (found, DAY(5)))
    explanation = explain(row, DAY(3), DAY(3))
    assert ids(explanation.known) == ["who"]
    [late] = explanation.unknown
    assert (late.id, late.type) == (found.id, "yuekang.nat-result.reported.v1")
    assert (late.counts_from, late.arrived_at) == (found.data.reported_at, DAY(5))
    assert explain(row, DAY(3)).unknown == ()


# Corrections


def test_a_correction_in_force_is_named_beside_what_it_takes_back() -> None:
    result = b.positive(DAY(2))
    back = b.retracted(result, DAY(4))
    row = arrived((b.verified(), DAY(1)), (result, DAY(3)), (back, DAY(4)))
    _, taken, correction = explain(row, DAY(5)).known
    assert taken.taken_back_by == EventRef(back.source, back.id)
    assert (correction.claim, correction.taken_back_by) == (Claim.IN_FORCE, None)
    before = explain(row, DAY(3), DAY(3)).known[-1]
    assert (before.taken_back_by, before.bears_on) == (None, (Reason.CONFIRMED_OR_POSITIVE,))


def test_a_correction_that_came_first_waits_and_then_takes_effect() -> None:
    result = b.positive(DAY(2), sequence=1)
    back = b.retracted(result, DAY(3), sequence=2)
    row = arrived((b.verified(), DAY(1)), (back, DAY(3)), (result, DAY(4)))
    assert explain(row, DAY(3), DAY(3)).known[-1].claim is Claim.TARGET_NOT_KNOWN
    assert [event.claim for event in explain(row, DAY(4)).known] == [None, Claim.IN_FORCE, None]
    for at in (DAY(3), DAY(4)):
        assert shown(row, at, at) == GREEN
    assert not compare(row, DAY(3)).difference


def test_a_correction_of_another_sources_event_names_nothing_known() -> None:
    result = b.positive(DAY(2), id="r")
    foreign = b.negative(DAY(2), supersedes="r", source="/laboratories/2")
    row = arrived((b.verified(), DAY(1)), (result, DAY(3)), (foreign, DAY(3)))
    claims = {event.id: event.claim for event in explain(row, DAY(3)).known}
    assert claims[foreign.id] is Claim.TARGET_NOT_KNOWN
    assert shown(row, DAY(3)) == RED_1


def test_a_correction_of_a_later_event_has_no_effect() -> None:
    circle = [
        b.positive(DAY(2), id="a", sequence=1, supersedes="b"),
        b.positive(DAY(2), id="b", sequence=2, supersedes="a"),
    ]
    row = arrived(*[(event, DAY(3)) for event in circle])
    first, second = explain(row, DAY(3)).known
    assert (first.claim, first.taken_back_by) == (Claim.TARGET_IS_LATER, EventRef(*_ref(circle[1])))
    assert (second.claim, second.taken_back_by) == (Claim.IN_FORCE, None)


def test_a_correction_that_is_taken_back_is_not_in_force() -> None:
    result = b.positive(DAY(2), sequence=1)
    back = b.retracted(result, DAY(3), sequence=2)
    again = b.retracted(back, DAY(4), sequence=3)
    row = arrived((b.verified(), DAY(1)), *[(event, event.time) for event in (result, back, again)])
    by_id = {event.id: event for event in explain(row, DAY(5)).known}
    assert by_id[back.id].claim is Claim.TAKEN_BACK
    assert by_id[back.id].taken_back_by == EventRef(*_ref(again))
    assert by_id[result.id].taken_back_by is None
    assert [shown(row, at, at) for at in (DAY(3), DAY(4))] == [GREEN, RED_1]


def _ref(event: Any) -> tuple[str, str]:
    return event.source, event.id


def test_an_identity_that_is_retracted_later_leaves_no_code_for_then() -> None:
    who = b.verified()
    row = arrived((who, DAY(1)), (b.retracted(who, DAY(9)), DAY(9)))
    found = compare(row, DAY(5))
    assert (found.then.colour, found.now.colour) == (Colour.GREEN, Colour.NONE)
    assert found.difference.colour
    assert [event.type for event in found.difference.because] == ["yuekang.identity.retracted.v1"]
    assert found.now.verified_since is None


# What was shown then, and what is known now of then


def test_a_positive_that_was_a_mistake_is_told_as_shown_and_as_known() -> None:
    result = b.positive(DAY(2))
    back = b.retracted(result, DAY(6))
    row = arrived(
        (b.verified(), DAY(1)),
        (result, DAY(3)),
        (b.negative(DAY(4)), DAY(5)),
        (back, DAY(6)),
        (b.negative(DAY(7)), DAY(8)),
    )
    found = compare(row, DAY(4))
    assert (found.then.status, found.now.status) == (RED_1, GREEN)
    assert [i.opened_by.id for i in found.difference.only_then] == [result.id]
    assert found.difference.only_now == ()
    assert ids(found.difference.because) == [back.id]


def test_of_two_corrections_of_the_same_the_first_to_come_made_the_difference() -> None:
    result = b.positive(DAY(2), sequence=1)
    one = b.retracted(result, DAY(5), sequence=2)
    other = b.retracted(result, DAY(6), sequence=3)
    row = arrived((b.verified(), DAY(1)), (result, DAY(3)), (one, DAY(5)), (other, DAY(6)))
    assert ids(compare(row, DAY(4)).difference.because) == [one.id]


def test_two_events_that_made_the_difference_together_are_both_named() -> None:
    found, one, other = b.positive(DAY(2)), b.negative(DAY(3)), b.negative(DAY(5))
    row = arrived(
        (b.verified(), DAY(1)),
        (found, DAY(3)),
        (b.negative(DAY(4)), DAY(30)),
        (one, DAY(20)),
        (b.negative(DAY(9)), DAY(21)),
        (other, DAY(22)),
    )
    comparison = compare(row, DAY(6))
    assert (comparison.then.status, comparison.now.status) == (RED_1, GREEN)
    assert ids(comparison.difference.because) == [one.id, other.id]


def test_what_came_of_it_afterwards_is_no_difference() -> None:
    row = arrived(
        (b.verified(), DAY(1)),
        (b.positive(DAY(2)), DAY(3)),
        *[(b.negative(DAY(n)), DAY(n, 14)) for n in (5, 7)],
    )
    found = compare(row, DAY(4))
    assert not found.difference
    assert found.difference.because == ()
    assert found.then.open[0].end is None
    assert found.now.open[0].end == DAY(7, 14)


def test_a_line_that_was_met_by_then_and_not_known_is_a_difference() -> None:
    late = b.negative(DAY(4))
    row = arrived((b.verified(), DAY(1)), (b.positive(DAY(2)), DAY(3)), (late, DAY(9)))
    found = compare(row, DAY(5))
    assert found.then.status == found.now.status == RED_1
    [change] = found.difference.changed
    assert change.then.conditions[0].met_by is None
    assert change.now.conditions[0].met_by == EventRef(*_ref(late))
    assert ids(found.difference.because) == [late.id]


def test_an_instant_to_come_has_nothing_that_is_not_known() -> None:
    row = arrived((b.verified(), DAY(1)), (b.ordered("home", DAY(1), DAY(8)), DAY(2)))
    found = compare(row, DAY(9))
    assert found.then.status == found.now.status == GREEN
    assert not found.difference


def test_nothing_known_is_no_code() -> None:
    explanation = explain(unknown(b.PERSON, DAY(1)), DAY(1))
    assert (explanation.answer.status, explanation.known) == (NO_CODE, ())
    assert not explanation.given_up


def test_the_policies_that_had_a_say_are_named() -> None:
    row = arrived((b.verified(), DAY(1)), (b.positive(DAY(2)), DAY(3)))
    answer = explain(row, DAY(4)).answer
    assert answer.policies == (POLICIES[0].version,)
    assert answer.open[0].policy == POLICIES[0].version


@pytest.mark.parametrize(
    "name", [name for name, cls in EVENT_TYPES.items() if cls in get_args(StatusEvent)]
)
def test_every_event_has_an_instant_from_which_it_counts(name: str) -> None:
    cls = EVENT_TYPES[name]
    event: Any = next(
        made
        for made in [
            b.verified(DAY(2)),
            b.negative(DAY(2, 0), DAY(2)),
            b.suspected(DAY(2)),
            b.confirmed(DAY(2)),
            b.excluded(DAY(2)),
            b.discharged(DAY(2)),
            b.contact(DAY(1), DAY(2)),
            b.contact_withdrawn(DAY(2)),
            b.ordered("home", DAY(2)),
            b.transferred("home", DAY(2)),
            b.released(DAY(2)),
            b.provincial("red", DAY(2)),
            b.nat_v2("negative", DAY(1), DAY(2)),
            b.make(cls, b.retraction_data(cls), at=DAY(2), source="/x", supersedes="y"),
        ]
        if type(made) is cls
    )
    assert counts_from(event) == DAY(2)


# Properties


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[StatusEvent, datetime]]:
    """A world's events with their arrivals, in that order; some arrive together, some twice, and
    some are taken back before or after they come."""
    world = draw(worlds())
    taken_back = bool(world) and draw(st.booleans())
    if taken_back:
        target = draw(st.sampled_from(world))
        world = [*world, retract(target, id="back", sequence=10**17)]
    found = [(event, draw(arrivals(event))) for event in world]
    if found:
        copies = draw(st.lists(st.sampled_from(found), max_size=3))
        found += [(event, max(at, draw(arrivals(event)))) for event, at in copies]
    return sorted(found, key=lambda entry: entry[1])


def lived(
    life: Sequence[tuple[StatusEvent, datetime]], data: st.DataObject | None = None
) -> tuple[Person, list[StatusChange]]:
    """Fold a life; the timer runs between some arrivals, and once after them all."""
    row = unknown(b.PERSON, START)
    told: list[StatusChange] = []
    for event, at in life:
        if data is not None and data.draw(st.booleans()):
            timer = advance(row, row.judged_at + (at - row.judged_at) * 0.5)
            row = timer.person
            told += timer.changes
        outcome = fold(row, event, at)
        row = outcome.person
        told += outcome.changes
    end = advance(row, HORIZON)
    return end.person, [*told, *end.changes]


def held(told: Sequence[StatusChange], at: datetime) -> Status:
    """Return what was told to hold at `at`."""
    return next((change.after for change in reversed(told) if change.at <= at), NO_CODE)


def instants(
    life: Sequence[tuple[StatusEvent, datetime]], told: Sequence[StatusChange], data: st.DataObject
) -> set[datetime]:
    """Return instants at, just before and between those at which something happens."""
    edges = {START, *(at for _, at in life), *(change.at for change in told)}
    return {
        *edges,
        *(at - TICK for at in edges if at > START),
        *data.draw(st.lists(st.datetimes(*_NAIVE, timezones=st.just(UTC)), max_size=5)),
    }


_NAIVE = (START.astimezone(UTC).replace(tzinfo=None), HORIZON.astimezone(UTC).replace(tzinfo=None))


@given(lives(), st.data())
def test_what_was_shown_then_is_what_was_told_to_hold_then(
    life: list[tuple[StatusEvent, datetime]], data: st.DataObject
) -> None:
    row, told = lived(life, data)
    for at in instants(life, told, data):
        assert explain(row, at, at).answer.status == held(told, at)
        assert compare(row, at).then.status == held(told, at)


@given(lives(), st.data())
def test_the_course_of_a_code_is_what_was_told(
    life: list[tuple[StatusEvent, datetime]], data: st.DataObject
) -> None:
    row, told = lived(life, data)
    turns = course(row, START, HORIZON)
    wanted: list[tuple[datetime, Status]] = []
    last = held(told, START)
    for at in sorted({change.at for change in told if change.at > START}):
        if held(told, at) != last:
            last = held(told, at)
            wanted.append((at, last))
    assert [(turn.at, turn.after) for turn in turns] == wanted[-TURNS_MAX:]
    for turn in turns:
        assert {i.reason for i in turn.began} == set(turn.after.reasons) - set(turn.before.reasons)
        gone = {lifted.interval.reason for lifted in turn.lifted}
        assert gone == set(turn.before.reasons) - set(turn.after.reasons)


def test_the_course_says_how_each_reason_ended() -> None:
    wrong = b.provincial("red", DAY(2))
    row = arrived(
        (b.verified(), DAY(1)),
        (wrong, DAY(2)),
        (b.retracted(wrong, DAY(3)), DAY(3)),
        (b.positive(DAY(4)), DAY(5)),
        (b.negative(DAY(6)), DAY(7)),
        (b.negative(DAY(8)), DAY(9)),
        (b.ordered("home", DAY(10), DAY(20)), DAY(10)),
    )
    turns = course(row, DAY(1), DAY(30))
    assert [turn.at for turn in turns] == [DAY(n) for n in (2, 3, 5, 9, 10, 20)]
    endings = [lifted.lifting for turn in turns for lifted in turn.lifted]
    assert endings == [Lifting.TAKEN_BACK, Lifting.MET, Lifting.BY_TIME]
    assert [turn.after.colour for turn in turns] == [Colour.RED, Colour.GREEN] * 3
    assert course(row, DAY(12), DAY(30)) == turns[-1:]
    assert course(row, DAY(1), DAY(12)) == turns[:-1]


@given(lives(), st.data())
def test_any_two_instants_are_answered_as_the_oracle_judges_what_had_arrived(
    life: list[tuple[StatusEvent, datetime]], data: st.DataObject
) -> None:
    row, told = lived(life)
    some = sorted(instants(life, told, data))
    at, known_at = data.draw(st.sampled_from(some)), data.draw(st.sampled_from(some))
    explanation = explain(row, at, known_at)
    had_arrived = [event for event, arrived_at in life if arrived_at <= known_at]
    colour, reasons = naive(had_arrived, at)
    assert explanation.answer.status == Status(colour, tuple(sorted(reasons)))
    assert {_ref(event) for event in explanation.known} == {_ref(event) for event in had_arrived}
    assert len(explanation.known) + len(explanation.unknown) == len(row.facts)


@given(worlds(), st.data())
def test_by_all_that_is_known_it_agrees_with_the_row_however_arrivals_ran(
    world: list[StatusEvent], data: st.DataObject
) -> None:
    """Also where the log's clock ran back, so that the chain and the arrivals part."""
    row = unknown(b.PERSON, START)
    for event in data.draw(st.permutations(world)):
        row = fold(row, event, data.draw(arrivals(event))).person
    for at in (row.judged_at, row.due_at or HORIZON, HORIZON):
        assert shown(row, at) == judge(row.code, at).status == shown(row, at, HORIZON)


@given(lives(), st.data())
def test_what_made_the_difference_came_late_and_suffices(
    life: list[tuple[StatusEvent, datetime]], data: st.DataObject
) -> None:
    row, told = lived(life)
    at = data.draw(st.sampled_from(sorted(instants(life, told, data))))
    found = compare(row, at)
    late = [event for event, arrived_at in life if arrived_at > at]
    because = {_ref(event) for event in found.difference.because}
    assert because <= {_ref(event) for event in late}
    assert bool(found.difference) == bool(because)
    assert bool(found.difference) or found.then.status == found.now.status
    enough = [event for event, arrived_at in life if arrived_at <= at or _ref(event) in because]
    colour, reasons = naive(enough, at)
    assert found.now.status == Status(colour, tuple(sorted(reasons)))


@given(lives(), st.data())
def test_each_known_event_counts_or_says_what_takes_it_back(
    life: list[tuple[StatusEvent, datetime]], data: st.DataObject
) -> None:
    """Judging those that count alone gives the same answer."""
    row, told = lived(life)
    at = data.draw(st.sampled_from(sorted(instants(life, told, data))))
    explanation = explain(row, at)
    counting = {_ref(event) for event in explanation.known if event.taken_back_by is None}
    colour, reasons = naive([event for event, _ in life if _ref(event) in counting], at)
    assert explanation.answer.status == Status(colour, tuple(sorted(reasons)))
    in_force = {(e.source, e.id) for e in explanation.known if e.claim is Claim.IN_FORCE}
    for event in explanation.known:
        if event.taken_back_by is not None:
            assert (event.taken_back_by.source, event.taken_back_by.id) in in_force
