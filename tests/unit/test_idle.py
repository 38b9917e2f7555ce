"""What has no effect is told to its source: what stands in its way, and what would be right."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from models.notices import Notice, Objection
from models.person import advance, fold, unknown
from support.builders import (
    PERSON,
    confirmed,
    contact,
    contact_withdrawn,
    day,
    discharged,
    excluded,
    negative,
    ordered,
    positive,
    provincial,
    released,
    retracted,
    suspected,
    transferred,
    verified,
)

MINUTE = timedelta(minutes=1)
ORDER = ordered("centralised", day(2), day(16), id="order")
CONFIRMED = confirmed(day(2), id="confirmed")
FOUND = positive(day(2), id="found")
YEAR = timedelta(days=365)

CASES: dict[str, tuple[list[Any], Any, Objection, Sequence[str]]] = {
    "a second discharge": (
        [CONFIRMED, discharged(day(10), id="first")],
        discharged(day(12)),
        Objection.CLOSES_NOTHING,
        ["which first had ended", "case "],
    ),
    "an exclusion of a confirmed case": (
        [suspected(day(1), sequence=0), CONFIRMED],
        excluded(day(3)),
        Objection.NO_EFFECT,
        ["is confirmed, by confirmed", "ends by its discharge"],
    ),
    "an exclusion of a discharged case": (
        [CONFIRMED, discharged(day(10), id="gone")],
        excluded(day(11)),
        Objection.CLOSES_NOTHING,
        ["ended by its discharge, gone", "Take the confirmation back"],
    ),
    "an exclusion of a suspicion that was confirmed and discharged": (
        [suspected(day(1), sequence=0), CONFIRMED, discharged(day(10), id="gone")],
        excluded(day(11)),
        Objection.CLOSES_NOTHING,
        ["ended by its discharge, gone"],
    ),
    "an exclusion of a case that was confirmed again": (
        [CONFIRMED, discharged(day(10)), confirmed(day(20), id="again")],
        excluded(day(21)),
        Objection.NO_EFFECT,
        ["is confirmed, by again"],
    ),
    "a second exclusion of a suspicion after a discharge": (
        [CONFIRMED, discharged(day(10)), suspected(day(20)), excluded(day(21), id="first")],
        excluded(day(22)),
        Objection.CLOSES_NOTHING,
        ["which first had ended"],
    ),
    "a discharge of a case whose suspicion was excluded": (
        [suspected(day(1)), excluded(day(2), id="first")],
        discharged(day(3)),
        Objection.CLOSES_NOTHING,
        ["which first had ended"],
    ),
    "a suspicion of a confirmed case": (
        [CONFIRMED],
        suspected(day(3)),
        Objection.NO_EFFECT,
        ["is confirmed, by confirmed"],
    ),
    "a discharge of a suspected case": (
        [suspected(day(1), id="suspected")],
        discharged(day(3)),
        Objection.CLOSES_NOTHING,
        ["is only suspected, by suspected", "Send its exclusion"],
    ),
    "a confirmation of a confirmed case": (
        [CONFIRMED],
        confirmed(day(3)),
        Objection.NO_EFFECT,
        ["open already, by confirmed", "superseding confirmed"],
    ),
    "a suspicion of a suspected case": (
        [suspected(day(1), id="first")],
        suspected(day(2)),
        Objection.NO_EFFECT,
        ["open already, by first"],
    ),
    "a suspicion within a second that began earlier": (
        [suspected(day(5)), suspected(day(2), id="earlier")],
        suspected(day(3)),
        Objection.NO_EFFECT,
        ["open already, by earlier"],
    ),
    "a transfer after a release": (
        [ORDER, released(day(10), id="notice")],
        transferred("home", day(11), day(20)),
        Objection.CLOSES_NOTHING,
        ["which notice had ended", "a new beginning"],
    ),
    "a second release": (
        [ORDER, released(day(10), id="notice")],
        released(day(11)),
        Objection.CLOSES_NOTHING,
        ["which notice had ended"],
    ),
    "a second release of an order with a transfer": (
        [ORDER, transferred("home", day(5), day(20)), released(day(10), id="notice")],
        released(day(11)),
        Objection.CLOSES_NOTHING,
        ["which notice had ended"],
    ),
    "a second withdrawal": (
        [contact(day(1)), contact_withdrawn(day(2), id="first")],
        contact_withdrawn(day(3)),
        Objection.CLOSES_NOTHING,
        ["which first had ended"],
    ),
    "a discharge of a wrong year": (
        [CONFIRMED],
        discharged(day(2) - timedelta(days=365), time=day(10)),
        Objection.IMPOSSIBLE_DATE,
        [
            "takes effect at 2021-03-02",
            "confirmed, was sent at 2022-03-02",
            "holds from 2022-03-02",
        ],
    ),
    "a release of a wrong year": (
        [ORDER],
        released(day(2) - timedelta(days=365), time=day(10)),
        Objection.IMPOSSIBLE_DATE,
        ["takes effect at 2021-03-02", "order, was sent at 2022-03-02"],
    ),
    "a transfer of a wrong year": (
        [ORDER],
        transferred("home", day(5) - YEAR, day(12) - YEAR, time=day(5)),
        Objection.IMPOSSIBLE_DATE,
        ["takes effect at 2021-03-05", "order, was sent at 2022-03-02"],
    ),
    "an extension of a wrong year": (
        [ORDER],
        ordered("home", day(5) - YEAR, day(12) - YEAR, time=day(5)),
        Objection.IMPOSSIBLE_DATE,
        ["takes effect at 2021-03-05", "order, was sent at 2022-03-02"],
    ),
    "a green of a wrong year": (
        [provincial("red", day(2), id="red")],
        provincial("green", day(60) - YEAR, time=day(60)),
        Objection.IMPOSSIBLE_DATE,
        ["takes effect at 2021-04-29", "red, was sent at 2022-03-02"],
    ),
    "a retraction of what was corrected": (
        [FOUND, positive(day(3), id="again", supersedes="found")],
        retracted(FOUND, day(4)),
        Objection.NO_EFFECT,
        ["again stands in the place of found already", "superseding again"],
    ),
    "a correction that comes after a later one": (
        [FOUND, positive(day(3), id="again", supersedes="found", sequence=10**6)],
        negative(day(2), id="late", supersedes="found"),
        Objection.NO_EFFECT,
        ["again stands in the place of found already"],
    ),
    "a negative of a swab of weeks ago": (
        [],
        negative(day(1), reported_at=day(20)),
        Objection.IMPOSSIBLE_DATE,
        ["taken at 2022-03-01", "reported at 2022-03-20", "more than 14 days"],
    ),
    "a positive of a swab of a year ago": (
        [],
        positive(day(1) - timedelta(days=365), reported_at=day(2)),
        Objection.IMPOSSIBLE_DATE,
        ["taken at 2021-03-01", "reported at 2022-03-02"],
    ),
    "a listing whose time is over": (
        [negative(day(number)) for number in (2, 5, 8, 15)],
        contact(day(1), listed_at=day(20)),
        Objection.NO_EFFECT,
        ["was over before it was listed"],
    ),
    "a listing whose time was over when it was sent": (
        [negative(day(number)) for number in (2, 5, 8, 15)],
        contact(day(1), time=day(20)),
        Objection.NO_EFFECT,
        ["sent at 2022-03-20", "was over before it was listed"],
    ),
    "an order of a wrong year": (
        [],
        ordered("home", day(5) - YEAR, day(12) - YEAR, time=day(5)),
        Objection.NO_EFFECT,
        ["planned end is 2021-03-12", "sent at 2022-03-05"],
    ),
    "a transfer that is over when it is sent": (
        [ORDER],
        transferred("home", day(3), day(10), time=day(10)),
        Objection.NO_EFFECT,
        ["planned end is 2022-03-10", "sent at 2022-03-10"],
    ),
    "a positive that is reported with what lifts it": (
        [negative(day(2)), negative(day(4), id="second", source="/laboratories/2")],
        positive(day(1), day(4, 14), id="late"),
        Objection.NO_EFFECT,
        ["reported at 2022-03-04", "lifted it is second of /laboratories/2", "sampled, 2022-03-01"],
    ),
    "a positive that is reported after what lifts it": (
        [negative(day(2)), negative(day(4), id="second")],
        positive(day(1), day(6)),
        Objection.NO_EFFECT,
        ["two negatives sampled after it", "lifted it is second of /laboratories/1"],
    ),
    "a positive that was over when it was sent": (
        [negative(day(2)), negative(day(4), id="second")],
        positive(day(1), time=day(9)),
        Objection.NO_EFFECT,
        ["reported at 2022-03-01", "sent at 2022-03-09", "second"],
    ),
    "a positive of a case that was over when it was sent": (
        [CONFIRMED, discharged(day(10), id="gone")],
        positive(day(3), time=day(30)),
        Objection.NO_EFFECT,
        ["or by its case", "lifted it is gone of /cdc/440100"],
    ),
    "a closing of another source's file": (
        [CONFIRMED],
        discharged(day(10), source="/cdc/440300"),
        Objection.CLOSES_NOTHING,
        ["/cdc/440100 has one of that number, opened by confirmed", "stays open"],
    ),
    "a green behind a red of its province": (
        [provincial("red", day(2), id="red", sequence=9)],
        provincial("green", day(2) + MINUTE, sequence=8),
        Objection.NO_EFFECT,
        ["Its sequence, 8, comes before that of red, 9", "reports red at 2022-03-02"],
    ),
    "a red behind a green of its province": (
        [
            provincial("yellow", day(1), sequence=7),
            provincial("green", day(2), id="green", sequence=9),
        ],
        provincial("red", day(2) + MINUTE, sequence=8),
        Objection.NO_EFFECT,
        ["Its sequence, 8, comes before that of green, 9"],
    ),
}


def told(*events: Any) -> list[Notice]:
    row, notices = unknown(PERSON, day(1)), list[Notice]()
    for event in events:
        outcome = fold(row, event, event.time)
        row = outcome.person
        notices += outcome.notices
    return notices


@pytest.mark.parametrize(("before", "event", "objection", "says"), CASES.values(), ids=CASES)
def test_what_has_no_effect_is_told_at_once_with_what_stands_in_its_way(
    before: list[Any], event: Any, objection: Objection, says: Sequence[str]
) -> None:
    assert told(verified(), *before) == []
    [notice] = told(verified(), *before, event)
    assert (notice.event, notice.objection, notice.refused) == (event, objection, False)
    for text in says:
        assert text in notice.detail


def test_what_loses_its_effect_is_told_when_it_does() -> None:
    notice = released(day(10), id="notice", sequence=3)
    early = released(day(9), id="early", sequence=2)
    order = ordered("centralised", day(2), day(16), sequence=1)
    [told_of] = told(verified(), order, notice, early)
    assert (told_of.event.id, "which early had ended" in told_of.detail) == ("notice", True)
    [told_of] = told(verified(), order, notice, retracted(order, day(11), sequence=4))
    assert (told_of.event.id, "was taken back" in told_of.detail) == ("notice", True)


def test_what_waits_is_told_once_and_what_it_waits_for() -> None:
    events = [verified(), CONFIRMED, discharged(day(9), id="first")]
    outcome = fold(unknown(PERSON, day(1)), events[0], day(1))
    for event in (*events[1:], discharged(day(10), supersedes="nope")):
        outcome = fold(outcome.person, event, event.time)
    assert [n.objection for n in outcome.notices] == [Objection.CLOSES_NOTHING]
    later = advance(outcome.person, day(12))
    assert [n.objection for n in later.notices] == [Objection.CORRECTION_WITHOUT_TARGET]


@pytest.mark.parametrize("number", [2, 5])
def test_of_several_greens_behind_a_red_the_newest_is_told(number: int) -> None:
    greens = [provincial("green", day(3 + n), sequence=n) for n in range(number)]
    notices = told(verified(), *greens, provincial("red", day(2), sequence=0, id="late"))
    assert len(notices) <= 1


@pytest.mark.parametrize(
    "events",
    [
        [ORDER, transferred("home", day(8), day(16)), released(day(10))],
        [suspected(day(1), sequence=0), CONFIRMED, discharged(day(9))],
        [contact(day(1)), contact(day(3)), contact_withdrawn(day(4))],
        [ORDER, ordered("centralised", day(16), day(20)), released(day(18))],
        [provincial("red", day(1)), provincial("green", day(2)), provincial("green", day(3))],
        [positive(day(2)), negative(day(3)), negative(day(4)), negative(day(5))],
        [ordered("home", day(5), time=day(2)), released(day(3))],
        [ordered("home", day(5), time=day(2)), transferred("centralised", day(3))],
        [ordered("home", day(2), day(5)), provincial("green", day(9))],
        [ordered("centralised", day(2), day(5), time=day(9))],
        [ordered("home", day(2), day(5), time=day(4)), released(day(3), time=day(10))],
        [contact(day(1), day(5), time=day(2)), contact_withdrawn(day(3))],
        [suspected(day(5), time=day(2)), excluded(day(3))],
        [suspected(day(5)), confirmed(day(3))],
        [confirmed(day(1), time=day(40)), discharged(day(2), time=day(40), sequence=10**6)],
        [provincial("red", day(1), time=day(9)), provincial("green", day(2), time=day(9))],
    ],
)
def test_what_has_its_effect_is_not_told(events: list[Any]) -> None:
    assert told(verified(), *events) == []
