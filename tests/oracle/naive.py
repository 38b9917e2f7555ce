"""The rules of the code, written as a statute. A test oracle: slow, and meant to be read.

It was written from the manual, the table of reasons and the decisions, by someone who had not read
`models/`. Where the two differed, docs/decisions/0017-judgement.md says which was right.
Each function is one sentence of the rules. Letters such as "(c)" name the decision it comes from.

Reading order: policies, corrections, files and places, results of tests, then the six reasons in
their order.
Where the rules leave something open, the function that decides says "Choice".
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import combinations, pairwise
from typing import Any, Generic, NamedTuple, TypeAlias, TypeGuard, TypeVar

from models import policy
from models.codes import Colour, Reason
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
    NatResultReportedV2,
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
from models.policy import Policy, day_start, policy_at

EventT = TypeVar("EventT", bound=Envelope)

Place: TypeAlias = tuple[int, datetime, str]
"""Where an event is read among the events of its source: sequence, time, id (f)."""


class Spell(NamedTuple):
    """A reason is open in `[start, end)`. Without an end it is open until further notice."""

    reason: Reason
    start: datetime
    end: datetime | None

    def covers(self, at: datetime) -> bool:
        """Say whether the reason is open at `at`."""
        return self.start <= at and (self.end is None or at < self.end)


class Placed(NamedTuple, Generic[EventT]):
    """An event that stands, with the place in which it is read."""

    place: Place
    event: EventT


Facts: TypeAlias = Sequence[Placed[StatusEvent]]
"""All that stands about a person, or all of one file; in order of place within a source."""


# The answer


def naive(events: Iterable[StatusEvent], at: datetime) -> tuple[Colour, set[Reason]]:
    """Return the colour at `at`, and the reasons that are open at `at`.

    The colour is red if any reason is open, else green. Before verification there is no code.
    """
    known = list(events)
    reasons = {spell.reason for spell in spells(known) if spell.covers(at)}
    since = verified_since(known)
    if since is None or at < since:
        return Colour.NONE, reasons
    return (Colour.RED if reasons else Colour.GREEN), reasons


def verified_since(events: Iterable[StatusEvent]) -> datetime | None:
    """Return the earliest verification that stands."""
    found = [placed.event.data.verified_at for placed in of(facts(events), IdentityVerified)]
    return min(found, default=None)


def spells(events: Iterable[StatusEvent]) -> list[Spell]:
    """Return all intervals of all reasons, without empty ones."""
    standing = facts(events)
    found = [
        *spells_of_cases(standing),
        *spells_of_positives(standing),
        *spells_of_suspicions(standing),
        *spells_of_contacts(standing),
        *spells_of_provinces(standing),
        *spells_of_quarantine(standing),
    ]
    return sorted((spell for spell in found if not is_empty(spell)), key=in_order)


def effective(events: Iterable[StatusEvent]) -> list[StatusEvent]:
    """Return the events that stand and say something. A retraction says nothing."""
    return [placed.event for placed in facts(events)]


def in_order(spell: Spell) -> tuple[Reason, datetime, bool, datetime]:
    """Spells are in order of reason, start and end. No end comes last."""
    return spell.reason, spell.start, spell.end is None, spell.end or spell.start


def is_empty(spell: Spell) -> bool:
    """A reason whose end lies at or before its start never was (j)."""
    return spell.end is not None and spell.end <= spell.start


def first_of(*instants: datetime | None) -> datetime | None:
    """Return the earliest of what ends a reason. None stands for an end that does not come."""
    return min((instant for instant in instants if instant is not None), default=None)


def earliest(instants: Iterable[datetime], holds: Callable[[datetime], bool]) -> datetime | None:
    """Return the earliest of `instants` at which `holds` is true."""
    return next((instant for instant in sorted(instants) if holds(instant)), None)


# (o) Policies


def judging(start: datetime) -> list[Policy]:
    """A reason is judged by the policy in force at its start, and by each that comes later (o)."""
    in_force = policy_at(start)
    return [
        in_force,
        *(one for one in policy.POLICIES if start < one.valid_from and one is not in_force),
    ]


def mildest(start: datetime, end_by: Callable[[Policy], datetime | None]) -> datetime | None:
    """The earliest end wins. By a later policy nothing ends before that is in force (o)."""
    in_force, *later = judging(start)
    ends = [end_by(in_force)]
    for one in later:
        end = end_by(one)
        ends.append(end and max(end, one.valid_from))
    return first_of(*ends)


# (f, g) Corrections

FAMILY: dict[type[Envelope], str] = {
    IdentityVerified: "identity",
    IdentityRetracted: "identity",
    NatResultReported: "nat-result",
    NatResultReportedV2: "nat-result",
    NatResultRetracted: "nat-result",
    CaseSuspected: "case",
    CaseConfirmed: "case",
    CaseExcluded: "case",
    CaseDischarged: "case",
    CaseRetracted: "case",
    ContactListed: "contact",
    ContactWithdrawn: "contact",
    ContactRetracted: "contact",
    QuarantineOrdered: "quarantine",
    QuarantineTransferred: "quarantine",
    QuarantineReleased: "quarantine",
    QuarantineRetracted: "quarantine",
    ProvincialCodeReported: "provincial-code",
    ProvincialCodeRetracted: "provincial-code",
}

RETRACTED = (
    IdentityRetracted,
    NatResultRetracted,
    CaseRetracted,
    ContactRetracted,
    QuarantineRetracted,
    ProvincialCodeRetracted,
)

Key: TypeAlias = tuple[str, str]
"""Source and id, which identify an event."""


def key(event: StatusEvent) -> Key:
    """Return what identifies `event`."""
    return event.source, event.id


def corrects(event: StatusEvent, target: StatusEvent) -> bool:
    """A correction names an earlier event of the same source and of the same family (g)."""
    return (
        event.supersedes == target.id
        and event.source == target.source
        and target.order < event.order
        and FAMILY[type(event)] == FAMILY[type(target)]
    )


def is_statement(event: StatusEvent) -> bool:
    """Whatever is no retraction says something of its own."""
    return not isinstance(event, RETRACTED)


def is_void(event: StatusEvent, events: Sequence[StatusEvent]) -> bool:
    """An event is void if a retraction of it is in force (g)."""
    return any(corrects(other, event) and is_in_force(other, events) for other in events)


def is_in_force(event: StatusEvent, events: Sequence[StatusEvent]) -> bool:
    """A retraction is in force unless it is void, or a statement that is not replaced it (g)."""
    return (
        not is_statement(event)
        and not is_void(event, events)
        and not any(
            corrects(other, event) and is_statement(other) and not is_void(other, events)
            for other in events
        )
    )


def first_of_chain(event: StatusEvent, events: Sequence[StatusEvent]) -> Key:
    """Follow what an event corrects to the first of its chain (g).

    Corrections that name one event, which has not arrived, are of the chain of that event.
    """
    if event.supersedes is None:
        return key(event)
    named = (event.source, event.supersedes)
    target = next((other for other in events if key(other) == named), None)
    if target is None:
        return event.source, f"{event.supersedes} {FAMILY[type(event)]}"
    return first_of_chain(target, events) if corrects(event, target) else key(event)


def facts(events: Iterable[StatusEvent]) -> Facts:
    """Return what stands, each in the place of the first event of its chain (g).

    Of all that a chain says, the last stands: what was corrected is replaced for good, and of
    several corrections the last counts. Void statements were never made.
    """
    known = list(events)
    chains: dict[Key, list[StatusEvent]] = {}
    for event in known:
        chains.setdefault(first_of_chain(event, known), []).append(event)
    words = []
    for chain in chains.values():
        said = [event for event in chain if is_statement(event) and not is_void(event, known)]
        if said:
            place = min(event.order for event in chain)
            words.append(Placed(place, max(said, key=lambda event: event.order)))
    return sorted(words, key=lambda word: word.place)


# (f) Files and places


def is_a(event: Envelope, cls: type[EventT]) -> TypeGuard[EventT]:
    """Say whether `event` is of the type `cls`."""
    return isinstance(event, cls)


def of(those: Facts, cls: type[EventT]) -> list[Placed[EventT]]:
    """Return the events of one type, in order of place."""
    return [Placed(placed.place, placed.event) for placed in those if is_a(placed.event, cls)]


def files(standing: Facts, number: Callable[[StatusEvent], str | None]) -> list[Facts]:
    """Return the files: the events of one source with one number, in order of place (f)."""
    names = {
        (placed.event.source, found)
        for placed in standing
        if (found := number(placed.event)) is not None
    }
    return [
        [placed for placed in standing if (placed.event.source, number(placed.event)) == name]
        for name in sorted(names)
    ]


def case_number(event: StatusEvent) -> str | None:
    """Return the number of the case that `event` is about."""
    if isinstance(event, (CaseSuspected, CaseConfirmed, CaseExcluded, CaseDischarged)):
        return event.data.case
    return None


def listing_number(event: StatusEvent) -> str | None:
    """Return the number of the listing that `event` is about."""
    if isinstance(event, (ContactListed, ContactWithdrawn)):
        return event.data.listing
    return None


def order_number(event: StatusEvent) -> str | None:
    """Return the number of the order that `event` is about."""
    if isinstance(event, (QuarantineOrdered, QuarantineTransferred, QuarantineReleased)):
        return event.data.order
    return None


def province_of(event: StatusEvent) -> str | None:
    """Return the other province that `event` is about."""
    if isinstance(event, ProvincialCodeReported):
        return event.data.province
    return None


def before(those: Sequence[Placed[EventT]], place: Place) -> list[Placed[EventT]]:
    """Return those that are read before `place`."""
    return [placed for placed in those if placed.place < place]


def after(those: Sequence[Placed[EventT]], place: Place) -> list[Placed[EventT]]:
    """Return those that are read after `place`."""
    return [placed for placed in those if place < placed.place]


def any_between(places: Iterable[Place], start: Place, end: Place) -> bool:
    """Say whether one of `places` lies between the other two."""
    return any(start < place < end for place in places)


# (j) Times that cannot be


def is_impossible(closing: datetime, opening: datetime, place: Place) -> bool:
    """A closing is impossible if it lies before the opening's instant and before its `time` (j).

    The time is that of the first event of the opening's chain, in whose place it stands.
    """
    return closing < min(opening, place[1])


def closing_of(
    opening: Placed[Any],
    closings: Sequence[Placed[Any]],
    instant: Callable[[Any], datetime],
) -> Placed[Any] | None:
    """What opened is closed by the first closing after it that is possible for it (h, j)."""
    return next(
        (
            closing
            for closing in after(closings, opening.place)
            if isinstance(closing.event, CaseConfirmed)
            or not is_impossible(instant(closing.event), instant(opening.event), opening.place)
        ),
        None,
    )


# (a, e, j, k) Results of tests


class Positive(NamedTuple):
    """A final positive result, sampled when it counts as sampled."""

    sampled_at: datetime
    reported_at: datetime


class Swab(NamedTuple):
    """One swab counts once: results of one source with the same sampling are one (e).

    So are those of one source with the same specimen number: each has the sampling of the first.
    """

    source: str
    sampled_at: datetime


def is_late(event: NatResultReported) -> bool:
    """A result is late if it was reported too long after its sampling (j)."""
    longest = policy_at(event.data.reported_at).sampled_to_reported_max
    return event.data.reported_at - event.data.sampled_at > longest


def finals(standing: Facts, result: Result) -> list[NatResultReported]:
    """Only final results count (a)."""
    return [
        placed.event
        for placed in of(standing, NatResultReported)
        if placed.event.data.status is ResultStatus.FINAL and placed.event.data.result is result
    ]


def is_pooled(event: NatResultReported) -> bool:
    """A tube is of a pool if the report says how many people share it."""
    return isinstance(event, NatResultReportedV2) and event.data.pooled is not None


def specimen_of(event: NatResultReported) -> str | None:
    """Only reports of version 2 have a specimen number."""
    return event.data.specimen if isinstance(event, NatResultReportedV2) else None


def taken_alone(event: NatResultReported) -> datetime:
    """When a report by itself says that its swab was taken. A late positive: at its report (j)."""
    return event.data.reported_at if is_late(event) else event.data.sampled_at


def counting(standing: Facts) -> list[NatResultReported]:
    """Return the results that count, in order of report.

    A positive of a pool counts for nothing, and a late negative neither (j).
    """
    found = [
        *(event for event in finals(standing, Result.POSITIVE) if not is_pooled(event)),
        *(event for event in finals(standing, Result.NEGATIVE) if not is_late(event)),
    ]
    return sorted(found, key=lambda event: (event.data.reported_at, event.source, event.id))


def first_taken(standing: Facts, event: NatResultReported) -> datetime:
    """A swab was taken when the first report of its specimen number says.

    Choice: a report is of another swab, with the number used again, if it dates its swab further
    from that than a report may be from its swab. What follows is compared with that one.
    """
    if specimen_of(event) is None:
        return taken_alone(event)
    first: datetime | None = None
    for report in counting(standing):
        if report.source == event.source and specimen_of(report) == specimen_of(event):
            longest = policy_at(report.data.reported_at).sampled_to_reported_max
            taken = taken_alone(report)
            if first is None or not first - longest <= taken <= first + longest:
                first = taken
            if report.id == event.id:
                return first
    raise AssertionError(event)


def positives(standing: Facts) -> list[Positive]:
    """Return the positives. A late one counts as if sampled at its report (j).

    Choice: a positive that dates its swab later than the first report of it is believed. So no
    negative of a swab comes after a positive of the same swab.
    """
    return [
        Positive(max(taken_alone(event), first_taken(standing, event)), event.data.reported_at)
        for event in counting(standing)
        if event.data.result is Result.POSITIVE
    ]


def negatives(standing: Facts, at: datetime) -> set[Swab]:
    """Return the negative swabs reported by `at` (k). A late one counts for nothing (j)."""
    return {
        Swab(event.source, first_taken(standing, event))
        for event in counting(standing)
        if event.data.result is Result.NEGATIVE and event.data.reported_at <= at
    }


def reports_of_tests(standing: Facts) -> list[datetime]:
    """Return the instants at which what is known of tests may change."""
    return [placed.event.data.reported_at for placed in of(standing, NatResultReported)]


# 1 CONFIRMED_OR_POSITIVE: cases (h)


class Illness(NamedTuple):
    """A case from its confirmation to its discharge, and the end of its reason."""

    confirmed_at: datetime
    discharged_at: datetime | None
    end: datetime | None


def instant_of_case(event: StatusEvent) -> datetime:
    """Return the instant that a report of a case names."""
    match event:
        case CaseSuspected(data=suspected):
            return suspected.reported_at
        case CaseConfirmed(data=confirmed):
            return confirmed.confirmed_at
        case CaseExcluded(data=excluded):
            return excluded.excluded_at
        case CaseDischarged(data=discharged):
            return discharged.discharged_at
    raise AssertionError(event)


def discharge_of(case: Facts, confirmation: Placed[CaseConfirmed]) -> Placed[Any] | None:
    """A confirmation is ended by its first possible discharge. A second has no effect (h, j)."""
    return closing_of(confirmation, of(case, CaseDischarged), instant_of_case)


def is_confirmed(case: Facts, place: Place) -> bool:
    """A case is confirmed at a place if a confirmation before it is not discharged there (h)."""
    return any(
        (discharge := discharge_of(case, confirmation)) is None or place < discharge.place
        for confirmation in before(of(case, CaseConfirmed), place)
    )


def illnesses_of(case: Facts) -> list[Illness]:
    """A case opens at its confirmation, and again at the next one (h)."""
    found: list[Illness] = []
    for confirmation in of(case, CaseConfirmed):
        confirmed_at = confirmation.event.data.confirmed_at
        discharge = discharge_of(case, confirmation)
        discharged_at = discharge.event.data.discharged_at if discharge else None
        end = mildest(confirmed_at, partial(end_of_illness, discharged_at))
        found.append(Illness(confirmed_at, discharged_at, end))
    return found


def end_of_illness(discharged_at: datetime | None, by: Policy) -> datetime | None:
    """A case is over `after_discharge` after its discharge."""
    return discharged_at and discharged_at + by.after_discharge


def illnesses(standing: Facts) -> list[Illness]:
    """Return the illnesses of all cases. One that ends before it begins never was (j)."""
    return [
        illness
        for case in files(standing, case_number)
        for illness in illnesses_of(case)
        if illness.end is None or illness.confirmed_at < illness.end
    ]


def spells_of_cases(standing: Facts) -> list[Spell]:
    """A confirmed case is red until `after_discharge` after its discharge, and only so."""
    return [
        Spell(Reason.CONFIRMED_OR_POSITIVE, illness.confirmed_at, illness.end)
        for illness in illnesses(standing)
    ]


# 1 CONFIRMED_OR_POSITIVE: positives (b, e, k)


def newest_positive(standing: Facts, at: datetime) -> datetime | None:
    """Return the last sampling of a positive that was reported by `at` (k)."""
    known = [p.sampled_at for p in positives(standing) if p.reported_at <= at]
    return max(known, default=None)


def has_pair(standing: Facts, apart: timedelta, at: datetime) -> bool:
    """There are two negatives, sampled after the newest positive and at least `apart` apart.

    As both come after the newest positive, no positive lies between. A negative of the very
    instant of a positive is not after it (e).
    """
    newest = newest_positive(standing, at)
    samples = [
        swab.sampled_at
        for swab in negatives(standing, at)
        if newest is None or newest < swab.sampled_at
    ]
    return any(abs(one - other) >= apart for one, other in combinations(samples, 2))


def lift_by_tests(standing: Facts, positive: Positive, by: Policy) -> datetime | None:
    """A positive could lift at the first instant since its report at which there is a pair (b).

    What is reported later does not undo it (k).
    """
    return earliest(
        (at for at in reports_of_tests(standing) if positive.reported_at <= at),
        lambda at: has_pair(standing, by.negatives_apart, at),
    )


def belongs(positive: Positive, lift: datetime | None, illness: Illness) -> bool:
    """A positive belongs to a case that was confirmed before it could lift by tests (b).

    It belongs to no case that was discharged at or before its sampling (b, n).
    """
    in_time = lift is None or illness.confirmed_at < lift
    discharged = illness.discharged_at
    return in_time and (discharged is None or positive.sampled_at < discharged)


def last_end(own: Sequence[Illness]) -> datetime | None:
    """Of several cases, the one that ends last counts (b)."""
    ends = [illness.end for illness in own if illness.end is not None]
    return max(ends) if len(ends) == len(own) else None


def end_of_positive(standing: Facts, positive: Positive, by: Policy) -> datetime | None:
    """A positive ends with its case. If it has none, it ends by tests (b).

    Choice: a case's end is that of the case's own reason, under the policy of the case.
    """
    lift = lift_by_tests(standing, positive, by)
    own = [illness for illness in illnesses(standing) if belongs(positive, lift, illness)]
    return last_end(own) if own else lift


def spells_of_positives(standing: Facts) -> list[Spell]:
    """A positive is red from its report."""
    return [
        Spell(
            Reason.CONFIRMED_OR_POSITIVE,
            positive.reported_at,
            mildest(positive.reported_at, partial(end_of_positive, standing, positive)),
        )
        for positive in positives(standing)
    ]


# 2 SUSPECTED_CASE (h)


def suspicions(case: Facts) -> list[Placed[CaseSuspected]]:
    """A suspicion opens, unless its case is confirmed (h)."""
    return [
        suspicion
        for suspicion in of(case, CaseSuspected)
        if not is_confirmed(case, suspicion.place)
    ]


def end_of_suspicion(case: Facts, suspicion: Placed[CaseSuspected]) -> datetime | None:
    """A suspicion lifts by the first possible exclusion or confirmation of its case after it."""
    closings: list[Placed[Any]] = [*of(case, CaseExcluded), *of(case, CaseConfirmed)]
    closings.sort(key=lambda closing: closing.place)
    closing = closing_of(suspicion, closings, instant_of_case)
    return instant_of_case(closing.event) if closing else None


def spells_of_suspicions(standing: Facts) -> list[Spell]:
    """A suspected case is red from its report to its exclusion or confirmation."""
    return [
        Spell(
            Reason.SUSPECTED_CASE,
            suspicion.event.data.reported_at,
            end_of_suspicion(case, suspicion),
        )
        for case in files(standing, case_number)
        for suspicion in suspicions(case)
    ]


# 3 CLOSE_CONTACT (c, d, m)


def tests_met(standing: Facts, days: Sequence[datetime], apart: timedelta, at: datetime) -> bool:
    """There are negatives reported by `at`, one for each day, sampled on that day or later (c).

    Those that meet different days are far enough apart. If they can be given to the days at all,
    they can be given in order of sampling.
    """
    samples = sorted(swab.sampled_at for swab in negatives(standing, at))
    return any(
        all(day <= sample for day, sample in zip(days, chosen, strict=True))
        and all(two - one >= apart for one, two in pairwise(chosen))
        for chosen in combinations(samples, len(days))
    )


def contact_is_over(standing: Facts, listed: ContactListed, by: Policy) -> datetime | None:
    """A contact lifts at the first instant when the time is over and the tests are met (c)."""
    exposure = listed.data.last_exposure_at
    over = exposure + by.after_exposure
    days = [day_start(exposure, day) for day in sorted(by.contact_test_days)]
    return earliest(
        (over, *(at for at in reports_of_tests(standing) if over < at)),
        lambda at: tests_met(standing, days, by.contact_tests_apart, at),
    )


def instant_of_contact(event: StatusEvent) -> datetime:
    """Return the instant that a report of a listing names."""
    match event:
        case ContactListed(data=listed):
            return listed.listed_at
        case ContactWithdrawn(data=withdrawn):
            return withdrawn.withdrawn_at
    raise AssertionError(event)


def withdrawn_at(listing: Facts, listed: Placed[ContactListed]) -> datetime | None:
    """A withdrawal ends every listing event of its number that comes before it (d)."""
    withdrawal = closing_of(listed, of(listing, ContactWithdrawn), instant_of_contact)
    return withdrawal.event.data.withdrawn_at if withdrawal else None


def recovered_at(standing: Facts, listed: ContactListed) -> datetime | None:
    """A contact who becomes a case after the exposure is over with that case (m)."""
    return first_of(
        *(
            illness.end
            for illness in illnesses(standing)
            if listed.data.last_exposure_at < illness.confirmed_at
        )
    )


def spells_of_contacts(standing: Facts) -> list[Spell]:
    """A contact is red from each listing to the first of what ends it (d)."""
    return [
        Spell(
            Reason.CLOSE_CONTACT,
            listed.event.data.listed_at,
            first_of(
                mildest(
                    listed.event.data.listed_at, partial(contact_is_over, standing, listed.event)
                ),
                withdrawn_at(listing, listed),
                recovered_at(standing, listed.event),
            ),
        )
        for listing in files(standing, listing_number)
        for listed in of(listing, ContactListed)
    ]


# 4 OUT_OF_PROVINCE_CODE (k, l)

Report: TypeAlias = Placed[ProvincialCodeReported]


def is_green(report: Report) -> bool:
    """Red and yellow open the reason. Green lifts it."""
    return report.event.data.colour is ProvincialColour.GREEN


def begins_new_count(report: Report, other: Report) -> bool:
    """A lower sequence whose report and time are both later begins a new count (l).

    A correction has the sequence and the time of the place in which it stands (g).
    """
    sequence, time, _ = report.place
    other_sequence, other_time, _ = other.place
    disorder = policy_at(report.event.data.reported_at).provincial_disorder_max
    return (
        sequence < other_sequence
        and report.event.data.reported_at > other.event.data.reported_at + disorder
        and time > other_time + disorder
    )


def is_read_after(report: Report, other: Report) -> bool:
    """A report is read after those of a lower place, unless a new count begins between (l), or its
    date is impossible: it lies before the other's by more than the disorder (j)."""
    disorder = policy_at(report.event.data.reported_at).provincial_disorder_max
    reported_at = report.event.data.reported_at
    if is_impossible(reported_at + disorder, other.event.data.reported_at, other.place):
        return False
    if begins_new_count(report, other):
        return True
    return other.place < report.place and not begins_new_count(other, report)


def is_lifted(report: Report, known: Sequence[Report]) -> bool:
    """A red or yellow is lifted by a green that is read after it."""
    return any(is_green(other) and is_read_after(other, report) for other in known)


def province_is_red(province: Sequence[Report], at: datetime) -> bool:
    """Among what is reported by `at`, a red or yellow is not lifted (k, l)."""
    known = [report for report in province if report.event.data.reported_at <= at]
    return any(not is_green(report) and not is_lifted(report, known) for report in known)


def spells_of_province(province: Sequence[Report]) -> list[Spell]:
    """One province is red in one interval at a time.

    It can change only when something is reported.
    """
    instants = sorted({report.event.data.reported_at for report in province})
    starts = [
        at
        for index, at in enumerate(instants)
        if province_is_red(province, at)
        and not any(province_is_red(province, just) for just in instants[:index][-1:])
    ]
    return [
        Spell(
            Reason.OUT_OF_PROVINCE_CODE,
            start,
            earliest(
                (at for at in instants if start < at),
                lambda at: not province_is_red(province, at),
            ),
        )
        for start in starts
    ]


def spells_of_provinces(standing: Facts) -> list[Spell]:
    """Each province, of each source, is read by itself."""
    return [
        spell
        for province in files(standing, province_of)
        for spell in spells_of_province(of(province, ProvincialCodeReported))
    ]


# 5 CENTRALISED_QUARANTINE, 6 HOME_QUARANTINE (i, n)


class Step(NamedTuple):
    """A part of an order: one kind of quarantine from one instant on."""

    place: Place
    kind: QuarantineKind
    starts_at: datetime
    planned_end_at: datetime


REASONS = {
    QuarantineKind.CENTRALISED: Reason.CENTRALISED_QUARANTINE,
    QuarantineKind.HOME: Reason.HOME_QUARANTINE,
}


def instant_of_order(event: StatusEvent) -> datetime:
    """Return the instant that a report of an order names."""
    match event:
        case QuarantineOrdered(data=ordered):
            return ordered.starts_at
        case QuarantineTransferred(data=transferred):
            return transferred.transferred_at
        case QuarantineReleased(data=released):
            return released.released_at
    raise AssertionError(event)


def release_of(order: Facts, step: Placed[Any]) -> Placed[Any] | None:
    """A step is ended by the first possible release after it, whatever steps there are (i, j)."""
    return closing_of(step, of(order, QuarantineReleased), instant_of_order)


def is_over(order: Facts, step: Placed[Any], place: Place) -> bool:
    """A step is over at a place if it is released before it."""
    release = release_of(order, step)
    return release is not None and release.place < place


def reports_of_steps(order: Facts) -> list[Placed[Any]]:
    """The steps of an order are its orders, and the transfers that go on with one (i)."""
    found: list[Placed[Any]] = []
    for placed in order:
        goes_on = any(not is_over(order, step, placed.place) for step in found)
        is_transfer = isinstance(placed.event, QuarantineTransferred)
        if isinstance(placed.event, QuarantineOrdered) or (is_transfer and goes_on):
            found.append(placed)
    return found


def steps(order: Facts) -> list[Step]:
    """Return the steps of an order, in order of place."""
    return [
        Step(
            placed.place,
            placed.event.data.kind,
            instant_of_order(placed.event),
            placed.event.data.planned_end_at,
        )
        for placed in reports_of_steps(order)
    ]


def released_at(order: Facts, step: Step) -> datetime | None:
    """A release ends all steps that come before it in place (i)."""
    report = next(r for r in reports_of_steps(order) if r.place == step.place)
    release = release_of(order, report)
    return release.event.data.released_at if release else None


def continued_at(order: Facts, step: Step) -> datetime | None:
    """A step ends where a later step of the same order begins (i, n).

    Of several later steps the earliest ends it. A step of an impossible date ends none (j).
    """
    report = next(r for r in reports_of_steps(order) if r.place == step.place)
    return first_of(
        *(
            later.starts_at
            for later in steps(order)
            if step.place < later.place
            and not is_over(order, report, later.place)
            and not is_impossible(later.starts_at, step.starts_at, step.place)
        )
    )


def planned_end(step: Step, by: Policy) -> datetime | None:
    """The planned end lifts only the kinds that policy names (i)."""
    return step.planned_end_at if step.kind in by.planned_end_lifts else None


def spells_of_quarantine(standing: Facts) -> list[Spell]:
    """A step is red from its start to the first of what ends it."""
    return [
        Spell(
            REASONS[step.kind],
            step.starts_at,
            first_of(
                released_at(order, step),
                continued_at(order, step),
                mildest(step.starts_at, partial(planned_end, step)),
            ),
        )
        for order in files(standing, order_number)
        for step in steps(order)
    ]
