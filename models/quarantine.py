"""Ranks 5 and 6, 集中隔离人员 and 居家隔离人员: an order of quarantine with its steps."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice

from models.codes import Condition, ConditionKind, Interval, Owner, Reason, ref
from models.easing import mildest, passing_of_time
from models.events import (
    QuarantineKind,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineTransferred,
    counts_from,
)
from models.files import ORDER, Placed, QuarantineReport, held_from, walk
from models.policy import Policy

QuarantineStep = QuarantineOrdered | QuarantineTransferred


def quarantine(reports: Sequence[Placed[QuarantineReport]]) -> Iterator[Interval]:
    """An order opens at its start. A release notice lifts all of it, whatever steps it has, or the
    planned end lifts a step where policy says so. A transfer ends one kind and opens the other at
    the same instant: no green gap. What begins after a release needs an order that follows it."""
    steps = [(step, released) for opened, released in walk(reports, ORDER) for step in opened]
    steps.sort(key=lambda each: each[0].place)
    # From the last to the first, so that what takes a step's place (models.files.steps_after) is
    # known by then, and is found without asking each.
    later: list[tuple[datetime, Placed[QuarantineStep]]] = []  # by when they count
    for step, released in reversed(steps):
        after = islice(later, bisect_left(later, (held_from(step),)), None)
        between = (one.event for _, one in after if released is None or one.place < released.place)
        notice = released and released.event
        opening = partial(_quarantine, step.event, next(between, None), notice)
        yield mildest(counts_from(step.event), opening)
        insort(later, (counts_from(step.event), step))


def _quarantine(
    step: QuarantineStep,
    following: QuarantineStep | None,
    released: QuarantineReleased | None,
    policy: Policy,
) -> Interval:
    data = step.data
    ends = {
        counts_from(closing): closing for closing in (released, following) if closing is not None
    }
    end = min(ends, default=None)
    closed = None if end is None else ends[end]
    if data.kind in policy.planned_end_lifts and (end is None or data.planned_end_at < end):
        end = data.planned_end_at
        conditions: tuple[Condition, ...] = (passing_of_time(end),)
    elif closed is None or isinstance(closed, QuarantineReleased):
        notice = Condition(
            ConditionKind.RELEASE_NOTICE,
            Owner.QUARANTINE_COMMAND,
            not_before=data.planned_end_at,
            met_at=end,
            met_by=ref(closed) if closed else None,
        )
        conditions = (notice,)
    else:
        conditions = ()  # the next step of the order takes its place; nothing is waited for
    return Interval(
        reason=(
            Reason.CENTRALISED_QUARANTINE
            if data.kind is QuarantineKind.CENTRALISED
            else Reason.HOME_QUARANTINE
        ),
        start=counts_from(step),
        end=end,
        opened_by=ref(step),
        policy=policy.version,
        conditions=conditions,
    )
