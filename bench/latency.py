"""Latency: `yuekang latency` against the whole stack, on this machine and ports of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from app.development.stack.processes import Process, StackError
from app.operator.latency.report import Report
from bench.scale import Terminal
from bench.sides import OWN_PYTHON
from bench.stack import environment_of

RATE = 5_000
SECONDS = 60
WARM_UP_SECONDS = 20
CHANGING = (10, 100)
"""Per cent of the events not followed that change a code: a day on which everybody is tested, and
the worst."""


class StackProcess(Process):
    """`yuekang up`, without the sample day."""

    ready_seconds_max = 120.0
    stop_seconds_max = 60.0

    def ready(self) -> bool:
        """Say whether everything in it is ready: it says so."""
        return self.exited() is None and "Ready after" in self.log.read_text(errors="replace")


def measure(directory: Path, terminal: Terminal) -> list[Report]:
    """Return the report of `yuekang latency` for each of `CHANGING`, after a run that warms up the
    broker's JVM and counts for nothing; raise `StackError` where nothing was measured."""
    with whole_stack(directory) as environment:
        run(environment, terminal, RATE, CHANGING[0], WARM_UP_SECONDS)
        return [run(environment, terminal, RATE, changing, SECONDS) for changing in CHANGING]


@contextmanager
def whole_stack(directory: Path) -> Iterator[Mapping[str, str]]:
    """Run the whole stack in `directory`, and yield the environment to reach it with."""
    directory = directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    environment = environment_of(directory / "data")
    command = [str(OWN_PYTHON.with_name("yuekang")), "up", "--no-sample"]
    stack = StackProcess("stack", command, directory, environment)
    try:
        with stack.running():
            yield environment
    finally:
        shutil.rmtree(directory / "data", ignore_errors=True)


def run(
    environment: Mapping[str, str], terminal: Terminal, rate: int, changing: int, seconds: int
) -> Report:
    """Return the report of one `yuekang latency`; raise `StackError` where it measured nothing."""
    terminal.say(f"latency at {rate:,} events/s for {seconds} s, {changing}% change a code")
    done = subprocess.run(
        [str(OWN_PYTHON.with_name("yuekang")), "latency", "--rate", str(rate),
         "--seconds", str(seconds), "--changing", str(changing), "--json"],
        env=dict(environment),
        capture_output=True,
        check=False,
    )  # fmt: skip
    sys.stderr.write(done.stderr.decode()[-2_000:])
    if not done.stdout:
        raise StackError(f"yuekang latency measured nothing.\n{done.stderr.decode()}")
    found = msgspec.json.decode(done.stdout, type=Report)
    if found.visible is not None:
        terminal.say(f"p99 {found.visible.p99_ms:g} ms at {found.rate_reached:,} events/s")
    return found
