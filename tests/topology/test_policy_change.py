"""A policy that changes midway: what ran goes on by its old numbers, what opens after has the new,
each lift is told once, and a replay from nothing ends in the same rows and the same changes.

The agents' own folds over a store of bytes. Whatever is between two calls is gone, so each call is
a restart; rows are found to be due by the instant in front of them, as the engine finds them.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest
from aiokafka import ConsumerRecord
from msgspec.structs import replace
from nacl.public import PrivateKey

from agents import people
from agents.dead_letters import DeadLetters
from app.engine.work import Told, Work
from app.topics.catalogue import CATALOGUE, STATUS_CHANGES
from models import policy
from models.codes import Cause, Colour, Reason, StatusChange, StatusChanged
from models.events import QuarantineKind
from models.explain import explain
from models.person import Person
from models.policy import Policy
from oracle.naive import naive
from support import builders as b
from support.records import record

LETTERS = DeadLetters(bytes(PrivateKey.generate().public_key))
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


Record = ConsumerRecord[bytes, bytes]


class Store(dict[bytes, bytes]):
    """Rows as the engine stores them, and what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[StatusChange] = []

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def fold(self, one: Record) -> None:
        work = Work(cast(Any, self))
        people.chunk_fold(CATALOGUE.topics[one.topic], LETTERS)(work, [one])
        self._commit(work)

    def lift(self, now: datetime) -> int:
        """Run the timer; return how many rows were due."""
        until = people.microseconds(now)
        due = [key for key, row in self.items() if 0 < int.from_bytes(row[:8], "big") <= until]
        work = Work(cast(Any, self))
        people.advance_due(now, LETTERS)(work, due)
        self._commit(work)
        return len(due)

    def _commit(self, work: Work) -> None:
        for key, row in work.rows.items():
            self[key] = row[0].to_bytes(8, "big") + row[1]
        self.told += [_change(told) for told in work.told if told.topic == STATUS_CHANGES]

    @property
    def row(self) -> Person:
        return msgspec.msgpack.decode(self[b.PERSON.encode()][8:], type=Person)

    @property
    def chain(self) -> list[tuple[Any, ...]]:
        """What was told, apart from versions: those count what a stored code says in between."""
        return [(c.at, c.before, c.after, c.cause) for c in self.told]


def _change(told: Told) -> StatusChange:
    return msgspec.json.decode(told.value or b"", type=StatusChanged).data


Arrival = tuple[Any, datetime]


def records(arrivals: Sequence[Arrival]) -> list[Record]:
    return [record(event, at, n) for n, (event, at) in enumerate(arrivals)]


def hours(begin: datetime, end: datetime) -> Iterator[datetime]:
    at = begin
    while at < end:
        yield at
        at += timedelta(hours=6)


def live(arrivals: Sequence[Arrival], *, known_from: datetime | None = None) -> Store:
    """Fold what arrives as it arrives, with a timer every six hours, and twice each time.

    The software of before `known_from` has not heard of the new policy.
    """
    store, waiting = Store(), records(arrivals)
    both = policy.POLICIES
    with pytest.MonkeyPatch.context() as patch:
        for now in hours(b.day(1, 0), END):
            if known_from is not None:
                patch.setattr(policy, "POLICIES", both if now >= known_from else both[:1])
            store.lift(now)
            store.lift(now)
            while waiting and waiting[0].timestamp <= now.timestamp() * 1000:
                store.fold(waiting.pop(0))
    assert not waiting
    return store


def replayed(arrivals: Sequence[Arrival]) -> Store:
    """Fold the same from nothing, long after it all; no timer ran in between."""
    store = Store()
    for one in records(arrivals):
        store.fold(one)
    store.lift(END)
    assert store.lift(END) == 0, "what was told is due no more"
    return store


def contact(day: int, listing: str) -> Arrival:
    """Exposed and listed on the same day."""
    return b.contact(b.day(day, 0), b.day(day), listing=listing), b.day(day, 9)


def swab(day: int) -> Arrival:
    """A negative, sampled, reported and here on the same day."""
    return b.negative(b.day(day, 7), b.day(day), id=f"n{day}"), b.day(day, 9)


WHO = (b.verified(), b.day(1))

LIVES: dict[str, tuple[list[Arrival], dict[str, str], list[datetime]]] = {
    # name: (arrivals, what opened → its policy, when the code turns green after a red)
    "a contact of before keeps 14 days and four tests": (
        [WHO, contact(9, "old"), *[swab(n) for n in (10, 13, 16, 23)]],
        {"close-contact": OLD},
        [b.day(23)],
    ),
    "a contact of after has 7 days and two tests": (
        [WHO, contact(12, "new"), *[swab(n) for n in (13, 19)]],
        {"close-contact": NEW},
        [b.day(19)],
    ),
    "both at once, each by its own numbers": (
        [WHO, contact(9, "old"), contact(12, "new"), *[swab(n) for n in (13, 14, 16, 19, 23)]],
        {"close-contact": f"{OLD} {NEW}"},
        [b.day(23)],
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


@pytest.mark.parametrize("name", LIVES)
def test_each_reason_keeps_the_numbers_it_opened_under(name: str) -> None:
    arrivals, governed, greens = LIVES[name]
    store = live(arrivals)
    found = explain(store.row, END).answer.ended
    assert {reason: " ".join(sorted({i.policy for i in found})) for reason in governed} == governed
    assert store.row.code.colour is Colour.GREEN
    [green] = [c for c in store.told if c.before.colour is Colour.RED]
    # Of what is reported for the very instant it is told when that arrives, an hour later.
    assert [green.at.replace(minute=0)] in [
        greens,
        [at + timedelta(hours=1) for at in greens],
    ]


@pytest.mark.parametrize("name", LIVES)
def test_each_lift_is_told_once_and_the_chain_has_no_gap(name: str) -> None:
    told = live(LIVES[name][0]).told
    assert len({(c.at, c.after, c.cause) for c in told}) == len(told)
    assert [c.before for c in told[1:]] == [c.after for c in told[:-1]]
    assert [c.previous_version for c in told[1:]] == [c.version for c in told[:-1]]
    assert all(one.at <= other.at for one, other in pairwise(told))


@pytest.mark.parametrize("name", LIVES)
def test_a_replay_from_nothing_ends_in_the_same(name: str) -> None:
    arrivals = LIVES[name][0]
    lived, again = live(arrivals), replayed(arrivals)
    assert again.told == lived.told
    assert again.row.code == lived.row.code
    assert again.row.facts == lived.row.facts


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("known_from", [b.day(3), b.day(10), b.day(11, 0)])
def test_when_the_software_learns_of_a_policy_to_come_does_not_matter(
    name: str, known_from: datetime
) -> None:
    """As long as it does before the policy is in force."""
    arrivals = LIVES[name][0]
    lived, again = live(arrivals, known_from=known_from), replayed(arrivals)
    assert again.chain == lived.chain
    assert explain(lived.row, END).answer == explain(again.row, END).answer


@pytest.mark.parametrize("name", LIVES)
def test_what_is_told_is_what_the_oracle_says_at_every_hour(name: str) -> None:
    arrivals = LIVES[name][0]
    told = live(arrivals).told
    for at in hours(b.day(1, 12), END):
        here = [event for event, arrived_at in arrivals if arrived_at <= at]
        held = [change.after for change in told if change.at <= at][-1]
        colour, reasons = naive(here, at)
        assert (held.colour, set(held.reasons)) == (colour, reasons), at


def test_lifts_by_time_have_no_cause_and_their_own_instant() -> None:
    arrivals, _, [end] = LIVES["quarantine at home of before ends by itself"]
    last = live(arrivals).told[-1]
    assert (last.at, last.cause, last.before.reasons) == (end, Cause(), (Reason.HOME_QUARANTINE,))
