"""The report: tables and plots from what was kept, and nothing that was not measured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from bench import (
    costs,
    displays,
    entrances,
    flood,
    freshness,
    garbage,
    latency,
    lifetime,
    loop,
    plots,
    rebalance,
    replica,
    scale,
    scans,
    start,
    watchers,
)
from bench.compare import SHORT, Comparison, Run
from bench.machine import LOAD_MAX, PACE_IS, pace_text
from bench.scale import Point
from bench.sides import COMMIT_SECONDS, SIDES
from bench.spread import Spread
from bench.stages import Profile

US = "us"


class Kept(Struct, frozen=True):
    """What one part found, with what it ran on."""

    command: str
    at: datetime
    seconds: int
    load_before: float
    machine: Mapping[str, str]
    found: Any
    note: str = ""
    """What has changed since in what is measured; it is said where the figures are shown."""
    pace_ms: Sequence[float] = ()
    """The machine's pace before and after (bench.machine); older parts have none."""


def write(out: Path) -> Path:
    """Write README.md and the plots into `out` from the parts that were kept there."""
    parts = {
        name: msgspec.json.decode((out / f"{name}.json").read_bytes(), type=Kept)
        for name in TYPES
        if (out / f"{name}.json").exists()
    }
    found: dict[str, Any] = {
        name: msgspec.convert(kept.found, TYPES[name], str_keys=True)
        for name, kept in parts.items()
    }
    path = out / "README.md"
    path.write_text("\n".join(_lines(out, parts, found)) + "\n")
    return path


TYPES: Mapping[str, Any] = {
    "counting": Comparison,
    "real": Comparison,
    "scale": list[Point],
    "stages": Profile,
    "latency": list[latency.Run],
    "flood": list[flood.Run],
    "garbage": list[garbage.Run],
    "start": start.Found,
    "rebalance": rebalance.Found,
    "lifetime": lifetime.Found,
    "scans": scans.Load,
    "watchers": watchers.Watching,
    "freshness": freshness.Asked,
    "loop": loop.Found,
    "displays": displays.Found,
    "entrances": entrances.Found,
    "replica": replica.Found,
    "growth": costs.Found,
}


def _lines(out: Path, parts: Mapping[str, Kept], found: Mapping[str, Any]) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield "Written by `make bench` (`bench/report.py`); every figure comes from the JSON beside it."
    if (out / "view.md").exists():
        yield "What the view bears at the peak has a page of its own, [view.md](view.md)."
    busy = [name for name, kept in parts.items() if kept.load_before > LOAD_MAX]
    if busy:
        yield ""
        yield (
            f"**The machine had other work when {', '.join(busy)} began** (see the loads at the "
            "end). These figures say little: measure again on a machine that does nothing else."
        )
    yield from _goals(parts, found)
    folds = [fold for fold in FOLDS if fold in found]
    for fold in folds:
        yield from _fold(out, fold, found[fold], parts[fold].note)
    if folds:
        yield from _how()
    if "scale" in found:
        yield from _scale(found["scale"])
    if "growth" in found:
        yield from costs.lines(found["growth"], out)
    if "stages" in found:
        yield from _stages(out, found["stages"], parts["stages"].note)
    if "latency" in found:
        yield from latency.lines(found["latency"])
    if "flood" in found:
        yield from _flood(found["flood"])
    if "garbage" in found:
        yield from garbage.lines(found["garbage"])
    if "start" in found:
        yield from _start(found["start"])
    if "rebalance" in found:
        yield from rebalance.lines(found["rebalance"], out)
    if "lifetime" in found:
        yield from _lifetime(found["lifetime"])
    if "scans" in found:
        yield from _scans(found["scans"])
    if "watchers" in found:
        yield from _watchers(found["watchers"])
    if "freshness" in found:
        yield from freshness.lines(found["freshness"])
    if "loop" in found:
        yield from loop.lines(found["loop"])
    if "displays" in found:
        yield from displays.lines(found["displays"])
    if "entrances" in found:
        yield from entrances.lines(found["entrances"])
    if "replica" in found:
        yield from replica.lines(found["replica"])
    yield from _machine(parts)


# Goals


class Ratios:
    """Ratios of two sides within each round, on one fold; a round with a failure has none."""

    def __init__(self, comparison: Comparison, fold: str) -> None:
        self._runs = {
            (run.round, run.side): run
            for run in comparison.runs
            if run.fold == fold and not run.failures
        }
        self._rounds = sorted({round_ for round_, _ in self._runs})

    def of(self, one: str, other: str, figure: Callable[[Run], float]) -> Spread | None:
        """Return how many times `other` `one` is."""
        values = [
            figure(self._runs[round_, one]) / figure(self._runs[round_, other])
            for round_ in self._rounds
            if (round_, one) in self._runs and (round_, other) in self._runs
        ]
        return Spread.of(values) if values else None


def _rate(run: Run) -> float:
    return run.rate


def _per_core(run: Run) -> float:
    return run.per_core


def _warm_per_core(run: Run) -> float:
    return run.warm_per_core


GOALS: Sequence[tuple[str, str, str, str, Callable[[Run], float], float]] = (
    ("Counting fold: one worker, times Kafka Streams exactly once on two threads", "counting", US,
     "streams-eos", _rate, 1.0),
    ("The same per core", "counting", US, "streams-eos", _per_core, 1.5),
    ("The same per core in the second half, where Java's compiler has done its work", "counting",
     US, "streams-eos", _warm_per_core, 1.5),
    ("Counting fold: one worker, times Quix Streams exactly once", "counting", US, "quix-eos",
     _rate, 2.0),
    ("Counting fold: one worker, times the limit", "counting", US, "limit", _rate, 0.25),
    ("Counting fold: two workers, times one", "counting", "us-2", US, _rate, 1.6),
    ("Slice of the real fold: two workers, times one", "real", "us-2", US, _rate, 1.6),
    ("Slice of the real fold per core: one worker, times Kafka Streams exactly once", "real", US,
     "streams-eos", _per_core, 1.0),
    ("The same in the second half of the run, where Java's compiler has done its work", "real",
     US, "streams-eos", _warm_per_core, 1.0),
)  # fmt: skip


def _goals(parts: Mapping[str, Kept], found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Goals", "", "| Goal | Wanted | Measured | |", "|---|---|---|---|")
    for what, fold, one, other, figure, wanted in GOALS:
        if fold not in found:
            continue
        ratio = Ratios(found[fold], fold).of(one, other, figure)
        if ratio is not None:
            met = _met(ratio.median >= wanted)
            yield f"| {what} | at least {wanted:g} | {ratio.text('.2f')} | {met} |"
    yield from _cost_goals(found)
    if "scale" in found:
        micros = [point.cpu_microseconds for point in found["scale"] if not point.failures]
        if micros:
            grown = max(micros) / min(micros) - 1
            flat = _met(scale.is_flat(found["scale"]))
            yield (
                "| Cost per event from 1,000 to 1,000,000 people, and a backlog of "
                f"{max(p.events for p in found['scale']):,} | flat within {scale.FLAT:.0%} "
                f"| the dearest is {grown:.0%} above the cheapest | {flat} |"
            )
    if "growth" in found:
        yield from costs.goals(found["growth"])
    if "latency" in found:
        yield from latency.goals(found["latency"])
    if "scans" in found and (latency_of := found["scans"].latency) is not None:
        load: scans.Load = found["scans"]
        good = latency_of.p99_ms <= scans.P99_MS and set(load.outcomes) == {"green"}
        yield (
            f"| A scan answered, p99 at {load.rate_asked:,} scans/s | within {scans.P99_MS:g} ms "
            f"| {latency_of.p99_ms:g} ms at {load.rate_reached:,.0f} scans/s | {_met(good)} |"
        )
    if "watchers" in found and (told := found["watchers"].latency) is not None:
        watching: watchers.Watching = found["watchers"]
        good = told.p99_ms <= watchers.P99_MS and not watching.missing
        yield (
            f"| A change told to each of {watching.clients:,} clients, p99 at "
            f"{watching.rate_asked:,} changes/s | within {watchers.P99_MS:,.0f} ms | "
            f"{told.p99_ms:g} ms at "
            f"{watching.rate_reached:,.0f} changes/s | {_met(good)} |"
        )
    if "freshness" in found:
        asked: freshness.Asked = found["freshness"]
        good = asked.slowest_ms <= freshness.ANSWER_MS
        yield (
            f"| How fresh the data are, asked of {asked.topics} x {asked.partitions} partitions, "
            f"p99 | within {freshness.ANSWER_MS:g} ms | {asked.slowest_ms:g} ms | {_met(good)} |"
        )
    if "rebalance" in found:
        yield from rebalance.goals(found["rebalance"])
    if "start" in found:
        yield from _start_goals(found["start"])
    if "replica" in found:
        yield from replica.goals(found["replica"])
    yield ""
    yield "Ratios are taken within each round: median (least–most) of the rounds."
    for fold in FOLDS:
        if fold in parts and parts[fold].note:
            yield from ("", f"**The {fold} fold: {parts[fold].note}**")


EVENT_US = 75.0
"""Of CPU, on the slice of the real fold."""
DECODED_US = 10.0


def _cost_goals(found: Mapping[str, Any]) -> Iterator[str]:
    real = found["real"].runs if "real" in found else []
    if runs := [run for run in real if run.side == US and not run.failures]:
        cost, warm = (
            Spread.of([1e6 / figure(run) for run in runs]) for figure in (_per_core, _warm_per_core)
        )
        yield (
            f"| Slice of the real fold: CPU of an event | at most {EVENT_US:g} µs | "
            f"{cost.text('.0f')} µs; {warm.text('.0f')} in the second half "
            f"| {_met(cost.median <= EVENT_US)} |"
        )
    if "stages" in found:
        micros = found["stages"].stages["decode"] / found["stages"].events * 1e6
        yield (
            f"| To decode one, while it is profiled | at most {DECODED_US:g} µs | {micros:.1f} µs "
            f"| {_met(micros <= DECODED_US)} |"
        )
    if "lifetime" in found:
        steepest = max(found["lifetime"].lifetimes, key=lambda lived: median(lived.ratio))
        ratio = Spread.of(steepest.ratio)
        yield (
            f"| Cost per event after {lifetime.DAYS} days, times that in a young row, by `models` "
            f"alone, of the life that grows most ({steepest.who}) | flat within {scale.FLAT:.0%} "
            f"| {ratio.text('.2f')} | {_met(ratio.median <= 1 + scale.FLAT)} |"
        )


STOP_SECONDS = 10.0
START_SECONDS = 10.0
RECOVER_SECONDS = 15.0
"""Of a worker that has lost its store."""
REBUILD_SECONDS = 30.0
"""Of Redis."""
WORKER_MIB = 1_024


def _start_goals(found: start.Found) -> Iterator[str]:
    of = f"{found.people:,} people"
    rows = (
        ("A worker stops", STOP_SECONDS, found.stop_seconds),
        (f"A worker of {of} starts with its store", START_SECONDS, found.start_with_store_seconds),
        ("The same without its store", RECOVER_SECONDS, found.start_without_store_seconds),
        (f"Redis of {of}, rebuilt from health-codes", REBUILD_SECONDS, found.redis_seconds),
    )
    for what, wanted, measured in rows:
        yield f"| {what} | within {wanted:g} s | {measured:g} s | {_met(measured <= wanted)} |"
    peak = max(found.worker_mib, found.rebuilding_mib)
    yield (
        f"| Memory of a worker of {of}, with a backlog of {found.backlog:,} events "
        f"| at most {WORKER_MIB:,} MiB | {peak:,.0f} MiB | {_met(peak <= WORKER_MIB)} |"
    )


def _met(met: bool) -> str:
    return "met" if met else "**missed**"


# Side by side

FOLDS = {
    "counting": "The counting fold: per person the last report, whether ever positive, how many",
    "real": "A slice of the real fold: decode, judge by the rules, the person's row, what is told",
}

SLICE = (
    "It is a slice, not the whole rule set ([decision 14](../decisions/0014-java-slice.md)): who "
    "somebody is, results of nucleic acid tests, and corrections of both. Of the six reasons it "
    "has the positive result, which two negatives lift; no case, contact, other province or "
    "quarantine occurs. All sides fold the same records of these types. The Python sides fold "
    "them with all of models/ and the codec, and so does the worker; the Java peer knows the "
    "slice alone, and of the codec's checks only those that decoding is: it has less to do."
)


def _noted(note: str) -> Iterator[str]:
    if note:
        yield from (f"**{note}**", "")


def _fold(out: Path, fold: str, comparison: Comparison, note: str) -> Iterator[str]:
    runs = [run for run in comparison.runs if run.fold == fold]
    ratios = Ratios(comparison, fold)
    yield from ("", f"## {FOLDS[fold]}", "")
    yield from _noted(note)
    if fold == "real":
        yield from (SLICE, "")
    yield f"![events a second]({fold}.svg)"
    yield ""
    yield (
        "| Side | Guarantee | Events/s | Times us | In the second half | Events per CPU second | "
        "Times us | In the second half | Broker's CPU s | Memory, MiB | Start, s | Outputs |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    rates: list[tuple[str, float]] = []
    for name, side in SIDES.items():
        of_side = [run for run in runs if run.side == name]
        good = [run for run in of_side if not run.failures]
        if not of_side:
            continue
        title = side.title + (" [1]" if side.short else "")
        if not good:
            yield f"| {title} | {side.guarantee} | failed |" + " |" * 9
            continue

        def spread(figure: Callable[[Run], float], form: str, good: list[Run] = good) -> str:
            return Spread.of([figure(run) for run in good]).text(form)

        def times(figure: Callable[[Run], float], name: str = name) -> str:
            ratio = ratios.of(name, US, figure)
            return "" if ratio is None else ratio.text(".2f")

        equal = f"equal in {len(good)} of {len(of_side)}" if side.keeps else "none"
        rates.append((f"{side.title}, {side.guarantee}", median(run.rate for run in good)))
        yield (
            f"| {title} | {side.guarantee} | {spread(_rate, ',.0f')} | {times(_rate)} "
            f"| {spread(lambda run: run.warm_rate, ',.0f')} "
            f"| {spread(_per_core, ',.0f')} | {times(_per_core)} "
            f"| {spread(_warm_per_core, ',.0f')} "
            f"| {spread(lambda run: run.broker_cpu_seconds, '.1f')} "
            f"| {spread(lambda run: run.memory_mib, ',.0f')} "
            f"| {spread(lambda run: run.startup_seconds, '.1f')} | {equal} |"
        )
    records = max(run.records for run in runs)
    loads = Spread.of([run.load_before for run in runs]).text(".1f")
    yield ""
    yield (
        f"{records:,} events in {comparison.rounds} rounds, each in another order of the sides "
        f"(seed {comparison.seed}). CPUs that others kept busy when a run began: {loads}."
    )
    if any(SIDES[run.side].short for run in runs):
        yield ""
        yield f"[1] On a workload of a {SHORT}th of the people and of the events."
    for run in runs:
        if run.failures:
            yield f"- Round {run.round}, {run.side}, failed: `{run.failures[0][:300]}`"
    plot = plots.bars("events a second, median", rates, ",.0f")
    (out / f"{fold}.svg").write_text(plot)


def _how() -> Iterator[str]:
    yield from ("", "## How it is measured", "")
    yield from (
        "- One broker, one input topic of 4 partitions for each fold, filled before; every side "
        "begins with nothing and works the backlog off. Sides run one after the other, in rounds.",
        "- The clock starts when the side's group is stable, and stops when its committed offsets "
        "are the end of the input; an observer polls the broker for both, every 20 ms. No side is "
        "asked. Starting the process is shown apart.",
        f"- Every side commits its offsets every {COMMIT_SECONDS:g} s, after or in one transaction "
        "with its outputs. We write a transaction for each chunk: what we tell is visible within "
        "milliseconds, what the others tell exactly once, after their interval. The limit also "
        "commits when it has nothing left, since it is over in less than an interval.",
        "- After each run the outputs are read as committed and compared with what they must be. "
        "Counting: the changelog, row by row. Real: each person's code (colour, reasons, "
        "intervals with their conditions, since when verified, city, version), the chain of "
        "changes (before, after, instant, cause, version), and every dead letter (place, reason). "
        "A run with a difference is a failure and no figure.",
        "- The real fold's input is one topic with all types of its slice, so that each person's "
        "events have one order and the chains can be compared link by link. A record's timestamp "
        "is when it arrived, days apart: what changes by time is told with the next event, on "
        "every side; no side has a timer. We keep our index of due rows all the same.",
        "- The second half is a figure of its own, since a JVM is still compiling in the first.",
        "- The Java peer's rules are a port of the slice's in models/, with their short cuts; its "
        "numbers are given to it from models/policy.py. `make test` builds it, and holds it "
        "against models/ over generated worlds (tests/unit/test_bench_peers.py).",
        "",
        "| Side | Settings |",
        "|---|---|",
    )
    for side in SIDES.values():
        yield f"| {side.title}, {side.guarantee} | {side.settings} |"


# The other parts


def _scale(points: Sequence[Point]) -> Iterator[str]:
    yield from ("", "## Cost per event as the table grows", "")
    yield "One worker, counting fold, full guarantees."
    yield ""
    yield "| People | Events | Events/s | CPU of the worker, µs an event | Memory, MiB | Outputs |"
    yield "|---|---|---|---|---|---|"
    for point in points:
        if point.failures:
            yield f"| {point.people:,} | {point.events:,} | failed | | | {point.failures[0][:80]} |"
        else:
            yield (
                f"| {point.people:,} | {point.events:,} | {point.run.rate:,.0f} "
                f"| {point.cpu_microseconds:.1f} | {point.run.memory_mib:,.0f} | equal |"
            )


def _stages(out: Path, profile: Profile, note: str) -> Iterator[str]:
    yield from ("", "## Where a worker's time goes", "")
    yield from _noted(note)
    yield "![CPU time of the worker by stage, in microseconds an event](stages.svg)"
    yield ""
    yield (
        f"Slice of the real fold, {profile.events:,} events, one worker: "
        f"{profile.cpu_seconds:g} s of CPU time in {profile.seconds:.1f} s, {profile.samples:,} "
        "samples. Profiling itself slows it."
    )
    yield from ("", "| Stage | µs an event | Share |", "|---|---|---|")
    bars: list[tuple[str, float]] = []
    for name, seconds in profile.stages.items():
        micros = seconds / profile.events * 1e6
        bars.append((name, micros))
        yield f"| {name} | {micros:.1f} | {seconds / profile.cpu_seconds:.1%} |"
    whole = sum(profile.stages.values())
    yield (
        f"| **the whole** | **{whole / profile.events * 1e6:.1f}** "
        f"| {whole / profile.cpu_seconds:.1%} |"
    )
    plot = plots.bars("µs of CPU an event", bars, ".1f")
    (out / "stages.svg").write_text(plot)


def _scans(found: scans.Load) -> Iterator[str]:
    yield from ("", "## Scans", "")
    answered = ", ".join(f"{count:,} {name}" for name, count in sorted(found.outcomes.items()))
    yield (
        f"`POST /v1/scans` of {scans.TERMINALS} terminals against the whole stack on this machine, "
        f"{found.rate_reached:,.0f} of {found.rate_asked:,} scans/s for {found.seconds:.0f} s, "
        "each of a fresh token and timed from when it was due. Answered: "
        f"{answered}; {found.not_recorded:,} before Kafka had them. The view took "
        f"{found.view_cores:g} cores, the terminals {found.own_cores:g}."
    )
    if found.latency is not None:
        values = " | ".join(f"{value:g}" for value in msgspec.structs.astuple(found.latency))
        yield from ("", "| ms | p50 | p95 | p99 | max |", "|---|---|---|---|---|")
        yield f"| answered | {values} |"


def _watchers(found: watchers.Watching) -> Iterator[str]:
    yield from ("", "## Officers who watch", "")
    yield (
        f"{found.clients:,} clients of `GET /v1/changes` on one view, against the whole stack on "
        f"this machine, {found.rate_reached:,.0f} of {found.rate_asked:,} changes/s for "
        f"{found.seconds:.0f} s; from Kafka's instant of the event to the client's bytes. "
        f"{found.received:,} received, {found.missing:,} missing, {found.gaps:,} gaps. The view "
        f"took {found.view_cores:g} cores, the clients {found.own_cores:g}."
    )
    if found.latency is not None:
        values = " | ".join(f"{value:g}" for value in msgspec.structs.astuple(found.latency))
        yield from ("", "| ms | p50 | p95 | p99 | max |", "|---|---|---|---|---|")
        yield f"| told | {values} |"


def _flood(found: Sequence[flood.Run]) -> Iterator[str]:
    yield from ("", "## A colour beside a flood", "")
    yield (
        f"`yuekang latency` at {flood.RATE:,} changes a second for {flood.SECONDS} s, and the same "
        f"with {flood.FLOOD:,} displays and temperatures just appended, which the lists' worker "
        f"folds meanwhile on the same machine, and with {flood.OF_ONE_PERSON:,} results of one "
        f"person; {flood.ROUNDS} rounds, in turns. Append to visible, ms; median (least–most) of "
        "the rounds."
    )
    yield from ("", "| | p50 | p95 | p99 | max | Not seen | Of the flood folded |")
    yield "|---|---|---|---|---|---|---|"
    besides = [run.flood for run in found if run.flood is not None]
    for what, runs, folded in (
        ("without", [run for run in found if run.flood is None and not run.of_one_person], ""),
        ("beside one person's", [run for run in found if run.of_one_person], ""),
        (
            "beside the flood",
            [run for run in found if run.flood is not None],
            Spread.of([beside.folded for beside in besides]).text(",.0f"),
        ),
    ):
        if not runs:
            continue
        visible = [run.report.visible for run in runs if run.report.visible is not None]
        columns = zip(*map(msgspec.structs.astuple, visible), strict=True)
        values = " | ".join(Spread.of(column).text(",.0f") for column in columns)
        missed = sum(run.report.not_seen for run in runs)
        yield f"| {what} | {values} | {missed} | {folded} |"
    least = min(beside.left for beside in besides)
    yield ""
    yield f"At the end of each run at least {least:,} of the flood were still to be folded."


def _lifetime(found: lifetime.Found) -> Iterator[str]:
    yield from ("", "## A person over a lifetime", "")
    yield (
        f"{lifetime.DAYS} days, folded with `models` alone on one core, each event from the row's "
        "bytes and back. Bytes of the row at most, and at the end; of its history; what "
        f"{lifetime.PEOPLE / 1e6:.0f} million such people take in the log once it is compacted, "
        "computed from rows and histories that were compressed as it compresses them. CPU time of "
        "an event in a young row and of the last ones, medians; their ratio, median (least–most) "
        f"of {lifetime.ROUNDS} rounds."
    )
    yield ""
    yield (
        "| | Events | Row at most | At the end | History | Rows, GB | Histories, GB | Young, µs | "
        "Last, µs | Ratio |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for life in found.lifetimes:
        gigabytes = [
            f"{size * lifetime.PEOPLE / 1e9:,.0f}"
            for size in (life.row_compressed, life.history_compressed)
        ]
        yield (
            f"| {life.who} | {life.events:,} | {life.row_bytes_max:,} | {life.row_bytes:,} | "
            f"{life.history_bytes:,} | {' | '.join(gigabytes)} | {life.young_us:,.0f} | "
            f"{life.old_us:,.0f} | {Spread.of(life.ratio).text('.2f')} |"
        )
    yield ""
    yield (
        f"A row into which {lifetime.MIXTURE} events of one kind were folded in five days, and one "
        "event more; ms of CPU, median (least–most)."
    )
    yield from ("", "| | Events in the row | Bytes | One more, ms |", "|---|---|---|---|")
    for mixture in found.mixtures:
        yield (
            f"| {mixture.what} | {mixture.facts} | {mixture.bytes:,} | "
            f"{Spread.of(mixture.one_more_ms).text('.2f')} |"
        )


def _start(found: start.Found) -> Iterator[str]:
    yield from ("", "## Stop and start with a large table", "")
    yield (
        f"The whole stack on this machine, one worker. A backlog of {found.backlog:,} events about "
        f"{found.people:,} people, who somebody is and a negative result, came in while the worker "
        "was down. Each time is until the process says that it is ready (all its partitions "
        "live), or until the view shows a fresh code for everyone of a sample."
    )
    yield from ("", "| | |", "|---|---|")
    yield f"| the backlog folded, every code told | {found.backlog_seconds:g} s |"
    yield f"| the worker meanwhile, at most | {found.worker_mib:,.0f} MiB |"
    yield f"| the projection meanwhile, at most | {found.projection_mib:,.0f} MiB |"
    yield f"| Redis, at most | {found.redis_mib:,.0f} MiB |"
    yield f"| SIGTERM to the worker's end, exit code 0 | {found.stop_seconds:g} s |"
    yield f"| start with its store | {found.start_with_store_seconds:g} s |"
    yield f"| start without its store | {found.start_without_store_seconds:g} s |"
    if found.rows_read:
        each = found.rebuilding_cpu_seconds / found.rows_read * 1e6
        yield (
            "| rows that it read from changelogs; CPU for each, with its start | "
            f"{found.rows_read:,}; {each:.1f} µs |"
        )
    if found.two_workers_seconds is not None:
        yield f"| two workers start without a store | {found.two_workers_seconds:g} s |"
    yield f"| its progress lines meanwhile | {found.progress_lines} |"
    yield f"| the worker meanwhile, at most | {found.rebuilding_mib:,.0f} MiB |"
    yield f"| Redis empty to every code shown again | {found.redis_seconds:g} s |"
    if found.projection_cpu_seconds:
        projection, redis = (
            f"{seconds / found.people * 1e6:.1f}"
            for seconds in (found.projection_cpu_seconds, found.redis_cpu_seconds)
        )
        yield f"| CPU for each person meanwhile: projection, Redis | {projection} µs, {redis} µs |"
    answers = ", ".join(f"{said} ({count})" for said, count in found.redis_answers.items())
    yield f"| what the view answered meanwhile | {answers} |"


def _machine(parts: Mapping[str, Kept]) -> Iterator[str]:
    yield from ("", "## The machine", "")
    of: dict[str, list[str]] = {}
    for kept in parts.values():
        for name, value in kept.machine.items():
            of.setdefault(name, []).append(value)
    same = {name: values[0] for name, values in of.items() if len(set(values)) == 1}
    own = [name for name in of if name not in same]
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in same.items())
    columns = ["Part", "Command", "When", "Took", "Load before", "Pace, ms", *own]
    yield from ("", PACE_IS, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")
    for name, kept in parts.items():
        ran_on = "".join(f" {kept.machine[each]} |" for each in own)
        yield (
            f"| {name} | `{kept.command}` | {kept.at:%Y-%m-%d %H:%M} UTC | {kept.seconds} s "
            f"| {kept.load_before:.1f} | {pace_text(kept.pace_ms)} |{ran_on}"
        )
