"""docs/capacity.md: it is what the present figures give, its arithmetic is right, and what rests on
a figure that is missing is left open."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.topics.catalogue import CATALOGUE, named
from bench.capacity.__main__ import DOCS
from bench.capacity.assumptions import Assumptions, record_bytes
from bench.capacity.figures import LIFE, Figures, NotMeasured
from bench.capacity.limits import limits, ordered
from bench.capacity.needs import CHANGE, DISPLAY, FOLDERS, LISTED, RESULT, SCAN, Needs
from bench.capacity.page import page
from bench.capacity.writing import about, lasting, size

BENCH = Path(__file__).parents[2] / "bench"


@cache
def fields(module: str, name: str) -> frozenset[str]:
    """The fields of a class of the benchmarks. Most of these cannot be imported here: they need
    packages of their own."""
    body = next(
        node.body
        for node in ast.parse((BENCH / f"{module}.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    assigned = (node for node in body if isinstance(node, ast.AnnAssign))
    return frozenset(node.target.id for node in assigned if isinstance(node.target, ast.Name))


def of(module: str, name: str, /, **values: Any) -> dict[str, Any]:
    """An object as JSON has it, with fields that its class has."""
    assert values.keys() <= fields(module, name), f"{module}.{name} has other fields"
    return values


def asked(name: str, view_us: float, body: int) -> dict[str, Any]:
    costs = {"view": view_us, "kafka": 4.0, "redis": 0.0}
    warm = {"16": 10_000.0, "64": 20_000.0}
    return of("view/rounds", "Asked", name=name, body_bytes=body, warm=warm, cost_us=costs)


def run(side: str, warm: float, broker: float, *failures: str) -> dict[str, Any]:
    return of("compare", "Run", side=side, records=100_000, warm_cpu_seconds=warm,
              broker_cpu_seconds=broker, failures=failures)  # fmt: skip


def build(kept: str, seconds: float, each: float) -> dict[str, Any]:
    return of("replica", "Build", kept=kept, seconds=seconds, bytes_each=each)


def entered(by: str, us: float, mib: float) -> dict[str, Any]:
    return of("entrances", "Sent", by=by, cost_us=us, memory_mib=mib)


CORES = {"projection": 0.05, "replica": 0.025, "rows": 0.1, "redis": 0.01}
MEASURED: Mapping[str, Any] = {
    "view": of(
        "view/rounds", "Found", changes_a_second=500,
        base=[of("view/rounds", "Base", round=1, cores=CORES)],
        asked=[asked("display", 40.0, 500), asked("display", 50.0, 500),
               asked("display", 70.0, 500), asked("page", 100.0, 2_500)],
    ),
    "scans": of("scans", "Load", rate_reached=500.0, view_cores=0.5),
    "real": of("compare", "Comparison", runs=[
        run("us", 4.0, 1.0), run("us", 90.0, 9.0, "it differed"), run("streams-eos", 90.0, 9.0),
    ]),
    "scale": [of("scale", "Point", people=10), of("scale", "Point", people=1_000_000)],
    "lifetime": of("lifetime", "Found", lifetimes=[
        of("lifetime", "Lifetime", who="another", row_bytes=9),
        of("lifetime", "Lifetime", who=LIFE, row_bytes=3_000, history_bytes=27_000,
           row_compressed=500, history_compressed=4_500, young_us=20.0, old_us=40.0),
    ]),
    "displays": of(
        "displays", "Found",
        shown=[of("displays", "Shown", written=1_000, writer_seconds=0.012,
                  broker_seconds=0.004),
               of("displays", "Shown", written=0, writer_seconds=0.5,
                  broker_seconds=0.5)],
        folded=of("displays", "Folded", displays=200_000, seconds=25.0, cpu_seconds=20.0),
    ),
    "entrances": of("entrances", "Found", idle_cores={"gateway": 0.01}, sent=[
        entered("gateway", 100.0, 80.0), entered("gateway", 120.0, 90.0),
        entered("gateway", 140.0, 85.0), entered("submissions-worker", 200.0, 70.0),
    ]),
    "start": of("start", "Found", people=1_000_000, projection_mib=100, redis_mib=343,
                start_with_store_seconds=5.0, start_without_store_seconds=15.0,
                redis_seconds=40.0) | {"two_workers_seconds": 10.0},
    "replica": of("replica", "Found", people=1_000_000, code_bytes=250.0,
                  builds=[build("in memory", 10.0, 500), build("on disk", 20.0, 600)]),
    "freshness": of("freshness", "Asked", partitions=128),
}  # fmt: skip
"""Round figures of every part."""


def figures(tmp_path: Path, *without: str, **more: Any) -> Figures:
    """Return these figures from files as the benchmarks leave them, without some parts."""
    for part, found in MEASURED.items():
        kept = of("report", "Kept", at="2026-11-29T00:00:00Z", load_before=0.0, note="",
                  machine={"CPU": "2 x A", "Yuekang": "abc"}, found=found) | more  # fmt: skip
        if part not in without:
            written = {"rounds": kept} if part == "view" else kept
            (tmp_path / f"{part}.json").write_bytes(msgspec.json.encode(written))
    return Figures.read(tmp_path)


def test_the_page_is_what_the_present_figures_give() -> None:
    expected = page(Figures.read(DOCS / "benchmarks"), Assumptions())
    assert (DOCS / "capacity.md").read_text() == expected, "run `python -m bench.capacity`"


# By hand: 126 million people, 266 million displays a day, 25,000 a second.


def test_the_arithmetic_of_rates_and_cores(tmp_path: Path) -> None:
    needs = Needs(figures(tmp_path), Assumptions())
    assert needs.displays.mean == pytest.approx(266e6 / 86_400)
    assert needs.facts.mean == pytest.approx(63e6 / 86_400)
    assert needs.facts.peak == pytest.approx(7_000)  # 126 million, a fifth of them in an hour
    assert needs.display_us() == pytest.approx(0.9 * 50 + 0.1 * 100)
    assert needs.view_cores() == pytest.approx(25_000 * 55e-6 + 2_500 * 1_000e-6)  # 3.875
    assert (needs.views(), needs.view_machines()) == (8, 2)
    assert needs.fact_us() == pytest.approx(80 + 20)
    assert needs.rounds.peak == pytest.approx(700)  # 350 open, of each two records more
    assert needs.worker_cores() == pytest.approx(0.77)
    assert needs.lists_cores().mean == pytest.approx((266e6 + 12.6e6) / 86_400 * 100e-6)
    assert needs.lists_cores().peak == pytest.approx((25_000 + 700) * 100e-6)
    assert needs.projection_cores() == pytest.approx(700 * 100e-6)
    assert needs.replica_cores() == pytest.approx(700 * 50e-6)
    assert needs.rows_cores().peak == pytest.approx((7_000 + 25_700) * 200e-6)
    assert needs.redis_cores() == pytest.approx(700 * 20e-6)
    following = 0.07 + 278.6e6 / 86_400 * 200e-6 + 63e6 / 86_400 * 200e-6 + 0.014
    assert needs.gateway_cores() == pytest.approx((7_000 + 700) * 120e-6 + 0.01)
    assert needs.submissions_workers() == 4  # 1.54 cores
    folding = 0.934 + 0.77 + 278.6e6 / 86_400 * 100e-6
    assert needs.cores() == pytest.approx(3.875 + 2 * 0.035 + folding + following + 0.531)
    assert needs.broker_cores() == pytest.approx(3 * (25_000 * 4e-6 + 7_700 * 10e-6))


def test_the_arithmetic_of_workers_and_partitions(tmp_path: Path) -> None:
    needs = Needs(figures(tmp_path), Assumptions())
    assert needs.workers_for_load() == 2
    # A start takes 5 s anyway; in the 55 that are left a worker reads 5.5 million rows at 10 us.
    assert needs.start_seconds(5.5e6) == pytest.approx(60)
    assert needs.workers_for_start() == needs.workers() == 23
    assert needs.lists_workers() == 2
    assert needs.partitions() == 64  # the power of two from 46
    assert needs.lists_behind_hours() == pytest.approx(5_700 / (20_000 - 278.6e6 / 86_400))
    assert needs.worker_bytes() == 16 * 2**30


def test_the_arithmetic_of_memory_and_disk(tmp_path: Path) -> None:
    needs = Needs(figures(tmp_path), Assumptions())
    assert needs.store_bytes() == pytest.approx(126e6 * 30_000)
    assert needs.codes_bytes() == pytest.approx(126 * 343 * 2**20)
    assert needs.rows_bytes() == pytest.approx(126e6 * 33_000)
    assert needs.credentials_bytes() == pytest.approx(126e6 * 310)
    assert needs.logout_bytes() == pytest.approx(126e6 * 0.05 * 110)
    assert needs.replica_bytes() == pytest.approx(75.6e9)
    logs = needs.logs()
    assert logs["events that bear on a code"] == pytest.approx(63e6 * 400 * record_bytes(RESULT))
    assert logs["displays"] == pytest.approx(266e6 * 7 * record_bytes(DISPLAY))
    assert needs.compacted() == pytest.approx(126e6 * 5_000 * 2)
    tables = 126e6 * 2 * (5_000 + 3_000 + 250)
    assert needs.disk_bytes() == pytest.approx(3 * (sum(logs.values()) + tables))
    assert needs.brokers_for("disk") == -(-needs.disk_bytes() // 4e12)
    assert needs.brokers() == max(needs.brokers_for("disk"), 3)


def test_the_arithmetic_of_networks_and_brokers(tmp_path: Path) -> None:
    needs = Needs(figures(tmp_path), Assumptions())
    assert needs.display_bits() == pytest.approx(25_000 * (0.9 * 500 + 0.1 * 2_500 + 1_500) * 8)
    rates = {RESULT: 7_000 + 700, DISPLAY: 25_000, SCAN: 2_500, LISTED: 700, CHANGE: 700}
    inputs = sum(rate * record_bytes(type_) for type_, rate in rates.items())
    changelogs = (7_000 + 700) * 3_000 + 25_700 * 1_500
    # In once, out to two copies, in as two copies, out to one reader.
    assert needs.log_bits() == pytest.approx((inputs + changelogs) * 8 * 6)
    own = CATALOGUE.topics[named("audit")].partitions
    assert needs.replicas() == 3 * (64 * (len(CATALOGUE.topics) - 1) + own)
    assert needs.brokers_for("partitions") == -(-needs.replicas() // 4_000)
    assert needs.brokers_for("cores") == 1
    assert needs.brokers_for("network") == -(-needs.log_bits() // 5e9)
    assert [needs.fold_machines(what) for what in FOLDERS] == [2, 1, 2]


def test_what_ends_first_stands_first(tmp_path: Path) -> None:
    needs = Needs(figures(tmp_path), Assumptions())
    found = [(limit.what, used) for limit, used in ordered(limits(needs))]
    what, used = found[0]
    assert what.startswith("memory of the one Redis of rows")
    assert used == pytest.approx(needs.rows_bytes() / (128 * 2**30 * 0.7))
    uses = [used for _, used in found if used is not None]
    assert uses == sorted(uses, reverse=True)
    assert len(uses) == len(found)


def test_a_whole_page_leaves_open_only_what_no_benchmark_measures(tmp_path: Path) -> None:
    written = page(figures(tmp_path), Assumptions())
    assert "make bench-view PARTS=rounds" not in written
    assert "make bench PARTS=start`*" not in written
    assert set(re.findall(r"not measured yet: ([^*|]*)", written)) == {"no benchmark measures it"}


@pytest.mark.parametrize(
    ("part", "is_open", "is_known"),
    [
        ("view", Needs.views, Needs.workers),
        ("scans", Needs.view_cores, Needs.display_us),
        ("real", Needs.workers, Needs.views),
        ("lifetime", Needs.rows_bytes, Needs.codes_bytes),
        ("entrances", Needs.cores, Needs.workers),
        ("displays", Needs.partitions, Needs.workers),
        ("start", Needs.workers, Needs.worker_cores),
        ("replica", Needs.disk_bytes, Needs.store_bytes),
    ],
)
def test_what_rests_on_a_missing_figure_is_open_and_nothing_else(
    tmp_path: Path, part: str, is_open: Any, is_known: Any
) -> None:
    there = figures(tmp_path, part)
    with pytest.raises(NotMeasured, match="not measured yet"):
        is_open(Needs(there, Assumptions()))
    is_known(Needs(there, Assumptions()))
    assert "not measured yet: `make bench" in page(there, Assumptions())


def test_how_starts_grow_is_computed(tmp_path: Path) -> None:
    written = page(figures(tmp_path), Assumptions())
    # 10 us a row and 5 s besides; 40 us and 20 us a code.
    assert "| one worker without its store | 15 s | 21 min |" in written
    assert "| two workers without a store, each with half | 10 s | 11 min |" in written
    assert "| two workers, times as fast as one | 1.5 |" in written
    assert "| 64 workers, each with its part, on a core each |  | 25 s |" in written
    assert "| Redis of codes, empty, one projection | 40 s | 84 min |" in written
    assert "| a replica on disk, empty | 20 s | 42 min |" in written


def test_what_weakens_a_figure_is_said(tmp_path: Path) -> None:
    busy = page(figures(tmp_path, load_before=1.25, note="An older fold."), Assumptions())
    assert "**The machine had other work when `make bench PARTS=real` began (load 1.2).**" in busy
    assert "**`make bench PARTS=real`: An older fold.**" in busy


def test_without_any_figure_there_is_a_page(tmp_path: Path) -> None:
    written = page(Figures.read(tmp_path), Assumptions())
    assert "| displays | 3,100 | 25,000 |" in written
    assert "does not fit" not in written


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (about(0), "0"),
        (about(3_078.7), "3,100"),
        (about(0.6944), "0.69"),
        (about(9.96), "10"),
        (size(999), "1 kB"),
        (size(45.3e9), "45 GB"),
        (size(4.2e12), "4.2 TB"),
        (lasting(17.1), "17 s"),
        (lasting(1_440), "24 min"),
        (lasting(12_600), "3.5 h"),
    ],
)
def test_numbers_have_two_digits_that_count(written: str, expected: str) -> None:
    assert written == expected
