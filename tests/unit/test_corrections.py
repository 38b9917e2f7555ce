"""Which events stand after corrections, and in whose place the rules read them."""

from datetime import datetime
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.codes import Colour, HealthCode, judge
from models.corrections import settle, standing
from models.policy import POLICIES
from models.reasons import assess
from support.builders import (
    confirmed,
    contact,
    contact_withdrawn,
    day,
    discharged,
    excluded,
    make,
    nat,
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

WAIT = POLICIES[0].after_discharge


def colour(at: datetime, *events: Any) -> Colour:
    """The colour at `at` of someone verified."""
    found = assess([verified(), *events])
    code = HealthCode("p", 1, at, verified_since=found.verified_since, intervals=found.intervals)
    return judge(code, at).colour


def numbered(*events: Any) -> list[Any]:
    """Give each event the next sequence of its source."""
    return [
        make(
            type(event),
            event.data,
            at=event.time,
            source=event.source,
            id=event.id,
            sequence=number,
            supersedes=event.supersedes,
        )
        for number, event in enumerate(events, 1)
    ]


# What a correction in the place of what it corrects comes to: days of March 2022, in sequence
OPENINGS_CORRECTED = {
    "a planned end, after the release": (
        ordered("centralised", day(2), day(16), id="v1"),
        released(day(9)),
        ordered("centralised", day(2), day(18), id="v2", supersedes="v1", time=day(11)),
    ),
    "a confirmation, after the discharge": (
        confirmed(day(2), id="v1"),
        discharged(day(9)),
        confirmed(day(1), id="v2", supersedes="v1", time=day(11)),
    ),
    "a suspicion, after its exclusion": (
        suspected(day(2), id="v1"),
        excluded(day(9)),
        suspected(day(1), id="v2", supersedes="v1", time=day(11)),
    ),
    "a listing, after its withdrawal": (
        contact(day(2), id="v1"),
        contact_withdrawn(day(9)),
        contact(day(1), id="v2", supersedes="v1", time=day(11)),
    ),
    "a province's red, after its green": (
        provincial("red", day(2), id="v1"),
        provincial("green", day(9)),
        provincial("yellow", day(2), id="v2", supersedes="v1", time=day(11)),
    ),
    "an order, after the transfer home": (
        ordered("centralised", day(2), day(16), id="v1"),
        transferred("home", day(9), day(16)),
        ordered("centralised", day(2), day(14), id="v2", supersedes="v1", time=day(11)),
    ),
}


@pytest.mark.parametrize("world", OPENINGS_CORRECTED.values(), ids=OPENINGS_CORRECTED)
def test_who_corrects_what_opened_does_not_open_it_again(world: tuple[Any, ...]) -> None:
    events = numbered(*world)
    for arrived in permutations(events):
        assert colour(day(12) + WAIT, *arrived) is Colour.GREEN


CLOSINGS_CORRECTED = {
    "a release, after the next order": (
        ordered("centralised", day(2), day(16)),
        released(day(9), id="v1"),
        ordered("centralised", day(10), day(24)),
        released(day(8), id="v2", supersedes="v1", time=day(11)),
    ),
    "a discharge, after the next confirmation": (
        confirmed(day(2)),
        discharged(day(9), id="v1"),
        confirmed(day(10)),
        discharged(day(8), id="v2", supersedes="v1", time=day(11)),
    ),
    "an exclusion, after the next suspicion": (
        suspected(day(2)),
        excluded(day(9), id="v1"),
        suspected(day(10)),
        excluded(day(8), id="v2", supersedes="v1", time=day(11)),
    ),
    "a withdrawal, after the next listing": (
        contact(day(2)),
        contact_withdrawn(day(9), id="v1"),
        contact(day(10)),
        contact_withdrawn(day(8), id="v2", supersedes="v1", time=day(11)),
    ),
    "a province's green, after its next red": (
        provincial("red", day(2)),
        provincial("green", day(9), id="v1"),
        provincial("red", day(10)),
        provincial("green", day(9, 9), id="v2", supersedes="v1", time=day(11)),
    ),
}


@pytest.mark.parametrize("world", CLOSINGS_CORRECTED.values(), ids=CLOSINGS_CORRECTED)
def test_who_corrects_what_closed_does_not_close_what_came_after_it(world: tuple[Any, ...]) -> None:
    events = numbered(*world)
    for arrived in permutations(events):
        assert colour(day(12) + WAIT, *arrived) is Colour.RED


def test_in_a_chain_the_last_stands_and_only_a_retraction_gives_back() -> None:
    first = positive(day(2), id="v1")
    second = nat("inconclusive", day(2), id="v2", supersedes="v1")
    third = negative(day(2), id="v3", supersedes="v2")
    chain = numbered(first, second, third)
    assert ids(chain) == {"v3"}
    assert colour(day(30), *chain) is Colour.GREEN
    assert ids(chain[:2]) == {"v2"}
    back = numbered(*chain, retracted(third, day(4), id="r3"))
    assert ids(back) == {"v2", "r3"}
    further = numbered(*back, retracted(second, day(4), id="r2"))
    assert ids(further) == {"v1", "r2", "r3"}
    assert colour(day(30), *further) is Colour.RED
    again = numbered(*further, retracted(further[-1], day(5), id="rr"))
    assert ids(again) == {"v2", "r3", "rr"}, "a retraction that is taken back takes nothing back"


def test_of_two_corrections_of_one_event_the_later_stands() -> None:
    events = numbered(
        positive(day(2), id="v1"),
        negative(day(2), id="v2", supersedes="v1"),
        positive(day(2), id="v3", supersedes="v1"),
    )
    assert ids(events) == {"v3"}
    assert ids(numbered(*events, retracted(events[2], day(4), id="r3"))) == {"v2", "r3"}


def test_what_corrects_a_retraction_stands_in_the_place_of_what_that_took_back() -> None:
    wrong = positive(day(2), id="v1")
    back = retracted(wrong, day(3), id="r1")
    events = numbered(wrong, back, negative(day(2), id="v2", supersedes="r1"))
    assert ids(events) == {"v2"}
    assert settle(events).place(events[2]) == events[0].order


def test_a_chain_with_a_hole_is_closed_by_what_comes_late() -> None:
    events = numbered(
        ordered("centralised", day(2), day(16), id="v1"),
        ordered("centralised", day(2), day(15), id="v2", supersedes="v1"),
        released(day(9)),
        ordered("centralised", day(2), day(14), id="v3", supersedes="v2"),
    )
    holed = [event for event in events if event.id != "v2"]
    assert ids(holed) == {"v1", "v3", events[2].id}
    assert ids(events) == {"v3", events[2].id}
    assert colour(day(20), *events) is Colour.GREEN


@pytest.mark.parametrize(
    "target",
    [contact(day(2), id="v1", sequence=1), suspected(day(2), id="v1", sequence=1)],
    ids=["contact", "case"],
)
def test_a_retraction_reaches_its_own_kind_alone(target: Any) -> None:
    wrong = make(
        type(retracted(positive(day(2)), day(3))),
        retracted(positive(day(2)), day(3)).data,
        at=day(3),
        source=target.source,
        supersedes="v1",
        sequence=2,
    )
    assert colour(day(5), target, wrong) is Colour.RED


def ids(events: list[Any]) -> set[str]:
    return {event.id for event in standing(events)}


@st.composite
def chains(draw: st.DrawFn) -> list[Any]:
    """Results of one laboratory; some correct or take back an earlier one."""
    events: list[Any] = []
    for n in range(draw(st.integers(1, 9))):
        target = draw(st.none() | st.sampled_from(events)) if events else None
        if target is not None and draw(st.booleans()):
            events.append(retracted(target, day(3), id=f"e{n}", sequence=n))
        else:
            supersedes = None if target is None else target.id
            events.append(positive(day(2), id=f"e{n}", sequence=n, supersedes=supersedes))
    return events


@given(chains())
def test_each_chain_says_one_thing_or_nothing(events: list[Any]) -> None:
    settled = settle(events)
    stand = {event.id for event in settled.standing}
    for event in events:
        assert (event.id in stand) != ((event.source, event.id) in settled.instead_of)
    said = [settled.place(event) for event in settled.standing if not event.retracts]
    assert len(said) == len(set(said))


@given(chains())
def test_what_is_taken_back_equals_never_having_been_sent(events: list[Any]) -> None:
    last = max(events, key=lambda event: event.order)
    back = retracted(last, day(9), id="back", sequence=99)
    assert ids([*events, back]) == {*ids([e for e in events if e is not last]), "back"}


@given(chains(), st.integers())
def test_an_order_of_arrival_makes_no_difference(events: list[Any], seed: int) -> None:
    mixed = list(events)
    Random(seed).shuffle(mixed)
    assert settle(mixed)[::2] == settle(events)[::2]
