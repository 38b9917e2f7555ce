"""The rules a second time, read off the whole list of events as one reads a statute.

This is the oracle that `models/` is held against. It shares the events, the names of colours and
reasons and policy's numbers with `models/`, and no line of judgement: nothing is folded, nothing
is kept from one event to the next, and speed does not matter. Where it looks clumsy it is so that
each sentence can be held against docs/decisions/0013-durations.md and 0006-corrections.md.

Events are taken to be valid and about one person; when they arrived does not matter.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from models import events as e
from models import policy
from models.codes import Colour, Reason

SHANGHAI = ZoneInfo("Asia/Shanghai")

CaseReport = e.CaseSuspected | e.CaseConfirmed | e.CaseExcluded | e.CaseDischarged
ContactReport = e.ContactListed | e.ContactWithdrawn
QuarantineReport = e.QuarantineOrdered | e.QuarantineTransferred | e.QuarantineReleased

Report = TypeVar("Report", bound=e.Envelope)


class Spell(NamedTuple):
    """A reason that holds in `[start, end)`; without an end it still holds."""

    reason: Reason
    start: datetime
    end: datetime | None

    def covers(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


class Confirmation(NamedTuple):
    """A confirmed case from its confirmation to some time after its discharge."""

    start: datetime
    discharged_at: datetime | None
    end: datetime | None


def naive(events: Iterable[e.Event], at: datetime) -> tuple[Colour, set[Reason]]:
    """Return the colour at `at` and the reasons open then, whoever is asked about verified or not.

    Red if any reason is open, green if none is; no code for someone who is not verified.
    """
    known = list(events)
    reasons = {spell.reason for spell in red_intervals(known) if spell.covers(at)}
    since = verified_since(known)
    if since is None or at < since:
        return Colour.NONE, reasons
    return (Colour.RED if reasons else Colour.GREEN), reasons


def verified_since(events: Iterable[e.Event]) -> datetime | None:
    """Return the first instant at which the person counts as verified."""
    verified = [x for x in effective(events) if isinstance(x, e.IdentityVerified)]
    return min((x.data.verified_at for x in verified), default=None)


def red_intervals(events: Iterable[e.Event]) -> list[Spell]:
    """Return every spell of every reason that holds at some instant; spells may overlap."""
    standing = effective(events)
    results = [
        x
        for x in standing
        if isinstance(x, e.NatResultReported) and x.data.status is e.ResultStatus.FINAL
    ]
    cases = [x for x in standing if isinstance(x, CaseReport)]
    contacts = [x for x in standing if isinstance(x, ContactReport)]
    codes = [x for x in standing if isinstance(x, e.ProvincialCodeReported)]
    orders = [x for x in standing if isinstance(x, QuarantineReport)]
    spells = [
        *confirmed_or_positive(cases, results),
        *suspected(cases),
        *close_contact(contacts, results),
        *out_of_province(codes),
        *quarantine(orders),
    ]
    return [spell for spell in spells if spell.end is None or spell.start < spell.end]


# --- which events count ---------------------------------------------------------------------


def effective(events: Iterable[e.Event]) -> list[e.Event]:
    """Return the events that count: each (source, id) once, without those that are void."""
    known = list({(x.source, x.id): x for x in events}.values())
    return [x for x in known if not is_void(x, known)]


def is_void(event: e.Event, known: Sequence[e.Event]) -> bool:
    """An event is void if it is corrected by one that is not void itself."""
    # Ends, because a correction has a greater order than what it corrects.
    return any(corrects(other, event) and not is_void(other, known) for other in known)


def corrects(correction: e.Event, event: e.Event) -> bool:
    """A source corrects its own earlier events only; any other claim is of no effect."""
    return (
        correction.source == event.source
        and correction.supersedes == event.id
        and order(event) < order(correction)
    )


def order(event: e.Envelope) -> tuple[int, datetime, str]:
    """The source's sequence, then time, then id."""
    return int(event.sequence), event.time, event.id


def files(reports: Iterable[Report], number: Callable[[Report], str]) -> list[list[Report]]:
    """Return the reports of each file of each source, in the source's order."""
    keys = {(x.source, number(x)) for x in reports}
    return [
        sorted((x for x in reports if (x.source, number(x)) == key), key=order)
        for key in sorted(keys)
    ]


def in_force(at: datetime) -> policy.Policy:
    """Return the policy whose validity contains `at`."""
    for candidate in policy.POLICIES:
        if candidate.valid_from <= at and (candidate.valid_to is None or at < candidate.valid_to):
            return candidate
    return policy.POLICIES[0]


# --- rank 1: confirmed case or positive test --------------------------------------------------


def confirmed_or_positive(
    cases: Sequence[CaseReport], results: Sequence[e.NatResultReported]
) -> Iterator[Spell]:
    confirmations = list(confirmed(cases))
    for confirmation in confirmations:
        yield Spell(Reason.CONFIRMED_OR_POSITIVE, confirmation.start, confirmation.end)
    for result in results:
        if result.data.result is e.Result.POSITIVE:
            end = positive_end(result, results, confirmations)
            yield Spell(Reason.CONFIRMED_OR_POSITIVE, result.data.reported_at, end)


def confirmed(cases: Sequence[CaseReport]) -> Iterator[Confirmation]:
    """A case is confirmed by the first confirmation, and by the first after each discharge.

    It ends policy's days after the first discharge that follows in the source's order.
    """
    for file in files(cases, lambda x: x.data.case):
        reports = [x for x in file if isinstance(x, e.CaseConfirmed | e.CaseDischarged)]
        for place, report in enumerate(reports):
            if not isinstance(report, e.CaseConfirmed):
                continue
            if place > 0 and isinstance(reports[place - 1], e.CaseConfirmed):
                continue  # it is confirmed already
            start = report.data.confirmed_at
            discharges = [x for x in reports[place:] if isinstance(x, e.CaseDischarged)]
            if not discharges:
                yield Confirmation(start, None, None)
                continue
            discharged_at = discharges[0].data.discharged_at
            end = discharged_at + in_force(start).after_discharge
            yield Confirmation(start, discharged_at, end)


def positive_end(
    positive: e.NatResultReported,
    results: Sequence[e.NatResultReported],
    confirmations: Sequence[Confirmation],
) -> datetime | None:
    """A positive ends with the case it belongs to, else with two negatives.

    It belongs to a case that was confirmed before the two negatives had lifted it, unless that
    case was discharged before the sample was taken.
    """
    lifted_at = two_negatives(positive, results)
    own = [
        case
        for case in confirmations
        if (lifted_at is None or case.start < lifted_at)
        and (case.discharged_at is None or positive.data.sampled_at < case.discharged_at)
    ]
    if not own:
        return lifted_at
    ends = [case.end for case in own if case.end is not None]
    return max(ends) if len(ends) == len(own) else None


def two_negatives(
    positive: e.NatResultReported, results: Sequence[e.NatResultReported]
) -> datetime | None:
    """Return when the first two sufficient negatives after `positive` are both reported.

    They are sampled after the positive, far enough apart, with no positive from the one to the
    other.
    """
    apart = in_force(positive.data.reported_at).negatives_apart
    negatives = [
        x.data
        for x in results
        if x.data.result is e.Result.NEGATIVE and x.data.sampled_at > positive.data.sampled_at
    ]
    positives = [x.data.sampled_at for x in results if x.data.result is e.Result.POSITIVE]
    return min(
        (
            max(first.reported_at, second.reported_at)
            for first, second in product(negatives, negatives)
            if second.sampled_at - first.sampled_at >= apart
            and not any(first.sampled_at <= at <= second.sampled_at for at in positives)
        ),
        default=None,
    )


# --- rank 2: suspected case -------------------------------------------------------------------


def suspected(cases: Sequence[CaseReport]) -> Iterator[Spell]:
    """A suspicion lasts until the next exclusion or confirmation of that case."""
    for file in files(cases, lambda x: x.data.case):
        for place, report in enumerate(file):
            if not isinstance(report, e.CaseSuspected):
                continue
            if is_confirmed(file[:place]) or is_suspected(file[:place]):
                continue
            start = report.data.reported_at
            ends = [
                x.data.excluded_at if isinstance(x, e.CaseExcluded) else x.data.confirmed_at
                for x in file[place:]
                if isinstance(x, e.CaseExcluded | e.CaseConfirmed)
            ]
            yield Spell(Reason.SUSPECTED_CASE, start, max(start, ends[0]) if ends else None)


def is_confirmed(earlier: Sequence[CaseReport]) -> bool:
    """Say whether a case with these reports is confirmed and not discharged."""
    decisive = [x for x in earlier if isinstance(x, e.CaseConfirmed | e.CaseDischarged)]
    return bool(decisive) and isinstance(decisive[-1], e.CaseConfirmed)


def is_suspected(earlier: Sequence[CaseReport]) -> bool:
    """Say whether a suspicion stands: raised when not confirmed, and not settled since."""
    return any(
        isinstance(report, e.CaseSuspected)
        and not is_confirmed(earlier[:place])
        and not any(isinstance(x, e.CaseExcluded | e.CaseConfirmed) for x in earlier[place:])
        for place, report in enumerate(earlier)
    )


# --- rank 3: close contact --------------------------------------------------------------------


def close_contact(
    contacts: Sequence[ContactReport], results: Sequence[e.NatResultReported]
) -> Iterator[Spell]:
    """Each report of a contact holds by itself, until it is met or the listing is withdrawn.

    A report of a later exposure outlasts the one before it; so a new exposure restarts the count,
    and reaches back over no time in which nothing was known of it.
    """
    for file in files(contacts, lambda x: x.data.listing):
        for place, report in enumerate(file):
            if not isinstance(report, e.ContactListed):
                continue
            start = report.data.listed_at
            ends = [contact_end(report.data.last_exposure_at, in_force(start), results)]
            withdrawals = [x for x in file[place:] if isinstance(x, e.ContactWithdrawn)]
            ends += [x.data.withdrawn_at for x in withdrawals[:1]]
            known = [end for end in ends if end is not None]
            yield Spell(Reason.CLOSE_CONTACT, start, min(known, default=None))


def contact_end(
    last_exposure_at: datetime,
    numbers: policy.Policy,
    results: Sequence[e.NatResultReported],
) -> datetime | None:
    """A contact ends when the days are over and each required test has its own negative."""
    day = last_exposure_at.astimezone(SHANGHAI).date()
    thresholds = [
        datetime.combine(day + timedelta(days=n), datetime.min.time(), SHANGHAI)
        for n in numbers.contact_test_days
    ]
    days_over_at = last_exposure_at + numbers.after_exposure
    if not thresholds:
        return days_over_at
    reported = [x for x in results if x.data.result is e.Result.NEGATIVE]
    negatives = [x.data for x in reported if not any(is_same_swab(y, x) for y in reported)]
    for reported_at in sorted(x.reported_at for x in negatives):
        samples = [x.sampled_at for x in negatives if x.reported_at <= reported_at]
        if each_has_its_own(thresholds, samples):
            return max(days_over_at, reported_at)
    return None


def is_same_swab(first: e.NatResultReported, again: e.NatResultReported) -> bool:
    """Say whether `again` reports a sample that the same laboratory reported first by `first`."""
    return (
        first.source == again.source
        and first.data.sampled_at == again.data.sampled_at
        and (first.data.reported_at, first.id) < (again.data.reported_at, again.id)
    )


def each_has_its_own(thresholds: Sequence[datetime], samples: Sequence[datetime]) -> bool:
    """Say whether every threshold can be given a sample of its own, taken at it or later.

    A sample that serves for a late threshold serves for all earlier ones too. So it is enough
    that, for each, the samples from it on are no fewer than the thresholds from it on.
    """
    return all(
        sum(sample >= threshold for sample in samples)
        >= sum(other >= threshold for other in thresholds)
        for threshold in thresholds
    )


# --- rank 4: another province's code ------------------------------------------------------------


def out_of_province(codes: Sequence[e.ProvincialCodeReported]) -> Iterator[Spell]:
    """Red or yellow elsewhere is red here until the same province reports green."""
    for file in files(codes, lambda x: x.data.province):
        for place, report in enumerate(file):
            if report.data.colour is e.ProvincialColour.GREEN:
                continue
            if place > 0 and file[place - 1].data.colour is not e.ProvincialColour.GREEN:
                continue  # it is red here already
            start = report.data.reported_at
            greens = [
                x.data.reported_at
                for x in file[place:]
                if x.data.colour is e.ProvincialColour.GREEN
            ]
            end = max(start, greens[0]) if greens else None
            yield Spell(Reason.OUT_OF_PROVINCE_CODE, start, end)


# --- ranks 5 and 6: quarantine ------------------------------------------------------------------

QUARANTINE = {
    e.QuarantineKind.CENTRALISED: Reason.CENTRALISED_QUARANTINE,
    e.QuarantineKind.HOME: Reason.HOME_QUARANTINE,
}


def quarantine(orders: Sequence[QuarantineReport]) -> Iterator[Spell]:
    """An order, or a transfer of an order not yet released, holds until the next report.

    Where policy lets the planned end lift by itself, it ends there if that is earlier.
    """
    for file in files(orders, lambda x: x.data.order):
        for place, report in enumerate(file):
            if isinstance(report, e.QuarantineReleased):
                continue
            if isinstance(report, e.QuarantineTransferred) and not is_ordered(file[:place]):
                continue
            start = instant(report)
            ends = [max(start, instant(x)) for x in file[place + 1 :][:1]]
            if report.data.kind in in_force(start).planned_end_lifts:
                ends.append(report.data.planned_end_at)
            yield Spell(QUARANTINE[report.data.kind], start, min(ends, default=None))


def is_ordered(earlier: Sequence[QuarantineReport]) -> bool:
    """Say whether something was ordered and not released since."""
    return any(
        isinstance(report, e.QuarantineOrdered)
        and not any(isinstance(x, e.QuarantineReleased) for x in earlier[place:])
        for place, report in enumerate(earlier)
    )


def instant(report: QuarantineReport) -> datetime:
    """Return the instant from which a report about quarantine takes effect."""
    match report:
        case e.QuarantineOrdered():
            return report.data.starts_at
        case e.QuarantineTransferred():
            return report.data.transferred_at
        case e.QuarantineReleased():
            return report.data.released_at
