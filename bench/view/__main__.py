"""`make bench-view`: measure the parts that are asked for, keep what they found, write the page."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from app.development.stack.broker import ROOT
from app.development.stack.processes import StackError
from bench import machine
from bench.sides import OWN_PYTHON, kafka_version
from bench.view import closed, people, phones, profile, report, rounds, scenes, stage

DIRECTORY = Path(".run/bench/view")
DISPLAY = "/v1/me/display"
DISPLAY_BEFORE = "/v1/me/code"
BEFORE = "43ea929"
"""The last commit before the hot path."""


class Part(StrEnum):
    """What can be measured. `before` is `rounds` and `profile` of an older commit; `changes`, what
    changes cost alone, is in `rounds` too, and by itself only said."""

    ROUNDS = "rounds"
    PROFILE = "profile"
    SCENES = "scenes"
    PHONES = "phones"
    BEFORE = "before"
    CHANGES = "changes"


console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line, with when it is."""
    console.print(f"[dim]{datetime.now(UTC):%H:%M:%S}[/dim] {text}")


def main(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="What to measure; all but `changes` unless told.")
    ] = None,
    rounds_: Annotated[int, typer.Option("--rounds", min=1, help="Rounds.")] = 5,
    people_: Annotated[
        int, typer.Option("--people", min=1_000, help="People with codes.")
    ] = people.PEOPLE,
    changes: Annotated[
        int, typer.Option(min=1, help="Changes of codes a second meanwhile.")
    ] = stage.CHANGES_A_SECOND,
    display: Annotated[
        str, typer.Option(help="The address at which a phone asks for its display.")
    ] = DISPLAY,
    played: Annotated[
        str, typer.Option("--scenes", help="Scenes, with commas between; all unless told.")
    ] = ",".join(scenes.SCENES),
    phones_: Annotated[
        int, typer.Option("--phones", min=1, help="Phones that are simulated.")
    ] = phones.PHONES,
    before: Annotated[str, typer.Option(help="The commit that `before` measures.")] = BEFORE,
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("docs/benchmarks"),
    commit: Annotated[str, typer.Option(hidden=True)] = "",
    suffix: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure, and write view.json, view.md and its plots into `--out`."""
    wanted = parts or [part for part in Part if part is not Part.CHANGES]
    if (why := closed.missing()) is not None:
        say(f"[red]{why}[/red]")
        raise typer.Exit(1)
    names = [name for name in played.split(",") if name]
    if unknown := set(names) - scenes.SCENES.keys():
        say(f"[red]No scene {', '.join(unknown)};[/red] there are {', '.join(scenes.SCENES)}.")
        raise typer.Exit(2)
    lock = _hold()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that all that was started ends
    out.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(out, commit or machine.commit(), suffix)
    try:
        if staged := [part for part in wanted if part not in (Part.BEFORE, Part.PHONES)]:
            with keeper.timed() as begun, stage.running(DIRECTORY / "stack", people_, say) as on:
                on.begin_changes(changes)
                time.sleep(machine.BROKER_WARM_SECONDS)
                for part in staged:
                    match part:
                        case Part.CHANGES:
                            rounds.measure_changes(on, rounds_, say)
                        case Part.ROUNDS:
                            found: Any = rounds.measure(on, display, rounds_, changes, say)
                            keeper.keep(begun, "before" if suffix else "rounds", found)
                        case Part.PROFILE:
                            cookies = on.folder / "cookies.txt"
                            people.write_cookies(on.settings, cookies, people_, timedelta(0))
                            found = profile.measure(on, display, cookies, say)
                            keeper.keep(begun, f"profile{suffix}", found)
                        case Part.SCENES:
                            found = []
                            for scene in scenes.Scenes(on, display, say).play(names):
                                found.append(scene)
                                keeper.keep(begun, "scenes", found)
        if Part.BEFORE in wanted:
            _measure_before(before, rounds_, people_, changes, out)
        if Part.PHONES in wanted:
            with keeper.timed() as begun:
                keeper.keep(begun, "phones", phones.measure(DIRECTORY / "phones", phones_, say))
    except StackError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    if not suffix:
        say(f"report: {report.write(out)}")
    lock.close()


def _hold() -> TextIO:
    """Hold the folder, so that no second measurement clears it away."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    lock = (DIRECTORY / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"[red]Another measurement of the view runs in {DIRECTORY.resolve()}.[/red]")
        raise typer.Exit(1) from None
    return lock


class _Keeper:
    """Keeps what parts found, with what it ran on."""

    def __init__(self, out: Path, commit: str, suffix: str) -> None:
        self._out = out
        self._commit = commit
        self._machine = _machine()
        self._command = machine.kept_command("bench.view", sys.argv[1:])

    @contextmanager
    def timed(self) -> Iterator[tuple[float, float, float]]:
        """Yield when it began, and the load and the pace of the machine just before."""
        yield time.monotonic(), machine.load(), machine.pace()

    def keep(self, begun: tuple[float, float, float], part: str, found: Any) -> None:
        """Keep what a part found."""
        since, load, pace = begun
        kept = report.Kept(
            command=self._command,
            commit=self._commit,
            at=datetime.now(UTC),
            seconds=round(time.monotonic() - since),
            load_before=load,
            machine=self._machine,
            found=found,
            pace_ms=(pace, machine.pace()),
        )
        report.keep(self._out, part, kept)
        say(f"{part}: kept in {self._out / 'view.json'}")


def _measure_before(commit: str, rounds_: int, count: int, changes: int, out: Path) -> None:
    """Measure an older commit with this command, in a tree of its own; raise `StackError`."""
    tree = (DIRECTORY / "before").absolute()
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    say(f"the tree of {commit}")
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise StackError(f"There is no commit {commit} here: {archive.stderr.decode()}")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    for what in ("view", "spread.py", "stacks.py", "machine.py", "plots.py"):
        _copy(ROOT / "bench" / what, tree / "bench" / what)
    (tree / ".venv").symlink_to(ROOT / ".venv")
    (tree / ".run" / "bench").mkdir(parents=True)
    for link in ("kafka", "bench/venv"):
        (tree / ".run" / link).symlink_to((ROOT / ".run" / link).resolve())
    arguments = ["rounds", "profile", "--rounds", str(rounds_), "--people", str(count),
                 "--changes", str(changes), "--display", DISPLAY_BEFORE, "--commit", commit,
                 "--suffix", "-before", "--out", str(out.absolute())]  # fmt: skip
    done = subprocess.run(
        [str(OWN_PYTHON), "-m", "bench.view", *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        check=False,
    )
    shutil.rmtree(tree, ignore_errors=True)
    if done.returncode:
        raise StackError(f"{commit} was not measured.")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def _machine() -> dict[str, str]:
    return {
        **machine.hardware(),
        "Granian": version("granian"),
        "Kafka": kafka_version(),
        "wrk": machine.said("wrk", "-v").split(" ", 2)[1],
        "Redis": machine.said("redis-server", "--version").split()[2].removeprefix("v="),
    }


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
