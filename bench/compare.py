"""Side by side: every side folds the same backlog, in rounds, in another order each round."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from app.stack.processes import Process, said
from app.topology import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES
from bench import counting, outputs, topics, workload
from bench.cpu import cpu_seconds, peak_memory_mib
from bench.records import Record
from bench.observer import Observer, Sample, Stalled
from bench.sides import SIDES, Place, Side

SHORT = 10
"""A side that is `short` gets one of so many events."""

JOIN_SECONDS_MAX = 60.0
RUN_SECONDS_MAX = 900.0

INPUT_SETTINGS = {
    # Arrivals are the workload's, and long ago.
    "message.timestamp.type": "CreateTime",
    "retention.ms": "-1",
}
OUTPUT_SETTINGS = {"retention.ms": "-1", "max.message.bytes": str(4 * 1024 * 1024)}
CHANGELOG_SETTINGS = {"cleanup.policy": "compact", "max.message.bytes": str(1024 * 1024)}

Say = Callable[[str], None]


class Backlog(Struct, frozen=True):
    """A topic that was filled, and what must come of it."""

    fold: str
    topic: str
    records: int
    ends: Mapping[int, int]
    people: int
    expected: Any


class Run(Struct, frozen=True):
    """What one side did in one round. All in seconds; `failures`: why it does not count."""

    fold: str
    round: int
    side: str
    records: int
    startup_seconds: float = 0.0
    seconds: float = 0.0
    warm_seconds: float = 0.0
    """Of the second half of the records."""
    cpu_seconds: float = 0.0
    broker_cpu_seconds: float = 0.0
    memory_mib: float = 0.0
    load_before: float = 0.0
    """The machine's load when it began: what others did meanwhile."""
    failures: Sequence[str] = ()

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.records / self.seconds

    @property
    def warm_rate(self) -> float:
        """Events a second in the second half."""
        return self.records / 2 / self.warm_seconds

    @property
    def per_core(self) -> float:
        """Events a second of CPU time of the side's own processes."""
        return self.records / self.cpu_seconds


class Settings(Struct, frozen=True):
    """What to compare."""

    rounds: int
    seed: int
    events: Mapping[str, int]
    people: Mapping[str, int]
    sides: Sequence[str]
    directory: Path


def fill(
    bootstrap: str, fold: str, events: int, people: int, seed: int, tick: Callable[[int], None]
) -> Backlog:
    """Make and fill the input topic of a fold, and work out what must come of it."""
    if fold == "counting":
        topic = counting.TOPIC
        records: Iterator[Record] = (
            Record(topic, key, value) for key, value in counting.reports(events, people, seed)
        )
    else:
        topic = workload.TOPIC
        people = max(1, events // workload.STEPS)
        records = workload.events(people, seed)
    topics.make(bootstrap, [topic], INPUT_SETTINGS)
    published = topics.publish(bootstrap, records, tick)
    expected = outputs.expected_of(fold, events, people, seed)
    return Backlog(fold, topic, published, topics.ends(bootstrap, topic), people, expected)


def run_once(bootstrap: str, broker_pid: int, backlog: Backlog, side: Side, round_: int,
             directory: Path) -> Run:  # fmt: skip
    """Let one side fold the backlog from nothing; measure it; check what it left."""
    group = f"bench-{backlog.fold}-{side.name}-{round_}"
    place = Place(backlog.fold, bootstrap, group, directory / "state" / group)
    shutil.rmtree(place.directory, ignore_errors=True)
    place.directory.mkdir(parents=True)
    names = _prepare(bootstrap, backlog, side, group)
    found: dict[str, Any] = {
        "fold": backlog.fold,
        "round": round_,
        "side": side.name,
        "records": backlog.records,
        "load_before": float(Path("/proc/loadavg").read_text().split()[0]),
    }
    try:
        with _running(place, side, directory) as processes:
            found |= _watch(bootstrap, broker_pid, backlog, side, group, processes)
        if side.keeps:
            if backlog.fold == "counting":
                differences = outputs.counting_differences(
                    bootstrap, side.name, group, backlog.expected
                )
            else:
                differences = outputs.real_differences(bootstrap, names, backlog.expected)
            found["failures"] = tuple(differences)
    except (Stalled, TimeoutError) as error:
        found["failures"] = (str(error),)
    finally:
        shutil.rmtree(place.directory, ignore_errors=True)
        topics.delete_but(bootstrap, {counting.TOPIC, workload.TOPIC})
    return Run(**found)


def _prepare(bootstrap: str, backlog: Backlog, side: Side, group: str) -> Mapping[str, str]:
    """Make the topics that a side writes to, where it does not make them itself."""
    if side.name.startswith("us"):
        names = {name: name for name in (HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS)}
        topics.make(bootstrap, [f"{group}-changelog"], CHANGELOG_SETTINGS)
    else:
        names = {name: f"{group}-{name}" for name in (HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS)}
    if backlog.fold == "real" and side.keeps:
        topics.make(bootstrap, names.values(), OUTPUT_SETTINGS)
    return names


@contextmanager
def _running(place: Place, side: Side, directory: Path) -> Iterator[Sequence[Process]]:
    processes = [
        Process(f"{place.group}-{number}", side.command(place, number), directory)
        for number in range(side.processes)
    ]
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            process.signal_stop()
        for process in processes:
            process.stop()


def _watch(bootstrap: str, broker_pid: int, backlog: Backlog, side: Side, group: str,
           processes: Sequence[Process]) -> Mapping[str, Any]:  # fmt: skip
    def alive() -> None:
        for process in processes:
            if (code := process.exited()) is not None:
                raise Stalled(f"{process.name} ended with {said(code)}.\n{process.tail()}")

    def cpu() -> float:
        return sum(cpu_seconds(process.pid or 0) for process in processes)

    observer = Observer(bootstrap, group, backlog.topic, backlog.ends, alive)
    begun = time.monotonic()
    observer.wait_stable(side.members, JOIN_SECONDS_MAX)
    startup, cpu_before, broker_before = time.monotonic() - begun, cpu(), cpu_seconds(broker_pid)
    samples = observer.wait_done(RUN_SECONDS_MAX)
    return {
        "startup_seconds": round(startup, 2),
        "seconds": round(samples[-1].seconds, 3),
        "warm_seconds": round(_second_half(samples), 3),
        "cpu_seconds": round(cpu() - cpu_before, 2),
        "broker_cpu_seconds": round(cpu_seconds(broker_pid) - broker_before, 2),
        "memory_mib": round(sum(peak_memory_mib(p.pid or 0) for p in processes)),
    }


def _second_half(samples: Sequence[Sample]) -> float:
    """Return the seconds that the second half of the records took, between samples in line."""
    half = samples[-1].committed / 2
    for before, after in zip(samples, samples[1:], strict=False):
        if after.committed >= half:
            share = (half - before.committed) / (after.committed - before.committed)
            at = before.seconds + share * (after.seconds - before.seconds)
            return samples[-1].seconds - at
    raise AssertionError("the last sample is all of it")


def order(sides: Sequence[str], round_: int, seed: int) -> list[str]:
    """Return the order of the sides in a round: another each round, the same for a seed."""
    shuffled = list(sides)
    Random(f"{seed}/{round_}").shuffle(shuffled)
    return shuffled
