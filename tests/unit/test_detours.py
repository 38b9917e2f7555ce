"""Until when what goes round by openings is back and applied: a claim is never too new."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.projection.detours import KEPT_MAX, Detour, Round


def test_where_nothing_goes_round_what_is_known_of_the_input_holds_at_once() -> None:
    detour, round_ = Detour(), Round()
    for at, taken in ((10.0, 10.0), (11.0, 10.5), (12.0, 12.0)):
        detour.saw(at, {0: 5}, at)
        round_.saw(at, taken, at, detour.settled_at)
        assert round_.until == taken


def test_what_is_on_its_way_counts_as_unread_until_it_is_back_and_applied() -> None:
    detour, round_ = Detour(), Round()

    def ask(at: float, taken: float, end: int, counted: float) -> float | None:
        detour.saw(at, {0: end}, counted)
        round_.saw(at, taken, counted, detour.settled_at)
        return round_.until

    assert ask(10, 10, 5, 10) == 10
    # At 10.5 an event comes. By 11 it was taken off its input, and lies on openings.
    assert ask(11, 11, 6, 10) == 10
    # By 12 it was counted and is back; it is not applied yet.
    assert ask(12, 11, 6, 12) == 10
    assert ask(13, 12, 6, 13) == 12, "nothing went round since 12, and all of before is applied"


def test_where_something_goes_round_all_the_time_it_comes_on_all_the_same() -> None:
    detour, round_ = Detour(), Round()
    for second in range(100):
        at = float(second)
        detour.saw(at, {0: second}, at - 1)
        round_.saw(at, at - 1, at - 1, detour.settled_at)
    assert round_.until == 96.0, "three steps behind"


@pytest.mark.parametrize("lag", [20, KEPT_MAX - 1, KEPT_MAX + 10, 3 * KEPT_MAX])
def test_who_is_behind_for_long_comes_on_all_the_same(lag: int) -> None:
    """A lag of longer than all askings that are kept is a longer step, and no end."""
    detour, round_ = Detour(), Round()
    ages = []
    for second in range(2_000):
        at = float(second)
        detour.saw(at, {0: second}, at - 1)
        round_.saw(at, at - min(lag, second), at - 1, detour.settled_at)
        ages.append(at - (round_.until or 0))
    assert max(ages[-300:]) <= 3 * lag + 5
    assert max(ages[-300:]) <= max(ages[600:900]) + 1, "it does not grow"


def test_what_is_not_known_is_not_told() -> None:
    round_ = Round()
    round_.saw(1, None, 1, 1)
    assert round_.until is None
    round_.saw(2, 2, None, None)
    assert round_.until is None


@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_never_is_a_time_told_of_which_an_event_is_not_applied(random: Random, slow: int) -> None:
    """A worker that takes, counts and applies at any pace, and commits when it likes, and who asks
    of it at any times."""
    world = World(random)
    detour, round_ = Detour(), Round()
    for _ in range(120):
        for _ in range(random.randrange(4)):
            world.step(slow)
        committed = world.committed()
        for _ in range(random.randrange(3)):
            world.step(slow)
        at, ends = world.now, world.ends()
        taken, counted = world.learn(at, committed, ends)
        detour.saw(at, {0: ends[1]}, counted)
        round_.saw(at, taken, counted, detour.settled_at)
        if round_.until is not None:
            assert world.applied_before(round_.until)


class World:
    """One input with a detour: offsets are places in lists."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.now = 0.0
        self._input: list[tuple[float, bool, int]] = []
        """When it was appended, whether it opens a reason and is not counted, and whose it is."""
        self._openings: list[int] = []
        self._taken = self._counted = 0
        self._told = (0, 0)
        self._born: list[float] = []
        self._done = set[int]()
        self._seen: list[tuple[float, tuple[int, int]]] = []

    def step(self, slow: int) -> None:
        """Let something happen."""
        self.now += 0.1
        what = self._random.randrange(3 + slow)
        if what == 0:
            self._born.append(self.now)
            self._input.append((self.now, self._random.random() < 0.5, len(self._born) - 1))
        elif what == 1 and self._taken < len(self._input):
            _, opens, who = self._input[self._taken]
            self._taken += 1
            if opens:
                self._openings.append(who)
            else:
                self._done.add(who)
        elif what == 2 and self._counted < len(self._openings):
            self._input.append((self.now, False, self._openings[self._counted]))
            self._counted += 1
        elif what > 2:
            self._told = (self._taken, self._counted)

    def committed(self) -> tuple[int, int]:
        """What the group has committed, of the input and of openings."""
        return self._told

    def ends(self) -> tuple[int, int]:
        """Where both end."""
        return len(self._input), len(self._openings)

    def learn(
        self, at: float, committed: tuple[int, int], ends: tuple[int, int]
    ) -> tuple[float | None, float | None]:
        """Until when each is taken, as `app.projection.freshness` learns it."""
        self._seen.append((at, ends))
        taken, counted = (
            max((t for t, end in self._seen if end[which] <= committed[which]), default=None)
            for which in (0, 1)
        )
        return taken, counted

    def applied_before(self, until: float) -> bool:
        """Say whether all that was sent before `until` is applied."""
        return all(who in self._done for who, born in enumerate(self._born) if born < until)
