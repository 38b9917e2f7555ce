"""What results of nucleic acid tests come to: the pair that lifts a positive, a contact's tests."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from models.events import NatResultData, NatResultReported, Result, ResultStatus
from models.policy import policy_at


class Swab(NamedTuple):
    """A final result, by when its swab counts as taken and when it was reported."""

    sampled_at: datetime
    reported_at: datetime
    source: str
    id: str
    result: NatResultReported


class Counted(NamedTuple):
    """The positives and the negatives that count, in order of report, and the final results whose
    swab is too old for their report."""

    positives: list[Swab]
    negatives: list[Swab]
    too_old: list[NatResultReported]


def opens(data: NatResultData) -> bool:
    """Say whether a result is a final positive of one person."""
    return _is_final_positive(data) and data.pooled is None


def single_test_due(data: NatResultData) -> bool:
    """Say whether a result is a final positive of a pool (混检). It says of nobody in particular
    that they are infected: each of them is tested alone (单人单管复核)."""
    return _is_final_positive(data) and data.pooled is not None


def _is_final_positive(data: NatResultData) -> bool:
    return data.result is Result.POSITIVE and data.status is ResultStatus.FINAL


def is_final(result: NatResultReported) -> bool:
    """Say whether a result is final: no other changes anything."""
    return result.data.status is ResultStatus.FINAL


def swab_too_old(result: NatResultReported) -> bool:
    """Say whether a result was reported too long after its swab: one of its dates is wrong."""
    taken = result.data.reported_at - result.data.sampled_at
    return taken > policy_at(result.data.reported_at).sampled_to_reported_max


def counted(results: Iterable[NatResultReported]) -> Counted:
    """Say which results count.

    Only a final result counts. One that was reported too long after its swab
    (`sampled_to_reported_max`) has a wrong date: a negative counts for nothing, a positive as if it
    was sampled when it was reported. One negative swab counts once, as first reported, however
    often its laboratory reports it (own decision). A positive of a pool counts for nothing, a
    negative of a pool as any other.

    A swab is known by its laboratory and specimen number, or by when it was sampled. Of one
    specimen, the first report says when; a positive that says later is believed, so that no
    negative of its own swab comes after it.
    """
    positives: list[Swab] = []
    negatives: dict[tuple[str, datetime], Swab] = {}
    taken: dict[tuple[str, str], datetime] = {}
    too_old: list[NatResultReported] = []
    for result in sorted(results, key=lambda r: (r.data.reported_at, r.source, r.id)):
        data = result.data
        if data.status is not ResultStatus.FINAL:
            continue
        if late := swab_too_old(result):
            too_old.append(result)
        swab = Swab(data.sampled_at, data.reported_at, result.source, result.id, result)
        if opens(data):
            swab = swab._replace(sampled_at=data.reported_at) if late else swab
            first = _first_said(swab, taken)
            positives.append(swab._replace(sampled_at=max(first, swab.sampled_at)))
        elif data.result is Result.NEGATIVE and not late:
            first = _first_said(swab, taken)
            negatives.setdefault((result.source, first), swab._replace(sampled_at=first))
    return Counted(positives, list(negatives.values()), too_old)


def _first_said(swab: Swab, taken: dict[tuple[str, str], datetime]) -> datetime:
    """Return when a swab was taken, by the first report of its specimen; `taken` has those so far.

    A laboratory that uses a number again means another swab: no two dates of one swab are further
    apart than its report may be from it.
    """
    specimen = swab.result.data.specimen
    if specimen is None:
        return swab.sampled_at
    first = taken.setdefault((swab.source, specimen), swab.sampled_at)
    if abs(swab.sampled_at - first) <= policy_at(swab.reported_at).sampled_to_reported_max:
        return first
    taken[swab.source, specimen] = swab.sampled_at
    return swab.sampled_at


class Wait(NamedTuple):
    """What a positive waits for, or what has lifted it.

    `newest` is when the newest positive was sampled, by what was reported when this was lifted, or
    by all. `first` is the first negative after it, `second` the first that is far enough from
    `first`. It is lifted at `lifted_at`, when both were reported; None if it waits.
    """

    positive: Swab
    newest: datetime
    first: Swab | None
    second: Swab | None
    lifted_at: datetime | None


def waits(positives: Sequence[Swab], negatives: Sequence[Swab], apart: timedelta) -> Iterator[Wait]:
    """Follow the reports in their order, and say what becomes of each positive, in their order too.

    A positive is lifted by two negatives that were sampled after the newest positive, at least
    `apart`, once both are reported. What is reported later changes nothing of that.
    """
    if not positives:
        return
    known: list[Swab] = []
    waiting: list[Swab] = []
    newest = positives[0].sampled_at
    reports = sorted([*positives, *negatives], key=_reported)
    for at, together in groupby(reports, key=_reported):
        for swab in together:
            if swab.result.data.result is Result.POSITIVE:
                newest = max(newest, swab.sampled_at)
                waiting.append(swab)
            else:
                insort(known, swab)
        first, second = _pair(known, newest, apart) if waiting else (None, None)
        if second is not None:
            for positive in waiting:
                yield Wait(positive, newest, first, second, at)
            waiting.clear()
    if waiting:
        first, _ = _pair(known, newest, apart)
        for positive in waiting:
            yield Wait(positive, newest, first, None, None)


def _pair(
    known: Sequence[Swab], after: datetime, apart: timedelta
) -> tuple[Swab | None, Swab | None]:
    """Return the first negative sampled after `after`, and the first that is `apart` from it.

    A negative sampled at the very instant of a positive is neither after it nor apart from it (own
    decision).
    """
    place = bisect_right(known, after, key=_sampled)
    if place == len(known):
        return None, None
    first = known[place]
    place = bisect_left(known, first.sampled_at + apart, key=_sampled)
    return first, known[place] if place < len(known) else None


def required_tests(
    days: Sequence[datetime], negatives: Sequence[Swab], apart: timedelta
) -> list[Swab]:
    """Match negatives, in order of sampling, to the days of a contact's tests.

    A test is met by a negative sampled on its day or later, one negative meets one test, and two
    that meet tests are at least `apart`. Return the negatives that meet the tests, from the first
    test on. If all can be met, judge by what was reported at the first instant at which they are.
    """
    days = [day.astimezone(UTC) for day in days]  # results are in UTC; two zones compare slowly
    met = _matched(days, negatives, apart)
    if not met or len(met) < len(days):
        return met
    reports = sorted({negative.reported_at for negative in negatives})

    def matched(until: datetime) -> list[Swab]:
        return _matched(days, [n for n in negatives if n.reported_at <= until], apart)

    # With more negatives no fewer tests are met.
    first = bisect_left(reports, True, key=lambda until: len(matched(until)) == len(days))
    return matched(reports[first])


def _matched(days: Sequence[datetime], known: Sequence[Swab], apart: timedelta) -> list[Swab]:
    """Take the earliest negative for each day in turn: whatever it leaves is at least as good."""
    met: list[Swab] = []
    for day in days:
        earliest = max(day, met[-1].sampled_at + apart) if met else day
        place = bisect_left(known, earliest, key=_sampled)
        if place == len(known):
            break
        met.append(known[place])
    return met


def _sampled(swab: Swab) -> datetime:
    return swab.sampled_at


def _reported(swab: Swab) -> datetime:
    return swab.reported_at
