"""What a code says at an instant, in the order in which a resident and a guard read it.

It is pure: a `HealthCode` and an instant in, the content of the page out; no markup, no I/O.
"""

from datetime import datetime

from msgspec import Struct

from app.sources.register import Register
from app.view.pages import names
from app.view.pages.contacts import Contact, contact_of
from app.web.language import Text, moment, ngettext, number
from app.web.language import gettext as _
from models.codes import (
    Colour,
    Condition,
    ConditionKind,
    HealthCode,
    Interval,
    Owner,
    judge,
    reference_of,
)
from models.policy import ZONE
from models.reasons import last_exposure, newest_positive
from models.swabs import minute_after


class Step(Struct, frozen=True):
    """One line of a checklist: what is needed, who must bring it about, and whether it is met.

    `count` says which of several tests it is. `overdue` says for how long it could have been met
    by whoever owes it.
    """

    needs: Text
    count: Text | None
    owner: Text
    when: Text | None
    overdue: Text | None
    met: bool


class ReasonSheet(Struct, frozen=True):
    """One open reason: its number on the page, its name, since when, who reported it, how it lifts.

    `reference` is what is said on the telephone, `evidence` the event itself.
    `counted_from` says what its dates are counted from, where that is not `since`.
    """

    number: int
    rank: int
    name: Text
    since: Text
    counted_from: Text | None
    reported_by: Contact
    reference: str
    evidence: str
    steps: tuple[Step, ...]
    lifts: Text


class Sheet(Struct, frozen=True):
    """The whole answer at an instant. If it changes by itself, it does so at `changes_at`."""

    colour: Colour
    version: int
    reasons: tuple[ReasonSheet, ...]
    changes_at: datetime | None
    policy: str

    @property
    def state(self) -> Text:
        """The large word: 红码, 绿码 or 无码."""
        return names.COLOURS[self.colour]


NO_SHEET = Sheet(Colour.NONE, 0, (), None, "")
"""The same for an unknown person and for someone whose identity is not verified."""


def sheet(code: HealthCode | None, at: datetime, policy: str, register: Register) -> Sheet:
    """Read `code` at `at`; `policy` is the version in force, for a code without reasons. `register`
    names who reported."""
    if code is None:
        return NO_SHEET
    shown = judge(code, at)
    if shown.colour is Colour.NONE:
        return NO_SHEET
    return Sheet(
        colour=shown.colour,
        version=code.version,
        reasons=tuple(
            _reason(number, interval, at, register) for number, interval in enumerate(shown.open, 1)
        ),
        changes_at=shown.changes_at,
        policy=", ".join(sorted({i.policy for i in shown.open})) or policy,
    )


def _reason(place: int, interval: Interval, at: datetime, register: Register) -> ReasonSheet:
    return ReasonSheet(
        number=place,
        rank=int(interval.reason),
        name=_named(interval),
        since=moment(interval.start),
        counted_from=_counted_from(interval),
        reported_by=contact_of(interval.opened_by.source, register),
        reference=reference_of(interval.opened_by),
        evidence=f"{interval.opened_by.source} {interval.opened_by.id}",
        steps=tuple(
            _step(place, condition, earliest, interval, at)
            for place, (condition, earliest) in enumerate(
                zip(interval.conditions, interval.earliest(at), strict=True)
            )
        ),
        lifts=_lifts(interval, at),
    )


def _counted_from(interval: Interval) -> Text | None:
    """Say why the dates of a checklist do not follow from the day on which the reason opened."""
    if exposure := last_exposure(interval):
        period = next(c for c in interval.conditions if c.kind is ConditionKind.TIME)
        assert period.not_before is not None, "last_exposure has read it"
        days = (period.not_before - exposure).days
        return _("最后接触：{when}；自那时起算 {days} 天").filled(
            when=moment(exposure), days=number(days)
        )
    if sampled_at := newest_positive(interval):
        return _("阳性自上报时起算；最近一次阳性采样于{when}，之后采样的阴性才计入").filled(
            when=moment(sampled_at)
        )
    return None


def _named(interval: Interval) -> Text:
    name = names.REASONS[interval.reason]
    if interval.province is None:
        return name
    where = names.province(interval.province)
    return _("{reason}（{province}）").filled(reason=name, province=where)


def _step(
    place: int, condition: Condition, earliest: datetime | None, interval: Interval, at: datetime
) -> Step:
    met = condition.met_at is not None and condition.met_at <= at
    where = names.province(interval.province)
    late = overdue(condition, at)
    return Step(
        needs=names.CONDITIONS[condition.kind].filled(province=where),
        count=_count(place, interval),
        owner=names.OWNERS[condition.owner].filled(province=where),
        when=_met_on(condition) if met else None if late else _earliest(condition, earliest, at),
        overdue=late,
        met=met,
    )


def _count(place: int, interval: Interval) -> Text | None:
    """Which of a reason's tests a line is; None if it is no test, or the only one."""
    kinds = [condition.kind for condition in interval.conditions]
    tests = kinds.count(ConditionKind.NEGATIVE_TEST)
    if kinds[place] is not ConditionKind.NEGATIVE_TEST or tests == 1:
        return None
    nth = kinds[: place + 1].count(ConditionKind.NEGATIVE_TEST)
    return _("第 {n} 次，共 {of} 次").filled(n=number(nth), of=number(tests))


def overdue_days(condition: Condition, at: datetime) -> int | None:
    """Return how many days ago an authority could have met a line; None if that is not so yet."""
    date = condition.not_before
    if condition.met_at is not None or date is None or at < date:
        return None
    if condition.owner in (Owner.TIME, Owner.LABORATORY):
        return None
    return (at.astimezone(ZONE).date() - date.astimezone(ZONE).date()).days


def overdue(condition: Condition, at: datetime) -> Text | None:
    """Say that an authority could have met a line of a checklist, and has not."""
    days = overdue_days(condition, at)
    if days is None:
        return None
    if days == 0:
        return _("今天已到最早日期，仍未办结")
    return ngettext("已超过最早日期 {n} 天，仍未办结", "已超过最早日期 {n} 天，仍未办结", days)


def _met_on(condition: Condition) -> Text | None:
    if condition.met_at is None:
        return None
    return moment(condition.met_at)


def _earliest(condition: Condition, earliest: datetime | None, at: datetime) -> Text | None:
    """When an unmet condition can be met at the earliest, by whoever begins now; None if no date is
    known."""
    if earliest is None:
        return None
    when = _minute_after(earliest)
    if condition.kind is ConditionKind.TIME:
        return _("{when}届满").filled(when=when)
    if condition.kind is not ConditionKind.NEGATIVE_TEST:
        return _("最早{when}").filled(when=when)
    if condition.apart_s is not None:
        hours = number(condition.apart_s / 3_600)
        return _("与上一次采样相隔至少{hours}小时，最早{when}采样").filled(hours=hours, when=when)
    if earliest <= at:
        return _("现在即可采样")
    return _("须{when}起采样").filled(when=when)


def _lifts(interval: Interval, at: datetime) -> Text:
    """The headline of the checklist: when the reason lifts, or what it still waits for."""
    if interval.end is not None:
        return _("{when}自动解除").filled(when=_minute_after(interval.end))
    earliest = interval.earliest_end(at)
    if earliest is None:
        return _("日期未定：待责任单位办结")
    for condition in interval.conditions:
        if late := overdue(condition, at):
            return late
    if earliest <= at:
        return _("完成以下各项后即可解除")
    return _("最早{when}，且须各项满足").filled(when=_minute_after(earliest))


def _minute_after(instant: datetime) -> Text:
    """The minute in which `instant` is over: whoever acts at what is printed is not too early."""
    return moment(minute_after(instant))
