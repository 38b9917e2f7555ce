"""Until when what agencies submit is applied, against a model of the log that knows every event."""

from random import Random

import pytest

from app.projection.upstream import KEPT_MAX, Upstream


class World:
    """A partition of submissions and one of an input; offsets are places in lists."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.now = 0.0
        self._submitted: list[float] = []
        self._input: list[float | None] = []
        """When what lies there was submitted; None if it came by the gateway."""
        self._copied = self._applied = 0
        self._submissions_ends = list[tuple[float, int]]()
        self._input_ends = list[tuple[float, int]]()

    def step(self) -> None:
        """Let something happen."""
        self.now += 0.1
        match self._random.randrange(4):
            case 0:
                self._submitted.append(self.now)
            case 1:
                self._input.append(None)
            case 2 if self._copied < len(self._submitted):
                self._input.append(self._submitted[self._copied])
                self._copied += 1
            case 3 if self._applied < len(self._input):
                self._applied += 1

    def ask_submissions(self) -> tuple[float, int]:
        """Until when they are taken, as the ends that were seen tell it, and how far."""
        self._submissions_ends.append((self.now, len(self._submitted)))
        return _until(self._submissions_ends, self._copied), self._copied

    def ask_input(self) -> float:
        """Until when it is applied, as the ends that were seen tell it."""
        self._input_ends.append((self.now, len(self._input)))
        return _until(self._input_ends, self._applied)

    def oldest_unapplied(self) -> float | None:
        """When the first was submitted that is not applied."""
        waiting = [at for at in self._input[self._applied :] if at is not None]
        return min([*self._submitted[self._copied :], *waiting], default=None)


def _until(ends: list[tuple[float, int]], reached: int) -> float:
    return max(at for at, end in ends if end <= reached or at == 0)


@pytest.mark.parametrize("seed", range(200))
def test_what_was_submitted_and_is_not_applied_is_never_claimed(seed: int) -> None:
    world, upstream, known = World(Random(seed)), Upstream(), 0
    world.ask_submissions()
    world.ask_input()
    for _ in range(400):
        world.step()
        if world.now % 1 < 0.15:
            taken, reached = world.ask_submissions()
            upstream.saw(world.now, taken, reached)
            for _ in range(seed % 4):  # an answer takes its time, and the world does not wait
                world.step()
            applied = world.ask_input()
            until = upstream.until(applied)
            oldest = world.oldest_unapplied()
            if until is not None:
                known += 1
                assert until <= applied
                assert oldest is None or until <= oldest
    assert known


def test_where_nothing_is_submitted_it_is_as_new_as_the_input() -> None:
    upstream = Upstream()
    for second in range(5):
        upstream.saw(float(second), float(second), 7)
        assert upstream.until(float(second)) == second


def test_nothing_is_known_of_what_was_submitted_since_it_was_asked_about() -> None:
    upstream = Upstream()
    upstream.saw(1.0, 1.0, 7)
    assert upstream.until(1.4) == 1.0


def test_what_flows_is_a_step_behind() -> None:
    upstream = Upstream()
    for second in range(1, 10):
        upstream.saw(float(second), second - 0.3, second)
        applied = second - 0.2
        expected = None if second == 1 else second - 1.3
        assert upstream.until(applied) == expected


def test_what_stands_grows_old_and_comes_on_when_it_goes_on() -> None:
    upstream = Upstream()
    upstream.saw(0.0, 0.0, 5)
    for second in range(1, 10 * KEPT_MAX):
        upstream.saw(float(second), 0.5, 5)
        assert upstream.until(float(second)) in (0.0, 0.5), "it stands, however long"
    end = 10.0 * KEPT_MAX
    upstream.saw(end, end, 9)
    assert upstream.until(end) == end


def test_an_input_that_is_far_behind_loses_no_place() -> None:
    upstream = Upstream()
    for second in range(10 * KEPT_MAX):
        upstream.saw(float(second), float(second) - 0.1, second)
        upstream.until(0.0)
    assert upstream.until(0.0) == -0.1
    assert upstream.until(10.0 * KEPT_MAX) == 10 * KEPT_MAX - 1.1
