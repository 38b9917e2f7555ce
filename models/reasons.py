"""The six reasons for a red code: which events open each, and what lifts it.

`assess` reads the set of events about a person and returns every reason as an interval. It looks at
no clock and at no order of arrival. The reasons are those of the manual's list (三（一）:
确诊病例或核酸检测阳性、疑似病例、密切接触者、外省健康码红黄码人员、集中隔离人员、居家隔离人员).

| Rank | Opens with | Lifts with | Function |
|---|---|---|---|
| 1 | a confirmed case | its discharge, and `after_discharge` | `confirmed_cases` |
| 1 | a final positive NAT | two negatives `negatives_apart`; or its case | `positive_results` |
| 2 | a suspected case | its exclusion or confirmation | `suspected_case` |
| 3 | a contact's listing | `after_exposure` and its tests; or withdrawal | `close_contact` |
| 4 | another province's red or yellow | the same province's green | `out_of_province_code` |
| 5, 6 | an order, a transfer | the release notice, the next step, or planned end | `quarantine` |

The numbers are in models.policy. Whatever closes a reason closes it from the instant that it names.
If that instant lies before the reason's start, the reason never was (own decision).
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar, assert_never

from msgspec import Struct
from msgspec.structs import replace

from models.codes import Condition, ConditionKind, EventRef, Interval, Owner, Reason
from models.corrections import settle
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
    QuarantineKind,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineRetracted,
    QuarantineTransferred,
    Result,
    ResultStatus,
    StatusEvent,
)
from models.policy import day_start, policy_at

CaseReport = CaseSuspected | CaseConfirmed | CaseExcluded | CaseDischarged
ContactReport = ContactListed | ContactWithdrawn
QuarantineReport = QuarantineOrdered | QuarantineTransferred | QuarantineReleased
QuarantineStep = QuarantineOrdered | QuarantineTransferred
E = TypeVar("E", bound=Envelope)

OPENING = (CaseSuspected, CaseConfirmed, ContactListed, QuarantineOrdered)
"""What begins a case, a listing or an order. Every other event about one can only follow it."""


class Assessment(Struct, frozen=True):
    """What a set of events means: since when someone is verified, where, and the reasons."""

    verified_since: datetime | None
    city: str | None
    intervals: tuple[Interval, ...]


def assess(events: Iterable[StatusEvent]) -> Assessment:
    """Judge the events about one person, in any order; each (source, id) at most once."""
    identities: list[IdentityVerified] = []
    positives: list[NatResultReported] = []
    negatives: list[NatResultReported] = []
    cases: defaultdict[tuple[str, str], list[CaseReport]] = defaultdict(list)
    contacts: defaultdict[tuple[str, str], list[ContactReport]] = defaultdict(list)
    quarantines: defaultdict[tuple[str, str], list[QuarantineReport]] = defaultdict(list)
    provinces: defaultdict[tuple[str, str], list[ProvincialCodeReported]] = defaultdict(list)
    standing, place, _ = settle(events)
    for event in standing:
        match event:
            case NatResultReported(data=data):  # by far the most
                if data.status is ResultStatus.FINAL:
                    if data.result is Result.NEGATIVE:
                        negatives.append(event)
                    elif data.result is Result.POSITIVE:
                        positives.append(event)
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

    def in_place(reports: Sequence[E]) -> Sequence[E]:
        return sorted(reports, key=place) if len(reports) > 1 else reports

    # Negatives bear on these two alone.
    negatives = _swabs(negatives) if positives or contacts else []
    confirmed: list[ConfirmedCase] = []
    intervals: list[Interval] = []
    for case_reports in map(in_place, cases.values()):
        confirmed += confirmed_cases(case_reports)
        intervals += suspected_case(case_reports)
    intervals += (case.interval for case in confirmed)
    if positives:
        intervals += positive_results(positives, negatives, confirmed)
    for contact_reports in map(in_place, contacts.values()):
        intervals += close_contact(contact_reports, negatives)
    for province_reports in map(in_place, provinces.values()):
        intervals += out_of_province_code(province_reports)
    for quarantine_reports in map(in_place, quarantines.values()):
        intervals += quarantine(quarantine_reports)

    newest = max(identities, key=lambda e: (e.data.verified_at, e.order), default=None)
    return Assessment(
        verified_since=min((e.data.verified_at for e in identities), default=None),
        city=newest.data.city if newest else None,
        intervals=tuple(
            sorted(
                (i for i in intervals if i.end is None or i.start < i.end),
                key=lambda i: (i.reason, i.start, i.opened_by),
            )
        ),
    )


def opens_nothing(event: StatusEvent) -> bool:
    """Say whether `event` is a result that opens no reason and corrects no event. It bears only on
    reasons that others opened."""
    return (
        isinstance(event, NatResultReported)
        and event.supersedes is None
        and not (event.data.result is Result.POSITIVE and event.data.status is ResultStatus.FINAL)
    )


def closes_nothing(events: Sequence[StatusEvent]) -> list[StatusEvent]:
    """Return the standing events that close, or go on with, a case, a listing or an order which no
    standing event begins before them, by their source's own order."""
    if not any(map(_follows, events)):
        return []
    standing, place, _ = settle(events)
    opening = sorted(filter(_begins, standing), key=place, reverse=True)
    begun = {(e.source, file_of(e)): place(e) for e in opening}  # of each file the first remains
    return [
        event
        for event in filter(_follows, standing)
        if (first := begun.get((event.source, file_of(event)))) is None or place(event) < first
    ]


def _begins(event: StatusEvent) -> bool:
    return isinstance(event, OPENING)


def _follows(event: StatusEvent) -> bool:
    return file_of(event) is not None and not isinstance(event, OPENING)


def file_of(event: StatusEvent) -> str | None:
    """Return what a source calls the case, listing or order that `event` is about, with its kind;
    None for an event about no such thing."""
    match event:
        case CaseSuspected() | CaseConfirmed() | CaseExcluded() | CaseDischarged():
            return f"case {event.data.case}"
        case ContactListed() | ContactWithdrawn():
            return f"listing {event.data.listing}"
        case QuarantineOrdered() | QuarantineTransferred() | QuarantineReleased():
            return f"order {event.data.order}"
        case _:
            return None


def _swabs(results: Iterable[NatResultReported]) -> list[NatResultReported]:
    """Count one swab once, as first reported, however often its laboratory reports it
    (own decision)."""
    found: dict[tuple[str, datetime], NatResultReported] = {}
    for result in sorted(results, key=lambda r: (r.data.reported_at, r.source, r.id)):
        found.setdefault((result.source, result.data.sampled_at), result)
    return list(found.values())


# Rank 1: 确诊病例或核酸检测阳性


class ConfirmedCase(Struct, frozen=True):
    """The time of a confirmed case: confirmed, discharged (or not yet), lifted."""

    interval: Interval
    discharged_at: datetime | None


def confirmed_cases(reports: Sequence[CaseReport]) -> Iterator[ConfirmedCase]:
    """A confirmed case opens when it is confirmed. It lifts 14 days after discharge, and only
    so."""
    opened: CaseConfirmed | None = None
    for report in reports:
        match report:
            case CaseConfirmed() if opened is None:
                opened = report
            case CaseDischarged() if opened is not None:
                yield _confirmed_case(opened, report)
                opened = None
            case _:
                pass
    if opened is not None:
        yield _confirmed_case(opened, None)


def _confirmed_case(opened: CaseConfirmed, discharge: CaseDischarged | None) -> ConfirmedCase:
    start = opened.data.confirmed_at
    policy = policy_at(start)
    discharged_at = discharge.data.discharged_at if discharge else None
    end = discharged_at + policy.after_discharge if discharged_at else None
    return ConfirmedCase(
        Interval(
            reason=Reason.CONFIRMED_OR_POSITIVE,
            start=start,
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
                Condition(ConditionKind.TIME, Owner.TIME, not_before=end, met_at=end),
            ),
        ),
        discharged_at,
    )


def positive_results(
    positives: Sequence[NatResultReported],
    negatives: Sequence[NatResultReported],
    confirmed: Sequence[ConfirmedCase],
) -> Iterator[Interval]:
    """A final positive opens at its report and lifts by two negatives, or with its case.

    It belongs to a case that was confirmed before it could lift, and not discharged before it was
    sampled. Then the case's discharge lifts it and tests do not.
    """
    runs = _runs(positives, negatives)
    for positive in positives:
        alone = _two_negatives(positive, runs)
        own = [
            case
            for case in confirmed
            if (alone.end is None or case.interval.start < alone.end)
            and (case.discharged_at is None or positive.data.sampled_at < case.discharged_at)
        ]
        if own:
            last = max(
                own, key=lambda c: (c.interval.end is None, c.interval.end or c.interval.start)
            )
            alone = replace(alone, end=last.interval.end, conditions=last.interval.conditions)
        yield alone


class _Run(NamedTuple):
    """Negatives with no positive between them, by sampling; `after` is the positive before them."""

    after: datetime
    negatives: list[NatResultReported]

    def first_pair(self, apart: timedelta) -> tuple[NatResultReported, NatResultReported] | None:
        """Return the pair, sampled at least `apart`, that is the first to have both reported."""
        best: tuple[NatResultReported, NatResultReported] | None = None
        first: NatResultReported | None = None
        ahead = iter(self.negatives)
        candidate = next(ahead, None)
        for second in self.negatives:
            while (
                candidate is not None
                and candidate.data.sampled_at <= second.data.sampled_at - apart
            ):
                if first is None or candidate.data.reported_at < first.data.reported_at:
                    first = candidate
                candidate = next(ahead, None)
            if first is not None and (best is None or _complete((first, second)) < _complete(best)):
                best = first, second
        return best


def _runs(
    positives: Sequence[NatResultReported], negatives: Sequence[NatResultReported]
) -> list[_Run]:
    """Cut the negatives into runs, in order of sampling; every positive begins a run."""
    starts = sorted({p.data.sampled_at for p in positives})
    runs = [_Run(start, []) for start in starts]
    # A negative sampled at the very instant of a positive is neither after it nor apart from it
    # (own decision).
    contradicted = set(starts)
    for negative in sorted(negatives, key=lambda n: (n.data.sampled_at, n.data.reported_at)):
        at = negative.data.sampled_at
        if at not in contradicted and (place := bisect_left(starts, at)):
            runs[place - 1].negatives.append(negative)
    return runs


def _two_negatives(positive: NatResultReported, runs: Sequence[_Run]) -> Interval:
    """Without a case: two negatives sampled after it, far enough apart, no positive between."""
    start = positive.data.reported_at
    policy = policy_at(start)
    pairs = (
        run.first_pair(policy.negatives_apart)
        for run in runs
        if run.after >= positive.data.sampled_at
    )
    best = min((pair for pair in pairs if pair is not None), key=_complete, default=None)
    if best is not None:
        conditions = tuple(
            Condition(
                ConditionKind.NEGATIVE_TEST,
                Owner.LABORATORY,
                not_before=not_before,
                met_at=negative.data.reported_at,
                met_by=ref(negative),
            )
            for negative, not_before in zip(
                best,
                (positive.data.sampled_at, best[0].data.sampled_at + policy.negatives_apart),
                strict=True,
            )
        )
    else:
        conditions = _awaited_negatives(runs[-1], policy.negatives_apart)
    return Interval(
        reason=Reason.CONFIRMED_OR_POSITIVE,
        start=start,
        end=_complete(best) if best else None,
        opened_by=ref(positive),
        policy=policy.version,
        conditions=conditions,
    )


def _complete(pair: tuple[NatResultReported, NatResultReported]) -> datetime:
    return max(negative.data.reported_at for negative in pair)


def _awaited_negatives(run: _Run, apart: timedelta) -> tuple[Condition, Condition]:
    """The checklist while a negative is missing; it counts from the newest positive."""
    newest = run.after
    first = run.negatives[0] if run.negatives else None
    return (
        Condition(
            ConditionKind.NEGATIVE_TEST,
            Owner.LABORATORY,
            not_before=newest,
            met_at=first.data.reported_at if first else None,
            met_by=ref(first) if first else None,
        ),
        Condition(
            ConditionKind.NEGATIVE_TEST,
            Owner.LABORATORY,
            not_before=(first.data.sampled_at if first else newest) + apart,
        ),
    )


# Rank 2: 疑似病例


def suspected_case(reports: Sequence[CaseReport]) -> Iterator[Interval]:
    """A suspicion opens at its report; exclusion or confirmation of the same case lifts it."""
    opened: CaseSuspected | None = None
    confirmed = False
    for report in reports:
        match report:
            case CaseSuspected():
                if opened is None and not confirmed:
                    opened = report
            case CaseConfirmed():
                if opened is not None:
                    yield _suspicion(opened, report, report.data.confirmed_at)
                opened, confirmed = None, True
            case CaseExcluded():
                if opened is not None:
                    yield _suspicion(opened, report, report.data.excluded_at)
                opened = None
            case CaseDischarged():
                confirmed = False
    if opened is not None:
        yield _suspicion(opened, None, None)


def _suspicion(
    opened: CaseSuspected, closed: CaseConfirmed | CaseExcluded | None, end: datetime | None
) -> Interval:
    start = opened.data.reported_at
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
    reports: Sequence[ContactReport], negatives: Sequence[NatResultReported]
) -> Iterator[Interval]:
    """A contact opens when listed; 14 days from the last exposure and four negatives lift it.

    A new exposure in the same listing is an interval of its own that lasts longer, so it restarts
    the count. A withdrawal lifts what was listed before it.
    """
    withdrawal: ContactWithdrawn | None = None
    for report in reversed(reports):
        match report:
            case ContactWithdrawn():
                withdrawal = report
            case ContactListed():
                yield _contact(report, withdrawal, negatives)


def _contact(
    listed: ContactListed,
    withdrawal: ContactWithdrawn | None,
    negatives: Sequence[NatResultReported],
) -> Interval:
    start, exposure = listed.data.listed_at, listed.data.last_exposure_at
    policy = policy_at(start)
    period_end = exposure + policy.after_exposure
    tests = required_tests(
        [day_start(exposure, day) for day in policy.contact_test_days], negatives
    )
    tested = [test.met_at for test in tests]
    ends = [period_end, *(at for at in tested if at is not None)]
    end = None if None in tested else max(ends)
    conditions = (
        Condition(ConditionKind.TIME, Owner.TIME, not_before=period_end, met_at=period_end),
        *tests,
    )
    if withdrawal is not None and (end is None or withdrawal.data.withdrawn_at < end):
        end = max(start, withdrawal.data.withdrawn_at)
    return Interval(
        reason=Reason.CLOSE_CONTACT,
        start=start,
        end=end,
        opened_by=ref(listed),
        policy=policy.version,
        conditions=conditions,
    )


def required_tests(
    not_before: Sequence[datetime], negatives: Sequence[NatResultReported]
) -> tuple[Condition, ...]:
    """Match negatives to required days: each on its day or later, one negative for one day.

    The last of the returned `met_at` is the earliest instant at which all can be met by results
    reported until then.
    """
    met_by: dict[datetime, NatResultReported] = {}
    for negative in sorted(negatives, key=lambda n: (n.data.reported_at, n.data.sampled_at)):
        # A result serves the latest day that it can. Earlier days are left to results that can
        # serve no other.
        for day in sorted(not_before, reverse=True):
            if day <= negative.data.sampled_at and day not in met_by:
                met_by[day] = negative
                break
    return tuple(
        Condition(
            ConditionKind.NEGATIVE_TEST,
            Owner.LABORATORY,
            not_before=day,
            met_at=met_by[day].data.reported_at if day in met_by else None,
            met_by=ref(met_by[day]) if day in met_by else None,
        )
        for day in not_before
    )


# Rank 4: 外省健康码红黄码人员


def out_of_province_code(reports: Sequence[ProvincialCodeReported]) -> Iterator[Interval]:
    """Red or yellow in another province opens; green of the same province lifts."""
    opened: ProvincialCodeReported | None = None
    for report in reports:
        if report.data.colour is not ProvincialColour.GREEN:
            opened = opened or report
        elif opened is not None:
            yield _provincial_code(opened, report)
            opened = None
    if opened is not None:
        yield _provincial_code(opened, None)


def _provincial_code(
    opened: ProvincialCodeReported, green: ProvincialCodeReported | None
) -> Interval:
    start = opened.data.reported_at
    end = max(start, green.data.reported_at) if green else None
    return Interval(
        reason=Reason.OUT_OF_PROVINCE_CODE,
        start=start,
        end=end,
        opened_by=ref(opened),
        policy=policy_at(start).version,
        conditions=(
            Condition(
                ConditionKind.PROVINCE_GREEN,
                Owner.PROVINCE,
                met_at=end,
                met_by=ref(green) if green else None,
            ),
        ),
        province=opened.data.province,
    )


# Ranks 5 and 6: 集中隔离人员, 居家隔离人员


def quarantine(reports: Sequence[QuarantineReport]) -> Iterator[Interval]:
    """An order opens at its start. A release notice lifts it, or the planned end where policy says
    so. A transfer ends one kind and opens the other at the same instant: no green gap."""
    opened: QuarantineStep | None = None
    for report in reports:
        match report:
            case QuarantineOrdered():
                if opened is not None:
                    yield _quarantine(opened, report, report.data.starts_at)
                opened = report
            case QuarantineTransferred():
                if opened is not None:
                    yield _quarantine(opened, report, report.data.transferred_at)
                    opened = report
            case QuarantineReleased():
                if opened is not None:
                    yield _quarantine(opened, report, report.data.released_at)
                opened = None
    if opened is not None:
        yield _quarantine(opened, None, None)


def _quarantine(
    opened: QuarantineStep, closed: QuarantineReport | None, closed_at: datetime | None
) -> Interval:
    start = (
        opened.data.starts_at
        if isinstance(opened, QuarantineOrdered)
        else opened.data.transferred_at
    )
    data = opened.data
    policy = policy_at(start)
    end = closed_at
    if data.kind in policy.planned_end_lifts and (end is None or data.planned_end_at < end):
        end = data.planned_end_at
        conditions: tuple[Condition, ...] = (
            Condition(ConditionKind.TIME, Owner.TIME, not_before=end, met_at=end),
        )
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
        start=start,
        end=end,
        opened_by=ref(opened),
        policy=policy.version,
        conditions=conditions,
    )


def ref(event: Envelope) -> EventRef:
    """Return the identity of `event`."""
    return EventRef(event.source, event.id)
