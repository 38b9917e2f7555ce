"""The course of a code: when it changed, which reasons began, and what lifted them.

It is read from the person's row, by the rules and by what had arrived at each instant
(models.explain). So it says what was shown, and differs from what status-changes told in the three
cases that are named there.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from msgspec import Struct

from models.codes import EventRef, Interval, Reason, Status
from models.explain import Answer, answers
from models.person import Person

COURSE = timedelta(days=60)
"""How far back a resident reads: four times the longest that a rule counts."""

TURNS_MAX = 200
"""Turns that are told, the newest: three and more a day."""


class Lifting(StrEnum):
    """How a reason came to an end."""

    MET = "met"  # what it waited for was reported
    BY_TIME = "by-time"
    TAKEN_BACK = "taken-back"  # what opened it was taken back or corrected


class Lifted(Struct, frozen=True):
    """A reason that was open, as it is known at its end, and how it ended."""

    interval: Interval
    lifting: Lifting


class Turn(Struct, frozen=True):
    """A change of the code: when, from what to what, which reasons began and which ended."""

    at: datetime
    before: Status
    after: Status
    began: tuple[Interval, ...]
    lifted: tuple[Lifted, ...]


def course(row: Person, since: datetime, until: datetime) -> list[Turn]:
    """Return the changes after `since` and up to `until`, in order, at most the last
    `TURNS_MAX`."""
    turns = [
        _turn(before, after)
        for before, after in pairwise(answers(row, since, until))
        if before.status != after.status
    ]
    return turns[-TURNS_MAX:]


def _turn(before: Answer, after: Answer) -> Turn:
    were, are = before.status.reasons, after.status.reasons
    ended = {_same(interval): interval for interval in after.ended}
    return Turn(
        at=after.at,
        before=before.status,
        after=after.status,
        began=tuple(_of(after.open, set(are) - set(were))),
        lifted=tuple(
            _lifted(interval, ended.get(_same(interval)), after.at)
            for interval in _of(before.open, set(were) - set(are))
        ),
    )


def _of(intervals: Iterable[Interval], reasons: set[Reason]) -> list[Interval]:
    """Return one interval for each of `reasons`: the one that began last."""
    newest = {i.reason: i for i in sorted(intervals, key=lambda i: i.start) if i.reason in reasons}
    return [newest[reason] for reason in sorted(newest)]


def _lifted(interval: Interval, ended: Interval | None, at: datetime) -> Lifted:
    if ended is None:
        return Lifted(interval, Lifting.TAKEN_BACK)
    if interval.end == at:  # it was known before that it would
        return Lifted(ended, Lifting.BY_TIME)
    return Lifted(ended, Lifting.MET)


def _same(interval: Interval) -> tuple[Reason, EventRef]:
    return interval.reason, interval.opened_by
