"""The lists of health information: the same whatever the order, bounded, and never silent of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, get_args
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.corrections import standing
from models.events import Envelope, ListedEvent, ListName, RetractionData
from models.lists import (
    EMPTY,
    OF,
    Conflict,
    Listing,
    add,
    bound_of,
    drop_old,
    due_at,
    list_of,
    shown,
)
from models.policy import POLICIES
from support import builders as b
from support.rows import listing_of

NOW = b.day(20)
TEMPERATURES = ListName.TEMPERATURES


def listing(*events: Any, at: datetime = NOW) -> Listing:
    """The list of these events, which arrived in this order."""
    return listing_of(*events, at=at)


def ids(found: Listing, name: ListName = TEMPERATURES, at: datetime = NOW) -> list[str]:
    return [entry.id for entry in shown(found, name, at)]


def test_every_listed_event_has_its_list_and_every_list_its_bound() -> None:
    assert set(OF) == set(get_args(ListedEvent))
    assert {name for name, _ in OF.values()} == set(ListName)
    for policy in POLICIES:
        assert set(policy.lists) == set(ListName)


def noun_of(kind: type[Envelope]) -> str:
    return str(kind.__struct_config__.tag).split(".")[1]


def test_a_retraction_joins_the_list_of_what_it_takes_back() -> None:
    for kind, (name, _) in OF.items():
        noun = noun_of(kind)
        family = {k for k in OF if noun_of(k) == noun}
        assert {OF[k][0] for k in family} == {name}


def test_the_newest_comes_first_and_a_copy_changes_nothing() -> None:
    first, second = b.temperature(36.4, b.day(18)), b.temperature(36.6, b.day(19))
    found = listing(first, second)
    assert ids(found) == [second.id, first.id]
    assert add(found, first, NOW + timedelta(hours=1)) is found
    assert msgspec.json.decode(found.entries[0].data)["celsius"] == 36.6


def test_the_same_identity_with_another_content_is_refused() -> None:
    first = b.temperature(36.4, b.day(18))
    other = msgspec.structs.replace(first, data=msgspec.structs.replace(first.data, celsius=41.0))
    with pytest.raises(Conflict):
        add(listing(first), other, NOW)


@pytest.mark.parametrize("retraction_first", [False, True])
def test_a_retraction_hides_what_it_names_whichever_comes_first(retraction_first: bool) -> None:
    measured, other = b.temperature(39.1, b.day(18)), b.temperature(36.6, b.day(18, 9))
    retracted = b.temperature_retracted(measured, b.day(19))
    order = (retracted, measured) if retraction_first else (measured, retracted)
    assert ids(listing(*order, other)) == [other.id]


def test_only_its_own_source_takes_an_event_back() -> None:
    measured = b.temperature(39.1, b.day(18))
    foreign = b.temperature_retracted(measured, b.day(19), source="/terminals/2")
    assert ids(listing(measured, foreign)) == [measured.id]


def test_a_correction_with_an_earlier_sequence_has_no_effect() -> None:
    """So corrections cannot form a circle (as with facts, models.corrections.corrects)."""
    measured = b.temperature(39.1, b.day(18), sequence=50)
    before = b.temperature(36.0, b.day(18), sequence=49, supersedes=measured.id)
    assert measured.id in ids(listing(measured, before))


def test_at_its_bound_the_oldest_leaves_and_the_list_says_so() -> None:
    most = bound_of(TEMPERATURES, NOW).kept_max
    events = [b.temperature(36.5, b.day(18) + timedelta(seconds=n)) for n in range(most + 3)]
    found = listing(*events[:most])
    assert (len(found.entries), found.more) == (most, False)
    found = add(found, events[most], NOW)
    assert (len(found.entries), found.more) == (most, True)
    assert ids(found) == [event.id for event in reversed(events[1 : most + 1])]
    late = b.temperature(36.5, b.day(17))
    assert ids(add(found, late, NOW)) == ids(found)


def test_a_full_list_forgets_that_there_was_more_once_what_it_kept_is_too_old() -> None:
    most = bound_of(TEMPERATURES, NOW).kept_max
    events = [b.temperature(36.5, b.day(18) + timedelta(minutes=n)) for n in range(most + 1)]
    found = listing(*events)
    assert found.more
    later = events[1].data.measured_at + bound_of(TEMPERATURES, NOW).kept_for
    assert not drop_old(found, TEMPERATURES, later).more
    assert not add(found, b.temperature(36.5, later), later).more
    assert add(found, b.temperature(36.5, b.day(17)), NOW).more


def test_age_lets_go_of_an_entry_at_its_instant_and_not_before() -> None:
    entry = b.display(b.day(18))
    found = listing(entry)
    leaves = b.day(21)
    assert due_at(found, ListName.DISPLAYS, NOW) == leaves
    before = leaves - timedelta(microseconds=1)
    assert drop_old(found, ListName.DISPLAYS, before) == found
    assert ids(found, ListName.DISPLAYS, before) == [entry.id]
    assert ids(found, ListName.DISPLAYS, leaves) == [], "also before the table has let it go"
    gone = drop_old(found, ListName.DISPLAYS, leaves)
    assert gone == Listing()
    assert due_at(gone, ListName.DISPLAYS, leaves) is None
    assert not gone.more, "age is no bound"


def test_what_arrives_too_old_does_not_join() -> None:
    assert listing(b.display(b.day(10))) == Listing()


def test_a_person_of_a_hundred_thousand_events_has_a_list_within_its_bound() -> None:
    start = b.day(1).astimezone(UTC)
    events = [b.temperature(36.5, start + timedelta(seconds=9 * n)) for n in range(100_000)]
    newest = [event.id for event in events[: -bound_of(TEMPERATURES, NOW).kept_max - 1 : -1]]
    Random(1).shuffle(events)
    found = EMPTY
    for event in events:
        found = add(found, event, NOW)
        assert len(found.entries) <= len(newest)
    assert (ids(found), found.more) == (newest, True)
    assert len(msgspec.json.encode(found)) < 64 * 1024


@st.composite
def worlds(draw: st.DrawFn) -> list[Any]:
    """Temperatures, each sent after the one before and measured up to 40 days earlier; some
    corrected or taken back, each by one event. Of two corrections of one event, the second takes
    the place of what corrects the first; once that one has left, nothing ties the two."""
    events: list[Any] = []
    for n in range(draw(st.integers(1, 12))):
        sent_at = b.day(10) + timedelta(hours=16 * n)
        at = sent_at - timedelta(hours=draw(st.integers(0, 960)))
        corrects = bool(events) and draw(st.booleans())
        named = {event.supersedes for event in events}
        unnamed = [event for event in events if event.id not in named]
        target = draw(st.sampled_from(unnamed)) if corrects else None
        if target is None or isinstance(target.data, RetractionData):
            events.append(b.temperature(36.5, at, id=f"t{n}", sequence=n, time=sent_at))
        elif draw(st.booleans()):
            events.append(b.temperature_retracted(target, sent_at, id=f"t{n}", sequence=n))
        else:
            corrected = {"supersedes": target.id, "time": sent_at}
            events.append(b.temperature(36.9, at, id=f"t{n}", sequence=n, **corrected))
    return events


@given(worlds(), st.integers(1, 12), st.randoms(use_true_random=False))
def test_a_list_does_not_depend_on_the_order_or_number_of_arrivals(
    events: list[Any], kept_max: int, random: Any
) -> None:
    again = [*events, *random.choices(events, k=3)]
    random.shuffle(again)
    with bounded(kept_max):
        assert listing(*again).entries == listing(*events).entries


@given(worlds(), st.integers(1, 12), st.randoms(use_true_random=False))
def test_nothing_that_was_taken_back_returns(events: list[Any], kept_max: int, random: Any) -> None:
    random.shuffle(events)
    stand = {event.id for event in standing(events)}
    with bounded(kept_max):
        found = listing(*events)
        for day in range(20, 62):
            assert set(ids(found, at=b.day(day))) <= stand
            found = drop_old(found, TEMPERATURES, b.day(day))
        assert found.entries == ()


@pytest.mark.parametrize("correction_first", [False, True])
def test_a_correction_that_dates_an_entry_before_the_lists_days_takes_it_out(
    correction_first: bool,
) -> None:
    wrong = b.temperature(39.1, b.day(18))
    long_ago = b.temperature(39.1, b.day(-40), time=b.day(19), supersedes=wrong.id)
    order = (long_ago, wrong) if correction_first else (wrong, long_ago)
    assert ids(listing(*order)) == []


@contextmanager
def bounded(kept_max: int) -> Iterator[None]:
    """Let a list keep so many."""
    bound = msgspec.structs.replace(bound_of(TEMPERATURES, NOW), kept_max=kept_max)
    with patch("models.lists.bound_of", return_value=bound):
        yield


def test_each_event_joins_the_list_by_its_own_instant() -> None:
    declared = b.declaration(b.day(19), "enterprise-employee")
    found = add(EMPTY, declared, NOW)
    assert list_of(declared) is ListName.DECLARATIONS
    assert found.entries[0].at == b.day(19)
    [entry] = shown(found, ListName.DECLARATIONS, NOW)
    assert msgspec.json.decode(entry.data)["unit"] == "Unit 1"
