"""Side by side: every side folds the same backlog, in rounds, in another order each round."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from app.development.stack.broker import Broker
from app.development.stack.processes import Process, said
from app.process.kafka import Brokers
from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES
from bench import counting, machine, outputs, topics, workload
from bench.cpu import cpu_seconds, peak_memory_mib
from bench.observer import Observer, Sample, Stalled
from bench.records import Record
from bench.sides import Place, Side, stop_all

SHORT = 10
"""A side that is `short` gets one of so many events."""

INPUTS = {f"{name}{end}" for name in (counting.TOPIC, workload.TOPIC) for end in ("", "-short")}

JOIN_SECONDS_MAX = 120.0
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
    beside: Sequence[str] = ()
    """Further topics, which a side folds into the same table."""
    warm: str = ""
    """A topic for a side that has to be warmed first."""


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
    warm_cpu_seconds: float = 0.0
    broker_cpu_seconds: float = 0.0
    memory_mib: float = 0.0
    load_before: float = 0.0
    """CPUs that were busy just before it began: what others do."""
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

    @property
    def warm_per_core(self) -> float:
        """Events a second of CPU time in the second half."""
        return self.records / 2 / self.warm_cpu_seconds


class Settings(Struct, frozen=True):
    """What to compare."""

    rounds: int
    seed: int
    events: Mapping[str, int]
    people: int
    sides: Sequence[str]
    directory: Path


class Comparison(Struct, frozen=True):
    """What was found."""

    seed: int
    rounds: int
    runs: Sequence[Run]


def fill(
    bootstrap: str,
    fold: str,
    events: int,
    people: int,
    seed: int,
    short: bool,
    tick: Callable[[int], None],
) -> Backlog:
    """Make and fill the input topic of a fold, and work out what must come of it."""
    name = counting.TOPIC if fold == "counting" else workload.TOPIC
    topic = f"{name}-short" if short else name
    if fold == "counting":
        records: Iterator[Record] = (
            Record(topic, key, value) for key, value in counting.reports(events, people, seed)
        )
    else:
        people = max(1, events // workload.STEPS)
        records = (r._replace(topic=topic) for r in workload.events(people, seed))
    topics.make(bootstrap, [topic], INPUT_SETTINGS)
    published = topics.publish(Brokers(bootstrap), records, tick)
    expected = outputs.expected_of(fold, events, people, seed)
    return Backlog(fold, topic, published, topics.ends(bootstrap, topic), people, expected)


def run_once(broker: Broker, backlog: Backlog, side: Side, round_: int, directory: Path) -> Run:
    """Let one side fold the backlog from nothing; measure it; check what it left."""
    group = group_of(backlog, side, round_)
    found: dict[str, Any] = {
        "fold": backlog.fold,
        "round": round_,
        "side": side.name,
        "records": backlog.records,
        "load_before": machine.load(),
    }
    try:
        with started(broker, backlog, side, directory, round_) as (observer, processes):
            found |= _watch(broker, side, observer, processes)
        if side.keeps:
            found["failures"] = _differences(broker.brokers.servers, backlog, side, group)
    except (Stalled, TimeoutError) as error:
        found["failures"] = (str(error),)
    finally:
        topics.delete_but(broker.brokers.servers, INPUTS)
    return Run(**found)


def _differences(bootstrap: str, backlog: Backlog, side: Side, group: str) -> tuple[str, ...]:
    if backlog.fold == "counting":
        return tuple(
            outputs.counting_differences(
                bootstrap, side.name, group, backlog.topic, backlog.expected
            )
        )
    return tuple(outputs.real_differences(bootstrap, told_topics(side, group), backlog.expected))


@contextmanager
def started(
    broker: Broker, backlog: Backlog, side: Side, directory: Path, round_: int = 0
) -> Iterator[tuple[Observer, Sequence[Process]]]:
    """Start a side's processes on a backlog, from nothing; end them, and remove their state."""
    group = group_of(backlog, side, round_)
    place = Place(
        backlog.fold,
        ",".join([backlog.topic, *backlog.beside]),
        broker.brokers.servers,
        group,
        directory / "state" / group,
        backlog.warm,
    )
    shutil.rmtree(place.directory, ignore_errors=True)
    place.directory.mkdir(parents=True)
    _make_topics(broker.brokers.servers, backlog, side, group)
    processes = [
        Process(f"{group}-{number}", side.command(place, number), directory)
        for number in range(side.processes)
    ]

    def alive() -> None:
        for process in processes:
            if (code := process.exited()) is not None:
                raise Stalled(f"{process.name} ended with {said(code)}.\n{process.tail()}")

    try:
        for process in processes:
            process.start()
        yield Observer(broker.brokers.servers, group, backlog.topic, backlog.ends, alive), processes
    finally:
        stop_all(processes)
        shutil.rmtree(place.directory, ignore_errors=True)


def group_of(backlog: Backlog, side: Side, round_: int) -> str:
    """Return the group of a run, which also begins its topics' names."""
    return f"bench-{backlog.fold}-{side.name}-{round_}"


def told_topics(side: Side, group: str) -> Mapping[str, str]:
    """Return the topics that a side tells, by what they hold; ours have the catalogue's names."""
    prefix = "" if side.name.startswith("us") else f"{group}-"
    return {name: f"{prefix}{name}" for name in (HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS)}


def _make_topics(bootstrap: str, backlog: Backlog, side: Side, group: str) -> None:
    """Make the topics that a side writes to, where it does not make them itself."""
    if side.name.startswith("us"):
        topics.make(bootstrap, [f"{group}-changelog"], CHANGELOG_SETTINGS)
    if backlog.fold == "real" and side.keeps:
        topics.make(bootstrap, told_topics(side, group).values(), OUTPUT_SETTINGS)


def _watch(
    broker: Broker, side: Side, observer: Observer, processes: Sequence[Process]
) -> Mapping[str, Any]:
    def cpu() -> float:
        return sum(cpu_seconds(process.pid or 0) for process in processes)

    begun = time.monotonic()
    observer.wait_stable(side.members, JOIN_SECONDS_MAX)
    startup, broker_before = time.monotonic() - begun, cpu_seconds(broker.pid or 0)
    samples = observer.wait_done(RUN_SECONDS_MAX, cpu)
    half = _half(samples)
    return {
        "startup_seconds": round(startup, 2),
        "seconds": round(samples[-1].seconds, 3),
        "warm_seconds": round(samples[-1].seconds - half.seconds, 3),
        "cpu_seconds": round(samples[-1].cpu_seconds, 2),
        "warm_cpu_seconds": round(samples[-1].cpu_seconds - half.cpu_seconds, 2),
        "broker_cpu_seconds": round(cpu_seconds(broker.pid or 0) - broker_before, 2),
        "memory_mib": round(sum(peak_memory_mib(p.pid or 0) for p in processes)),
    }


def _half(samples: Sequence[Sample]) -> Sample:
    """Return the sample at half of the records, on the line between those beside it."""
    half = samples[-1].committed / 2
    for before, after in pairwise(samples):
        if after.committed >= half:
            share = (half - before.committed) / (after.committed - before.committed)
            return Sample(
                before.seconds + share * (after.seconds - before.seconds),
                round(half),
                before.cpu_seconds + share * (after.cpu_seconds - before.cpu_seconds),
            )
    raise AssertionError("the last sample is all of it")


def order(sides: Sequence[str], round_: int, seed: int) -> list[str]:
    """Return the order of the sides in a round: another each round, the same for a seed."""
    shuffled = list(sides)
    Random(f"{seed}/{round_}").shuffle(shuffled)
    return shuffled
