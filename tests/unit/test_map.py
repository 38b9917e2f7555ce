"""The map of the prefectures: each city once, where it lies, with its share."""

import pytest

from app.view.pages import names
from app.view.pages.map import PLACED, RESIDENTS, shade, tiles
from app.view.reading import CityCount
from app.web.language import CHINESE, LANGUAGES

ALL = 126_012_510
"""Residents of Guangdong, by the same census."""


def test_each_city_of_gb_t_2260_is_there_once() -> None:
    placed = [code for row in PLACED for code in row if code]
    assert sorted(placed) == sorted(names.CITIES) == sorted(RESIDENTS)
    assert len(placed) == len(set(placed)) == 21
    assert len({len(row) for row in PLACED}) == 1


def test_the_residents_are_those_of_the_province() -> None:
    assert sum(RESIDENTS.values()) == ALL


def test_neighbours_lie_to_each_other_as_on_a_map() -> None:
    at = {tile.code: (tile.x, tile.y) for tile in tiles({}, None)}
    assert at["440800"][0] < at["440100"][0] < at["440500"][0]  # 湛江, 广州, 汕头
    assert at["440200"][1] < at["440100"][1] < at["440400"][1]  # 韶关, 广州, 珠海


def test_a_tile_says_the_red_per_10_000_residents_even_without_any() -> None:
    found = {tile.code: tile for tile in tiles({"440100": CityCount(18_677, 5)}, None)}
    assert (found["440100"].share.of(CHINESE), found["440100"].shade) == ("10.00", 3)
    assert (found["440300"].share.of(CHINESE), found["440300"].shade) == ("0.00", 0)


def test_a_name_in_pinyin_breaks_between_its_syllables() -> None:
    (english,) = [language for language in LANGUAGES if language is not CHINESE]
    found = {tile.code: tile for tile in tiles({}, None)}
    assert found["440100"].lines(CHINESE) == ["广州"]
    assert found["440100"].lines(english) == ["Guang-", "zhou"]
    assert found["441900"].lines(english) == ["Dong-", "guan"]
    assert found["441600"].lines(english) == ["He-", "yuan"]
    assert all(len(tile.lines(english)) == 2 for tile in found.values())


@pytest.mark.parametrize(("share", "found"), [(0, 0), (0.01, 1), (0.1, 2), (0.99, 2), (1, 3)])
def test_the_shade_goes_by_few_steps(share: float, found: int) -> None:
    assert shade(share) == found
