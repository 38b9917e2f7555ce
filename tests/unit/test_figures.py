"""The public counts: from all of them together no group under five can be computed."""

from datetime import datetime
from itertools import product

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from app.view.figures import (
    CITIES_SHOWN,
    ELSEWHERE,
    LEAST,
    Rounded,
    figures_answer,
    published,
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


def possible(total: Rounded, parts: list[Rounded]) -> list[set[int]]:
    """Of each part all values that some world has whose published figures are these.

    Found by trying: sums of the other parts are an interval, since each part is one.
    """
    found = []
    for which, part in enumerate(parts):
        others = [other for i, other in enumerate(parts) if i != which]
        least, most = sum(o.least for o in others), sum(o.most for o in others)
        values = range(part.least, part.most + 1)
        found.append({v for v in values if v + most >= total.least and v + least <= total.most})
    return found


@given(st.lists(ANY, min_size=4, max_size=4), st.lists(ANY, min_size=4, max_size=4))
@example([4, 4, 4, 4], [0, 0, 0, 0])
@example([4, 4, 4, 3], [1, 1, 1, 1])
@example([0, 0, 0, 20], [4, 9, 14, 19])
def test_no_small_city_can_be_computed_from_a_total(red: list[int], green: list[int]) -> None:
    found = published(counts(red, green, {Reason.CLOSE_CONTACT: sum(red)}), CITIES)
    for colour, cells, true in (
        (Colour.RED, found.red, red),
        (Colour.GREEN, found.green, green),
    ):
        parts = [*(cells[city] for city in CITIES), cells[ELSEWHERE]]
        for part, number, values in zip(
            parts, true, possible(found.colours[colour], parts), strict=True
        ):
            assert part.least <= number <= part.most
            assert number in values, "what is told is true"
            if number < LEAST:
                assert values == {0, 1, 2, 3, 4}


def test_by_trying_every_small_world_none_is_alone_with_its_figures() -> None:
    """All worlds of three cells with up to six people each: which share what is published."""
    worlds: dict[bytes, list[tuple[int, ...]]] = {}
    alone = CITIES[:2]
    for red in product(range(7), repeat=3):
        cities = {city: CityCount(n, 0) for city, n in zip(alone, red[:2], strict=True)}
        reasons = {Reason.CLOSE_CONTACT: sum(red)}
        world = Counts(NOON, {Colour.RED: sum(red)}, reasons, cities, [])
        told = msgspec.json.encode(figures_answer(published(world, alone)))
        worlds.setdefault(told, []).append(red)
    for together in worlds.values():
        for cell in range(3):
            values = {red[cell] for red in together}
            if min(values) < LEAST:
                assert len(values) > 1, together


def test_nor_by_trying_five_cells_of_which_four_is_the_most() -> None:
    """Five groups of four, and twenty in all, all of one reason: the worst that there is."""
    places = CITIES_SHOWN[:4]
    worlds: dict[bytes, set[tuple[int, ...]]] = {}
    for red in product(range(6), repeat=5):
        cities = {city: CityCount(n, 0) for city, n in zip(places, red[:-1], strict=True)}
        reasons = {Reason.CLOSE_CONTACT: sum(red), Reason.HOME_QUARANTINE: red[0]}
        world = Counts(NOON, {Colour.RED: sum(red)}, reasons, cities, [])
        told = msgspec.json.encode(figures_answer(published(world, places)))
        worlds.setdefault(told, set()).add(red)
    for together in worlds.values():
        for cell in range(5):
            values = {red[cell] for red in together}
            assert min(values) >= LEAST or len(values) > 1, together


@given(st.lists(SMALL, min_size=6, max_size=6), st.lists(ANY, min_size=4, max_size=4))
def test_a_reason_is_rounded_as_the_total_is(by_reason: list[int], red: list[int]) -> None:
    reasons = dict(zip(Reason, by_reason, strict=True))
    found = published(counts(red, [0] * 4, reasons), CITIES)
    total = found.colours[Colour.RED]
    for reason, cell in found.reasons.items():
        assert cell.most - cell.least == total.most - total.least
        assert cell.least <= reasons[reason] <= cell.most


def test_large_numbers_stay_useful() -> None:
    red, green = [241, 30, 12, 3], [900_000, 50_000, 45_000, 20]
    found = published(counts(red, green, {Reason.CLOSE_CONTACT: 286}), CITIES)
    assert found.colours[Colour.GREEN] == Rounded(995_020, 995_024)
    assert found.colours[Colour.RED].least >= 280
    assert found.red[CITIES[0]] == Rounded(240, 244)
    assert figures_answer(found).red[ELSEWHERE].most == 4


def test_the_cities_are_those_that_have_a_name() -> None:
    assert set(CITIES_SHOWN) == names.CITIES.keys()
