"""How long the worker's event loop is held, asked from outside while it has its worst to do.

Whoever asks for /livez is answered from that loop. So the longest answer is the longest time in
which no heartbeat goes out, nothing says how fresh the data are, and no other partition goes on.
"""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from itertools import count, islice
from pathlib import Path

import httpx
from confluent_kafka import Producer
from msgspec import Struct

from app.development.stack.processes import HttpProcess, StackError
from app.engine.store import DUE
from app.operator.latency.report import Percentiles, percentiles
from app.process.kafka import Brokers
from app.process.macs import FOLLOWS
from app.topics.admin import create_topics
from app.topics.authentic import OURS
from app.topics.catalogue import CATALOGUE, changelog_of, partition_of
from bench import lifetime, start, topics
from bench.broker import running_broker
from bench.records import KEYS, PARTITIONS, Record
from bench.sides import OWN_PYTHON
from bench.stack import applied, environment_with, record_of
from bench.terminal import Terminal
from models.rows import page_key

FULL = 1_000
"""People of one partition with rows as large as they get, and then a result about each at once."""
FACTS = "contacts 1 : 3 negatives"
"""What fills such a row: it grows largest of what bench.lifetime tries."""
OF_ONE_PERSON = 50_000
PEOPLE = 250_000
"""Of two events each: a backlog, and then a changelog."""

HELD_SECONDS = 0.2
"""How long the loop may be held."""

ASK_SECONDS = 0.005
SECONDS_MAX = 600.0
POLL_SECONDS = 0.2


class Scene(Struct, frozen=True):
    """What the worker had to do, for how long, and how long answers took meanwhile."""

    what: str
    seconds: float
    answers: int
    took: Percentiles


class Found(Struct, frozen=True):
    """All scenes, and the bytes of a full row."""

    row_bytes: int
    scenes: list[Scene]


def measure(directory: Path, terminal: Terminal) -> Found:
    """Measure all scenes on a broker of their own; raise `StackError` where the worker ends, and
    `TimeoutError` where it does not get ready."""
    directory = directory.absolute()
    with running_broker(directory) as broker:
        asyncio.run(create_topics(broker.brokers, CATALOGUE))
        full = Full()
        full.publish(broker.brokers)
        worker = Asked(broker.brokers.servers, directory / "worker")
        scenes = list[Scene]()

        def scene(what: str, records: int) -> None:
            """Take down how long answers take until so many more records are applied."""
            scenes.append(worker.scene(what, records))
            terminal.say(f"{what}: longest answer {scenes[-1].took.max_ms:.0f} ms")

        try:
            worker.start()
            scene(f"{FULL:,} of the largest rows, and a result about each", FULL)
            topics.publish(broker.brokers, _of_one_person(), lambda _: None)
            scene(f"{OF_ONE_PERSON:,} results of one person", OF_ONE_PERSON)
            topics.publish(broker.brokers, start.events(PEOPLE), lambda _: None)
            scene(f"{PEOPLE * start.EVENTS_EACH:,} events of a backlog", PEOPLE * start.EVENTS_EACH)
            worker.stop()
            shutil.rmtree(worker.directory / "tables")
            worker.start()
            scene("a start without its store: all of the above", 0)
        finally:
            worker.stop()
            shutil.rmtree(directory, ignore_errors=True)
    return Found(full.row_bytes, scenes)


class Full:
    """People with rows as large as they get, as a worker has written them."""

    def __init__(self) -> None:
        held, _ = lifetime.filled(FACTS)
        self.row_bytes = len(held.row)
        self._row, self._pages = held.row, held.pages

    def publish(self, brokers: Brokers) -> None:
        """Write the rows to the changelog, and a result about each to its topic."""
        log, partition = changelog_of("people"), 0
        people = list(islice(_people_of(partition), FULL))
        producer = Producer(
            {**topics.client(brokers.servers), "acks": "all", "compression.type": "zstd"}
        )
        for person in people:
            rows = [(person.encode(), self._row)]
            rows += ((page_key(person, number), page) for number, page in self._pages.items())
            for key, value in rows:
                row, follows = DUE.pack(0) + value, [(FOLLOWS, b"-1")]  # of a store that is empty
                mac = KEYS.of(OURS).header(log, key, row, follows)
                producer.produce(log, row, key, partition, headers=[*follows, mac])
            producer.flush()
        at = datetime.now(UTC)
        results = (record_of(lifetime.Maker(person).result(at)) for person in people)
        topics.publish(brokers, results, lambda _: None)


def _people_of(partition: int) -> Iterator[str]:
    people = (start.person(PEOPLE + number) for number in count())
    return (p for p in people if partition_of(p.encode(), PARTITIONS) == partition)


def _of_one_person() -> Iterator[Record]:
    maker, at = lifetime.Maker(start.person(PEOPLE)), datetime.now(UTC) - timedelta(days=1)
    for number in range(OF_ONE_PERSON):
        yield record_of(maker.result(at + timedelta(milliseconds=number)))


class Asked(HttpProcess):
    """`yuekang worker`, which somebody asks all the time whether it lives."""

    ready_seconds_max = SECONDS_MAX

    def __init__(self, bootstrap: str, directory: Path) -> None:
        directory.mkdir(parents=True)
        environment = environment_with(bootstrap, directory)
        self._port = int(environment["YUEKANG_WORKER_STATUS_PORT"])
        command = [str(OWN_PYTHON.with_name("yuekang")), "worker"]
        address = f"http://127.0.0.1:{self._port}"
        super().__init__("worker", command, directory, environment, address)
        self._applied = 0

    def scene(self, what: str, records: int) -> Scene:
        """Ask until it is ready and has applied `records` more than when this was asked last."""
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            begun = time.monotonic()
            asking = pool.submit(_ask, self._port, over)
            try:
                self._wait(self._applied + records if records else 0)
            finally:
                over.set()
            took = asking.result()
        self._applied = applied(self._port)
        found = percentiles(took)
        assert found is not None, "it answered at least once"
        return Scene(what, round(time.monotonic() - begun, 1), len(took), found)

    def _wait(self, records: int) -> None:
        until = time.monotonic() + SECONDS_MAX
        while True:
            if self.exited() is not None:
                raise StackError(f"The worker ended.\n{self.tail()}")
            with suppress(httpx.TransportError):
                if self.ready() and applied(self._port) >= records:
                    return
            if time.monotonic() > until:
                raise TimeoutError(f"the worker did not apply {records:,} records in time")
            time.sleep(POLL_SECONDS)


def _ask(port: int, over: threading.Event) -> list[float]:
    """Ask until it is over; return how long each answer took, in seconds."""
    took, connection = list[float](), HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    while not over.wait(ASK_SECONDS):
        begun = time.perf_counter()
        try:
            connection.request("GET", "/livez")
            connection.getresponse().read()
        except (OSError, HTTPException):  # it does not listen yet
            connection.close()
            continue
        took.append(time.perf_counter() - begun)
    connection.close()
    return took


def longest(found: Found) -> float:
    """Return the longest of all answers, in seconds."""
    return max(scene.took.max_ms for scene in found.scenes) / 1_000


def lines(found: Found) -> Iterator[str]:
    """Yield the section of the report."""
    yield from ("", "## How long the worker's event loop is held", "")
    verdict = "met" if longest(found) <= HELD_SECONDS else "**missed**"
    yield (
        f"A worker's /livez is asked every {ASK_SECONDS * 1_000:g} ms while it has its worst to "
        f"do; the largest rows have {found.row_bytes:,} bytes. At most {HELD_SECONDS * 1_000:g} ms "
        f"is the promise, and the longest answer took {longest(found) * 1_000:.0f} ms: {verdict}."
    )
    yield from (
        "",
        "| | s | Answers | p50, ms | p99, ms | Longest, ms |",
        "|---|---|---|---|---|---|",
    )
    for scene in found.scenes:
        yield (
            f"| {scene.what} | {scene.seconds:g} | {scene.answers:,} | {scene.took.p50_ms:g} "
            f"| {scene.took.p99_ms:g} | {scene.took.max_ms:g} |"
        )
