"""What is counted of the changes, and what of it is out of its usual."""

from datetime import datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.projection.changes import PublicCause, PublicChange, PublicStatus
from app.projection.trends import ChangesWithin, trends_of
from app.view.trends import DAYS, sources_of, trends_at, unusual
from models.codes import Colour, Reason
from models.policy import ZONE

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)
NOW = NOON.timestamp()
TURNS = list(product(Colour, Colour))


def change(
    before: Colour = Colour.GREEN,
    after: Colour = Colour.RED,
    ago: timedelta = timedelta(),
    city: str | None = "440106",
    source: str | None = "/cdc/440100",
    reasons: tuple[Reason, ...] = (Reason.CLOSE_CONTACT, Reason.HOME_QUARANTINE),
) -> PublicChange:
    after_reasons = reasons if after is Colour.RED else ()
    statuses = PublicStatus(before), PublicStatus(after, after_reasons)
    return PublicChange(NOON - ago, *statuses, PublicCause(source), city)


def fields(changes: list[PublicChange], prefix: str) -> dict[str, int]:
    return {t.field: t.more for t in trends_of(changes, NOW) if t.key.startswith(prefix)}


@pytest.mark.parametrize("prefix", ["yk:minute:", "yk:slot:"])
class TestCounting:
    def test_a_red_counts_by_city_reason_and_source(self, prefix: str) -> None:
        assert fields([change(), change(city=None, source=None, reasons=())], prefix) == {
            "red": 2,
            "red:city:440100": 1,
            "red:city:-": 1,
            "red:source:/cdc/440100": 1,
            "red:source:-": 1,
            "red:reason:3": 1,
            "red:reason:6": 1,
        }

    @pytest.mark.parametrize(("before", "after"), TURNS)
    def test_every_other_turn_counts_by_what_it_turned_to_alone(
        self, prefix: str, before: Colour, after: Colour
    ) -> None:
        found = fields([change(before, after)], prefix)
        assert found.pop("same" if before is after else after.value) == 1
        first = before is Colour.NONE and after is Colour.GREEN
        assert found.pop("first", 0) == first
        assert bool(found) == (after is Colour.RED and before is not Colour.RED)

    def test_what_is_too_long_ago_is_left_out(self, prefix: str) -> None:
        kept = timedelta(hours=1) if prefix == "yk:minute:" else timedelta(days=8)
        step = timedelta(minutes=1 if prefix == "yk:minute:" else 10)
        assert fields([change(ago=kept)], prefix)
        assert not fields([change(ago=kept + step)], prefix)


def test_a_key_outlives_what_is_read_of_it() -> None:
    for trend in trends_of([change(ago=timedelta(minutes=59)), change()], NOW):
        hours = 1 if "minute" in trend.key else 24 * 8
        assert trend.expires > NOW
        assert trend.expires - NOW < (hours + 1) * 3_600


@given(st.lists(st.sampled_from(TURNS), max_size=40))
def test_every_change_counts_once_in_its_minute_and_once_in_its_slot(
    turns: list[tuple[Colour, Colour]],
) -> None:
    found = trends_of([change(*turn) for turn in turns], NOW)
    colours = {"same", *(colour.value for colour in Colour)}
    assert sum(t.more for t in found if t.field in colours) == 2 * len(turns)


# What is unusual


@pytest.mark.parametrize(
    ("count", "usual", "expected"),
    [
        (5, [0] * 13, False),
        (6, [0] * 13, True),
        (51, [2] * 13, True),
        (51, [40, 45, 50, 48, 39, 41, 44, 52, 47, 46, 45, 43, 42], False),
        (90, [40, 45, 50, 48, 39, 41, 44, 52, 47, 46, 45, 43, 42], True),
        (30, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 90, 95, 80], True),
    ],
)
def test_unusual_is_far_above_the_median(count: int, usual: list[int], expected: bool) -> None:
    assert unusual(count, usual) is expected


def test_51_reds_of_one_laboratory_are_marked_for_the_province_its_city_and_itself() -> None:
    source = "red:source:/laboratories/440100-903"
    last = {"red": 53, "red:city:440100": 51, "red:city:440300": 2, source: 51, "green": 9_000}
    found = trends_at(
        NOON,
        [ChangesWithin(int(NOW) - 60 * (59 - i), last if i == 50 else {}) for i in range(60)],
        [ChangesWithin(int(NOW) - 600 * (143 - i), {"red": 2}) for i in range(144)],
        [ChangesWithin(0, {"red": 2})] * DAYS,
    )
    assert [(mark.by, mark.key, mark.count, mark.usual) for mark in found.marks] == [
        ("", "", 53, 2),
        ("city", "440100", 51, 0),
        ("source", "/laboratories/440100-903", 51, 0),
    ]
    assert found.last == 53
    assert sum(found.hour.red) == 53
    assert found.hour.by["city"]["440300"][50] == 2


def test_a_usual_hour_has_no_mark_and_lifted_are_not_first_codes() -> None:
    usual = {"red": 20, "green": 1_000, "first": 990, "red:source:/cdc/440100": 20}
    found = trends_at(
        NOON,
        [ChangesWithin(int(NOW) - 60 * (59 - i), {"red": 2}) for i in range(60)],
        [ChangesWithin(int(NOW) - 600 * (143 - i), usual) for i in range(144)],
        [ChangesWithin(0, usual)] * DAYS,
    )
    assert found.marks == ()
    assert found.day.lifted == (10,) * 144
    assert found.day.first == (990,) * 144
    assert sources_of(found) == ["/cdc/440100"]
