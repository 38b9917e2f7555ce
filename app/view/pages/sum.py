"""The answers that the page of a red code begins with: when does it turn green, what is to be done
now, and what is waited for, and from whom.

It sums up all reasons of the code. Each has its own sheet beneath (app.view.pages.sheet). Like that
it is pure: a code and an instant in, words out.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from app.sources.register import Register
from app.view.pages import names
from app.view.pages.contacts import Contact, contact_of
from app.view.pages.sheet import overdue, overdue_days
from app.web.language import Text, joined, moment, number
from app.web.language import gettext as _
from models.codes import Condition, ConditionKind, HealthCode, Interval, Owner, judge, reference_of
from models.swabs import Swabbing, minute_after, swabs_needed

Numbers = tuple[int, ...]
"""Reasons by their number on the page, from 1 on."""


class Undated(Struct, frozen=True):
    """A reason that has no date, and what it waits for; `overdue` if a date for that is over."""

    number: int
    needs: Text
    overdue: Text | None


class Task(Struct, frozen=True):
    """A swab to be taken: the first, or a further one; from when; and for which reasons it counts.

    `from_when` is None if it can be taken now.
    """

    first: bool
    from_when: Text | None
    counts_for: Numbers


class Awaited(Struct, frozen=True):
    """What others must bring about, or time does: what, when, who, and for which reasons.

    `when` is None if no date is known; `overdue` says that the earliest one is over. `contact` is
    whom to ask, and `reference` what to say to them; both are None for what time brings.
    """

    needs: Text
    when: Text | None
    who: Text
    overdue: Text | None
    contact: Contact | None
    reference: str | None
    counts_for: Numbers


class Sum(Struct, frozen=True):
    """When the code is green, what to do for it, and what to wait for.

    `headline` says from which minute on it is green at the earliest: at that minute, if each task
    is done and reported at the minute that it names. If a reason has no date, these are `undated`,
    and `others` says when the last of the others lifts at the earliest.
    """

    headline: Text
    others: Text | None
    undated: tuple[Undated, ...]
    tasks: tuple[Task, ...]
    wait_for: tuple[Awaited, ...]

    @property
    def nothing_to_do_now(self) -> bool:
        """Say whether all that is left to do comes later, or is nothing."""
        return not self.tasks or self.tasks[0].from_when is not None


def sum_of(code: HealthCode, at: datetime, register: Register) -> Sum | None:
    """Sum up the reasons that are open at `at`; None if there are none. `register` names whom to
    ask."""
    reasons = judge(code, at).open
    if not reasons:
        return None
    swabs = swabs_needed(reasons, at)
    undated: list[Undated] = []
    dates: list[datetime] = []
    for place, interval in enumerate(reasons):
        blocking = _blocking(interval, at)
        if blocking is None:
            dates.append(_end(place, interval, swabs, at))
        else:
            undated.append(_undated(place, interval, blocking, at))
    last = max(dates, default=None)
    by_itself = all(interval.end is not None for interval in reasons)
    return Sum(
        headline=_headline(None if undated else last, by_itself=by_itself),
        others=_others(last) if undated and last else None,
        undated=tuple(undated),
        tasks=tuple(_tasks(swabs, at)),
        wait_for=tuple(_waits(reasons, at, register)),
    )


def _headline(green_at: datetime | None, *, by_itself: bool) -> Text:
    """When the code turns green, in a line; `by_itself`, if nobody has to do anything for it."""
    if green_at is None:
        return _("还没有日期")
    when = moment(green_at)
    if by_itself:
        return _("{when}自动变为绿码").filled(when=when)
    return _("最早{when}变为绿码").filled(when=when)


def _others(at: datetime) -> Text:
    """When the reasons that have a date are over."""
    return _("其他原因最早{when}解除").filled(when=moment(at))


def _unmet(interval: Interval, at: datetime) -> Iterator[Condition]:
    """Yield what is still waited for at `at`."""
    for condition in interval.conditions:
        if condition.met_at is None or condition.met_at > at:
            yield condition


def _blocking(interval: Interval, at: datetime) -> Condition | None:
    """Return the line of a checklist that leaves it without a date."""
    if interval.end is not None:
        return None
    for condition, earliest in zip(interval.conditions, interval.earliest(at), strict=True):
        if earliest is None or overdue_days(condition, at) is not None:
            return condition
    return None


def _undated(place: int, interval: Interval, blocking: Condition, at: datetime) -> Undated:
    return Undated(place + 1, _needs(blocking, interval), overdue(blocking, at))


def _end(place: int, interval: Interval, swabs: Sequence[Swabbing], at: datetime) -> datetime:
    """Return the minute at which a reason lifts, if the swabs are taken as told."""
    if interval.end is not None:
        return minute_after(interval.end)
    taken = (swab.at for swab in swabs if place in swab.reasons)
    own = (c for c in interval.conditions if c.kind is not ConditionKind.NEGATIVE_TEST)
    dates = (condition.met_at or condition.not_before for condition in own)
    return minute_after(max([at, *taken, *(date for date in dates if date is not None)]))


def _tasks(swabs: Iterable[Swabbing], at: datetime) -> Iterator[Task]:
    for count, swab in enumerate(swabs):
        numbers = tuple(sorted(place + 1 for place in swab.reasons))
        yield Task(count == 0, None if swab.at <= at else moment(swab.at), numbers)


def _waits(reasons: Sequence[Interval], at: datetime, register: Register) -> Iterator[Awaited]:
    """Yield what others must do, once each, however many reasons wait for it."""
    found: dict[tuple[object, ...], tuple[Interval, Condition, list[int]]] = {}
    for place, interval in enumerate(reasons):
        for condition in _unmet(interval, at):
            if condition.kind is ConditionKind.NEGATIVE_TEST:
                continue
            owner, when = condition.owner, condition.met_at or condition.not_before
            by_whom = None if owner is Owner.TIME else interval.opened_by
            key = condition.kind, owner, when, by_whom, interval.province
            found.setdefault(key, (interval, condition, []))[2].append(place + 1)
    for interval, condition, numbers in found.values():
        contact = None
        if condition.owner is not Owner.TIME:
            contact = contact_of(interval.opened_by.source, register)
        yield _awaited(interval, condition, tuple(numbers), contact, at)


def _awaited(
    interval: Interval,
    condition: Condition,
    numbers: Numbers,
    contact: Contact | None,
    at: datetime,
) -> Awaited:
    when = condition.met_at or condition.not_before
    late = overdue(condition, at)
    where = names.province(interval.province)
    return Awaited(
        needs=_needs(condition, interval),
        when=None if when is None or late else moment(minute_after(when)),
        who=names.OWNERS[condition.owner].filled(province=where),
        overdue=late,
        contact=contact,
        reference=None if contact is None else reference_of(interval.opened_by),
        counts_for=numbers,
    )


def _needs(condition: Condition, interval: Interval) -> Text:
    where = names.province(interval.province)
    return names.CONDITIONS[condition.kind].filled(province=where)


def in_words(numbers: Numbers) -> Text:
    """The numbers of reasons in a line, such as 1、2."""
    return joined(_("、"), (number(n) for n in numbers))
