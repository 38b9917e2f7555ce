"""The travel card: which cities, in which order, how marked. Days are of March 2020 unless said."""

from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.checks import EARLIEST
from models.events import TelecomVisitData, Visit
from models.policy import HIGH_RISK, POLICIES, ZONE, HighRisk, high_risk_on
from models.travel import TravelCard, city_of, travel_card

GUANGZHOU, SHENZHEN, WUHAN, BEIJING = "440100", "440300", "420100", "110000"
REACHED, PASSED = Visit.REACHED, Visit.PASSED


def on(day: int, hour: int = 12, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2020, month, day, hour, minute, tzinfo=ZONE)


def reached(city: str, at: datetime) -> TelecomVisitData:
    return TelecomVisitData(city, REACHED, at)


def passed(city: str, at: datetime) -> TelecomVisitData:
    return TelecomVisitData(city, PASSED, at)


def divisions(card: TravelCard) -> list[str]:
    return [city.division for city in card.cities]


def test_it_goes_back_to_the_day_14_days_before() -> None:
    """As the real card: on 5 March 2020 it went back to 20 February."""
    first = on(20, 0, month=2)
    card = travel_card(
        [reached(WUHAN, first - timedelta(seconds=1)), reached(GUANGZHOU, first)], on(5, 23, 59)
    )
    assert card.since == date(2020, 2, 20)
    assert divisions(card) == [GUANGZHOU]
    assert divisions(travel_card([reached(GUANGZHOU, first)], on(6, 0))) == []


def test_days_are_of_shanghai_whatever_zone_an_instant_is_written_in() -> None:
    late = datetime(2020, 2, 19, 16, 0, tzinfo=UTC)  # 00:00 on the 20th there
    early = datetime(2020, 2, 19, 15, 59, 59, tzinfo=UTC)
    at = datetime(2020, 3, 4, 16, 0, tzinfo=UTC)  # 00:00 on the 5th
    assert divisions(travel_card([reached(GUANGZHOU, late), reached(WUHAN, early)], at)) == [
        GUANGZHOU
    ]


def test_today_counts_and_what_is_still_to_come_does_not() -> None:
    at = on(5, 12)
    assert divisions(travel_card([reached(GUANGZHOU, at)], at)) == [GUANGZHOU]
    assert divisions(travel_card([reached(GUANGZHOU, at + timedelta(seconds=1))], at)) == []


def test_each_city_once_in_the_order_of_travel() -> None:
    visits = [
        reached(GUANGZHOU, on(1)),
        passed(SHENZHEN, on(2)),
        reached(WUHAN, on(3)),
        reached(GUANGZHOU, on(4)),
    ]
    card = travel_card(reversed(visits), on(5))
    assert divisions(card) == [GUANGZHOU, SHENZHEN, WUHAN]
    assert [city.first_seen_at for city in card.cities] == [on(1), on(2), on(3)]


def test_reached_once_is_reached() -> None:
    visits = [passed(GUANGZHOU, on(1)), reached(GUANGZHOU, on(2)), passed(SHENZHEN, on(2))]
    card = travel_card(visits, on(5))
    assert [city.visit for city in card.cities] == [REACHED, PASSED]


def test_a_visit_that_is_too_old_makes_nothing_of_one_that_is_not() -> None:
    card = travel_card([reached(GUANGZHOU, on(1, month=2)), passed(GUANGZHOU, on(1))], on(5))
    [city] = card.cities
    assert (city.visit, city.first_seen_at) == (PASSED, on(1))


def test_without_visits_there_is_a_card_without_cities() -> None:
    assert travel_card([], on(5)) == TravelCard(on(5), date(2020, 2, 20), ())


@pytest.mark.parametrize(
    ("division", "city"),
    [
        ("440103", "440100"),
        ("440100", "440100"),
        ("110100", "110000"),
        ("110106", "110000"),
        ("500200", "500000"),
        ("429004", "429004"),
        ("469001", "469001"),
        ("659001", "659001"),
        ("810000", "810000"),
        ("820000", "820000"),
    ],
)
def test_a_division_lies_in_a_city(division: str, city: str) -> None:
    assert city_of(division) == city
    assert city_of(city) == city


# The mark


def mark_of(city: str, visited_at: datetime, at: datetime) -> bool:
    [found] = travel_card([reached(city, visited_at)], at).cities
    return found.high_risk


def test_the_mark_is_of_the_day_of_asking_and_not_of_the_visit() -> None:
    """The real card: 表示当前该城市存在中风险或高风险地区."""
    assert mark_of(WUHAN, on(28), on(7, 23, 59, month=4))
    assert not mark_of(WUHAN, on(28), on(8, 0, month=4))
    assert mark_of(WUHAN, on(20, month=1), on(23, 0, month=1)), "visited before, and high-risk now"
    assert not mark_of(WUHAN, on(20, month=1), on(22, 23, 59, month=1))
    assert not mark_of(GUANGZHOU, on(28), on(7, month=4))


def test_a_high_risk_district_marks_its_city() -> None:
    at = datetime(2021, 6, 10, 12, tzinfo=ZONE)
    assert mark_of(GUANGZHOU, at, at)
    assert not mark_of(SHENZHEN, at, at)
    at = datetime(2020, 6, 20, 12, tzinfo=ZONE)
    assert mark_of("110100", at, at)


def test_a_mark_without_an_end_goes_on() -> None:
    mark = HighRisk(SHENZHEN, date(2020, 3, 1), None, "深圳市", "a test")
    [city] = travel_card([reached(SHENZHEN, on(1, month=4))], on(2, month=4), [mark]).cities
    assert city.high_risk
    assert high_risk_on(date(2020, 2, 29), [mark]) == frozenset()


def test_every_mark_has_days_in_order_and_a_source() -> None:
    days = [mark.first for mark in HIGH_RISK]
    assert days == sorted(days)
    for mark in HIGH_RISK:
        assert mark.first >= EARLIEST.astimezone(ZONE).date()
        assert mark.until is None or mark.first < mark.until
        assert mark.where
        assert mark.source


visits = st.lists(
    st.builds(
        TelecomVisitData,
        st.sampled_from([GUANGZHOU, SHENZHEN, WUHAN, BEIJING, "110100", "429004"]),
        st.sampled_from(Visit),
        st.integers(0, 30 * 24).map(lambda hours: on(1) - timedelta(hours=hours)),
    ),
    max_size=20,
)


@given(visits, st.randoms(), st.integers(0, 40 * 24))
def test_neither_order_nor_copies_matter(
    there: list[TelecomVisitData], random: Random, hours: int
) -> None:
    at = on(1) + timedelta(hours=hours)
    card = travel_card(there, at)
    mixed = [*there, *random.choices(there, k=5)] if there else []
    random.shuffle(mixed)
    assert travel_card(mixed, at) == card
    names = divisions(card)
    assert len(names) == len(set(names))
    expected = {
        city_of(visit.city)
        for visit in there
        if at.astimezone(ZONE).date() - visit.seen_at.astimezone(ZONE).date()
        <= timedelta(days=POLICIES[0].travel_days)
    }
    assert set(names) == expected
