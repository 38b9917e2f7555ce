"""The six reasons for a red code: which events open each, and what lifts it.

`assess` reads the set of events about a person and returns every reason as an interval, and every
report that has no effect. It looks at no clock and at no order of arrival. The reasons are those of
the manual's list (三（一）:
确诊病例或核酸检测阳性、疑似病例、密切接触者、外省健康码红黄码人员、集中隔离人员、居家隔离人员).

| Rank | Opens with | Lifts with | Function |
|---|---|---|---|
| 1 | a confirmed case | its discharge, and `after_discharge` | `confirmed_cases` |
| 1 | a final positive NAT | two negatives `negatives_apart`; or its case | `positive_results` |
| 2 | a suspected case | its exclusion or confirmation | `suspected_cases` |
| 3 | a contact's listing | `after_exposure` and tests; withdrawal; a case | `close_contact` |
| 4 | another province's red or yellow | the same province's green | `out_of_province_code` |
| 5, 6 | an order, a transfer | release notice, next step, planned end | `models.quarantine` |

The numbers are in models.policy. Four things hold for all of them.

A reason is judged by each policy from the one in force at its start onward, and the mildest governs
it (models.easing).

A correction is read in the place of what it corrects (models.corrections).

Whatever closes a reason closes it from the instant that it names. If that instant lies before the
reason's start, the reason never was: an order may be revoked before it begins. But what is dated
before the event that it closes was even sent has a wrong date, and closes nothing (own decision).

A result and a provincial report count from their report, in every answer about any time: what was
reported later changes no day on which nobody knew it (own decision).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar, assert_never

from msgspec import Struct
from msgspec.structs import replace

from models.codes import Condition, ConditionKind, EventRef, Interval, Owner, Reason, ref
from models.corrections import Order, settle
from models.easing import mildest, passing_of_time
from models.events import (
    CaseConfirmed,
    CaseDischarged,
    CaseExcluded,
    CaseRetracted,
    CaseSuspected,
    ContactListed,
    ContactRetracted,
    ContactWithdrawn,
    Envelope,
    IdentityRetracted,
    IdentityVerified,
    NatResultReported,
    NatResultRetracted,
    ProvincialCodeReported,
    ProvincialCodeRetracted,
    ProvincialColour,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineRetracted,
    QuarantineTransferred,
    StatusEvent,
    counts_from,
)
from models.files import (
    CONFIRMED_CASE,
    LISTING,
    OPENING,
    SUSPECTED_CASE,
    CaseReport,
    ContactReport,
    FileReport,
    Placed,
    QuarantineReport,
    suspicions,
    walk,
)
from models.idle import Idle, Obstacle, idle_in_files, over
from models.policy import Policy, day_start, policies_from, policy_at
from models.provinces import Spell, follow
from models.quarantine import quarantine
from models.results import Swab, Wait, counted, opens, required_tests, swab_too_old, waits

E = TypeVar("E", bound=Envelope)
NEXT = timedelta(milliseconds=1)
"""A negative counts from after a positive's swab; instants are told to the millisecond."""


class Assessment(Struct, frozen=True):
    """What a set of events means: since when someone is verified, where, and the reasons.

    `identified_by` are the events that say since when, and where. `idle` are those that have no
    effect. `ended_by` has each red or yellow of a province that has ended, and the green that
    ended it.
    """

    verified_since: datetime | None
    city: str | None
    intervals: tuple[Interval, ...]
    identified_by: tuple[EventRef, ...]
    idle: tuple[Idle, ...]
    ended_by: tuple[tuple[EventRef, EventRef], ...]


def assess(events: Iterable[StatusEvent]) -> Assessment:
    """Judge the events about one person, in any order; each (source, id) at most once."""
    identities: list[IdentityVerified] = []
    results: list[NatResultReported] = []
    cases: defaultdict[tuple[str, str], list[CaseReport]] = defaultdict(list)
    contacts: defaultdict[tuple[str, str], list[ContactReport]] = defaultdict(list)
    quarantines: defaultdict[tuple[str, str], list[QuarantineReport]] = defaultdict(list)
    provinces: defaultdict[tuple[str, str], list[ProvincialCodeReported]] = defaultdict(list)
    events = list(events)
    settled = settle(events)
    for event in settled.standing:
        match event:
            case NatResultReported():  # by far the most
                results.append(event)
            case IdentityVerified():
                identities.append(event)
            case CaseSuspected() | CaseConfirmed() | CaseExcluded() | CaseDischarged():
                cases[event.source, event.data.case].append(event)
            case ContactListed() | ContactWithdrawn():
                contacts[event.source, event.data.listing].append(event)
            case QuarantineOrdered() | QuarantineTransferred() | QuarantineReleased():
                quarantines[event.source, event.data.order].append(event)
            case ProvincialCodeReported():
                provinces[event.source, event.data.province].append(event)
            case (
                IdentityRetracted()
                | NatResultRetracted()
                | CaseRetracted()
                | ContactRetracted()
                | QuarantineRetracted()
                | ProvincialCodeRetracted()
            ):
                pass  # takes back, and says nothing else
            case _:
                assert_never(event)

    def in_place(reports: Iterable[E]) -> Sequence[Placed[E]]:
        return sorted((Placed(settled.place(report), report) for report in reports), key=_place)

    positives, negatives, too_old = counted(results)
    idle = [Idle(result, Obstacle.SWAB_TOO_OLD, None) for result in too_old]
    ended: list[tuple[ProvincialCodeReported, ProvincialCodeReported]] = []
    files: list[Sequence[Placed[FileReport]]] = []
    confirmed: list[ConfirmedCase] = []
    intervals: list[Interval] = []
    for case_reports in map(in_place, cases.values()):
        found = list(confirmed_cases(case_reports))
        confirmed += found
        intervals += _once(case.interval for case in found)
        intervals += _once(suspected_cases(case_reports))
        files.append(case_reports)
    intervals += positive_results(positives, negatives, confirmed)
    by_sampling = sorted(negatives)
    for contact_reports in map(in_place, contacts.values()):
        intervals += close_contact(contact_reports, by_sampling, confirmed)
        files.append(contact_reports)
    for province_reports in map(in_place, provinces.values()):
        followed = follow(province_reports)
        intervals += map(out_of_province_code, followed.spells)
        idle += followed.idle
        ended += followed.ended
    for quarantine_reports in map(in_place, quarantines.values()):
        intervals += quarantine(quarantine_reports)
        files.append(quarantine_reports)
    ended_reasons = {i.opened_by: i for i in intervals if i.end is not None}
    for positive in positives:
        if not swab_too_old(positive.result):  # that is told already
            opening = Placed(settled.place(positive.result), positive.result)
            idle += over(opening, (), settled, ended_reasons)
    if files:
        idle += idle_in_files(files, settled, events, ended_reasons)

    identities.sort(key=lambda e: (e.data.verified_at, e.order))
    return Assessment(
        verified_since=identities[0].data.verified_at if identities else None,
        city=identities[-1].data.city if identities else None,
        intervals=tuple(
            sorted(filter(_was, intervals), key=lambda i: (i.reason, i.start, i.opened_by))
        ),
        identified_by=tuple(ref(e) for e in (*identities[:1], *identities[-1:])),
        idle=tuple(idle),
        ended_by=tuple((ref(red), ref(green)) for red, green in ended),
    )


def opens_nothing(event: StatusEvent) -> bool:
    """Say whether `event` is a result that opens no reason and corrects no event. It bears only on
    reasons that others opened."""
    return (
        isinstance(event, NatResultReported) and event.supersedes is None and not opens(event.data)
    )


def may_open(event: StatusEvent) -> bool:
    """Say whether `event` is of a kind that opens a reason."""
    match event:
        case NatResultReported():
            return opens(event.data)
        case ProvincialCodeReported():
            return event.data.colour is not ProvincialColour.GREEN
        case _:
            return isinstance(event, OPENING)


def _place(report: Placed[E]) -> Order:
    return report.place


def _was(interval: Interval) -> bool:
    """Say whether a reason held at any instant."""
    return interval.end is None or interval.start < interval.end


def _once(found: Iterable[Interval]) -> Iterator[Interval]:
    """Leave out what never was, and of one file what lies within another's time: the same, said
    again."""
    last: Interval | None = None
    for interval in sorted(filter(_was, found), key=_longest_first):
        if last is None or _is_earlier(last.end, interval.end):
            last = interval
            yield interval


def _is_earlier(end: datetime | None, other: datetime | None) -> bool:
    return end is not None and (other is None or end < other)


def _longest_first(interval: Interval) -> tuple[datetime, bool, timedelta]:
    length = interval.end - interval.start if interval.end else timedelta()
    return interval.start, interval.end is not None, -length


# Rank 1: 确诊病例或核酸检测阳性


class ConfirmedCase(Struct, frozen=True):
    """The time of a confirmed case: confirmed, discharged (or not yet), lifted."""

    interval: Interval
    discharged_at: datetime | None


def confirmed_cases(reports: Sequence[Placed[CaseReport]]) -> Iterator[ConfirmedCase]:
    """A confirmed case opens when it is confirmed. It lifts 14 days after its first discharge, and
    only so."""
    for opened, discharge in walk(reports, CONFIRMED_CASE):
        for confirmed in opened:
            ended_by = discharge and discharge.event
            start = confirmed.event.data.confirmed_at
            interval = mildest(start, partial(_confirmed_case, confirmed.event, ended_by))
            if _was(interval):
                yield ConfirmedCase(interval, ended_by and ended_by.data.discharged_at)


def _confirmed_case(
    opened: CaseConfirmed, discharge: CaseDischarged | None, policy: Policy
) -> Interval:
    discharged_at = discharge.data.discharged_at if discharge else None
    end = discharged_at + policy.after_discharge if discharged_at else None
    return Interval(
        reason=Reason.CONFIRMED_OR_POSITIVE,
        start=opened.data.confirmed_at,
        end=end,
        opened_by=ref(opened),
        policy=policy.version,
        conditions=(
            Condition(
                ConditionKind.DISCHARGE,
                Owner.CDC,
                met_at=discharged_at,
                met_by=ref(discharge) if discharge else None,
            ),
            passing_of_time(end),
        ),
    )


def positive_results(
    positives: Sequence[Swab], negatives: Sequence[Swab], confirmed: Sequence[ConfirmedCase]
) -> Iterator[Interval]:
    """A final positive opens at its report and lifts by two negatives, or with its case.

    It belongs to a case that was confirmed before it could lift, and not discharged before it was
    sampled. Then the case's discharge lifts it and tests do not.
    """
    if not positives:
        return
    distances = {policy.negatives_apart for policy in policies_from(positives[0].reported_at)}
    found = [waits(positives, negatives, apart) for apart in distances]
    for positive, *of_one in zip(positives, *found, strict=True):
        by_distance = dict(zip(distances, of_one, strict=True))
        yield mildest(positive.reported_at, partial(_positive, by_distance, confirmed))


def _positive(
    by_distance: Mapping[timedelta, Wait], confirmed: Sequence[ConfirmedCase], policy: Policy
) -> Interval:
    wait = by_distance[policy.negatives_apart]
    own = [
        case
        for case in confirmed
        if (wait.lifted_at is None or case.interval.start < wait.lifted_at)
        and (case.discharged_at is None or wait.positive.sampled_at < case.discharged_at)
    ]
    alone = _lifted_by_tests(wait, policy)
    if not own:
        return alone
    last = max(own, key=lambda c: (c.interval.end is None, c.interval.end or c.interval.start))
    return _with_case(alone, last)


def _with_case(interval: Interval, case: ConfirmedCase) -> Interval:
    own = case.interval
    return replace(interval, end=own.end, conditions=own.conditions, policy=own.policy)


def _lifted_by_tests(wait: Wait, policy: Policy) -> Interval:
    earliest = wait.first.sampled_at if wait.first else wait.newest + NEXT
    return Interval(
        reason=Reason.CONFIRMED_OR_POSITIVE,
        start=wait.positive.reported_at,
        end=wait.lifted_at,
        opened_by=ref(wait.positive.result),
        policy=policy.version,
        conditions=(
            _negative(wait.newest + NEXT, wait.first),
            _negative(earliest + policy.negatives_apart, wait.second, policy.negatives_apart),
        ),
    )


def _negative(not_before: datetime, met: Swab | None, apart: timedelta | None = None) -> Condition:
    return Condition(
        ConditionKind.NEGATIVE_TEST,
        Owner.LABORATORY,
        not_before=not_before,
        met_at=met.reported_at if met else None,
        met_by=ref(met.result) if met else None,
        apart_s=None if apart is None else int(apart.total_seconds()),
    )


# Rank 2: 疑似病例


def suspected_cases(reports: Sequence[Placed[CaseReport]]) -> Iterator[Interval]:
    """A suspicion opens at its report; exclusion or confirmation of the same case lifts it. While
    the case is confirmed, none opens."""
    for opened, closed in walk(suspicions(reports), SUSPECTED_CASE):
        for suspected in opened:
            yield _suspicion(suspected.event, closed and closed.event)


def _suspicion(opened: CaseSuspected, closed: CaseConfirmed | CaseExcluded | None) -> Interval:
    start = opened.data.reported_at
    end = counts_from(closed) if closed else None
    return Interval(
        reason=Reason.SUSPECTED_CASE,
        start=start,
        end=end,
        opened_by=ref(opened),
        policy=policy_at(start).version,
        conditions=(
            Condition(
                ConditionKind.EXCLUSION,
                Owner.CDC,
                met_at=end,
                met_by=ref(closed) if closed else None,
            ),
        ),
    )


# Rank 3: 密切接触者


def close_contact(
    reports: Sequence[Placed[ContactReport]],
    negatives: Sequence[Swab],
    confirmed: Sequence[ConfirmedCase],
) -> Iterator[Interval]:
    """A contact opens when listed; 14 days from the last exposure and four negatives lift it.

    A new exposure in the same listing is an interval of its own that lasts longer, so it restarts
    the count. A withdrawal lifts what was listed before it. Whoever becomes a confirmed case has
    that case to wait for: what lifts it lifts the contacts of before.
    """
    for opened, withdrawal in walk(reports, LISTING):
        withdrawn_at = withdrawal and counts_from(withdrawal.event)
        in_time = [n for n in negatives if withdrawn_at is None or n.reported_at <= withdrawn_at]
        for listed in opened:
            start = listed.event.data.listed_at
            yield mildest(start, partial(_contact, listed.event, in_time, confirmed, withdrawn_at))


def _contact(
    listed: ContactListed,
    negatives: Sequence[Swab],
    confirmed: Sequence[ConfirmedCase],
    withdrawn_at: datetime | None,
    policy: Policy,
) -> Interval:
    contact = _lifted_by_time_and_tests(listed, negatives, policy)
    for case in confirmed:
        exposed_before = listed.data.last_exposure_at < case.interval.start
        if exposed_before and _is_earlier(case.interval.end, contact.end):
            contact = _with_case(contact, case)
    if _is_earlier(withdrawn_at, contact.end):
        contact = replace(contact, end=withdrawn_at)
    return contact


def _lifted_by_time_and_tests(
    listed: ContactListed, negatives: Sequence[Swab], policy: Policy
) -> Interval:
    exposure = listed.data.last_exposure_at
    apart = policy.contact_tests_apart
    period_end = exposure + policy.after_exposure
    days = [day_start(exposure, day) for day in policy.contact_test_days]
    met = required_tests(days, negatives, apart)
    missing: list[Swab | None] = [None] * (len(days) - len(met))
    if met and missing:
        days[len(met)] = max(days[len(met)], met[-1].sampled_at + apart)
    return Interval(
        reason=Reason.CLOSE_CONTACT,
        start=listed.data.listed_at,
        end=None if missing else max([period_end, *(test.reported_at for test in met)]),
        opened_by=ref(listed),
        policy=policy.version,
        conditions=(
            passing_of_time(period_end),
            *map(_negative, days, [*met, *missing], [None, *[apart] * (len(days) - 1)]),
        ),
    )


def last_exposure(interval: Interval) -> datetime | None:
    """Return the exposure from which a contact's period is counted; None if it lifts otherwise."""
    if interval.reason is not Reason.CLOSE_CONTACT:
        return None
    period = next((c for c in interval.conditions if c.kind is ConditionKind.TIME), None)
    waits_for_case = any(c.kind is ConditionKind.DISCHARGE for c in interval.conditions)
    if period is None or period.not_before is None or waits_for_case:
        return None
    governing = next(p for p in policies_from(interval.start) if p.version == interval.policy)
    if period.not_before == governing.valid_from:
        return None  # it waits for a milder policy to begin (models.easing)
    return period.not_before - governing.after_exposure


def newest_positive(interval: Interval) -> datetime | None:
    """Return when the positive was sampled that the negatives of a reason have to follow; None if
    no negatives lift it."""
    first = interval.conditions[0] if interval.conditions else None
    of_positive = interval.reason is Reason.CONFIRMED_OR_POSITIVE
    if not of_positive or first is None or first.not_before is None:
        return None
    return first.not_before - NEXT if first.kind is ConditionKind.NEGATIVE_TEST else None


# Rank 4: 外省健康码红黄码人员


def out_of_province_code(spell: Spell) -> Interval:
    """Red or yellow in another province opens; green of the same province lifts
    (models.provinces)."""
    return Interval(
        reason=Reason.OUT_OF_PROVINCE_CODE,
        start=spell.start,
        end=spell.end,
        opened_by=ref(spell.opened),
        policy=policy_at(spell.start).version,
        conditions=(
            Condition(
                ConditionKind.PROVINCE_GREEN,
                Owner.PROVINCE,
                met_at=spell.end,
                met_by=ref(spell.green) if spell.green else None,
            ),
        ),
        province=spell.opened.data.province,
    )
