"""Cost per event as the table grows: the counting fold over more and more people, and a backlog.

Only us, with one worker. The counting fold, since its rows stay the same size: what changes is how
many there are. The same number of events each, except the backlog at the end.
"""

from pathlib import Path

from msgspec import Struct

from bench import compare
from bench.broker import running_broker
from bench.sides import SIDES
from bench.terminal import Terminal

PEOPLE = (1_000, 10_000, 100_000, 1_000_000)
EVENTS_SHARE = 5
"""The events of each size are so small a part of the backlog."""

FLAT = 0.20
"""How much the dearest may be above the cheapest, per event."""


class Point(Struct, frozen=True):
    """One size of the table."""

    people: int
    events: int
    run: compare.Run
    failures: tuple[str, ...] = ()

    @property
    def cpu_microseconds(self) -> float:
        """CPU time of the worker per event."""
        return self.run.cpu_seconds / self.events * 1e6


def measure(directory: Path, backlog: int, seed: int, terminal: Terminal) -> list[Point]:
    """Measure every size, the largest also with the whole backlog."""
    sizes = [(people, backlog // EVENTS_SHARE) for people in PEOPLE] + [(PEOPLE[-1], backlog)]
    found = []
    for number, (people, events) in enumerate(sizes, 1):
        with running_broker(directory) as broker:
            with terminal.bar(f"Fill with {people:,} people", events) as tick:
                filled = compare.fill(
                    broker.brokers.servers, "counting", events, people, seed, False, tick
                )
            run = compare.run_once(broker, filled, SIDES["us"], number, directory)
        point = Point(people, events, run, tuple(run.failures))
        found.append(point)
        terminal.say(
            f"{people:,} people, {events:,} events: {run.rate:,.0f} events/s, "
            f"{point.cpu_microseconds:.1f} µs of CPU an event, {run.memory_mib:,.0f} MiB"
            if not run.failures
            else f"{people:,} people: [red]failed[/red], {run.failures[0]}"
        )
    return found


def is_flat(points: list[Point]) -> bool:
    """Say whether the cost per event is flat, by CPU time, over all sizes and the backlog."""
    costs = [point.cpu_microseconds for point in points]
    return max(costs) <= (1 + FLAT) * min(costs)
