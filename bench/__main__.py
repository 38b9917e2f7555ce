"""`make bench`: run the parts that are asked for, keep what they found, and write the report."""

import fcntl
import shutil
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer

from app.development.stack.processes import StackError
from bench import (
    compare,
    displays,
    entrances,
    flood,
    freshness,
    garbage,
    growth,
    latency,
    lifetime,
    loop,
    machine,
    rebalance,
    replica,
    report,
    scale,
    scans,
    stages,
    start,
    watchers,
    worlds,
)
from bench.broker import running_broker
from bench.sides import SIDES
from bench.terminal import Terminal

DIRECTORY = Path(".run/bench")
FREE_MIB_MIN = 6_144
"""Five million events, and what is made of them."""


class Part(StrEnum):
    """What can be measured."""

    COUNTING = "counting"
    REAL = "real"
    SCALE = "scale"
    STAGES = "stages"
    LATENCY = "latency"
    FLOOD = "flood"
    GARBAGE = "garbage"
    START = "start"
    REBALANCE = "rebalance"
    LIFETIME = "lifetime"
    SCANS = "scans"
    WATCHERS = "watchers"
    FRESHNESS = "freshness"
    LOOP = "loop"
    DISPLAYS = "displays"
    ENTRANCES = "entrances"
    REPLICA = "replica"
    GROWTH = "growth"


def main(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="What to measure; everything unless told.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of what is measured in rounds.")] = 5,
    events: Annotated[
        int, typer.Option(min=1_000, help="Events of the counting fold.")
    ] = 1_000_000,
    people: Annotated[int, typer.Option(min=100, help="People of the counting fold.")] = 100_000,
    real_events: Annotated[int, typer.Option(min=600, help="Events of the real fold.")] = 120_000,
    backlog: Annotated[
        int, typer.Option(min=10_000, help="The largest backlog of the scale.")
    ] = 5_000_000,
    size: Annotated[
        list[int] | None, typer.Option(min=100, help="People of the growth; for each size once.")
    ] = None,
    stretch: Annotated[
        int, typer.Option(min=1_000, help="Events that the growth measures at each size.")
    ] = worlds.STRETCH,
    start_people: Annotated[
        int, typer.Option(min=1_000, help="People of the stops and starts.")
    ] = start.PEOPLE,
    rebalance_people: Annotated[
        int, typer.Option(min=1_000, help="People of the rebalances.")
    ] = rebalance.PEOPLE,
    replica_people: Annotated[
        int, typer.Option(min=1_000, help="People of the replica.")
    ] = replica.PEOPLE,
    sides: Annotated[str, typer.Option(help="Sides, with commas between; all unless told.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the events and of the order.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("docs/benchmarks"),
) -> None:
    """Measure, and write the report into `--out`. Exits with 1 if any output differed."""
    terminal = Terminal()
    wanted = parts or list(Part)
    chosen = [name for name in sides.split(",") if name] or list(SIDES)
    if unknown := set(chosen) - set(SIDES):
        terminal.say(
            f"[red]No side {', '.join(sorted(unknown))};[/red] there are {', '.join(SIDES)}."
        )
        raise typer.Exit(2)
    _check_disk(terminal)
    lock = _hold(terminal)
    out.mkdir(parents=True, exist_ok=True)
    command = machine.kept_command("bench", sys.argv[1:])
    failed = False
    try:
        for part in wanted:
            begun = time.monotonic()
            load, pace = machine.load(), machine.pace()
            match part:
                case Part.COUNTING | Part.REAL:
                    settings = compare.Settings(
                        rounds=rounds,
                        seed=seed,
                        events={"counting": events, "real": real_events},
                        people=people,
                        sides=chosen,
                        directory=DIRECTORY / "data",
                    )
                    found: Any = _compare(part.value, settings, terminal)
                    failed |= any(run.failures for run in found.runs)
                case Part.SCALE:
                    found = scale.measure(DIRECTORY / "data", backlog, seed, terminal)
                    failed |= any(run.failures for run in found)
                case Part.STAGES:
                    found = stages.measure(DIRECTORY / "data", real_events, seed, terminal)
                case Part.GROWTH:
                    found = growth.measure(
                        DIRECTORY / "data", size or growth.SIZES, stretch, rounds, seed, terminal
                    )
                    failed |= any(cost.failures for cost in found.costs)
                case Part.LATENCY:
                    found = latency.measure(DIRECTORY / "latency", rounds, terminal)
                case Part.FLOOD:
                    found = flood.measure(DIRECTORY / "flood", terminal)
                case Part.GARBAGE:
                    found = garbage.measure(DIRECTORY / "garbage", terminal)
                case Part.START:
                    found = start.measure(DIRECTORY / "start", start_people, seed, terminal)
                case Part.REBALANCE:
                    found = rebalance.measure(
                        DIRECTORY / "rebalance", rebalance_people, seed, terminal
                    )
                case Part.LIFETIME:
                    found = lifetime.measure(terminal)
                case Part.SCANS:
                    found = scans.measure(DIRECTORY / "scans", terminal)
                case Part.WATCHERS:
                    found = watchers.measure(DIRECTORY / "watchers", terminal)
                case Part.FRESHNESS:
                    found = freshness.measure(DIRECTORY / "freshness", terminal)
                case Part.LOOP:
                    found = loop.measure(DIRECTORY / "loop", terminal)
                case Part.DISPLAYS:
                    found = displays.measure(DIRECTORY / "displays", terminal)
                case Part.ENTRANCES:
                    found = entrances.measure(DIRECTORY / "entrances", rounds, terminal)
                case Part.REPLICA:
                    found = replica.measure(
                        DIRECTORY / "replica", replica_people, rounds, seed, terminal
                    )
            kept = report.Kept(
                command=command,
                at=datetime.now(UTC),
                seconds=round(time.monotonic() - begun),
                load_before=load,
                machine=machine.described(),
                found=found,
                pace_ms=(pace, machine.pace()),
            )
            path = out / f"{part.value}.json"
            path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
            terminal.say(f"{part.value} took {kept.seconds} s: {path}")
    except StackError as error:
        terminal.console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    terminal.say(f"report: {report.write(out)}")
    lock.close()
    if failed:
        terminal.say(
            "[red]A side left other outputs than it had to, or failed; see the report.[/red]"
        )
        raise typer.Exit(1)


def _compare(fold: str, settings: compare.Settings, terminal: Terminal) -> compare.Comparison:
    runs: list[compare.Run] = []
    with running_broker(settings.directory) as broker:
        backlogs = {}
        for short in (False, True):
            if any(SIDES[name].short is short for name in settings.sides):
                count = settings.events[fold] // (compare.SHORT if short else 1)
                people = settings.people // (compare.SHORT if short else 1)
                with terminal.bar(f"Fill the {fold} topic", count) as tick:
                    backlogs[short] = compare.fill(
                        broker.brokers.servers, fold, count, people, settings.seed, short, tick
                    )
        total = settings.rounds * len(settings.sides)
        with terminal.bar(f"Compare on the {fold} fold", total) as tick:
            for round_ in range(1, settings.rounds + 1):
                for name in compare.order(settings.sides, round_, settings.seed):
                    side = SIDES[name]
                    run = compare.run_once(
                        broker, backlogs[side.short], side, round_, settings.directory
                    )
                    runs.append(run)
                    terminal.say(told(run))
                    tick(1)
    return compare.Comparison(settings.seed, settings.rounds, runs)


def told(run: compare.Run) -> str:
    """Say what a run found, in a line."""
    head = f"{run.fold} {run.round} {run.side}:"
    if run.failures:
        return f"{head} [red]failed[/red], {run.failures[0]}"
    return (
        f"{head} {run.rate:,.0f} events/s ({run.warm_rate:,.0f} in the second half), "
        f"{run.per_core:,.0f} per CPU second; outputs equal"
    )


def _hold(terminal: Terminal) -> TextIO:
    """Hold the folder, so that no second benchmark clears it away."""
    lock = (DIRECTORY / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        terminal.say(f"[red]Another benchmark runs in {DIRECTORY.absolute()}.[/red]")
        raise typer.Exit(1) from None
    return lock


def _check_disk(terminal: Terminal) -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    free_mib = shutil.disk_usage(DIRECTORY).free // 2**20
    if free_mib < FREE_MIB_MIN:
        terminal.say(f"[red]{free_mib} MiB are free[/red] in {DIRECTORY}; it takes {FREE_MIB_MIN}.")
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
