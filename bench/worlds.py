"""Worlds of more and more people, in which the same happens (`bench.growth`).

In each, everybody's first event fills the table. Then comes a stretch of events, spread evenly over
everybody. It has the same events in each world, as far as their kind and the age of the rows go:
each step of a life that it has occurs in it equally often. Where there are fewer people than
events, each lives through several steps of it. Where there are more, those whom it is about get the
steps before with the fill. So how many there are is all that differs.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bench import workload
from bench.records import Record
from models.codes import HealthCode

STRETCH = 40_000
"""Events that are measured, where there are people enough."""

STEPS = range(1, 13)
"""Steps of a life that are measured: rows of one event to twelve. Ours let nothing leave before 16,
the Java peer's never do."""


class World(NamedTuple):
    """Everybody of one size, and what happens to them."""

    people: int
    seed: int
    stretch_max: int

    @property
    def touched(self) -> int:
        """How many the stretch is about."""
        return min(self.people, self.stretch_max)

    @property
    def each(self) -> int:
        """How many steps of the stretch each of them has; it divides all steps."""
        wanted = min(len(STEPS), self.stretch_max // self.touched)
        return max(n for n in range(1, wanted + 1) if len(STEPS) % n == 0)

    def fill(self) -> Iterator[Record]:
        """Yield everybody's first event, and what comes before the stretch."""
        for place in range(self.people):
            yield from self._happening(place, 0)
        for step in STEPS:
            for number, place in self._touched():
                if step < self._first(number):
                    yield from self._happening(place, step)

    def stretch(self) -> Iterator[Record]:
        """Yield what is measured."""
        for later in range(self.each):
            for number, place in self._touched():
                step = self._first(number) + later
                yield from self._happening(place, step)

    def _happening(self, place: int, step: int) -> Iterator[Record]:
        # Laboratories say little in a fill. The same broken records would be so many of theirs that
        # ours would park them, which the peer does not.
        return workload.happening(place, step, self.people, self.seed, broken=False)

    def _touched(self) -> Iterator[tuple[int, int]]:
        """Yield the number of each, and their place in a step, evenly over all."""
        return ((n, n * self.people // self.touched) for n in range(self.touched))

    def _first(self, number: int) -> int:
        """Return the first step that is measured of one of them."""
        return STEPS[number * self.each % len(STEPS)]

    def codes(self) -> Mapping[str, HealthCode]:
        """Return the codes that everybody must end with whom the stretch is about."""
        return workload.expected(
            record
            for number, place in self._touched()
            for step in range(self._first(number) + self.each)
            for record in self._happening(place, step)
        ).codes
