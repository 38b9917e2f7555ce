"""The cost of an event by the number of people: the same happens in each world, and the goal is met
or missed by how the costs of both sides grow."""

from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import costs, workload
from bench.costs import THEY, US, Cost, Found
from bench.plots import Curve, by_size
from bench.records import Record
from bench.spread import Spread
from bench.worlds import STEPS, World
from models.notices import Objection

STRETCH = 240
WORLDS = [World(people, 1, STRETCH) for people in (10, 50, 60, 100, 150, 600, 900)]


def steps_of(records: list[Record], world: World) -> Counter[tuple[bytes, int]]:
    """How often the event of a person's step occurs."""
    step_of = _steps(world)
    return Counter((record.key, step_of[record.value]) for record in records)


@cache
def _steps(world: World) -> dict[bytes | None, int]:
    """The step of everything that can happen in a world."""
    return {
        record.value: step
        for step in range(STEPS.stop)
        for place in range(world.people)
        for record in workload.happening(place, step, world.people, world.seed)
    }


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: str(world.people))
def test_everybody_is_in_the_table_and_lives_on_from_where_they_are(world: World) -> None:
    fill, stretch = (steps_of(list(records), world) for records in (world.fill(), world.stretch()))
    assert len({key for key, _ in fill}) == world.people
    assert not fill.keys() & stretch.keys()
    touched = {key for key, _ in stretch}
    assert len(touched) == world.touched
    lives: dict[bytes, set[int]] = {}
    for key, step in fill | stretch:
        lives.setdefault(key, set()).add(step)
    assert all(lives[key] == set(range(len(lives[key]))) for key in lives)
    assert all(lives[key] == {0} for key in lives.keys() - touched)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: str(world.people))
def test_each_step_is_measured_equally_often(world: World) -> None:
    steps = Counter(step for _, step in steps_of(list(world.stretch()), world))
    assert steps.keys() == set(STEPS)
    assert max(steps.values()) - min(steps.values()) <= world.each
    events = sum(steps.values())
    assert events == min(STRETCH, world.people * len(STEPS)) or events == world.people * world.each


def test_the_stretch_is_spread_over_all_places() -> None:
    world = World(5 * STRETCH, 1, STRETCH)
    keys = {record.key for record in world.stretch()}
    order = [
        next(workload.happening(place, 0, world.people, world.seed)).key
        for place in range(world.people)
    ]
    places = [place for place, key in enumerate(order) if key in keys]
    assert {after - before for before, after in pairwise(places)} == {5}


@pytest.mark.parametrize("world", WORLDS[:4], ids=lambda world: str(world.people))
def test_the_codes_are_those_of_all_that_happened(world: World) -> None:
    keys = {record.key.decode() for record in world.stretch()}
    everything = [*world.fill(), *world.stretch()]
    whole = workload.expected(iter(everything)).codes
    assert world.codes() == {key: code for key, code in whole.items() if key in keys}


def test_nothing_in_a_world_counts_against_its_source() -> None:
    world = WORLDS[-1]
    told = workload.expected(record for one in (world.fill(), world.stretch()) for record in one)
    assert {refused.reason for refused in told.refused} <= {str(o) for o in Objection}


# The goal


def found(**micros: dict[int, list[float]]) -> Found:
    """Rounds with these costs, in microseconds, of `us` and `they` at each size."""
    sides = {"us": US, "they": THEY}
    return Found(1, 3, [
        Cost(people, round_, sides[side], 1_000, 1_000, cpu_seconds=value / 1_000)
        for side, sizes in micros.items()
        for people, values in sizes.items()
        for round_, value in enumerate(values, 1)
    ])  # fmt: skip


def test_ours_grows_no_faster_by_the_median_of_the_rounds() -> None:
    theirs = {1_000: [40.0, 40.0, 40.0], 1_000_000: [62.0, 62.0, 62.0]}
    ours = {1_000: [50.0, 60.0, 70.0], 1_000_000: [75.0, 66.0, 140.0]}
    met = found(us=ours, they=theirs)
    assert met.growth(US, 1_000_000) == Spread(1.5, 1.1, 2.0)
    assert met.grows_no_faster()
    assert "1.50 (1.10–2.00) times | met" in "".join(costs.goals(met))
    missed = found(us={**ours, 1_000_000: [79.0, 96.0, 140.0]}, they=theirs)
    assert missed.grows_no_faster() is False
    assert "**missed**" in "".join(costs.goals(missed))


def test_what_a_side_takes_idle_is_no_cost_of_an_event() -> None:
    cost = Cost(1, 1, US, 1, 1_000, seconds=2.0, cpu_seconds=0.05, idle_cores=0.01)
    assert cost.microseconds == pytest.approx(30.0)


def test_a_round_that_failed_counts_for_nothing() -> None:
    both = found(us={10: [1.0, 1.0], 20: [2.0, 3.0]}, they={10: [1.0, 1.0], 20: [9.0, 9.0]})
    spoiled = [
        Cost(c.people, c.round, c.side, 1, 1, failures=["a row is missing"])
        if (c.people, c.round, c.side) == (10, 2, US)
        else c
        for c in both.costs
    ]
    assert Found(1, 2, spoiled).growth(US, 20) == Spread(2.0, 2.0, 2.0)


def test_without_the_other_side_nothing_is_judged(tmp_path: Path) -> None:
    alone = found(us={10: [1.0], 20: [2.0]})
    assert alone.grows_no_faster() is None
    assert not list(costs.goals(alone))
    assert "| 20 | Kafka Streams, exactly once | failed |" in "\n".join(
        costs.lines(alone, tmp_path)
    )


def test_the_report_says_both_and_draws_them(tmp_path: Path) -> None:
    both = found(us={10: [50.0], 20: [75.0]}, they={10: [40.0], 20: [80.0]})
    page = "\n".join(costs.lines(both, tmp_path))
    assert "| 20 | Yuekang, 1 worker | 1,000 | 75.0 (75.0–75.0) | 1.50 (1.50–1.50) |" in page
    assert "growth.svg" in page
    ElementTree.parse(tmp_path / "growth.svg")


# The plot

SVG = "{http://www.w3.org/2000/svg}"


def test_curves_are_to_scale() -> None:
    curve = Curve("a & b", {10: Spread(1.0, 0.5, 2.0), 1_000: Spread(4.0, 4.0, 4.0)})
    half = Curve("half", {100: Spread(2.0, 2.0, 2.0)})
    root = ElementTree.fromstring(by_size("people <>", {"µs": [curve, half], "times": []}))
    low, high, middle = root.iter(f"{SVG}circle")
    x = [float(dot.get("cx", "")) for dot in (low, middle, high)]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)  # the sizes are logarithmic
    floor = 2 * float(middle.get("cy", "")) - float(high.get("cy", ""))  # 2 is half of 4
    assert floor - float(low.get("cy", "")) == pytest.approx(
        (floor - float(high.get("cy", ""))) / 4, abs=0.2
    )
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a & b", "half", "µs", "times", "10", "100", "1,000"} <= set(texts)


def test_nothing_measured_is_an_empty_plot() -> None:
    ElementTree.fromstring(by_size("people", {"µs": []}))
