"""Codes to show: one synthetic person each, with what the test cares about."""

from datetime import datetime, timedelta

from models.codes import (
    Colour,
    Condition,
    ConditionKind,
    EventRef,
    HealthCode,
    Interval,
    Owner,
    Reason,
)
from support.views import now

LISTING = EventRef("/cdc/440100", "listing-1")


def green(person: str, version: int = 1, city: str = "440100") -> HealthCode:
    return HealthCode(
        person,
        version,
        now() - timedelta(minutes=5),
        Colour.GREEN,
        told_version=version,
        verified_since=now() - timedelta(days=30),
        city=city,
    )


def red(person: str, *intervals: Interval, version: int = 1, city: str = "440100") -> HealthCode:
    intervals = intervals or (close_contact(),)
    return HealthCode(
        person,
        version,
        now() - timedelta(minutes=5),
        Colour.RED,
        tuple(sorted({interval.reason for interval in intervals})),
        told_version=version,
        verified_since=now() - timedelta(days=30),
        city=city,
        intervals=intervals,
    )


def close_contact() -> Interval:
    """Listed four days ago: two of the four tests are met, the period still runs."""
    exposure = (now() - timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)
    tests = [
        Condition(
            ConditionKind.NEGATIVE_TEST,
            Owner.LABORATORY,
            not_before=exposure + timedelta(days=n),
            met_at=exposure + timedelta(days=n, hours=9) if n < 5 else None,
        )
        for n in (1, 4, 7, 14)
    ]
    end = exposure + timedelta(days=14, hours=10)
    period = Condition(ConditionKind.TIME, Owner.TIME, not_before=end, met_at=end)
    return Interval(
        Reason.CLOSE_CONTACT,
        now() - timedelta(days=4),
        LISTING,
        "2020-04",
        conditions=(*tests, period),
    )


def quarantined_until(end: datetime) -> Interval:
    """At home; ends by itself at `end`."""
    period = Condition(ConditionKind.TIME, Owner.TIME, not_before=end, met_at=end)
    order = EventRef("/quarantine-commands/440300", "order-1")
    start = now() - timedelta(days=14)
    return Interval(Reason.HOME_QUARANTINE, start, order, "2020-04", end, (period,))


def abroad() -> Interval:
    """Red in Hunan; nobody knows until when."""
    waits = Condition(ConditionKind.PROVINCE_GREEN, Owner.PROVINCE)
    report = EventRef("/provinces/43", "code-1")
    start = now() - timedelta(days=2)
    return Interval(
        Reason.OUT_OF_PROVINCE_CODE,
        start,
        report,
        "2020-04",
        conditions=(waits,),
        province="43",
    )


def positive() -> Interval:
    """Positive the day before yesterday; no test since."""
    sampled_at = (now() - timedelta(days=2)).replace(hour=8, minute=50, second=0, microsecond=0)
    tests = tuple(
        Condition(
            ConditionKind.NEGATIVE_TEST,
            Owner.LABORATORY,
            not_before=sampled_at + timedelta(hours=hours, milliseconds=1),
            apart_s=apart_s,
        )
        for hours, apart_s in ((0, None), (24, 86_400))
    )
    result = EventRef("/laboratories/440100-011", "result-1")
    start = sampled_at + timedelta(hours=7)
    return Interval(Reason.CONFIRMED_OR_POSITIVE, start, result, "2020-04", conditions=tests)


def overdue() -> Interval:
    """In centralised quarantine, and two days after its planned end without a notice."""
    notice = Condition(
        ConditionKind.RELEASE_NOTICE,
        Owner.QUARANTINE_COMMAND,
        not_before=now() - timedelta(days=2),
    )
    order = EventRef("/quarantine-commands/440300", "order-2")
    start = now() - timedelta(days=16)
    return Interval(Reason.CENTRALISED_QUARANTINE, start, order, "2020-04", conditions=(notice,))


def four_reasons() -> tuple[Interval, ...]:
    """A positive, a contact, a province, an overdue quarantine."""
    return positive(), close_contact(), abroad(), overdue()
