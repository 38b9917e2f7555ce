"""An easing of policy: what opened under stricter numbers takes the milder ones, and never later.

The sets of policies are those of `support.strategies`. They change on 11 March at 00:00, and where
there are three on 19 March at 00:00.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given

from models import policy
from models.codes import Cause, Colour, ConditionKind, Interval
from models.events import StatusEvent
from models.person import advance, fold, unknown
from models.reasons import assess
from support.builders import (
    PERSON,
    confirmed,
    contact,
    contact_withdrawn,
    day,
    discharged,
    negative,
    ordered,
    positive,
    released,
    verified,
)
from support.strategies import POLICY_CHANGE, POLICY_SETS, SECOND_CHANGE, worlds

OLD, SECOND, THIRD = "2020-04", "2022-03-1", "2022-03-2"
EASING = POLICY_CHANGE


@contextmanager
def under(policies: Sequence[policy.Policy]) -> Iterator[None]:
    with patch.object(policy, "POLICIES", policies):
        yield


def judged(name: str, events: Sequence[StatusEvent]) -> tuple[Interval, ...]:
    with under(POLICY_SETS[name]):
        return assess(events).intervals


MILDER: dict[str, tuple[list[Any], str, datetime | None]] = {
    # name: (events, the policy that governs, the end)
    "a contact under 14 days takes 7 days and two tests": (
        [contact(day(9)), negative(day(10)), negative(day(16))],
        SECOND,
        day(16, 14),
    ),
    "a contact whose 7 days are over lifts when the easing is in force": (
        [contact(day(2)), negative(day(3)), negative(day(9))],
        SECOND,
        EASING,
    ),
    "a contact that was over before the easing stays as it was": (
        [contact(day(-5), day(1)), *[negative(day(n)) for n in (1, 2, 3, 9)]],
        OLD,
        day(9, 14),
    ),
    "a contact that was withdrawn before it stays as it was": (
        [contact(day(2)), contact_withdrawn(day(5))],
        OLD,
        day(5),
    ),
    "a contact without tests is shown the fewer": ([contact(day(9))], SECOND, None),
    "a positive takes the shorter distance of tests": (
        [positive(day(9)), negative(day(10)), negative(day(10, 20))],
        SECOND,
        day(11, 2),
    ),
    "a positive whose tests were too near lifts when the easing is in force": (
        [positive(day(5)), negative(day(6)), negative(day(6, 20))],
        SECOND,
        EASING,
    ),
    "a positive that could lift before it stays as it was": (
        [positive(day(5)), negative(day(6)), negative(day(6, 20)), negative(day(7))],
        OLD,
        day(7, 14),
    ),
    "a case takes 7 days from its discharge": (
        [confirmed(day(2)), discharged(day(6))],
        SECOND,
        day(13),
    ),
    "a case that was discharged long before lifts when the easing is in force": (
        [confirmed(day(1)), discharged(day(2))],
        SECOND,
        EASING,
    ),
    "a case without a discharge keeps its checklist": ([confirmed(day(2))], OLD, None),
    "centralised quarantine ends by itself": (
        [ordered("centralised", day(5), day(19))],
        SECOND,
        day(19),
    ),
    "centralised quarantine beyond its planned end lifts when the easing is in force": (
        [ordered("centralised", day(2), day(8))],
        SECOND,
        EASING,
    ),
    "centralised quarantine that was released stays as it was": (
        [ordered("centralised", day(2), day(8)), released(day(9))],
        OLD,
        day(9),
    ),
    "home quarantine has the same end by both, and the older governs": (
        [ordered("home", day(5), day(19))],
        OLD,
        day(19),
    ),
}


@pytest.mark.parametrize("name", MILDER)
def test_what_opened_before_takes_the_milder_numbers(name: str) -> None:
    events, governs, end = MILDER[name]
    [interval] = judged("milder-later", events)
    assert (interval.policy, interval.end) == (governs, end)


@pytest.mark.parametrize("name", MILDER)
def test_a_stricter_policy_after_the_milder_changes_nothing(name: str) -> None:
    events, *_ = MILDER[name]
    assert judged("milder-then-stricter", events) == judged("milder-later", events)


@pytest.mark.parametrize("name", MILDER)
def test_a_stricter_policy_changes_nothing(name: str) -> None:
    events, *_ = MILDER[name]
    assert judged("stricter-later", events) == judged("as-is", events)


def test_what_opens_while_the_milder_is_in_force_keeps_it() -> None:
    between, after = judged(
        "milder-then-stricter",
        [contact(day(12), listing="L1"), contact(day(20), listing="L2")],
    )
    assert (between.policy, len(between.conditions)) == (SECOND, 3)
    assert (after.policy, len(after.conditions)) == (THIRD, 6)
    assert between.start < SECOND_CHANGE < after.start


def test_a_milder_policy_after_a_stricter_eases_both() -> None:
    events = [contact(day(9), listing="L1"), contact(day(12), listing="L2")]
    assert [i.policy for i in judged("stricter-then-milder", events)] == [THIRD, THIRD]


def test_a_positive_ends_with_its_case_and_names_the_policy_of_that() -> None:
    of_case, of_positive = judged(
        "milder-later", [positive(day(1)), confirmed(day(2)), discharged(day(6))]
    )
    assert {of_case.end, of_positive.end} == {day(13)}
    assert {of_case.policy, of_positive.policy} == {SECOND}


def test_a_checklist_waits_until_the_easing_is_in_force() -> None:
    """So nobody is promised an earlier end than there is."""
    [waits] = judged("milder-later", [contact(day(2)), negative(day(3))])
    [is_met] = judged("milder-later", [contact(day(2)), negative(day(3)), negative(day(9))])
    for interval in (waits, is_met):
        [time] = [line for line in interval.conditions if line.kind is ConditionKind.TIME]
        assert (time.not_before, time.met_at) == (EASING, EASING)
        assert interval.earliest_end(day(4)) == EASING


def test_a_checklist_is_that_of_the_earliest_end_by_all_policies() -> None:
    [alone] = judged("as-is", [contact(day(9))])
    [eased] = judged("milder-later", [contact(day(9))])
    assert [len(alone.conditions), len(eased.conditions)] == [5, 3]
    assert alone.earliest_end(day(12)) == day(23)
    assert eased.earliest_end(day(12)) == day(16)


def test_an_end_by_a_policy_to_come_is_told_at_its_instant() -> None:
    row = unknown(PERSON, day(1))
    with under(POLICY_SETS["milder-later"]):
        for event in (verified(), contact(day(2)), negative(day(3)), negative(day(9))):
            row = fold(row, event, day(9, 15)).person
        assert row.due_at == EASING
        assert advance(row, EASING - timedelta(milliseconds=1)).changes == ()
        [change] = advance(row, day(30)).changes
    assert (change.at, change.after.colour, change.cause) == (EASING, Colour.GREEN, Cause())


def _open(intervals: Sequence[Interval], at: datetime) -> set[Any]:
    return {interval.reason for interval in intervals if interval.is_open(at)}


def _edges(*judgements: Sequence[Interval]) -> set[datetime]:
    edges = {EASING - timedelta(milliseconds=1)}
    for interval in (i for intervals in judgements for i in intervals):
        edges |= {interval.start, *([interval.end] if interval.end else [])}
    return edges


@pytest.mark.parametrize("name", POLICY_SETS)
def test_nothing_changes_before_a_policy_is_in_force(name: str) -> None:
    @given(worlds())
    def same(world: list[StatusEvent]) -> None:
        before, now = judged("as-is", world), judged(name, world)
        for at in (at for at in _edges(before, now) if at < EASING):
            assert _open(now, at) == _open(before, at)

    same()


@given(worlds())
def test_a_milder_policy_lengthens_nothing(world: list[StatusEvent]) -> None:
    before, now = judged("as-is", world), judged("milder-later", world)
    for at in _edges(before, now):
        assert _open(now, at) <= _open(before, at)


@given(worlds())
def test_a_stricter_policy_lengthens_nothing_that_runs(world: list[StatusEvent]) -> None:
    before, now = judged("as-is", world), judged("stricter-later", world)
    ends = {(i.reason, i.opened_by): i.end for i in before}
    for interval in (i for i in now if i.start < EASING and i.policy == OLD):
        assert ends[interval.reason, interval.opened_by] == interval.end


@pytest.mark.parametrize("name", POLICY_SETS)
def test_a_checklist_that_is_met_ends_its_reason_by_any_policy(name: str) -> None:
    @given(worlds())
    def ends(world: list[StatusEvent]) -> None:
        for interval in judged(name, world):
            met = [line.met_at for line in interval.conditions if line.met_at]
            if interval.conditions and len(met) == len(interval.conditions):
                assert interval.end is not None
                assert max(interval.start, interval.end) <= max(interval.start, *met)

    ends()
