"""Rebalances under load: how long the changelog of a partition stands still, seen from outside.

Workers hold the people of a table. While events about them come in, each worker is ended by SIGTERM
and started again, one after the other; then the one that holds most is killed and does not come
back. A reader of the changelog takes down when something was committed to which partition. The
longest time without a commit that touches an act is the pause of that partition in that act.

A partition stayed in an act if one process alone was seen to hold it from its beginning to its end.
"""

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import httpx
import msgspec
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from msgspec import Struct

from app.development.stack.broker import Broker
from app.development.stack.processes import HttpProcess, StackError, said
from app.engine.halts import PARTITIONS_PATH, HeldPartition
from app.process.settings import Settings
from app.topics.admin import create_topics
from app.topics.catalogue import CATALOGUE, changelog_of
from bench import plots, start, topics
from bench.broker import running_broker
from bench.pauses import Pause, Seen
from bench.records import PARTITIONS, Record, headers_of
from bench.sides import OWN_PYTHON, stop_all
from bench.stack import applied, environment_with, record_of
from bench.terminal import Terminal
from models.events import NatResultData, NatResultReported, Result

PEOPLE = 1_000_000
WORKERS = 3
RATE = 2_000
"""Events a second, all results of tests, each about another of the people."""

CALM, CALM_SECONDS = "nothing happens", 10.0
"""The first act."""
AFTER_SECONDS = 5.0
"""How long an act goes on when every partition is held again."""

STAY_SECONDS = 0.5
MOVE_SECONDS = 5.0
"""How long a partition may stand still: one that stays, one that moves. After a kill it may be the
time-out of the session longer."""

SESSION_SECONDS = Settings().worker_session_seconds
TABLE = "people"
SECONDS_MAX = 1_800.0
BACK_SECONDS_MAX = 120.0
FLUSH_SECONDS_MAX = 10.0
POLL_SECONDS = 0.1
TICK_SECONDS = 0.01
"""How often events are sent, and how exactly commits are seen."""


class Act(Struct, frozen=True):
    """What was done, how long it was watched, and the pause of each partition."""

    name: str
    seconds: float
    pauses: list[Pause]
    killed: bool = False

    @property
    def move_seconds_max(self) -> float:
        """How long a partition that moves may stand still."""
        return MOVE_SECONDS + (SESSION_SECONDS if self.killed else 0.0)


class Found(Struct, frozen=True):
    """All acts, and the events that were sent meanwhile."""

    people: int
    workers: int
    rate: float
    acts: list[Act]


def measure(directory: Path, people: int, seed: int, terminal: Terminal) -> Found:
    """Measure all acts; raise `StackError`, `RuntimeError` or `TimeoutError` where a worker ends or
    does not get ready."""
    directory = directory.absolute()
    with running_broker(directory) as broker:
        asyncio.run(create_topics(broker.brokers, CATALOGUE))
        with terminal.bar("Fill the topics", people * start.EVENTS_EACH) as tick:
            backlog = topics.publish(broker.brokers, start.events(people), tick)
        workers = [Worker(broker, directory / f"worker-{n}") for n in range(1, WORKERS + 1)]
        try:
            for worker in workers:
                worker.start()
            with terminal.bar("Fold the backlog", backlog) as tick:
                _wait_applied(workers, backlog, tick)
            for worker in workers:
                worker.wait_ready()
            return _measure(broker, workers, people, seed, terminal)
        finally:
            stop_all(workers)
            for worker in workers:
                shutil.rmtree(worker.directory, ignore_errors=True)


def _measure(
    broker: Broker, workers: Sequence["Worker"], people: int, seed: int, terminal: Terminal
) -> Found:
    seen, over = Seen(PARTITIONS), threading.Event()
    with ThreadPoolExecutor() as pool:
        flow = pool.submit(_flow, broker.brokers.servers, people, seed, over)
        watches = [
            pool.submit(_watch_commits, broker.brokers.servers, seen, over),
            pool.submit(_watch_holders, workers, seen, over),
        ]
        try:
            acts = list(_acts(workers, seen, terminal))
        finally:
            over.set()
        for watch in watches:
            watch.result()
        return Found(people, len(workers), round(flow.result()), acts)


def goals(found: Found) -> Iterator[str]:
    """Yield the rows of the report's table of goals."""
    for what, wanted, killed, stayed in (
        ("A partition that stays, in a rolling restart", STAY_SECONDS, False, True),
        ("A partition that moves, or whose worker restarts", MOVE_SECONDS, False, False),
        ("A partition that stays, after a kill -9", STAY_SECONDS, True, True),
        ("A partition of the worker killed", MOVE_SECONDS + SESSION_SECONDS, True, False),
    ):
        pauses = [
            pause.seconds
            for act in found.acts
            for pause in act.pauses
            if act.name != CALM and act.killed is killed and pause.stayed is stayed
        ]
        if pauses:
            met = "met" if max(pauses) <= wanted else "**missed**"
            yield (
                f"| {what}: longest time without a commit, {found.people:,} people, "
                f"{found.rate:,.0f} events/s | at most {wanted:g} s | {max(pauses):.2f} s | {met} |"
            )


def lines(found: Found, out: Path) -> Iterator[str]:
    """Yield the section of the report; draw the plot into `out`."""
    yield from ("", "## Rebalances: how long a partition stands still", "")
    yield (
        f"{found.workers} workers, {found.people:,} people, {found.rate:,.0f} events/s. Each "
        "worker is ended by SIGTERM and started again, one after the other; then the one that "
        "holds most is killed and does not come back. Shown is the longest time without a commit "
        "to a partition of the changelog, as a reader of it sees it. Goals: "
        f"{STAY_SECONDS * 1000:g} ms where it stays, "
        f"{MOVE_SECONDS:g} s where it moves or its worker restarts, after the kill the time-out of "
        f"the session ({SESSION_SECONDS:g} s) more."
    )
    yield from ("", "![longest time without a commit](rebalance.svg)", "")
    yield "| | Partition | | Longest time without a commit, ms | |"
    yield "|---|---|---|---|---|"
    rows = list[tuple[str, float]]()
    for act in found.acts:
        for pause in act.pauses:
            wanted = STAY_SECONDS if pause.stayed else act.move_seconds_max
            what = "stays" if pause.stayed else "moves"
            met = "met" if pause.seconds <= wanted else "**missed**"
            yield (
                f"| {act.name} | {pause.partition} | {what} | {pause.seconds * 1000:,.0f} | {met} |"
            )
            rows.append((f"{act.name}: {pause.partition} {what}", pause.seconds * 1000))
    plot = plots.bars("longest time without a commit, ms", rows, ",.0f")
    (out / "rebalance.svg").write_text(plot)


def _acts(workers: Sequence["Worker"], seen: Seen, terminal: Terminal) -> Iterator[Act]:
    def act(name: str, step: Callable[[], None], *, killed: bool = False) -> Act:
        begun = time.monotonic()
        step()
        ended = time.monotonic()
        found = Act(name, round(ended - begun, 1), seen.pauses(begun, ended), killed)
        for pause in found.pauses:
            what = "stays" if pause.stayed else "moves"
            terminal.say(f"{name}: {pause.partition} {what}, {pause.seconds * 1000:,.0f} ms")
        return found

    time.sleep(CALM_SECONDS)
    yield act(CALM, partial(time.sleep, CALM_SECONDS))
    for number, worker in enumerate(workers, 1):
        yield act(f"restart of worker {number}", partial(_restart, worker, workers))
    worker = max(workers, key=lambda worker: len(worker.held()))
    others = [other for other in workers if other is not worker]
    yield act(f"kill -9 of {worker.name}", partial(_kill, worker, others), killed=True)


def _restart(worker: "Worker", workers: Sequence["Worker"]) -> None:
    worker.stop()
    if code := worker.exited():
        raise StackError(f"{worker.name} ended with {said(code)}.\n{worker.tail()}")
    worker.start()
    _wait_held(workers, worker.answers)
    time.sleep(AFTER_SECONDS)


def _kill(worker: "Worker", others: Sequence["Worker"]) -> None:
    os.kill(worker.pid or 0, signal.SIGKILL)
    _wait_held(others, lambda: True)
    time.sleep(AFTER_SECONDS)


def _wait_held(workers: Sequence["Worker"], ready: Callable[[], bool]) -> None:
    """Return once the workers together hold every partition."""
    until = time.monotonic() + BACK_SECONDS_MAX
    while not ready() or len({n for worker in workers for n in worker.held()}) < PARTITIONS:
        if time.monotonic() > until:
            logs = "\n".join(worker.tail() for worker in workers)
            raise TimeoutError(f"not every partition was held again in time\n{logs}")
        time.sleep(POLL_SECONDS)


class Worker(HttpProcess):
    """`yuekang worker` with a folder of its own."""

    ready_seconds_max = SECONDS_MAX

    def __init__(self, broker: Broker, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        environment = environment_with(broker.brokers.servers, directory)
        self.status_port = int(environment["YUEKANG_WORKER_STATUS_PORT"])
        self._url = f"http://127.0.0.1:{self.status_port}"
        # One client for all questions: making one takes 23 ms of the cores that are measured.
        self._http = httpx.Client(timeout=2.0, trust_env=False)
        command = [str(OWN_PYTHON.with_name("yuekang")), "worker"]
        super().__init__(directory.name, command, directory, environment, self._url)

    def answers(self) -> bool:
        """Say whether it runs: one that is given no partition is never ready."""
        return self.ready() or "No partition" in self.answer

    def held(self) -> list[int]:
        """Return the partitions that it can commit to; none while it does not answer."""
        try:
            answer = self._http.get(self._url + PARTITIONS_PATH)
        except httpx.TransportError:
            return []
        found = msgspec.json.decode(answer.content, type=list[HeldPartition])
        return [p.partition for p in found if p.table == TABLE and p.state == "live"]


def _flow(bootstrap: str, people: int, seed: int, over: threading.Event) -> float:
    """Send events at `RATE` until it is over; return how many a second they were."""
    producer = Producer(
        {
            **topics.client(bootstrap),
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 5,
        }
    )
    random, begun, sent = Random(seed), time.monotonic(), 0
    while not over.is_set():
        due = int((time.monotonic() - begun) * RATE)
        for sent in range(sent + 1, due + 1):  # noqa: B020
            record = _negative(start.person(random.randrange(people)), sent)
            producer.produce(record.topic, record.value, record.key, headers=headers_of(record))
        producer.poll(TICK_SECONDS)
    seconds = time.monotonic() - begun
    if left := producer.flush(FLUSH_SECONDS_MAX):
        raise RuntimeError(f"{left} events were not taken by the broker")
    return sent / seconds


def _negative(person: str, number: int) -> Record:
    now = datetime.now(UTC)
    return record_of(
        NatResultReported(
            specversion="1.0",
            id=f"flow-{number}",
            source="/laboratories/440100-001",
            time=now,
            partitionkey=person,
            sequence=str(PEOPLE + number),
            data=NatResultData(now - timedelta(hours=6), now, Result.NEGATIVE, "广州市某医院"),
        )
    )


def _watch_commits(bootstrap: str, seen: Seen, over: threading.Event) -> None:
    """Take down when something was committed to each partition of the changelog."""
    consumer = Consumer(
        {
            **topics.client(bootstrap),
            "group.id": "watch",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    changelog = changelog_of(TABLE)
    consumer.assign([TopicPartition(changelog, n, OFFSET_END) for n in range(PARTITIONS)])
    while not over.is_set():
        messages = consumer.consume(10_000, timeout=TICK_SECONDS)
        now = time.monotonic()
        for partition in {message.partition() for message in messages if not message.error()}:
            seen.commits[partition].append(now)
    consumer.close()


def _watch_holders(workers: Sequence[Worker], seen: Seen, over: threading.Event) -> None:
    """Take down which process holds what."""
    while not over.wait(POLL_SECONDS):
        for worker in workers:
            pid, held = worker.pid or 0, worker.held()
            now = time.monotonic()
            seen.holders += ((now, partition, pid) for partition in held)


def _wait_applied(workers: Sequence[Worker], backlog: int, tick: Callable[[int], None]) -> None:
    """Return once the workers together have applied so many records."""
    found, until = 0, time.monotonic() + SECONDS_MAX
    while found < backlog:
        if time.monotonic() > until:
            raise TimeoutError(f"the workers applied {found:,} of {backlog:,} events in time")
        for worker in workers:
            if (code := worker.exited()) is not None:
                raise StackError(f"{worker.name} ended with {said(code)}.\n{worker.tail()}")
        time.sleep(POLL_SECONDS)
        before = found
        with suppress(httpx.TransportError):
            found = sum(applied(worker.status_port) for worker in workers)
        tick(found - before)
