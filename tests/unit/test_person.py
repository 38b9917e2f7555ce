"""The fold of one person: what redelivery, lateness, correction and time each do."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from models.codes import NO_CODE, Colour, Reason, StatusChange, judge
from models.notices import Objection
from models.person import FoldOutcome, Person, advance, fold, unknown
from models.policy import POLICIES
from support.builders import (
    PERSON,
    confirmed,
    contact,
    contact_withdrawn,
    day,
    discharged,
    excluded,
    negative,
    ordered,
    positive,
    provincial,
    released,
    retracted,
    suspected,
    transferred,
    verified,
)

RED = (Colour.RED, (Reason.CONFIRMED_OR_POSITIVE,))
GREEN = (Colour.GREEN, ())


def send(*events: Any, row: Person | None = None, at: datetime | None = None) -> FoldOutcome:
    """Apply events, each arriving at its own time or all at `at`."""
    row = row or unknown(PERSON, at or events[0].time)
    changes: list[StatusChange] = []
    notices: list[Any] = []
    for event in events:
        outcome = fold(row, event, at or event.time)
        row = outcome.person
        changes += outcome.changes
        notices += outcome.notices
    return FoldOutcome(row, tuple(changes), tuple(notices))


def told(outcome: FoldOutcome) -> list[tuple[Colour, tuple[Reason, ...]]]:
    return [(c.after.colour, c.after.reasons) for c in outcome.changes]


def assert_chain(changes: tuple[StatusChange, ...]) -> None:
    before, version = NO_CODE, 0
    for change in changes:
        assert (change.before, change.previous_version) == (before, version)
        assert change.version > version
        assert change.after != change.before
        before, version = change.after, change.version


def test_the_chain_goes_from_no_code_to_the_present_without_a_gap() -> None:
    outcome = send(verified(), positive(day(2)), negative(day(4)), negative(day(6)))
    assert told(outcome) == [GREEN, RED, GREEN]
    assert_chain(outcome.changes)


def test_a_duplicate_changes_nothing() -> None:
    result = positive(day(2))
    row = send(verified(), result).person
    again = fold(row, result, row.judged_at)
    assert again == FoldOutcome(row)


def test_the_same_identity_with_another_content_is_refused_and_the_first_stays() -> None:
    row = send(verified(), positive(day(2), id="r")).person
    outcome = fold(row, negative(day(2), id="r"), day(3))
    assert [n.objection for n in outcome.notices] == [Objection.CONFLICT]
    assert outcome.notices[0].refused
    assert outcome.person.facts == row.facts
    assert outcome.changes == ()


def test_an_event_that_changes_no_code_keeps_the_version() -> None:
    row = send(verified()).person
    after = fold(row, negative(day(2)), day(3)).person
    assert after.code == row.code
    assert len(after.facts) == 2


def test_a_reason_that_ends_by_time_is_told_at_its_instant() -> None:
    row = send(verified(), ordered("home", day(1), day(8))).person
    assert row.due_at == day(8)
    outcome = advance(row, day(20))
    assert told(outcome) == [GREEN]
    assert outcome.changes[0].at == day(8)
    assert outcome.changes[0].cause.id is None
    assert advance(outcome.person, day(30)).changes == ()


def test_a_reason_that_begins_in_the_future_is_told_at_its_instant() -> None:
    row = send(verified(), ordered("home", day(5), day(8)), at=day(2)).person
    assert row.code.colour is Colour.GREEN
    outcome = advance(row, day(9))
    assert [(c.after.colour, c.at) for c in outcome.changes] == [
        (Colour.RED, day(5)),
        (Colour.GREEN, day(8)),
    ]


def test_when_the_timer_runs_does_not_matter() -> None:
    identity, order, result = verified(), ordered("home", day(1), day(8)), negative(day(9))
    late = send(identity, order, result)
    timely = send(identity, order)
    ticked = advance(timely.person, day(8, 9))
    after = send(result, row=ticked.person)
    assert after.person == late.person
    assert (*timely.changes, *ticked.changes, *after.changes) == late.changes


def test_an_event_that_arrives_before_what_was_told_is_told_after_it() -> None:
    row = advance(send(verified(), ordered("home", day(1), day(8))).person, day(10)).person
    outcome = fold(row, positive(day(2)), day(3))
    assert outcome.changes[0].at == day(10)


def test_arrival_order_does_not_matter() -> None:
    events = [verified(), positive(day(2)), provincial("red", day(3)), negative(day(4))]
    forward = send(*events, at=day(9)).person
    backward = send(*reversed(events), at=day(9)).person
    assert forward.facts == backward.facts
    assert forward.code.intervals == backward.code.intervals


def test_a_correction_that_arrives_first_takes_effect_when_its_event_comes() -> None:
    result = positive(day(2), id="r1", sequence=1)
    correction = retracted(result, day(3), sequence=2)
    outcome = send(verified(), correction, result, at=day(4))
    assert told(outcome) == [GREEN]
    assert outcome.notices == ()


def test_a_change_by_a_correction_says_what_it_corrects() -> None:
    result = positive(day(2), id="r1", sequence=1)
    outcome = send(verified(), result, retracted(result, day(3), sequence=2))
    assert [change.cause.corrects for change in outcome.changes] == [None, None, "r1"]
    right = negative(day(2), supersedes="r1", sequence=2)
    outcome = send(verified(), result, right, at=day(3))
    assert (told(outcome)[-1], outcome.changes[-1].cause.corrects) == (GREEN, "r1")


def test_a_change_by_a_correction_without_effect_says_nothing_of_it() -> None:
    result = negative(day(2), id="r1", sequence=2)
    claims = [
        positive(day(3), supersedes="r1", sequence=1),
        positive(day(3), supersedes="lost"),
        positive(day(3), supersedes="r1", source="/laboratories/2"),
    ]
    for claim in claims:
        outcome = send(verified(), result, claim, at=day(4))
        assert (told(outcome)[-1], outcome.changes[-1].cause.corrects) == (RED, None)


def test_a_correction_without_its_event_is_told_to_its_source_once() -> None:
    lost = retracted(positive(day(2)), day(3))
    row = send(verified(), lost).person
    wait = POLICIES[0].correction_wait
    assert row.due_at == lost.time + wait
    outcome = advance(row, lost.time + wait)
    assert [n.objection for n in outcome.notices] == [Objection.CORRECTION_WITHOUT_TARGET]
    assert not outcome.notices[0].refused
    assert advance(outcome.person, day(20)).notices == ()


@pytest.mark.parametrize(
    ("closes", "opens"),
    [
        (released(day(3)), ordered("centralised", day(2), day(16))),
        (transferred("home", day(3), day(16)), ordered("centralised", day(2), day(16))),
        (discharged(day(3)), confirmed(day(2))),
        (excluded(day(3)), suspected(day(2))),
        (contact_withdrawn(day(3)), contact(day(2))),
    ],
    ids=["release", "transfer", "discharge", "exclusion", "withdrawal"],
)
def test_what_closes_nothing_is_told_to_its_source_once_unless_it_is_corrected_or_answered(
    closes: Any, opens: Any
) -> None:
    row = send(verified(), closes).person
    deadline = closes.time + POLICIES[0].correction_wait
    assert row.due_at == deadline
    outcome = advance(row, deadline)
    assert [n.objection for n in outcome.notices] == [Objection.CLOSES_NOTHING]
    assert not outcome.notices[0].refused
    assert advance(outcome.person, day(40)).notices == ()

    behind = advance(send(verified()).person, deadline).person  # the timer was ahead of the log
    late = fold(behind, closes, closes.time)
    assert [n.objection for n in late.notices] == [Objection.CLOSES_NOTHING], "read after its wait"
    early = send(opens, msgspec.structs.replace(closes, sequence="0"))
    assert [n.objection for n in early.notices] == [Objection.CLOSES_NOTHING], "told at once"
    assert "higher sequence" in early.notices[0].detail
    assert advance(early.person, day(40)).notices == ()

    mended = send(retracted(closes, day(3, 20)), row=row).person
    assert advance(mended, deadline).notices == ()
    answered = send(msgspec.structs.replace(opens, sequence="0"), row=row, at=day(3, 20)).person
    assert advance(answered, deadline).notices == ()


def test_a_correction_of_another_sources_event_is_told_and_has_no_effect() -> None:
    result = positive(day(2), id="r1")
    foreign = negative(day(2), id="x", supersedes="r1", source="/laboratories/2")
    outcome = send(verified(), result, foreign)
    assert [n.objection for n in outcome.notices] == [Objection.CORRECTION_OF_OTHER_SOURCE]
    assert outcome.person.code.colour is Colour.RED


@pytest.mark.parametrize("first", [0, 1])
def test_a_circle_of_corrections_is_told_whichever_comes_last(first: int) -> None:
    circle = [
        positive(day(2), id="a", sequence=1, supersedes="b"),
        negative(day(2), id="b", sequence=2, supersedes="a"),
    ]
    outcome = send(verified(), circle[first], circle[1 - first])
    assert [(n.objection, n.event.id) for n in outcome.notices] == [
        (Objection.CORRECTION_OF_LATER_EVENT, "a")
    ]


def test_a_clock_that_ran_ahead_takes_no_reason_from_a_reader_whose_clock_is_right() -> None:
    row = send(verified(), ordered("home", day(1), day(7))).person
    ahead = advance(row, day(8)).person
    assert ahead.code.colour is Colour.GREEN
    assert judge(ahead.code, day(2)).colour is Colour.RED


def test_an_ended_reason_leaves_the_code_at_an_instant_of_its_own_and_nothing_is_told() -> None:
    row = send(verified(), ordered("home", day(1), day(7))).person
    leaves = day(7) + POLICIES[0].ended_kept
    lifted = advance(row, day(8)).person
    assert lifted.due_at == leaves
    outcome = advance(lifted, leaves)
    assert outcome.changes == ()
    assert outcome.person.code.intervals == ()
    assert outcome.person.code.version == lifted.code.version + 1
    assert outcome.person.due_at is None
    late = send(verified(), ordered("home", day(1), day(7)), at=leaves).person
    assert late.code.intervals == ()


def test_a_checklist_that_fills_grows_the_version_but_tells_no_change() -> None:
    row = send(verified(), contact(day(1))).person
    outcome = send(negative(day(2)), row=row)
    assert outcome.changes == ()
    assert outcome.person.code.version == row.code.version + 1
    later = send(positive(day(3)), row=outcome.person)
    assert later.changes[0].previous_version == row.code.version


def test_a_row_survives_its_encoding() -> None:
    row = send(verified(), positive(day(2)), contact(day(1)), provincial("red", day(3))).person
    encoded = msgspec.msgpack.encode(row)
    assert msgspec.msgpack.Decoder(Person).decode(encoded) == row


def test_lifts_at_the_same_instant_are_told_as_one_change() -> None:
    row = send(verified(), ordered("home", day(1), day(8)), ordered("home", day(1), day(8), "Q2"))
    outcome = advance(row.person, day(8) + timedelta(seconds=1))
    assert told(outcome) == [GREEN]
