"""What a code says at an instant, in the order in which a resident and a guard read it.

It is pure: a `HealthCode` and an instant in, the content of the page out; no markup, no I/O.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from app.view.pages import names
from app.web.language import Text, moment, number
from app.web.language import gettext as _
from models.codes import Colour, Condition, ConditionKind, HealthCode, Interval, judge


class Step(Struct, frozen=True):
    """One line of a checklist: what is needed, who must bring it about, and whether it is met."""

    needs: Text
    owner: Text
    when: Text | None
    met: bool


class ReasonSheet(Struct, frozen=True):
    """One open reason: its name, since when, who reported it, and how it lifts."""

    rank: int
    name: Text
    since: Text
    reported_by: Text
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


def sheet(code: HealthCode | None, at: datetime, policy: str) -> Sheet:
    """Read `code` at `at`; `policy` is the version in force, for a code without reasons."""
    if code is None:
        return NO_SHEET
    shown = judge(code, at)
    if shown.colour is Colour.NONE:
        return NO_SHEET
    return Sheet(
        colour=shown.colour,
        version=code.version,
        reasons=tuple(_reason(interval, at) for interval in shown.open),
        changes_at=shown.changes_at,
        policy=", ".join(sorted({i.policy for i in shown.open})) or policy,
    )


def _reason(interval: Interval, at: datetime) -> ReasonSheet:
    return ReasonSheet(
        rank=int(interval.reason),
        name=_named(interval),
        since=moment(interval.start),
        reported_by=names.source(interval.opened_by.source),
        evidence=f"{interval.opened_by.source} {interval.opened_by.id}",
        steps=tuple(
            _step(condition, earliest, interval, at)
            for condition, earliest in zip(interval.conditions, interval.earliest(at), strict=True)
        ),
        lifts=_lifts(interval, at),
    )


def _named(interval: Interval) -> Text:
    name = names.REASONS[interval.reason]
    if interval.province is None:
        return name
    where = names.province(interval.province)
    return _("{reason}（{province}）").filled(reason=name, province=where)


def _step(
    condition: Condition, earliest: datetime | None, interval: Interval, at: datetime
) -> Step:
    met = condition.met_at is not None and condition.met_at <= at
    where = names.province(interval.province)
    return Step(
        needs=names.CONDITIONS[condition.kind].filled(province=where),
        owner=names.OWNERS[condition.owner].filled(province=where),
        when=_met_on(condition) if met else _earliest(condition, earliest, at),
        met=met,
    )


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
    if earliest <= at:
        return _("完成以下各项后即可解除")
    return _("最早{when}，且须各项满足").filled(when=_minute_after(earliest))


def _minute_after(instant: datetime) -> Text:
    """The minute in which `instant` is over: whoever acts at what is printed is not too early."""
    past = timedelta(seconds=instant.second, microseconds=instant.microsecond)
    return moment(instant - past + timedelta(minutes=1) if past else instant)
