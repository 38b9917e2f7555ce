"""An easing of policy: what opened under older, stricter numbers takes the newer where they end it
earlier, never later.

A reason is judged by each policy from the one in force at its start onward. By a later one it ends
no earlier than that is in force. The earliest end wins, so a stricter policy changes nothing of
what already runs (docs/decisions/0017-judgement.md).
"""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from models.codes import Condition, ConditionKind, Interval, Owner
from models.policy import Policy, policies_from


def mildest(start: datetime, judged_by: Callable[[Policy], Interval]) -> Interval:
    """Return a reason that opens at `start` by the policy that ends it first.

    Where none has an end yet, it is the one that can end it first when all are in force: so the
    checklist depends on no clock. Of equal ones it is the oldest.
    """
    first, *later = policies_from(start)
    found = judged_by(first)
    if not later:
        return found
    at = later[-1].valid_from
    others = (_once_in_force(judged_by(policy), policy.valid_from) for policy in later)
    return min(found, *others, key=lambda interval: _how_soon(interval, at))


def _how_soon(interval: Interval, at: datetime) -> tuple[bool, bool, datetime]:
    end = interval.earliest_end(at)
    return interval.end is None, end is None, end or at


def _once_in_force(interval: Interval, since: datetime) -> Interval:
    """Let `interval` end no earlier than `since`. Its checklist then waits for that instant, in the
    place of what time meets before it."""
    earliest = interval.earliest_end(interval.start)
    if earliest is None or earliest >= since:
        return interval
    lines = (line for line in interval.conditions if line.kind is not ConditionKind.TIME)
    return replace(
        interval, end=interval.end and since, conditions=(*lines, passing_of_time(since))
    )


def passing_of_time(until: datetime | None) -> Condition:
    """Return the line of a checklist that is met by the passing of time alone."""
    return Condition(ConditionKind.TIME, Owner.TIME, not_before=until, met_at=until)
