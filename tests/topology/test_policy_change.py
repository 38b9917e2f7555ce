"""A policy that changes midway, milder in some numbers and stricter in others: what ran takes what
is milder, what opens after has the new, each lift is told once, and a replay from nothing ends in
the same rows and the same changes.

After each event another worker goes on with what the one before left; lifts are told when they
fall due.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from models import policy
from models.codes import Cause, Colour, Reason, StatusChange
from models.events import QuarantineKind
from models.explain import explain
from models.person import Person
from models.policy import Policy
from oracle.naive import naive
from support import builders as b
from topology.driver import Driver

BEGIN = b.day(1, 0)
CHANGE = b.day(11, 0).astimezone(UTC)
END = b.day(60)

OLD, NEW = "2020-04", "2022-03"


@pytest.fixture(autouse=True)
def policies(monkeypatch: pytest.MonkeyPatch) -> tuple[Policy, ...]:
    """From the 11th on: 7 days after an exposure, two tests, 48 hours between negatives, no
    quarantine that ends by itself."""
    [old] = policy.POLICIES
    fields = {name: getattr(old, name) for name in Policy.__struct_fields__}
    both = (
        Policy(**{**fields, "valid_to": CHANGE}),
        Policy(
            **{
                **fields,
                "version": NEW,
                "valid_from": CHANGE,
                "after_exposure": timedelta(days=7),
                "contact_test_days": (1, 7),
                "negatives_apart": timedelta(hours=48),
                "planned_end_lifts": frozenset[QuarantineKind](),
            }
        ),
    )
    monkeypatch.setattr(policy, "POLICIES", both)
    return both


Arrival = tuple[Any, datetime]


class Life(NamedTuple):
    """What became of one person: their row, and what was told."""

    row: Person
    told: list[StatusChange]

    @property
    def chain(self) -> list[tuple[Any, ...]]:
        """What was told, apart from versions: those count what a stored code says in between."""
        return [(c.at, c.before, c.after, c.cause) for c in self.told]


Live = Callable[..., Life]


def life_of(driver: Driver) -> Life:
    row = driver.row()
    assert row is not None
    return Life(row, driver.changes())


@pytest.fixture
def live(folder: Path) -> Live:
    """Send what arrives as it arrives, and begin a new worker after each.

    The software of before `known_from` has not heard of the new policy.
    """

    def lived(arrivals: Sequence[Arrival], *, known_from: datetime = BEGIN) -> Life:
        waiting, both = list(arrivals), policy.POLICIES
        with Driver(folder / "live", at=BEGIN) as driver, pytest.MonkeyPatch.context() as patch:
            for known, until in ((both[:1], known_from), (both, END)):
                patch.setattr(policy, "POLICIES", known)
                while waiting and waiting[0][1] < until:
                    event, at = waiting.pop(0)
                    driver.send(event, at=at)
                    driver.restart()
                driver.advance(to=until)
            assert not waiting
            return life_of(driver)

    return lived


@pytest.fixture
def replayed(folder: Path) -> Live:
    """Read the log of the same from nothing, long after it all; no worker ran in between."""

    def read(arrivals: Sequence[Arrival]) -> Life:
        with Driver(folder / "written", at=BEGIN) as first:
            for event, at in arrivals:
                first.send(event, at=at)
            written = first.inputs()
        with Driver(folder / "replayed", at=BEGIN) as driver:
            driver.stop()
            for record in written:
                driver.write_again(record)
            driver.advance(to=END)
            driver.start()
            before = driver.changes()
            driver.restart()
            assert driver.changes() == before, "what was told is due no more"
            return life_of(driver)

    return read


def contact(day: int, listing: str) -> Arrival:
    """Exposed and listed on the same day."""
    return b.contact(b.day(day, 0), b.day(day), listing=listing), b.day(day, 9)


def swab(day: int) -> Arrival:
    """A negative, sampled, reported and here on the same day."""
    return b.negative(b.day(day, 7), b.day(day), id=f"n{day}"), b.day(day, 9)


WHO = (b.verified(), b.day(1))

LIVES: dict[str, tuple[list[Arrival], dict[str, str], list[datetime]]] = {
    # name: (arrivals, what opened → its policy, when the code turns green after a red)
    "a contact of before takes 7 days and two tests": (
        [WHO, contact(9, "old"), *[swab(n) for n in (10, 13, 16, 23)]],
        {"close-contact": NEW},
        [b.day(16)],
    ),
    "a contact of after has 7 days and two tests": (
        [WHO, contact(12, "new"), *[swab(n) for n in (13, 19)]],
        {"close-contact": NEW},
        [b.day(19)],
    ),
    "both at once, each by its own numbers": (
        [
            WHO,
            (b.ordered("home", b.day(9), b.day(16)), b.day(9)),
            contact(12, "new"),
            *[swab(n) for n in (13, 19)],
        ],
        {"home-quarantine": OLD, "close-contact": NEW},
        [b.day(19)],
    ),
    "quarantine at home of before ends by itself": (
        [WHO, (b.ordered("home", b.day(9), b.day(16)), b.day(9))],
        {"home-quarantine": OLD},
        [b.day(16)],
    ),
    "quarantine at home of after waits for its release": (
        [
            WHO,
            (b.ordered("home", b.day(12), b.day(16)), b.day(12)),
            (b.released(b.day(20)), b.day(20)),
        ],
        {"home-quarantine": NEW},
        [b.day(20)],
    ),
    "an order of before that starts after": (
        [
            WHO,
            (replace(b.ordered("home", b.day(12), b.day(16)), time=b.day(5)), b.day(5)),
            swab(10),
            (b.released(b.day(20)), b.day(20)),
        ],
        {"home-quarantine": NEW},
        [b.day(20)],
    ),
    "a positive of before that is reported late keeps 24 hours": (
        [
            WHO,
            (b.positive(b.day(9), b.day(10)), b.day(12)),
            (b.negative(b.day(12), b.day(12)), b.day(12, 9)),
            (b.negative(b.day(13), b.day(13)), b.day(13, 9)),
        ],
        {"confirmed-or-positive": OLD},
        [b.day(13)],
    ),
    "a positive of after wants 48 hours": (
        [
            WHO,
            (b.positive(b.day(12), b.day(12)), b.day(12)),
            (b.negative(b.day(13), b.day(13)), b.day(13, 9)),
            (b.negative(b.day(14), b.day(14)), b.day(14, 9)),
            (b.negative(b.day(15), b.day(15)), b.day(15, 9)),
        ],
        {"confirmed-or-positive": NEW},
        [b.day(15)],
    ),
    "one corrected from before to after": (
        [
            WHO,
            (b.contact(b.day(9, 0), b.day(9), id="wrong", sequence=1), b.day(9)),
            (b.contact(b.day(12, 0), b.day(12), sequence=2, supersedes="wrong"), b.day(12)),
            *[swab(n) for n in (13, 19)],
        ],
        {"close-contact": NEW},
        [b.day(19)],
    ),
}


EASED: tuple[list[Arrival], dict[str, str], list[datetime]] = (
    [WHO, contact(2, "old"), swab(3), swab(9), swab(14)],
    {"close-contact": NEW},
    [CHANGE],
)
"""A contact who has had the two tests and the 7 days when the easing comes into force."""

LIVES["a contact of long before ends when the easing is in force"] = EASED


@pytest.mark.parametrize("name", LIVES)
def test_each_reason_has_the_milder_of_the_numbers_it_ran_under(name: str, live: Live) -> None:
    arrivals, governed, greens = LIVES[name]
    life = live(arrivals)
    found = explain(life.row, END).answer.ended
    assert {i.reason.slug: i.policy for i in found} == governed
    assert life.row.code.colour is Colour.GREEN
    reds = [c for c in life.told if c.before.colour is Colour.RED]
    [green] = [c for c in reds if c.after.colour is Colour.GREEN]
    # Of what is reported for the very instant it is told when that arrives, an hour later.
    assert [green.at.replace(minute=0)] in [
        greens,
        [at + timedelta(hours=1) for at in greens],
    ]


@pytest.mark.parametrize("name", LIVES)
def test_each_lift_is_told_once_and_the_chain_has_no_gap(name: str, live: Live) -> None:
    told = live(LIVES[name][0]).told
    assert len({(c.at, c.after, c.cause) for c in told}) == len(told)
    assert [c.before for c in told[1:]] == [c.after for c in told[:-1]]
    assert [c.previous_version for c in told[1:]] == [c.version for c in told[:-1]]
    assert all(one.at <= other.at for one, other in pairwise(told))


@pytest.mark.parametrize("name", LIVES)
def test_a_replay_from_nothing_ends_in_the_same(name: str, live: Live, replayed: Live) -> None:
    arrivals = LIVES[name][0]
    lived, again = live(arrivals), replayed(arrivals)
    assert again.chain == lived.chain
    assert again.row.facts == lived.row.facts
    # Versions count also how often the code waited for what was counted, which is of the moment.
    one, other = (replace(of.row.code, version=0, told_version=0) for of in (again, lived))
    assert one == other


@pytest.mark.parametrize("name", [name for name in LIVES if LIVES[name] is not EASED])
@pytest.mark.parametrize("known_from", [b.day(3), b.day(10), b.day(11, 0)])
def test_when_the_software_learns_of_a_policy_to_come_does_not_matter(
    name: str, known_from: datetime, live: Live, replayed: Live
) -> None:
    """As long as it does before the policy is in force, and something arrives before the end."""
    arrivals = LIVES[name][0]
    lived, again = live(arrivals, known_from=known_from), replayed(arrivals)
    assert again.chain == lived.chain
    assert explain(lived.row, END).answer == explain(again.row, END).answer


@pytest.mark.parametrize(
    ("known_from", "told_at"),
    [(b.day(9, 0), CHANGE), (b.day(10), b.day(14, 9)), (b.day(11, 0), b.day(14, 9))],
    ids=["before the last event", "after it", "when it is in force"],
)
def test_an_easing_is_told_at_its_instant_to_those_who_were_judged_with_it(
    known_from: datetime, told_at: datetime, live: Live
) -> None:
    """A worker's start judges nobody again; the next event does."""
    arrivals, *_ = EASED
    [green] = [
        c for c in live(arrivals, known_from=known_from).told if c.before.colour is Colour.RED
    ]
    assert (green.at, green.after.colour) == (told_at, Colour.GREEN)


def hours(begin: datetime, end: datetime) -> Iterator[datetime]:
    at = begin
    while at < end:
        yield at
        at += timedelta(hours=6)


@pytest.mark.parametrize("name", LIVES)
def test_what_is_told_is_what_the_oracle_says_at_every_hour(name: str, live: Live) -> None:
    arrivals = LIVES[name][0]
    told = live(arrivals).told
    for at in hours(b.day(1, 12), END):
        here = [event for event, arrived_at in arrivals if arrived_at <= at]
        held = [change.after for change in told if change.at <= at][-1]
        colour, reasons = naive(here, at)
        assert (held.colour, set(held.reasons)) == (colour, reasons), at


def test_lifts_by_time_have_no_cause_and_their_own_instant(live: Live) -> None:
    arrivals, _, [end] = LIVES["quarantine at home of before ends by itself"]
    last = live(arrivals).told[-1]
    assert (last.at, last.cause, last.before.reasons) == (end, Cause(), (Reason.HOME_QUARANTINE,))
