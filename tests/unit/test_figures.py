"""The public counts: from all of them together no group under five can be computed."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise, product

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.view.figures import (
    CITIES_SHOWN,
    ELSEWHERE,
    GROUP,
    STEP,
    TOTAL_STEP,
    Rounded,
    cuts_of,
    figures_answer,
    published,
    rounded,
    summed,
    within,
)
from app.view.pages import names
from app.view.reading import CityCount, Counts
from models.codes import Colour, Reason
from models.policy import ZONE

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)
CITIES = CITIES_SHOWN[:3]
SMALL = st.integers(0, 12)
ANY = st.one_of(SMALL, st.integers(0, 3_000_000))


def counts(red: list[int], green: list[int], reasons: dict[Reason, int]) -> Counts:
    """The last of `red` and `green` are people of no city of the table."""
    cities = {
        city: CityCount(r, g) for city, r, g in zip(CITIES, red[:-1], green[:-1], strict=True)
    }
    colours = {Colour.RED: sum(red), Colour.GREEN: sum(green)}
    return Counts(NOON, colours, reasons, cities, [])


def possible(total: Rounded, parts: list[Rounded], reasons: list[Rounded]) -> list[set[int]]:
    """Of each part all values that some world has whose published figures are these.

    Found by trying: sums of the other parts are an interval, since each part is one. Each reason
    has at most all reds, and each red at least one reason.
    """
    least_of_all = max(total.least, *(r.least for r in reasons))
    most_of_all = min(total.most, sum(r.most for r in reasons))
    found = []
    for which, part in enumerate(parts):
        others = [other for i, other in enumerate(parts) if i != which]
        least, most = sum(o.least for o in others), sum(o.most for o in others)
        values = range(part.least, part.most + 1)
        found.append({v for v in values if v + most >= least_of_all and v + least <= most_of_all})
    return found


@st.composite
def reasons_of(draw: st.DrawFn, red: int) -> dict[Reason, int]:
    """How many of so many reds have which reason: each has one at least."""
    shares = sorted(draw(st.lists(st.integers(0, red), min_size=5, max_size=5)))
    first = [b - a for a, b in pairwise([0, *shares, red])]
    more = draw(st.lists(st.integers(0, red), min_size=6, max_size=6))
    both = draw(st.booleans())
    return {
        reason: min(red, n + m) if both else n
        for reason, n, m in zip(Reason, first, more, strict=True)
    }


@given(st.data(), st.lists(ANY, min_size=4, max_size=4), st.lists(ANY, min_size=4, max_size=4))
@example(None, [4, 4, 4, 4], [0, 0, 0, 0])
@example(None, [9, 9, 9, 9], [1, 1, 1, 1])
@example(None, [0, 0, 0, 20], [4, 9, 14, 19])
def test_no_small_city_can_be_computed_from_totals_and_reasons(
    data: st.DataObject | None, red: list[int], green: list[int]
) -> None:
    by_reason = (
        {Reason.CLOSE_CONTACT: sum(red)} if data is None else data.draw(reasons_of(sum(red)))
    )
    found = published(counts(red, green, by_reason), CITIES)
    free = [Rounded(0, 1 << 40)]
    for colour, cells, true, reasons in (
        (Colour.RED, found.red, red, [*found.reasons.values()]),
        (Colour.GREEN, found.green, green, free),
    ):
        parts = [*(cells[city] for city in CITIES), cells[ELSEWHERE]]
        for part, number, values in zip(
            parts, true, possible(found.colours[colour], parts, reasons * 2), strict=True
        ):
            assert part.least <= number <= part.most
            assert number in values, "what is told is true"
            if number < GROUP:
                assert values >= {0, 1, 2, 3, 4}


@given(st.lists(SMALL, min_size=6, max_size=6))
@example([4, 4, 4, 4, 4, 4])
@example([9, 9, 9, 9, 9, 9])
@example([19, 19, 19, 19, 19, 19])
def test_nor_where_all_reasons_stand_at_their_ends(numbers: list[int]) -> None:
    """Nobody has two reasons, so the reasons' greatest sum is nearest to the total."""
    total = sum(numbers)
    for shown in range(0, total + 1, STEP):
        red = [shown, 0, 0, total - shown]
        found = published(counts(red, [0] * 4, dict(zip(Reason, numbers, strict=True))), CITIES)
        parts = [*(found.red[city] for city in CITIES), found.red[ELSEWHERE]]
        values = possible(found.colours[Colour.RED], parts, [*found.reasons.values()])
        for number, each in zip(red, values, strict=True):
            assert number >= GROUP or each >= {0, 1, 2, 3, 4}


def worlds_of(cells: int, numbers: Sequence[int]) -> list[list[tuple[int, ...]]]:
    """All worlds of so many cells of such numbers, all red by one reason: those together that
    look the same when published."""
    places = CITIES_SHOWN[: cells - 1]
    worlds: dict[bytes, list[tuple[int, ...]]] = {}
    for red in product(numbers, repeat=cells):
        cities = {city: CityCount(n, 0) for city, n in zip(places, red[:-1], strict=True)}
        reasons = {Reason.CLOSE_CONTACT: sum(red), Reason.HOME_QUARANTINE: red[0]}
        world = Counts(NOON, {Colour.RED: sum(red)}, reasons, cities, [])
        told = msgspec.json.encode(figures_answer(published(world, places)))
        worlds.setdefault(told, []).append(red)
    return [*worlds.values()]


@pytest.mark.parametrize(("cells", "numbers"), [(3, range(14)), (5, range(6)), (5, (0, 4, 8, 9))])
def test_by_trying_every_small_world_none_is_alone_with_its_figures(
    cells: int, numbers: Sequence[int]
) -> None:
    for together in worlds_of(cells, numbers):
        for cell in range(cells):
            values = {red[cell] for red in together}
            assert min(values) >= GROUP or len(values) > 1, together


def test_nor_two_releases_for_who_knows_that_one_city_had_one_change_at_most() -> None:
    """Every two worlds of six cells, one after the other: what is told of both leaves no small
    group alone, though one cell is known to differ by one person at most. The others may have had
    any changes, since a release comes after five at least (app.view.releases)."""
    worlds = worlds_of(6, (0, 4, 9, 10, 19))
    for known in (0, 1):  # the first has a second reason
        told = [_values_beside(together, known) for together in worlds]
        # What the other release tells of the known cell is all that it adds.
        besides = {frozenset(n + step for n in there for step in (-1, 0, 1)) for there in told}
        for here, near in product(told, besides):
            for cell in range(6):
                values = set[int]().union(*(here[n][cell] for n in here.keys() & near))
                assert min(values, default=GROUP) >= GROUP or values >= {0, 4}, (known, cell, near)


def _values_beside(together: list[tuple[int, ...]], known: int) -> dict[int, list[set[int]]]:
    """Return by the value of the known cell which values each cell has beside it."""
    found: dict[int, list[set[int]]] = {}
    for red in together:
        beside = found.setdefault(red[known], [set() for _ in red])
        for values, number in zip(beside, red, strict=True):
            values.add(number)
    return found


@given(st.lists(ANY, min_size=6, max_size=6), st.lists(ANY, min_size=22, max_size=22))
def test_a_reason_says_no_more_of_the_total_than_the_total_does(
    by_reason: list[int], red: list[int]
) -> None:
    parts, total = [rounded(number) for number in red], sum(red)
    least = sum(part.least for part in parts)
    for number in by_reason:
        told = within(min(number, total), parts)
        assert told.least <= min(number, total) <= told.most
        assert told.least <= max(least, summed(total, parts).least)
        assert told.most - told.least >= STEP - 1
        assert told.most % STEP == STEP - 1 or told.most == sum(part.most for part in parts)


def test_large_numbers_stay_useful() -> None:
    red, green = [241, 30, 12, 3], [900_000, 50_000, 45_000, 20]
    found = published(counts(red, green, {Reason.CLOSE_CONTACT: 286}), CITIES)
    assert found.colours[Colour.GREEN] == Rounded(995_020, 995_056)
    assert found.colours[Colour.RED] == Rounded(280, 316)
    assert found.red[CITIES[0]] == Rounded(240, 249)
    assert figures_answer(found).red[ELSEWHERE].most == 9


@given(st.lists(ANY, min_size=22, max_size=22))
def test_the_total_of_the_province_is_told_to_twenty(red: list[int]) -> None:
    parts = [rounded(number) for number in red]
    found = summed(sum(red), parts)
    assert found.least <= sum(red) <= found.most < found.least + 2 * TOTAL_STEP
    assert found.least % STEP == 0
    assert len(cuts_of(parts)) == 9


def test_the_cities_are_those_that_have_a_name() -> None:
    assert set(CITIES_SHOWN) == names.CITIES.keys()


@pytest.mark.parametrize(("number", "least"), [(0, 0), (9, 0), (10, 10), (37, 30), (5_000, 5_000)])
def test_what_is_held_is_told_by_ten_and_below_ten_not_at_all(number: int, least: int) -> None:
    world = Counts(NOON, {}, {}, {}, [], held=number)
    told = figures_answer(published(world, CITIES_SHOWN)).held
    assert (told.least, told.most) == (least, least + 9)
