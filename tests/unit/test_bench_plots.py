"""The report's plots: bars to scale, each with its name and its figure."""

from xml.etree import ElementTree

import pytest

from bench.plots import bars

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_figures() -> None:
    root = ElementTree.fromstring(bars("a & b", [("one <1>", 10_000), ("two", 2_500)], ",.0f"))
    ground, one, two = root.iter(f"{SVG}rect")
    assert float(one.get("width", "")) == pytest.approx(4 * float(two.get("width", "")), abs=0.3)
    assert float(one.get("x", "")) + float(one.get("width", "")) < float(ground.get("width", ""))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["a & b", "one <1>", "10,000", "two", "2,500"]


@pytest.mark.parametrize("rows", [[], [("none", 0.0)]])
def test_nothing_measured_is_drawn_as_nothing(rows: list[tuple[str, float]]) -> None:
    root = ElementTree.fromstring(bars("title", rows, ".1f"))
    _, *drawn = root.iter(f"{SVG}rect")
    assert [rect.get("width") for rect in drawn] == ["0"] * len(rows)
