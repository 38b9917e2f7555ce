"""Which swabs somebody still needs, so that each counts for every reason that waits for one.

The rules judge each reason by itself, and take one negative for as many of them as it meets
(models.results). So whoever waits for several reasons needs fewer swabs than their checklists have
lines.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from models.codes import Condition, ConditionKind, Interval
from models.policy import day_start

MINUTE = timedelta(minutes=1)

TOGETHER = timedelta(hours=24)
"""How long a later swab may wait for another reason, where that makes nothing later. What can be
sampled now waits until the end of the day at most."""


class Swabbing(Struct, frozen=True):
    """A negative that is sampled at `at` meets these lines: a reason's place, its line's place."""

    at: datetime
    meets: tuple[tuple[int, int], ...]

    @property
    def reasons(self) -> tuple[int, ...]:
        """The places of the reasons for which it counts."""
        return tuple(reason for reason, _ in self.meets)


class _Chain:
    """The tests that one reason still waits for, in the order in which they are met."""

    def __init__(self, reason: int, interval: Interval, at: datetime) -> None:
        self._reason = reason
        self._at = at
        self._last: datetime | None = None
        tests = enumerate(interval.conditions if interval.end is None else ())
        self._left = [(line, test) for line, test in tests if waits_for_test(test)]

    def __bool__(self) -> bool:
        return bool(self._left)

    @property
    def earliest(self) -> datetime:
        """When the next test can be sampled at the earliest."""
        return self._earliest(self._left[0][1], self._last)

    def _earliest(self, test: Condition, last: datetime | None) -> datetime:
        earliest = max(self._at, test.not_before or self._at)
        if last is None or test.apart_s is None:
            return earliest
        return max(earliest, last + timedelta(seconds=test.apart_s))

    def last_if(self, sampled_at: datetime) -> datetime:
        """Return when the last test is sampled at the earliest, if the next is at `sampled_at`."""
        for _, test in self._left[1:]:
            sampled_at = self._earliest(test, sampled_at)
        return sampled_at

    def meet(self, sampled_at: datetime) -> tuple[int, int]:
        """Take the next test as sampled; say which line that meets."""
        line, _ = self._left.pop(0)
        self._last = sampled_at
        return self._reason, line


def waits_for_test(condition: Condition) -> bool:
    """Say whether a line of a checklist waits for a test, and from when it may be sampled is
    known."""
    return (
        condition.kind is ConditionKind.NEGATIVE_TEST
        and condition.met_at is None
        and condition.not_before is not None
    )


def swabs_needed(intervals: Sequence[Interval], at: datetime) -> tuple[Swabbing, ...]:
    """Return the swabs, in order, by which whoever begins at `at` meets all tests of `intervals`.

    Each lies at `at`, or at a whole minute. None of them ends the last reason later than if each
    reason had its own at the earliest. Where that makes nothing later, one that could be taken
    earlier waits for other reasons (`TOGETHER`).
    """
    chains = [_Chain(place, interval, at) for place, interval in enumerate(intervals)]
    target = max((_dated(interval, at) for interval in intervals), default=at)
    found: list[Swabbing] = []
    while waiting := [chain for chain in chains if chain]:
        sampled_at = _together(waiting, at, target)
        meets = tuple(chain.meet(sampled_at) for chain in waiting if chain.earliest <= sampled_at)
        found.append(Swabbing(sampled_at, meets))
    return tuple(found)


def _dated(interval: Interval, at: datetime) -> datetime:
    """Return the last instant that a reason's checklist names."""
    if interval.end is not None:
        return interval.end
    dates = (instant for instant in interval.earliest(at) if instant is not None)
    return minute_after(max(dates, default=at))


def _together(waiting: Sequence[_Chain], at: datetime, target: datetime) -> datetime:
    """Return when the next swab is taken: at the earliest, or somewhat later for more reasons."""
    first = min(chain.earliest for chain in waiting)
    sampled_at = at if first <= at else minute_after(first)
    until = day_start(sampled_at, 1) if first <= at else sampled_at + TOGETHER
    later = {minute_after(chain.earliest) for chain in waiting if chain.earliest > sampled_at}
    for candidate in sorted((t for t in later if t < until), reverse=True):
        met = (chain for chain in waiting if chain.earliest <= candidate)
        if all(minute_after(chain.last_if(candidate)) <= target for chain in met):
            return candidate
    return sampled_at


def minute_after(instant: datetime) -> datetime:
    """Return the minute by which `instant` has come, since only minutes are told to people."""
    past = timedelta(seconds=instant.second, microseconds=instant.microsecond)
    return instant - past + MINUTE if past else instant
