"""What leaves a row for the history, and that a code is that of all events ever accepted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.codes import Colour, Reason
from models.events import StatusEvent, counts_from
from models.facts import identity
from models.history import History
from models.notices import Objection
from models.person import Person, fold, given_up, overfull, whole
from models.policy import POLICIES
from models.reasons import assess, may_open
from models.rows import decode_row, encode_row
from support.builders import (
    PERSON,
    confirmed,
    contact,
    day,
    discharged,
    negative,
    ordered,
    positive,
    provincial,
    released,
    retracted,
    verified,
)
from support.held import Held
from support.strategies import RULES, STEPS_MAX, at_step, status_events

HALF_A_DAY = timedelta(hours=12)


@contextmanager
def soon_settled(days: int, facts_max: int, page: int = 2) -> Iterator[None]:
    """A policy under which much leaves a row: the bounds are all that differs."""
    policy = replace(
        POLICIES[0],
        settled_after=timedelta(days=days),
        facts_max=facts_max,
        facts_reserved=1_000,  # so that no result leaves that a late one could need
        pages_max=1_000,
    )
    with (
        patch("models.person.policy_at", return_value=policy),
        patch("models.history.policy_at", return_value=policy),
        patch("models.person.PAGE_MIN", page),
        patch("models.history.PAGE_MIN", page),
        patch("models.person.LOOKS_APART", timedelta()),
    ):
        yield


def shown(row: Person, events: list[StatusEvent]) -> tuple[object, ...]:
    """Return what a row's code would say if all `events` were in the row."""
    found, kept = assess(events), POLICIES[0].ended_kept
    at = row.judged_at
    return (
        found.verified_since,
        found.city,
        tuple(i for i in found.intervals if i.end is None or i.end + kept > at),
    )


def says(row: Person) -> tuple[object, ...]:
    return row.code.verified_since, row.code.city, row.code.intervals


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[StatusEvent, datetime]]:
    """Events with their arrivals, most of them soon after they happened and some weeks later."""
    kinds = draw(st.sampled_from([*RULES, tuple({k for rule in RULES for k in rule})]))
    now, life = 0, []
    for number in range(draw(st.integers(8, 24))):
        now = min(now + draw(st.sampled_from([1, 2, 2, 4, 4, 8])), STEPS_MAX)
        event = draw(status_events(now, kinds))
        late = draw(st.integers(0, 9)) == 0
        if not late:
            back = at_step(now) - max(counts_from(event), event.time)
            event = _moved(event, back)
        life.append((replace(event, id=f"e{number}"), at_step(now)))
    return life


def _moved(event: Any, by: timedelta) -> StatusEvent:
    data = {
        name: getattr(event.data, name) + by
        for name in event.data.__struct_fields__
        if isinstance(getattr(event.data, name), datetime)
    }
    moved: StatusEvent = replace(event, time=event.time + by, data=replace(event.data, **data))
    return moved


@given(lives(), st.integers(2, 6), st.integers(4, 12))
def test_a_code_is_that_of_all_events_ever_accepted(
    life: list[tuple[StatusEvent, datetime]], days: int, facts_max: int
) -> None:
    with soon_settled(days, facts_max):
        held, accepted = Held(PERSON, life[0][1]), list[StatusEvent]()
        for event, arrived_at in life:
            outcome = held.fold(event, arrived_at)
            assert not any(notice.refused for notice in outcome.notices)
            accepted.append(event)
            if len(held.row.facts) > facts_max:
                break  # what cannot leave: from here on a result reads no history
            assert says(held.row) == shown(held.row, accepted)
            assert {identity(e) for e in held.whole().events} == {identity(e) for e in accepted}


@given(lives())
def test_any_order_of_arrival_within_the_horizon_ends_the_same(
    life: list[tuple[StatusEvent, datetime]],
) -> None:
    end = at_step(STEPS_MAX) + timedelta(days=30)
    found = set()
    with soon_settled(3, 8):
        for order in (life, life[::-1], life[1::2] + life[::2]):
            held = Held(PERSON, life[0][1])
            for (event, _), (_, arrived_at) in zip(order, life, strict=True):
                held.fold(event, arrived_at)
            held.advance(end)
            found.add(msgspec.json.encode((says(held.row), held.row.due_at)))
    assert len(found) == 1


def every_second_day(held: Held, days: int, first: int) -> None:
    """Fold a negative of every second day."""
    for number in range(first, days, 2):
        held.fold(negative(day(number), id=f"{number:012d}-4b0e-4d10-9a51-0f3d2a1c"))


def test_a_row_stays_small_for_a_lifetime() -> None:
    held = Held(PERSON, day(1))
    held.fold(verified())
    largest = 0
    for number in range(2, 400):
        for hour in (7, 19):
            colour = "yellow" if number % 50 == 0 else "green"
            held.fold(provincial(colour, day(number, hour), id=f"{number}-{hour}".rjust(36, "0")))
        if number % 2:
            held.fold(negative(day(number), id=f"{number}".rjust(36, "0")))
        if number % 40 == 0:
            held.fold(contact(day(number), listing=f"L{number}"))
        largest = max(largest, len(encode_row(held.row)))
    assert largest <= 8 * 1024
    assert len(held.whole().facts) > 1_000
    assert (held.lost, held.row.code.colour) == (0, Colour.GREEN)
    assert held.reads == 0, "nothing that came was late, or of a number that was there before"


def test_whoever_was_positive_once_is_plain_again_when_it_is_settled() -> None:
    held = Held(PERSON, day(1))
    held.fold(verified())
    held.fold(positive(day(2)))
    every_second_day(held, 80, first=4)
    assert held.row.plain
    assert held.row.code.colour is Colour.GREEN
    assert len(held.row.facts) < 40


def test_a_correction_finds_what_has_left_its_row() -> None:
    held = Held(PERSON, day(1))
    wrong = positive(day(2), id="wrong", sequence=1)
    for event in (verified(), wrong, negative(day(4)), negative(day(6))):
        held.fold(event)
    every_second_day(held, 100, first=8)
    assert "wrong" not in {fact.id for fact in held.row.facts}
    outcome = held.fold(retracted(wrong, day(101), sequence=2))
    assert outcome.notices == ()
    outcome = held.fold(negative(day(6), reported_at=day(6, 14), id="late"), day(102))
    assert (outcome.notices, outcome.changes) == ((), ())


def test_a_correction_that_makes_an_old_order_red_again_does_so_from_the_history() -> None:
    held = Held(PERSON, day(1))
    order = ordered("centralised", day(2), day(16), id="order", sequence=1)
    release = released(day(10), id="release", sequence=2)
    for event in (verified(), order, release):
        held.fold(event)
    every_second_day(held, 100, first=12)
    assert {"order", "release"}.isdisjoint(fact.id for fact in held.row.facts)
    outcome = held.fold(retracted(release, day(101), sequence=3))
    assert outcome.changes[0].after.colour is Colour.RED
    assert {"order", "release"} <= {fact.id for fact in held.row.facts}, "they are back"
    outcome = held.fold(released(day(102), sequence=4))
    assert outcome.changes[0].after.colour is Colour.GREEN


def test_what_closes_a_file_of_the_history_is_told_that_it_was_closed() -> None:
    held = Held(PERSON, day(1))
    for event in (verified(), confirmed(day(2)), discharged(day(9), id="first")):
        held.fold(event)
    every_second_day(held, 90, first=24)
    [notice] = held.fold(discharged(day(91))).notices
    assert notice.objection is Objection.CLOSES_NOTHING
    assert "which first had ended" in notice.detail


def test_a_copy_of_what_has_left_changes_nothing_and_another_content_is_refused() -> None:
    held = Held(PERSON, day(1))
    found = positive(day(2), id="found")
    for event in (verified(), found, negative(day(4)), negative(day(6))):
        held.fold(event)
    every_second_day(held, 100, first=8)
    row = held.row
    outcome = held.fold(found, row.judged_at)
    assert (outcome.notices, outcome.changes, held.row.facts) == ((), (), row.facts)
    [notice] = held.fold(positive(day(3), id="found"), row.judged_at).notices
    assert notice.objection is Objection.CONFLICT


def test_an_id_that_is_used_again_never_takes_the_place_of_the_first() -> None:
    held = Held(PERSON, day(1))
    for event in (verified(), confirmed(day(2), id="c1"), discharged(day(9), id="c2")):
        held.fold(event)
    every_second_day(held, 100, first=24)
    held.fold(contact(day(101), listing="L9", id="c2"))
    [notice] = held.fold(provincial("green", day(20), time=day(103)), day(103)).notices
    assert (notice.objection, notice.event.id) == (Objection.CONFLICT, "c2")
    assert held.row.code.colour is Colour.GREEN


def test_beyond_the_horizon_it_is_said_that_nothing_is_kept() -> None:
    held = Held(PERSON, day(1))
    wrong = positive(day(2), id="wrong", sequence=1)
    for event in (verified(), wrong, negative(day(4)), negative(day(6))):
        held.fold(event)
    every_second_day(held, 520, first=8)
    assert given_up(held.row)
    assert held.lost == 0, "it was its time"
    late = retracted(wrong, day(520), sequence=2)
    held.fold(late)
    [notice] = held.advance(day(521)).notices
    assert notice.objection is Objection.CORRECTION_WITHOUT_TARGET
    assert "is kept for 400 days" in notice.detail


def test_a_flood_about_one_person_leaves_a_small_row_and_opens_what_it_must() -> None:
    held = Held(PERSON, day(1))
    held.fold(verified())
    flood = 12_000
    for number in range(flood):
        at = day(2) + timedelta(seconds=30 * number)
        held.fold(negative(at, reported_at=at, id=f"n{number}"))
    assert len(held.row.facts) <= POLICIES[0].facts_max
    assert held.reads == 0
    assert held.lost > 0, "more than its pages hold; it is counted"
    assert held.fold(positive(day(7))).changes[0].after.colour is Colour.RED


@pytest.mark.parametrize("colour", ["green", "red"])
def test_what_a_province_only_repeats_leaves_a_full_row(colour: str) -> None:
    held = Held(PERSON, day(1))
    held.fold(verified())
    for number in range(600):
        at = day(2) + number * HALF_A_DAY
        held.fold(provincial(colour, at, id=f"r{number}", sequence=number))
    assert len(held.row.facts) <= POLICIES[0].facts_max
    assert held.lost == 0
    held.fold(provincial("green", day(310), sequence=10_000))
    assert held.row.code.colour is Colour.GREEN


def test_where_none_may_leave_what_opens_a_reason_is_taken_all_the_same() -> None:
    held, policy = Held(PERSON, day(1)), POLICIES[0]
    held.fold(verified())
    for number in range(policy.facts_max + policy.facts_reserved + 25):
        source = f"/quarantine-commands/440{number % 3}"
        order = ordered("home", day(2), day(90), order=f"Q{number}", source=source)
        assert held.fold(order, day(3)).notices == ()
    assert overfull(held.row)
    outcome = held.fold(positive(day(3)), day(4))
    assert outcome.notices == ()
    assert held.row.code.reasons[0] is Reason.CONFIRMED_OR_POSITIVE


FLOODS: dict[str, Callable[[int, datetime], list[Any]]] = {
    "positives": lambda n, at: [positive(at, at, id=f"p{n}")],
    "listings": lambda n, at: [contact(day(2), at, f"L{n}", id=f"l{n}")],
    "listings that are over": lambda n, at: [contact(day(-30), at, f"L{n}", id=f"l{n}")],
    "exposures of one listing": lambda n, at: [contact(at, at, id=f"l{n}")],
    "orders": lambda n, at: [ordered("home", at, day(90), order=f"Q{n}", id=f"o{n}")],
    "steps of one order": lambda n, at: [ordered("home", at, day(90), id=f"o{n}")],
    "steps of one order, and releases dated before them": lambda n, at: [
        ordered("home", at, day(90), id=f"o{n}"),
        released(day(2), time=at, id=f"r{n}"),
    ],
    "orders and their releases": lambda n, at: [
        ordered("home", at, day(90), order=f"Q{n}", id=f"o{n}"),
        released(at, f"Q{n}", id=f"r{n}"),
    ],
    "releases of unknown orders": lambda n, at: [released(at, f"Q{n}", id=f"r{n}")],
    "releases of one order": lambda n, at: [
        *([ordered("home", at, day(90))] if n == 0 else []),
        released(at, id=f"r{n}"),
    ],
    "corrections": lambda n, at: [
        positive(at, at, id=f"p{n}", sequence=n, supersedes=f"p{n - 1}" if n else None)
    ],
    "positives taken back": lambda n, at: [
        (wrong := positive(at, at, id=f"p{n}", sequence=2 * n)),
        retracted(wrong, at, id=f"b{n}", sequence=2 * n + 1),
    ],
    "takes back what is unknown": lambda n, at: [
        retracted(positive(at, id=f"p{n}"), at, id=f"b{n}", sequence=n)
    ],
    "cases": lambda n, at: [confirmed(at, case=f"C{n}", id=f"c{n}")],
    "reds of a province": lambda n, at: [provincial("red", at, id=f"r{n}", sequence=n)],
}


SLOWLY = ["releases of unknown orders", "takes back what is unknown", "orders"]
"""What waits, or lasts: it matters whether the wait is over."""


@pytest.mark.parametrize(
    ("flood", "apart"),
    [(flood, timedelta(seconds=1)) for flood in FLOODS]
    + [(flood, timedelta(minutes=11)) for flood in SLOWLY],
    ids=str,
)
def test_no_flood_of_one_source_fills_a_row_or_keeps_anyone_green(
    flood: str, apart: timedelta
) -> None:
    """What is put aside is told, and whoever another source makes red is red."""
    held, policy = Held(PERSON, day(1)), POLICIES[0]
    held.fold(verified())
    for number in range(300):
        at = day(3) + number * apart
        for event in FLOODS[flood](number, at):
            outcome = held.fold(event, at)
            for notice in outcome.notices:
                if notice.objection is Objection.ROW_FULL:
                    assert notice.refused
                    assert held.row.code.colour is Colour.RED or not may_open(event)
    room = policy.facts_max + policy.facts_reserved + 2 * policy.facts_of_source_max
    assert len(held.row.facts) <= room
    at = day(3) + 301 * apart
    held.fold(positive(at, at, source="/laboratories/other", id="other"))
    assert held.row.code.colour is Colour.RED
    assert any(i.opened_by.source == "/laboratories/other" for i in held.row.code.intervals)


def test_what_opens_nothing_or_has_ended_takes_no_room_from_what_opens() -> None:
    minute = timedelta(minutes=1)
    held = Held(PERSON, day(1))
    for event in (verified(), positive(day(2))):
        held.fold(event)
    for number in range(140):
        held.fold(negative(day(3) + number * minute))
    held.fold(positive(day(4)))
    held.fold(negative(day(5)))
    assert held.row.code.colour is Colour.RED, "one negative after the newest positive"

    held = Held(PERSON, day(1))
    for event in (verified(), positive(day(2))):
        held.fold(event)
    for number in range(64):
        order = ordered("centralised", day(2) + 10 * number * minute, order=f"Q{number}")
        held.fold(order)
        held.fold(released(order.time + 5 * minute, f"Q{number}"))
    for event in (
        ordered("centralised", day(40), day(60), order="new"),
        negative(day(41)),
        negative(day(43)),
    ):
        assert held.fold(event).notices == ()
    assert held.row.code.reasons == (Reason.CENTRALISED_QUARANTINE,)


def test_a_source_that_opened_too_much_can_correct_it() -> None:
    held, policy = Held(PERSON, day(1)), POLICIES[0]
    held.fold(verified())
    for number in range(policy.facts_of_source_max + 2):
        order = ordered("home", day(2), day(90), order=f"Q{number}", id=f"o{number}", sequence=1)
        held.fold(order, day(3))
    for number in range(100):
        shorter = ordered(
            "home", day(2), day(4), order=f"Q{number}", supersedes=f"o{number}", sequence=2
        )
        assert held.fold(shorter, day(3)).notices == ()


def test_of_orders_that_ended_early_whole_files_leave() -> None:
    held, policy = Held(PERSON, day(1)), POLICIES[0]
    held.fold(verified())
    for number in range(150):
        at = day(2) + timedelta(hours=number)
        held.fold(ordered("home", at, day(360), order=f"Q{number}"), at)
        held.fold(released(at + timedelta(minutes=30), f"Q{number}"))
    assert len(held.row.facts) <= policy.facts_max
    assert held.row.code.colour is Colour.GREEN
    again = held.fold(released(day(40), "Q3", id="again"))
    assert [notice.objection for notice in again.notices] == [Objection.CLOSES_NOTHING]


def test_a_closing_that_waits_leaves_when_it_is_settled_and_is_found_again() -> None:
    held = Held(PERSON, day(1))
    held.fold(verified())
    held.fold(released(day(2), "Q7"))
    every_second_day(held, 60, first=3)
    assert "Q7" not in str(held.row.facts)
    held.fold(ordered("home", day(1), day(90), order="Q7", sequence=-1), day(61))
    assert held.row.code.colour is Colour.GREEN, "its release is on a page"


def test_a_row_of_the_format_before_is_read_and_written_again() -> None:
    """Before, a row had no history, and its events had their names."""
    held = Held(PERSON, day(1))
    first, result = verified(), positive(day(2))
    for event in (first, result):
        held.fold(event)
    named = [
        (event.source, event.id, None, day(2), msgspec.Raw(msgspec.msgpack.encode(event)))
        for event in (first, result)
    ]
    before = msgspec.msgpack.encode((held.row.code, day(2), None, False, named))
    row = decode_row(before)
    assert row.events == [first, result]
    assert fold(row, result, day(3)).notices == (), "a copy is known"
    after = fold(row, negative(day(4)), day(4)).person
    assert (after.code.colour, len(after.facts)) == (Colour.RED, 3)
    assert decode_row(encode_row(after)) == after


def test_a_flood_about_someone_red_leaves_a_bounded_row() -> None:
    held, policy = Held(PERSON, day(1)), POLICIES[0]
    for event in (verified(), positive(day(2)), confirmed(day(2))):
        held.fold(event)
    for number in range(600):
        at = day(3) + timedelta(minutes=number)
        held.fold(negative(at, reported_at=at))
    assert len(held.row.facts) <= policy.facts_max + policy.facts_reserved + 16
    assert held.row.code.colour is Colour.RED


def test_what_is_in_the_row_and_on_a_page_is_there_once() -> None:
    """It was read again when it became important; the page keeps it."""
    event = verified()
    held = Held(event.partitionkey, event.time)
    held.fold(event)
    row = replace(held.row, history=History(last_days=(1,)))
    assert whole(row, lambda _: row.facts).facts == row.facts
