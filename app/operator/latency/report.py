"""The plan of a measurement, its result with percentiles, and whether it failed."""

import math
from collections.abc import Sequence

from msgspec import Struct

SETTLED_SECONDS_MAX = 300.0
"""How long the people may take to have their codes before a run, and to lose them after it: a
worker that was asked too much still has work left."""

RATE_REACHED_MIN = 0.98
"""A run that reaches less than this part of its rate measures something else, and fails."""


class Plan(Struct, frozen=True):
    """What to measure. `follow_rate` of the `rate` events a second are followed; of the others
    `changing_percent` change a code."""

    rate: int = 500
    seconds: int = 30
    follow_rate: int = 10
    interval_ms: int = 20
    deadline_seconds: float = 10.0
    changing_percent: int = 100

    @property
    def events(self) -> int:
        """How many events are published."""
        return self.rate * self.seconds


class Percentiles(Struct, frozen=True):
    """Nearest-rank percentiles of durations, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Sighting(Struct, frozen=True):
    """A followed event that the view showed. All instants are in seconds since the epoch.

    It became visible in `(hidden_at, seen_at]`: the last request that did not show it left at
    `hidden_at`.
    """

    scheduled_at: float
    appended_at: float
    hidden_at: float
    seen_at: float


class Report(Struct, frozen=True):
    """What was measured. `visible` is the time from append to visible. `from_schedule` begins when
    the event was due to be sent, so it includes the wait in the publisher. In both, an event that
    was not seen within the deadline counts as long as that: it took longer."""

    rate_asked: int
    changing_percent: int
    rate_reached: float
    seconds: float
    published: int
    followed: int
    seen: int
    not_seen: int
    deadline_seconds: float
    clock: str
    visible: Percentiles | None
    from_schedule: Percentiles | None
    interval_ms: int
    resolution: Percentiles | None
    sent_late: Percentiles | None
    asked: int = 0
    """How often the view was asked for the followed events."""
    settled: bool = True
    """Whether at the end nobody of the run had a code any more."""

    def failures(self, p99_ms_max: float | None) -> list[str]:
        """Say why the measurement failed; nothing if it did not."""
        failures = []
        if self.not_seen:
            failures.append(
                f"{self.not_seen} of {self.followed} followed events were not visible within "
                f"{self.deadline_seconds:g} s."
            )
        if not self.settled:
            failures.append(
                f"{SETTLED_SECONDS_MAX:g} s after the end the people still had codes: the next run "
                "begins behind what this one left."
            )
        if self.rate_reached < RATE_REACHED_MIN * self.rate_asked:
            failures.append(
                f"{self.rate_reached:.0f} events/s were reached of {self.rate_asked}: the "
                "machine is too busy for this rate."
            )
        if p99_ms_max is not None and self.visible and self.visible.p99_ms > p99_ms_max:
            failures.append(f"p99 is {self.visible.p99_ms:.0f} ms, above {p99_ms_max:g} ms.")
        return failures


def percentiles(durations: Sequence[float]) -> Percentiles | None:
    """Return the percentiles of durations given in seconds; None if there are none."""
    if not durations:
        return None
    ordered = sorted(durations)

    def at(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1] * 1_000, 1)

    return Percentiles(at(0.50), at(0.95), at(0.99), at(1.0))
