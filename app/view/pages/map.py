"""The 21 prefectures of Guangdong as tiles, where they lie to each other: a map for one glance.

Each tile has the city's name, how many turned red there within the last day, and how many per
10,000 residents are red now. The shade says the last in four steps; the number is always written.

Residents are those of the census of 1 November 2020 (第七次全国人口普查), from the bulletin of
Guangdong's bureau of statistics of 15 May 2021; together they are 126,012,510.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.view.pages import names
from app.view.reading import CityCount
from app.view.trends import Trends
from app.web.language import Language, Text, as_is, number

PER = 10_000

RESIDENTS: Mapping[str, int] = {
    "440100": 18_676_605,
    "440200": 2_855_131,
    "440300": 17_560_061,
    "440400": 2_439_585,
    "440500": 5_502_031,
    "440600": 9_498_863,
    "440700": 4_798_090,
    "440800": 6_981_236,
    "440900": 6_174_050,
    "441200": 4_113_594,
    "441300": 6_042_852,
    "441400": 3_873_239,
    "441500": 2_672_819,
    "441600": 2_837_686,
    "441700": 2_602_959,
    "441800": 3_969_473,
    "441900": 10_466_625,
    "442000": 4_418_060,
    "445100": 2_568_387,
    "445200": 5_577_814,
    "445300": 2_383_350,
}
"""Residents of each city by GB/T 2260."""

PLACED: Sequence[Sequence[str]] = (
    ("", "", "441800", "440200", "441600", "441400", ""),
    ("", "441200", "440600", "440100", "441300", "445200", "445100"),
    ("", "445300", "440700", "442000", "441900", "441500", "440500"),
    ("440900", "441700", "", "440400", "440300", "", ""),
    ("440800", "", "", "", "", "", ""),
)
"""Rows from north to south, each from west to east; nothing where no city lies."""

WIDTH, HEIGHT = 50, 64
"""What a tile takes, in the picture's own units."""

STEPS = (0.1, 1.0)
"""Red per 10,000 residents from which a shade is darker; a city without any has a shade too."""

SYLLABLES = re.compile(r"([A-Z].*?(?:ng|n|[aeiou]))((?:[zcs]h|[b-df-hj-np-tw-z])[aeiou].*)")
"""A name in two syllables of Pinyin: a tile has no room for both beside each other."""


class Tile(Struct, frozen=True):
    """A city, where it stands, and its figures; `day` is a dash if it cannot be read.

    `shade` goes from 0, for none who is red, to 3.
    """

    code: str
    name: Text
    x: int
    y: int
    day: Text
    share: Text
    shade: int

    def lines(self, language: Language) -> list[str]:
        """Return the name on one line, or on two in the letters of Pinyin."""
        name = self.name.of(language)
        found = SYLLABLES.fullmatch(name)
        return [name] if found is None else [f"{found[1]}-", found[2]]


def tiles(cities: Mapping[str, CityCount], trends: Trends | None) -> list[Tile]:
    """Return the tiles, from north to south and from west to east."""
    day = {} if trends is None else trends.day.by["city"]
    found = []
    for row, codes in enumerate(PLACED):
        for column, code in enumerate(codes):
            if code:
                red = cities[code].red if code in cities else 0
                share = red * PER / RESIDENTS[code]
                turned = as_is("—") if trends is None else number(sum(day.get(code, ())))
                found.append(
                    Tile(
                        code,
                        names.CITIES[code],
                        column * WIDTH,
                        row * HEIGHT,
                        turned,
                        number(share, "0.00"),
                        shade(share),
                    )
                )
    return found


def shade(share: float) -> int:
    """Return the shade of so many red per 10,000."""
    return 0 if share == 0 else 1 + sum(share >= step for step in STEPS)
