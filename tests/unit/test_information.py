"""What a resident is shown of their health information, by the manual's own sentences."""

from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from models import policy
from models.events import ListName, NationalStatus, NationalStatusData
from models.history import History
from models.information import (
    LISTED,
    Items,
    Section,
    adult_from,
    listed,
    nat_results,
    national_status,
    recent_negative,
    release_notices,
    waits_for_push,
    waits_for_single_test,
)
from models.lists import EMPTY, Listing
from models.person import Person
from models.policy import ZONE
from support import builders as b
from support.rows import listing_of, row_of

NOW = b.day(20, 12)
CUT_OFF = datetime(2020, 4, 20, tzinfo=ZONE)
"""Manual, 四.7."""


def ids(items: Items) -> list[str]:
    return [item.id for item in items.items]


def newest(items: Items) -> list[str]:
    return [item.id for item in items.items if item.newest]


def row(*events: Any) -> Person:
    return row_of(b.PERSON, *((event, NOW) for event in events))


def listing(*events: Any) -> Listing:
    return listing_of(*events, at=NOW)


def test_results_are_listed_by_their_sampling_and_the_newest_is_marked() -> None:
    second, first = b.negative(b.day(18)), b.positive(b.day(3))
    found = nat_results(row(second, b.verified(), first), NOW)
    assert ids(found) == [second.id, first.id]
    assert newest(found) == [second.id]
    shown = msgspec.json.decode(found.items[0].data)
    assert {"result", "institution", "sampled_at", "reported_at"} <= shown.keys()


def test_results_sampled_before_the_cut_off_are_not_listed() -> None:
    minute = timedelta(minutes=1)
    before, on = b.negative(CUT_OFF - minute), b.negative(CUT_OFF)
    assert ids(nat_results(row(before, on), NOW)) == [on.id]


def test_a_corrected_result_takes_the_place_of_the_first() -> None:
    wrong = b.positive(b.day(3))
    right = b.negative(b.day(3), b.day(4), supersedes=wrong.id)
    assert ids(nat_results(row(wrong, right), NOW)) == [right.id]


def test_results_say_that_there_were_more_when_some_were_given_up() -> None:
    whole = row(b.negative(b.day(3)))
    assert not nat_results(whole, NOW).more
    assert nat_results(replace(whole, history=History(first=2)), NOW).more


def test_a_single_test_is_due_after_a_positive_pool_until_there_is_one() -> None:
    pool = b.nat_v2("positive", b.day(10), pooled=10)
    before = b.negative(b.day(9))
    for since, due in {
        None: True,
        b.nat_v2("negative", b.day(11), pooled=10): True,
        b.negative(b.day(11), status="preliminary"): True,
        b.nat("inconclusive", b.day(11)): True,
        b.negative(b.day(11)): False,
        b.nat_v2("positive", b.day(11), specimen="T2"): False,
    }.items():
        held = [pool, before] if since is None else [pool, before, since]
        found = nat_results(row(*held), NOW)
        assert pool.id in ids(found)
        assert waits_for_single_test(found.items) is due, since
    assert not waits_for_single_test(nat_results(row(before), NOW).items)


def test_a_negative_is_recent_for_48_hours_and_while_nothing_newer_differs() -> None:
    def recent(*events: Any, at: datetime = NOW) -> str | None:
        found = recent_negative(nat_results(row(*events), at).items, at)
        return None if found is None else found.id

    swab = NOW - timedelta(hours=47)
    negative = b.negative(swab)
    assert recent(negative) == negative.id
    assert recent(negative, at=swab + timedelta(hours=48)) is None
    assert recent(negative, at=swab + timedelta(hours=48) - timedelta(seconds=1)) == negative.id
    assert recent(negative, b.positive(swab + timedelta(hours=1))) is None
    assert recent(b.positive(swab - timedelta(hours=1)), negative) == negative.id
    assert recent(negative, b.nat("inconclusive", swab + timedelta(hours=1))) == negative.id
    later = b.nat("positive", swab + timedelta(hours=1), status="preliminary")
    assert recent(negative, later) == negative.id
    pool = b.nat_v2("positive", swab + timedelta(hours=1), pooled=10)
    assert recent(negative, pool) is None, "a single test of theirs is due"
    assert recent(b.verified()) is None


def test_release_notices_are_those_of_quarantine() -> None:
    order = b.ordered("centralised", b.day(1), b.day(15))
    notice = b.released(b.day(15))
    found = release_notices(row(order, notice))
    assert ids(found) == [notice.id]
    assert msgspec.json.decode(found.items[0].data)["notice"]


@pytest.mark.parametrize(
    ("section", "make"),
    [
        (Section.IGG_RESULTS, lambda at: b.igg("positive", at)),
        (Section.DECLARATIONS, b.declaration),
    ],
)
def test_the_newest_is_marked(section: Section, make: Any) -> None:
    old, new = make(b.day(10)), make(b.day(18))
    found = listed(listing(old, new), section, NOW)
    assert ids(found) == [new.id, old.id]
    assert newest(found) == [new.id]


def test_of_declarations_the_newest_of_each_kind_and_unit_is_marked() -> None:
    def school(days: int, unit: str) -> Any:
        event = b.declaration(NOW - timedelta(days=days), "student-or-staff")
        return replace(event, data=replace(event.data, unit=unit))

    mine = b.declaration(NOW - timedelta(days=4))
    one, other, one_before = school(2, "一中"), school(3, "二中"), school(5, "一中")
    found = listed(listing(mine, one, other, one_before), Section.DECLARATIONS, NOW)
    assert set(newest(found)) == {mine.id, one.id, other.id}


def test_displays_are_those_of_three_days_shown_and_failed() -> None:
    """Manual, 四.2: 亮码成功与否，以及近三天的亮码记录."""
    before = b.display(b.day(17, 23, 59))
    first, failed, today = b.display(b.day(18, 0)), b.display(b.day(19), "busy"), b.display(NOW)
    found = listed(listing(before, first, failed, today), Section.DISPLAYS, NOW)
    assert ids(found) == [today.id, failed.id, first.id]
    outcomes = [msgspec.json.decode(item.data)["outcome"] for item in found.items]
    assert outcomes == ["shown", "failed", "shown"]


def test_of_more_than_a_hundred_displays_the_newest_hundred_are_listed() -> None:
    displays = [b.display(b.day(19) + timedelta(minutes=n)) for n in range(101)]
    found = listed(listing(*displays), Section.DISPLAYS, NOW)
    assert ids(found) == [display.id for display in displays[:0:-1]]
    assert found.more


def test_a_list_that_was_full_says_that_there_was_more() -> None:
    events = [b.temperature(36.5, b.day(18) + timedelta(minutes=n)) for n in range(101)]
    assert not listed(listing(*events[:100]), Section.TEMPERATURES, NOW).more
    assert listed(listing(*events), Section.TEMPERATURES, NOW).more


def test_every_section_but_those_of_the_row_is_a_list() -> None:
    assert set(Section) - set(LISTED) == {Section.NAT_RESULTS, Section.RELEASE_NOTICES}
    assert set(ListName) - set(LISTED.values()) == {
        ListName.NATIONAL_STATUSES,
        ListName.TELECOM_VISITS,
    }


def test_the_newest_national_status_is_the_one_that_holds() -> None:
    assert national_status(EMPTY, NOW) is None
    found = listing(
        b.national_status("low", b.day(19)),
        b.national_status("high", b.day(18)),
    )
    assert national_status(found, NOW) == NationalStatusData(NationalStatus.LOW, b.day(19))


@pytest.mark.parametrize(
    ("born", "years", "first_day"),
    [
        (date(2004, 3, 1), 18, date(2022, 3, 1)),
        (date(2004, 2, 28), 18, date(2022, 2, 28)),
        (date(2004, 2, 29), 18, date(2022, 3, 1)),
        (date(2004, 2, 29), 20, date(2024, 2, 29)),
        (date(2004, 12, 31), 18, date(2022, 12, 31)),
        (date(2004, 12, 31), 21, date(2025, 12, 31)),
    ],
)
def test_an_adult_has_as_many_years_as_the_policy_says(
    born: date, years: int, first_day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manual, 四.2; 民法典 第十七条: 18."""
    assert policy.policy_at(NOW).adult_years == 18
    [now] = policy.POLICIES
    monkeypatch.setattr(policy, "POLICIES", (replace(now, adult_years=years),))
    assert adult_from(born, NOW) == first_day


@pytest.mark.parametrize("status", [None, *NationalStatus])
@pytest.mark.parametrize("green", [True, False])
def test_a_green_code_with_a_high_status_waits_for_the_push(
    green: bool, status: NationalStatus | None
) -> None:
    """Manual, 四.6."""
    said = None if status is None else NationalStatusData(status, b.day(19))
    assert waits_for_push(green, said) is (green and status is NationalStatus.HIGH)
