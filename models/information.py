"""What a resident is shown of their health information (我的粤康码信息; manual, 三（二）).

The sections are the manual's, in its order. Their content comes from two places. Results of nucleic
acid tests and release notices come from the person's row, since they bear on the code; all else
comes from the lists (models.lists). Nothing here depends on anything but those and the instant.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Raw, Struct

from models.codes import EventRef, ref
from models.corrections import standing
from models.events import (
    DeclarationData,
    Instant,
    ListName,
    NationalStatus,
    NationalStatusData,
    NatResultDataV2,
    NatResultReported,
    QuarantineKind,
    QuarantineOrdered,
    QuarantineReleased,
    QuarantineTransferred,
    Result,
    ResultStatus,
    counts_from,
)
from models.lists import Entry, Listing, shown
from models.person import Person, given_up
from models.policy import day_start, policy_at
from models.results import single_test_due


class Section(StrEnum):
    """The parts of a person's health information."""

    NAT_RESULTS = "nat-results"  # 核酸检测
    IGG_RESULTS = "igg-results"  # 血清特异性 IgG 抗体检测记录
    CERTIFICATES = "certificates"  # 持有健康证明情况
    RELEASE_NOTICES = "release-notices"  # 解除医学观察电子告知书
    ENTRY_REGISTRATIONS = "entry-registrations"  # 入粤登记历史记录
    BORDER_ENTRIES = "border-entries"  # 入境情况记录
    DECLARATIONS = "declarations"  # 健康申报记录
    DISPLAYS = "displays"  # 亮码记录
    TEMPERATURES = "temperatures"  # 体温检测记录


LISTED: dict[Section, ListName] = {
    section: ListName(section.value)
    for section in Section
    if section.value in {name.value for name in ListName}
}
"""The sections that are a list."""


class Item(Struct, frozen=True, omit_defaults=True):
    """One line of a section: when, from whom, and the event's data as it was sent.

    `newest` marks the one that holds now, where a section has one.
    """

    at: Instant
    source: str
    id: str
    data: Raw
    newest: bool = False


class Items(Struct, frozen=True):
    """A section's lines, newest first. `more`: older ones were dropped because there were too many;
    of results: they may have been."""

    items: tuple[Item, ...] = ()
    more: bool = False


NEGATIVE_SHOWN_FOR = timedelta(hours=48)
"""How long a negative is shown as recent (own decision, after the notices of 2022 by which doors
asked for 核酸检测阴性证明 of 48 hours). It is counted from the swab, which is the stricter
reading. No policy, since it bears on no code."""

_NEWEST_MARKED = frozenset({Section.NAT_RESULTS, Section.IGG_RESULTS})

_encode = msgspec.json.Encoder().encode


def nat_results(row: Person, at: datetime) -> Items:
    """Return the results sampled since policy's cut-off (manual, 四.7), by their sampling."""
    since = policy_at(at).nat_results_from
    found = [
        (event.data.sampled_at, event)
        for event in standing(row.events)
        if isinstance(event, NatResultReported) and event.data.sampled_at >= since
    ]
    return _items(found, Section.NAT_RESULTS, more=given_up(row))


def waits_for_single_test(newest_first: Iterable[Item]) -> bool:
    """Say whether a pool of someone's was positive and no test of theirs alone was sampled since.

    It takes a final result to end that, positive or negative.
    """
    for item in newest_first:
        data = msgspec.json.decode(item.data, type=NatResultDataV2)
        if single_test_due(data):
            return True
        decided = data.status is ResultStatus.FINAL and data.result is not Result.INCONCLUSIVE
        if decided and data.pooled is None:
            return False
    return False


def recent_negative(newest_first: Iterable[Item], at: datetime) -> Item | None:
    """Return the newest result if it is a final negative sampled within `NEGATIVE_SHOWN_FOR`.

    None also if anything newer is final and not negative: nobody shows a negative beside that. A
    result that is not final yet, or undecided, leaves the one before it.
    """
    for item in newest_first:
        data = msgspec.json.decode(item.data, type=NatResultDataV2)
        if data.status is not ResultStatus.FINAL or data.result is Result.INCONCLUSIVE:
            continue
        recent = data.sampled_at <= at < data.sampled_at + NEGATIVE_SHOWN_FOR
        return item if data.result is Result.NEGATIVE and recent else None
    return None


def release_notices(row: Person) -> Items:
    """Return the release notices (解除医学观察电子告知书)."""
    found = [
        (event.data.released_at, event)
        for event in standing(row.events)
        if isinstance(event, QuarantineReleased)
    ]
    return _items(found, Section.RELEASE_NOTICES, more=given_up(row))


class ReleaseNotice(Struct, frozen=True):
    """A release notice that stands, with what it releases from; `started_at` and `kind` are None if
    its order is not known."""

    event: EventRef
    order: str
    notice: str
    kind: QuarantineKind | None
    started_at: Instant | None
    released_at: Instant


def standing_notices(row: Person) -> list[ReleaseNotice]:
    """Return the release notices that nobody has taken back, each with its order."""
    events = standing(row.events)
    found = []
    for event in events:
        if not isinstance(event, QuarantineReleased):
            continue
        steps = [
            step
            for step in events
            if isinstance(step, QuarantineOrdered | QuarantineTransferred)
            and (step.source, step.data.order) == (event.source, event.data.order)
            and counts_from(step) <= event.data.released_at
        ]
        steps.sort(key=counts_from)
        found.append(
            ReleaseNotice(
                event=ref(event),
                order=event.data.order,
                notice=event.data.notice,
                kind=steps[-1].data.kind if steps else None,
                started_at=counts_from(steps[0]) if steps else None,
                released_at=event.data.released_at,
            )
        )
    return found


def standing_negative(row: Person, event: EventRef) -> NatResultDataV2 | None:
    """Return the final negative that `event` reported; None if that is taken back, or is another
    now."""
    for found in standing(row.events):
        if ref(found) == event and isinstance(found, NatResultReported):
            data = msgspec.convert(msgspec.to_builtins(found.data), NatResultDataV2)
            final = data.status is ResultStatus.FINAL and data.result is Result.NEGATIVE
            return data if final else None
    return None


def listed(listing: Listing, section: Section, at: datetime) -> Items:
    """Return what is to be shown at `at` of a section that is a list.

    Displays are those of today and of the days before that policy shows (manual, 四.2: 近三天).
    """
    entries = shown(listing, LISTED[section], at)
    if section is Section.DECLARATIONS:
        return Items(tuple(_declared(entries)), listing.more)
    if section is Section.DISPLAYS:
        first = day_start(at, 1 - policy_at(at).display_days)
        entries = [entry for entry in entries if entry.at >= first]
    marked = section in _NEWEST_MARKED
    return Items(
        tuple(
            Item(entry.at, entry.source, entry.id, entry.data, marked and number == 0)
            for number, entry in enumerate(entries)
        ),
        listing.more,
    )


def _declared(entries: Iterable[Entry]) -> Iterator[Item]:
    """Mark the newest declaration of each kind to each unit: a school's does not replace an
    employer's."""
    known = set()
    for entry in entries:
        data = msgspec.json.decode(entry.data, type=DeclarationData)
        of = data.kind, data.unit
        yield Item(entry.at, entry.source, entry.id, entry.data, of not in known)
        known.add(of)


def national_status(listing: Listing, at: datetime) -> NationalStatusData | None:
    """Return the newest "health status" (健康状态) that the national platform reported."""
    entries = shown(listing, ListName.NATIONAL_STATUSES, at)
    if not entries:
        return None
    return msgspec.json.decode(entries[0].data, type=NationalStatusData)


def waits_for_push(green: bool, status: NationalStatusData | None) -> bool:
    """Say whether a green code has a high national status. That is not abnormal: it waits for our
    data to be pushed to the national platform (manual, 四.6)."""
    return green and status is not None and status.status is NationalStatus.HIGH


def adult_from(birthday: date, at: datetime) -> date:
    """Return the first day on which someone is an adult, by the policy in force at `at`.

    Someone born on 29 February is an adult from 1 March, if the year has no such day.
    """
    year = birthday.year + policy_at(at).adult_years
    try:
        return birthday.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def _items(
    found: Iterable[tuple[datetime, NatResultReported | QuarantineReleased]],
    section: Section,
    more: bool = False,
) -> Items:
    newest_first = sorted(found, key=lambda f: (f[0], f[1].order), reverse=True)
    marked = section in _NEWEST_MARKED
    return Items(
        tuple(
            Item(at, event.source, event.id, Raw(_encode(event.data)), marked and number == 0)
            for number, (at, event) in enumerate(newest_first)
        ),
        more,
    )
