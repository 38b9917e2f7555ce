"""Latency: `yuekang latency` against the whole stack, on this machine and ports of its own."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from app.development.stack.processes import Process, StackError
from app.operator.latency.report import Report
from app.process.scheduling import cpus
from bench.cpu import cpu_of_stack, cpu_seconds_of
from bench.sides import OWN_PYTHON
from bench.spread import Spread
from bench.stack import environment_of
from bench.terminal import Terminal

P99_MS: Mapping[tuple[int, int], float] = {(2_000, 100): 300.0, (5_000, 10): 1_000.0}
"""By events a second, and per cent of those not followed that change a code: within how long 99 of
100 are to be visible. The worst, and a day on which everybody is tested."""

SECONDS = 60
WARM_UP_SECONDS = 20
DEADLINE_SECONDS = 120
"""Longer than a run: where the queue grows until its end, what came last is seen too."""

PROGRESS = re.compile(r"Events: (\d+) of (\d+) ")
"""What the command says on stderr of how far it is: at its first event, now and then, and at its
last."""

COMMAND = "yuekang latency"
WORKER_CPU = "YUEKANG_WORKER_CPU"


class Run(Report, frozen=True, kw_only=True):
    """A report, and of each process how many cores it took while the events left."""

    cores: Mapping[str, float] = {}


class StackProcess(Process):
    """`yuekang up`, without the sample day."""

    ready_seconds_max = 120.0
    stop_seconds_max = 60.0

    def ready(self) -> bool:
        """Say whether everything in it is ready: it says so."""
        return self.exited() is None and "Ready after" in self.log.read_text(errors="replace")


def measure(directory: Path, rounds: int, terminal: Terminal) -> list[Run]:
    """Return what each round found at each rate of `P99_MS`, after a run that warms up the broker's
    JVM and counts for nothing; raise `StackError` where nothing was measured."""
    with whole_stack(directory) as environment:
        run(environment, terminal, *min(P99_MS), WARM_UP_SECONDS)
        return [
            run(environment, terminal, rate, changing, SECONDS)
            for _ in range(rounds)
            for rate, changing in P99_MS
        ]


@contextmanager
def whole_stack(directory: Path) -> Iterator[Mapping[str, str]]:
    """Run the whole stack in `directory`, its worker on one CPU (decision 41), and yield the
    environment to reach it with."""
    directory = directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    environment = {**environment_of(directory / "data"), WORKER_CPU: str(max(cpus()))}
    command = [str(OWN_PYTHON.with_name("yuekang")), "up", "--no-sample"]
    stack = StackProcess("stack", command, directory, environment)
    try:
        with stack.running():
            yield environment
    finally:
        shutil.rmtree(directory / "data", ignore_errors=True)


def run(
    environment: Mapping[str, str], terminal: Terminal, rate: int, changing: int, seconds: int
) -> Run:
    """Return what one `yuekang latency` found; raise `StackError` where it measured nothing."""
    terminal.say(f"latency at {rate:,} events/s for {seconds} s, {changing}% change a code")
    command = subprocess.Popen(
        [str(OWN_PYTHON.with_name("yuekang")), "latency", "--rate", str(rate),
         "--seconds", str(seconds), "--changing", str(changing),
         "--deadline", str(DEADLINE_SECONDS), "--json"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stderr is not None
    directory, said = Path(environment["YUEKANG_DATA_DIR"]), list[str]()
    seen: list[tuple[float, Mapping[str, float]]] = []
    for line in command.stderr:
        said.append(line)
        done = PROGRESS.match(line)
        if done and (not seen or (len(seen) == 1 and done[1] == done[2])):
            # The first event has left, and the last: between them it is what the events cost.
            own = {COMMAND: cpu_seconds_of(command.pid)}
            seen.append((time.monotonic(), {**cpu_of_stack(directory), **own}))
    found = command.stdout.read()
    command.wait()
    if not found or len(seen) < 2:
        raise StackError(f"yuekang latency measured nothing.\n{''.join(said)}")
    (begun, before), (ended, after) = seen
    cores = {
        name: round((used - before.get(name, 0.0)) / (ended - begun), 3)
        for name, used in after.items()
    }
    report = msgspec.json.decode(found, type=Report)
    if report.visible is not None:
        terminal.say(f"p99 {report.visible.p99_ms:g} ms at {report.rate_reached:,} events/s")
    return Run(**msgspec.structs.asdict(report), cores=cores)


def goals(found: Sequence[Run]) -> Iterator[str]:
    """Yield the rows of the report's table of goals."""
    for (rate, changing), rounds in _by_load(found).items():
        seen = [run.visible.p99_ms for run in rounds if run.visible is not None]
        wanted = P99_MS.get((rate, changing))
        if seen and wanted is not None:
            p99, failed = Spread.of(seen), [run for run in rounds if run.failures(None)]
            without = f"; {len(failed)} of {len(rounds)} rounds failed" if failed else ""
            met = "met" if p99.median <= wanted and not failed else "**missed**"
            yield (
                f"| Latency, append to visible over HTTP, p99 at {rate:,} events/s, {changing}% of "
                f"the background change a code | at most {wanted:g} ms | {p99.text(',.0f')} ms"
                f"{without} | {met} |"
            )


MEASURED = {
    "visible": "append to visible",
    "from_schedule": "schedule to visible",
    "resolution": "resolution",
    "sent_late": "sent later than scheduled",
}


def lines(found: Sequence[Run]) -> Iterator[str]:
    """Yield the part of the report."""
    yield from ("", "## Latency", "")
    yield (
        "`yuekang latency` against the whole stack on this machine: Kafka, Redis, worker, "
        "projection, gateway, view, and the publisher; the worker keeps to one CPU. Before, a "
        f"run of {WARM_UP_SECONDS} s counts for nothing. Background events that change no "
        f"code are negative results. The start is the {found[0].clock}."
    )
    for (rate, changing), rounds in _by_load(found).items():
        reached = Spread.of([run.rate_reached for run in rounds]).text(",.0f")
        asked = Spread.of([run.asked / run.seconds for run in rounds]).text(",.0f")
        yield ""
        yield (
            f"{reached} of {rate:,} events/s for {rounds[0].seconds:.0f} s, {changing}% of the "
            f"background change a code; {sum(run.seen for run in rounds):,} of "
            f"{sum(run.followed for run in rounds):,} followed events seen; one that is "
            f"not within {rounds[0].deadline_seconds:g} s counts as that. The view was asked "
            f"{asked} times a second. Rounds: {len(rounds)}, median (least–most)."
        )
        yield from ("", "| ms | p50 | p95 | p99 | max |", "|---|---|---|---|---|")
        for name, what in MEASURED.items():
            each = [getattr(run, name) for run in rounds if getattr(run, name) is not None]
            if each:
                columns = zip(*map(msgspec.structs.astuple, each), strict=True)
                values = " | ".join(Spread.of(column).text(",.0f") for column in columns)
                yield f"| {what} | {values} |"
        yield from _cores(rounds)


def _cores(rounds: Sequence[Run]) -> Iterator[str]:
    """Yield how many cores each process took while the events left, the most first."""
    names = {name for run in rounds for name in run.cores}
    if not names:
        return
    cores = {name: Spread.of([run.cores.get(name, 0.0) for run in rounds]) for name in names}
    yield from ("", "| Process | Cores |", "|---|---|")
    for name, of in sorted(cores.items(), key=lambda each: -each[1].median):
        yield f"| {name} | {of.text('.2f')} |"
    yield f"| **all** | {Spread.of([sum(run.cores.values()) for run in rounds]).text('.2f')} |"


def _by_load(found: Sequence[Run]) -> dict[tuple[int, int], list[Run]]:
    """Return the rounds by events a second, and per cent that change a code."""
    loads: dict[tuple[int, int], list[Run]] = {}
    for run in found:
        loads.setdefault((run.rate_asked, run.changing_percent), []).append(run)
    return loads
