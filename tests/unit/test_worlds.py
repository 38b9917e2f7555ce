"""Worlds in which a code was wrong once, each with when its reasons hold. Days of March 2022."""

from typing import Any

import pytest

from models.codes import Reason
from models.reasons import assess
from oracle.naive import spells
from support.builders import (
    confirmed,
    contact,
    contact_withdrawn,
    day,
    discharged,
    excluded,
    nat_v2,
    negative,
    ordered,
    positive,
    provincial,
    released,
    suspected,
    transferred,
)
from support.spells import Held, union

POSITIVE = Reason.CONFIRMED_OR_POSITIVE
SUSPECTED = Reason.SUSPECTED_CASE
CONTACT = Reason.CLOSE_CONTACT
PROVINCE = Reason.OUT_OF_PROVINCE_CODE
CENTRALISED = Reason.CENTRALISED_QUARANTINE
HOME = Reason.HOME_QUARANTINE

WORLDS: dict[str, tuple[list[Any], list[Held]]] = {
    # A release ends the whole order
    "an extension is released with its order": (
        [
            ordered("centralised", day(2), day(16), sequence=1),
            ordered("centralised", day(20), day(27), time=day(5), sequence=2),
            released(day(10), sequence=3),
        ],
        [(CENTRALISED, day(2), day(10))],
    ),
    "a transfer that was to come is released with its order": (
        [
            ordered("home", day(1), day(30), sequence=1),
            transferred("centralised", day(10), day(30), time=day(4), sequence=2),
            released(day(5), sequence=3),
            transferred("centralised", day(12), day(30), sequence=4),
        ],
        [(HOME, day(1), day(5))],
    ),
    "what begins after a release needs an order that follows it": (
        [
            ordered("centralised", day(10), day(20), time=day(1), sequence=1),
            released(day(4), sequence=2),
            ordered("home", day(12), day(16), sequence=3),
        ],
        [(HOME, day(12), day(16))],
    ),
    # Times that cannot be
    "a discharge of the wrong year closes nothing, and the right one does": (
        [
            confirmed(day(5), sequence=1),
            discharged(day(4), time=day(6), sequence=2),
            discharged(day(10), sequence=3),
            discharged(day(8), time=day(11), sequence=4),
        ],
        [(POSITIVE, day(5), day(24))],
    ),
    "a release of the wrong year closes nothing": (
        [
            ordered("centralised", day(5), day(19), sequence=1),
            released(day(-360), time=day(9), sequence=2),
        ],
        [(CENTRALISED, day(5), None)],
    ),
    "an exclusion of the wrong year closes nothing": (
        [
            suspected(day(5), sequence=1),
            excluded(day(-360), time=day(6), sequence=2),
        ],
        [(SUSPECTED, day(5), None)],
    ),
    "a withdrawal of the wrong year closes nothing": (
        [
            contact(day(4), day(5), sequence=1),
            contact_withdrawn(day(-360), time=day(6), sequence=2),
        ],
        [(CONTACT, day(5), None)],
    ),
    "a case is confirmed again while its old discharge is on its way": (
        [
            confirmed(day(1), sequence=1),
            confirmed(day(30), sequence=2),
            discharged(day(5), time=day(31), sequence=3),
        ],
        [(POSITIVE, day(1), day(19)), (POSITIVE, day(30), None)],
    ),
    "a positive whose swab is a year old is red from its report": (
        [
            negative(day(1)),
            negative(day(3)),
            positive(day(-360), day(9)),
        ],
        [(POSITIVE, day(9), None)],
    ),
    "a negative whose swab is a year old lifts nothing": (
        [
            positive(day(1), day(1)),
            negative(day(2), day(2)),
            negative(day(3), day(18)),
            negative(day(4), day(4)),
        ],
        [(POSITIVE, day(1), day(4))],
    ),
    "a negative that took too long lifts nothing": (
        [positive(day(1), day(1)), negative(day(2), day(2)), negative(day(3), day(18))],
        [(POSITIVE, day(1), None)],
    ),
    # Hindsight
    "a positive that is reported late changes no day on which nobody knew it": (
        [
            positive(day(1), day(1)),
            negative(day(3), day(3)),
            negative(day(5), day(5)),
            positive(day(4), day(8)),
            negative(day(9), day(9)),
        ],
        [(POSITIVE, day(1), day(5)), (POSITIVE, day(8), day(9))],
    ),
    "a province's report that is dated ahead opens nothing before it": (
        [
            provincial("red", day(2), sequence=5),
            provincial("yellow", day(3, 8, 9), time=day(3), sequence=3),
        ],
        [(PROVINCE, day(2), None)],
    ),
    # A province's sequence that begins again
    "a red of a new count is red, and its green is green": (
        [
            provincial("green", day(1), sequence=900),
            provincial("red", day(3), sequence=1),
            provincial("red", day(3, 13), time=day(1), sequence=899),
            provincial("green", day(6), sequence=2),
            provincial("red", day(7), sequence=950),
        ],
        [(PROVINCE, day(3), day(6)), (PROVINCE, day(7), None)],
    ),
    "within ten minutes a province's sequence decides": (
        [
            provincial("green", day(1), sequence=900),
            provincial("red", day(1, 8, 9), sequence=1),
            provincial("red", day(1, 8, 12), sequence=2),
        ],
        [(PROVINCE, day(1, 8, 12), None)],
    ),
    # A contact who becomes a case
    "a case's end lifts the contacts of before and no later one": (
        [
            contact(day(1), day(2), sequence=1),
            contact(day(12), day(12, 13), sequence=2),
            confirmed(day(5)),
            discharged(day(10)),
        ],
        [(POSITIVE, day(5), day(24)), (CONTACT, day(2), None)],
    ),
    "a case's end lifts the contacts of before": (
        [contact(day(1), day(2)), confirmed(day(5)), discharged(day(10))],
        [(POSITIVE, day(5), day(24)), (CONTACT, day(2), day(24))],
    ),
    # Read protectively
    "a positive of the very second of a discharge is another infection": (
        [
            confirmed(day(2)),
            discharged(day(10)),
            positive(day(10), day(10, 14)),
            negative(day(12), day(12)),
            negative(day(13), day(13)),
        ],
        [(POSITIVE, day(2), day(24)), (POSITIVE, day(10, 14), day(13))],
    ),
    "a transfer dated before its order takes effect as dated": (
        [
            ordered("home", day(10), day(24), time=day(1), sequence=1),
            transferred("centralised", day(8), day(24), sequence=2),
            released(day(22), sequence=3),
        ],
        [(CENTRALISED, day(8), day(22))],
    ),
    # A pool, and a swab that is reported twice
    "a positive of a pool opens nothing and is no positive to be lifted": (
        [nat_v2("positive", day(2), pooled=10)],
        [],
    ),
    "a positive of a pool takes no negative from a positive of one person": (
        [
            positive(day(1), day(1)),
            negative(day(2), day(2)),
            nat_v2("positive", day(3), day(3), pooled=10),
            negative(day(4), day(4)),
        ],
        [(POSITIVE, day(1), day(4))],
    ),
    "a single positive after that of the pool is red from its report": (
        [
            nat_v2("positive", day(2), day(2, 14), pooled=10, specimen="T1"),
            nat_v2("positive", day(3), day(3, 14), specimen="T2"),
        ],
        [(POSITIVE, day(3, 14), None)],
    ),
    "a negative of a pool is a negative": (
        [
            positive(day(1), day(1)),
            nat_v2("negative", day(2), day(2), pooled=10, specimen="T1"),
            nat_v2("negative", day(3), day(3), pooled=5, specimen="T2"),
        ],
        [(POSITIVE, day(1), day(3))],
    ),
    "one swab reported with two days of collection is one negative": (
        [
            positive(day(1), day(1)),
            nat_v2("negative", day(2), day(3), specimen="T1"),
            nat_v2("negative", day(3), day(4), specimen="T1"),
        ],
        [(POSITIVE, day(1), None)],
    ),
    "the first report of a specimen says when it was taken": (
        [
            positive(day(1), day(1)),
            nat_v2("negative", day(3), day(3), specimen="T1"),
            nat_v2("negative", day(2), day(4), specimen="T1"),
            nat_v2("negative", day(4), day(5), specimen="T2"),
        ],
        [(POSITIVE, day(1), day(5))],
    ),
    "two laboratories may give the same specimen number": (
        [
            positive(day(1), day(1)),
            nat_v2("negative", day(2), day(2), specimen="T1"),
            nat_v2("negative", day(3), day(3), specimen="T1", source="/laboratories/2"),
        ],
        [(POSITIVE, day(1), day(3))],
    ),
    "a specimen number that is used again after three weeks is another swab": (
        [
            nat_v2("negative", day(1), day(1), specimen="T1"),
            positive(day(20), day(20)),
            nat_v2("negative", day(22), day(22), specimen="T1"),
            negative(day(23), day(23)),
        ],
        [(POSITIVE, day(20), day(23))],
    ),
    "a positive swab's second report as negative, a day later, is not after it": (
        [
            nat_v2("positive", day(1), day(1), specimen="T1"),
            nat_v2("negative", day(2), day(2), specimen="T1"),
            negative(day(3), day(3)),
        ],
        [(POSITIVE, day(1), None)],
    ),
    "a negative swab's second report as positive is red, and not lifted by the first": (
        [
            nat_v2("negative", day(3), day(3), specimen="T1"),
            nat_v2("positive", day(2), day(4), specimen="T1"),
            negative(day(4), day(5)),
        ],
        [(POSITIVE, day(4), None)],
    ),
    # The case of another
    "a case of one CDC is not closed by another": (
        [confirmed(day(2)), discharged(day(9), source="/cdc/440300")],
        [(POSITIVE, day(2), None)],
    ),
}


@pytest.mark.parametrize(("events", "held"), WORLDS.values(), ids=WORLDS)
def test_the_reasons_hold_when_they_should(events: list[Any], held: list[Held]) -> None:
    found = [(i.reason, i.start, i.end) for i in assess(events).intervals]
    assert union(found) == union(held)
    assert union((s.reason, s.start, s.end) for s in spells(events)) == union(held)
