"""Garbage on one partition, and what it costs the others.

150 records that no key has made lie at the beginning of one of the input partitions, and become
dead letters. A worker folds a backlog in the others, from nothing, with that and without: in pairs,
in turns, on topics of each run's own.
"""

import asyncio
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import httpx
from msgspec import Struct

from app.development.stack.broker import Broker
from app.development.stack.processes import HttpProcess
from app.topics.admin import create_topics
from app.topics.catalogue import Catalogue, partition_of
from bench import machine, start, topics
from bench.broker import running_broker
from bench.cpu import cpu_seconds
from bench.records import Record
from bench.sides import OWN_PYTHON
from bench.stack import applied, environment_with
from bench.terminal import Terminal

ROUNDS = 9
"""One round differs from the next by more than what is looked for."""
PEOPLE = 60_000
"""Of two events each."""
GARBAGE = 150
TOPIC = "contact-listings"
"""Nothing else lies there, so both runs fold the same."""
COST_MAX = 0.05
"""How much of their throughput the others may lose."""

SECONDS_MAX = 600.0
POLL_SECONDS = 0.02


class Run(Struct, frozen=True):
    """A worker on a backlog: `records` of other partitions, from the first that it applied to the
    last."""

    round: int
    garbage: int
    records: int
    seconds: float
    cpu_seconds: float
    load_before: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """CPU time of the worker for a record."""
        return self.cpu_seconds / self.records * 1e6


def measure(directory: Path, terminal: Terminal) -> list[Run]:
    """Measure each round without and with garbage; raise `RuntimeError` where the partition did not
    stand still, or something else did."""
    found = []
    with running_broker(directory) as broker:
        _run(
            broker, directory, 0, GARBAGE, terminal
        )  # warms up the broker's JVM, and does not count
        for number in range(1, ROUNDS + 1):
            order = (0, GARBAGE) if number % 2 else (GARBAGE, 0)
            for garbage in order:
                run = _run(broker, directory, number, garbage, terminal)
                terminal.say(
                    f"round {number}, {garbage} records of garbage: {run.rate:,.0f} records/s, "
                    f"{run.cpu_microseconds:.1f} µs of CPU a record"
                )
                found.append(run)
    return found


def _run(broker: Broker, directory: Path, number: int, garbage: int, terminal: Terminal) -> Run:
    prefix = f"garbage-{number}-{garbage}-"
    catalogue = Catalogue.load(prefix=prefix)
    asyncio.run(create_topics(broker.brokers, catalogue))
    partition = catalogue.partitions - 1
    if garbage:
        topics.publish(broker.brokers, _garbage(prefix, partition), lambda _: None)
    events = (r._replace(topic=prefix + r.topic) for r in start.events(PEOPLE))
    with terminal.bar("Fill the topics", PEOPLE * start.EVENTS_EACH) as tick:
        records = topics.publish(broker.brokers, events, tick)

    data = directory / "worker"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    environment = {
        **environment_with(broker.brokers.servers, data),
        "YUEKANG_TOPIC_PREFIX": prefix,
    }
    port = int(environment["YUEKANG_WORKER_STATUS_PORT"])
    command = [str(OWN_PYTHON.with_name("yuekang")), "worker"]
    worker = HttpProcess("worker", command, data, environment, f"http://127.0.0.1:{port}")
    load = machine.load()
    worker.start()
    try:
        first, began, cpu_before = _wait(worker, port, 1)
        last, ended, cpu_after = _wait(worker, port, records + garbage)
    finally:
        worker.stop()
        shutil.rmtree(data, ignore_errors=True)
        topics.delete_but(broker.brokers.servers, ())
    return Run(
        number,
        garbage,
        last - first,
        round(ended - began, 3),
        round(cpu_after - cpu_before, 2),
        load,
    )


def _garbage(prefix: str, partition: int) -> Iterator[Record]:
    """Yield records without a MAC, with the key of one person of the partition."""
    keys = (start.person(number).encode() for number in range(PEOPLE))
    key = next(key for key in keys if partition_of(key, partition + 1) == partition)
    for _ in range(GARBAGE):
        yield Record(prefix + TOPIC, key, secrets.token_bytes(40))


def _wait(worker: HttpProcess, port: int, records: int) -> tuple[int, float, float]:
    """Wait until so many records are applied; return how many are, when, and the CPU time."""
    until = time.monotonic() + SECONDS_MAX
    while True:
        if worker.exited() is not None:
            raise RuntimeError(f"The worker ended.\n{worker.tail()}")
        try:
            found = applied(port)
        except httpx.TransportError:
            found = 0
        if found >= records:
            return found, time.monotonic(), cpu_seconds(worker.pid or 0)
        if time.monotonic() > until:
            raise TimeoutError(f"the worker applied {found:,} of {records:,} records in time")
        time.sleep(POLL_SECONDS)


def lost(found: Sequence[Run]) -> list[float]:
    """Return the share of throughput that the others lost, of each round."""
    rates = {(run.round, bool(run.garbage)): run.rate for run in found}
    rounds = sorted({run.round for run in found})
    return [1 - rates[number, True] / rates[number, False] for number in rounds]


def lines(found: Sequence[Run]) -> Iterator[str]:
    """Yield the section of the report."""
    yield from ("", "## Garbage on one partition", "")
    yield (
        f"A worker folds {PEOPLE * start.EVENTS_EACH:,} events, with and without {GARBAGE} records "
        f"that no key has made on one partition of another topic "
        f"(`bench/garbage.py`); {len(lost(found))} rounds, in turns. Median (least–most)."
    )
    yield from ("", "| | Records/s | CPU for a record, µs |", "|---|---|---|")
    for what, runs in (
        ("without", [run for run in found if not run.garbage]),
        ("with garbage", [run for run in found if run.garbage]),
    ):
        rates = [run.rate for run in runs]
        costs = [run.cpu_microseconds for run in runs]
        yield (
            f"| {what} | {median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f}) "
            f"| {median(costs):.1f} ({min(costs):.1f}–{max(costs):.1f}) |"
        )
    shares = lost(found)
    verdict = "met" if median(shares) < COST_MAX else "**missed**"
    yield ""
    yield (
        f"Within a round the others lose {median(shares):.1%} of their throughput in the median "
        f"({min(shares):.1%} to {max(shares):.1%}; below zero they were faster beside the "
        f"garbage); less than {COST_MAX:.0%} is the promise: {verdict}."
    )
