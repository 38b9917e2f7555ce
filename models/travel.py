"""The travel card (通信大数据行程卡; manual, 三（四）): cities that a phone reached or passed.

It says where a phone was and nothing of who carried it, and it changes no colour.

The mark is the real card's star. The real card said of it:
表示当前该城市存在中风险或高风险地区，并不表示用户实际到访过这些中高风险地区. So it holds for a city
in which there is a high-risk area on the day of asking, whatever there was on the day of the visit:
someone who was in Wuhan in March 2020 has no mark on the 8th of April. Own decision: the mark
follows high risk alone, since policy has dates of that. It goes on after 29 June 2022, when the
real card gave the star up.

The real card ended on the day before asking and began 14 days before the day of asking (on 5 March,
on 20 February). This card does the same, and has today besides, as far as telecoms have told of it.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from msgspec import Struct

from models.events import TelecomVisitData, Visit
from models.policy import HIGH_RISK, ZONE, HighRisk, high_risk_on, policy_at

MUNICIPALITIES = frozenset({"11", "12", "31", "50"})
"""Provinces that are a city: 110100 and 110000 are both Beijing (GB/T 2260)."""


class City(Struct, frozen=True):
    """A city on the card, by its division of GB/T 2260."""

    division: str
    visit: Visit
    first_seen_at: datetime
    high_risk: bool


class TravelCard(Struct, frozen=True):
    """What a phone's travel card shows at `at`: cities from the day `since` on.

    Each city stands once, in the order of first visits. It counts as reached if the phone ever
    reached it. If there were `more` visits than are kept, `since` is the day of the oldest visit
    kept.
    """

    at: datetime
    since: date
    cities: tuple[City, ...]
    more: bool = False


def travel_card(
    visits: Iterable[TelecomVisitData],
    at: datetime,
    marks: Iterable[HighRisk] = HIGH_RISK,
    more: bool = False,
) -> TravelCard:
    """Return the card of a phone with these visits, in any order, as it stands at `at`.

    Visits after `at` do not count: a telecom's clock may be ahead. `more` says that there were
    older visits, which are not kept.
    """
    visits, today = list(visits), at.astimezone(ZONE).date()
    since = today - timedelta(days=policy_at(at).travel_days)
    high_risk = {city_of(division) for division in high_risk_on(today, marks)}
    seen: dict[str, list[TelecomVisitData]] = {}
    for visit in visits:
        if visit.seen_at <= at and visit.seen_at.astimezone(ZONE).date() >= since:
            seen.setdefault(city_of(visit.city), []).append(visit)
    cities = [
        City(
            division=division,
            visit=Visit.REACHED if any(v.visit is Visit.REACHED for v in there) else Visit.PASSED,
            first_seen_at=min(v.seen_at for v in there),
            high_risk=division in high_risk,
        )
        for division, there in seen.items()
    ]
    cities.sort(key=lambda city: (city.first_seen_at, city.division))
    oldest = min((visit.seen_at for visit in visits), default=at).astimezone(ZONE).date()
    more = more and oldest > since
    return TravelCard(at, oldest if more else since, tuple(cities), more)


def city_of(division: str) -> str:
    """Return the city that a division lies in: 440100 for 440103, itself for 429004."""
    if division[:2] in MUNICIPALITIES:
        return f"{division[:2]}0000"
    if division[2:4] == "90":  # counties that their province governs
        return division
    return f"{division[:4]}00"
