"""Displays (亮码) at the rate of the peak: what they cost who shows colours, and who folds them.

An event loop as the view's has a colour to make at each tick of a schedule (the token of its QR, as
a stand-in for all of it), without displays and with one for each, in turns. A colour's latency
counts from when it was due. Then as many displays as its writer takes; and what one lists worker
takes of them.
"""

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx
import uvloop
from msgspec import Struct

from app.development.stack.broker import Broker
from app.development.stack.processes import HttpProcess
from app.operator.latency.report import Percentiles, percentiles
from app.process import metrics
from app.process.clock import now
from app.process.kafka import Brokers
from app.process.memory import look_seldom
from app.topics.admin import create_topics
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS
from app.topics.records import Record as TopicRecord
from app.topics.records import structured
from app.topics.writer import Writer
from app.view.displays import Displays
from app.view.recorder import ROWS_MAX, WAITING_MAX, Recorder
from app.web.problems import Refused
from bench import topics
from bench.broker import running_broker
from bench.cpu import children, cpu_seconds_of
from bench.records import KEYS, Record, person_key
from bench.sides import OWN_PYTHON
from bench.spread import Spread
from bench.stack import applied, environment_with, record_of
from bench.terminal import Terminal
from models.events import DisplayData, DisplayDetail, DisplayRecorded, Outcome

RATE = 25_000
"""Colours a second, each with a display: the peak (issue 20)."""
SECONDS = 8
ROUNDS = 5
PEOPLE = 100_000
TICK_SECONDS = 0.001
FULL_SECONDS = 8
"""How long the writer has more displays than it can write."""
FOLDED = 200_000
WAITING = (1, 25, 250)
"""Scans that wait for Kafka at once."""
WRITES_EACH = 20
LATER_MS_MAX = 2.0
"""By how much displays may put off a colour's p99."""
SECONDS_MAX = 600.0


class Shown(Struct, frozen=True):
    """A run on the loop. CPU in seconds: of the thread that has the loop, the writer, the broker.
    `displays` were recorded; Kafka has `written` of them, and `lost` were dropped."""

    round: int
    displays: int
    colours: int
    latency: Percentiles
    loop_seconds: float
    writer_seconds: float
    written: int
    lost: int
    broker_seconds: float


class Folded(Struct, frozen=True):
    """What one lists worker did with a backlog of displays, after its first fifth."""

    displays: int
    seconds: float
    cpu_seconds: float


class Found(Struct, frozen=True):
    """All of it. `record_microseconds` is what a request does; `most_per_second` is what a writer
    takes at most, at a CPU time each of `most_microseconds`."""

    record_microseconds: float
    shown: list[Shown]
    most_per_second: float
    most_microseconds: float
    folded: Folded
    scans: dict[int, float]
    """What the producer takes of the loop for a scan, in microseconds, by how many wait at once."""


def measure(directory: Path, terminal: Terminal) -> Found:
    """Measure on a broker of its own; raise `TimeoutError` where something does not get ready."""
    directory = directory.absolute()
    look_seldom()  # for cycles, as the view does
    with running_broker(directory) as broker:
        asyncio.run(create_topics(broker.brokers, CATALOGUE))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            shown, most, each = runner.run(_beside_colours(broker, terminal))
            scans = runner.run(_scans(broker.brokers))
        folded = _folded(broker.brokers.servers, directory / "lists", terminal)
        shutil.rmtree(directory, ignore_errors=True)
    return Found(_record_microseconds(), shown, most, each, folded, scans)


def _record_microseconds() -> float:
    """Return the median CPU time of one `record`, over a queue that fills up."""
    people, at, took = _people(), now(), []
    for _ in range(ROUNDS):
        recorder = Recorder(Brokers("127.0.0.1:1"), KEYS)
        begun = time.thread_time()
        for person in people[:WAITING_MAX]:
            recorder.record(person, at, DisplayDetail.GREEN)
        took.append((time.thread_time() - begun) / WAITING_MAX)
    return round(median(took) * 1e6, 3)


def _people() -> list[str]:
    return [person_key(number.to_bytes(20, "big")) for number in range(PEOPLE)]


async def _beside_colours(broker: Broker, terminal: Terminal) -> tuple[list[Shown], float, float]:
    recorder = Recorder(broker.brokers, KEYS)
    recorder.start()
    recorder.record(_people()[0], now(), DisplayDetail.GREEN)
    before = _counts()
    await _settled(1, before)
    [writer] = children("app.view.display_writer")
    processes, shown = (writer, broker.pid or 0), list[Shown]()
    try:
        await _colours(0, recorder, processes, displays=False)  # warms up
        for number in range(1, ROUNDS + 1):
            for displays in (False, True):
                run = await _colours(number, recorder, processes, displays=displays)
                shown.append(run)
                terminal.say(
                    f"{number}: {run.displays:,} displays beside {run.colours:,} colours, "
                    f"p99 {run.latency.p99_ms:g} ms, {run.lost:,} lost"
                )
        most, each = await _most(recorder, writer)
    finally:
        await recorder.stop()
    terminal.say(f"a writer takes {most:,.0f} displays/s")
    return shown, most, each


async def _colours(
    number: int, recorder: Recorder, processes: tuple[int, int], *, displays: bool
) -> Shown:
    tokens, people, late = Displays(bytes(32)), _people(), list[float]()
    before, cpu_before = _counts(), [cpu_seconds_of(process) for process in processes]
    own, begun = time.thread_time(), time.monotonic()
    for place in range(RATE * SECONDS):
        due = begun + place / RATE
        while (ahead := due - time.monotonic()) > 0:  # noqa: ASYNC110  (a schedule has no event)
            await asyncio.sleep(max(ahead, TICK_SECONDS))
        if place % 50 == 0:  # as requests do, which come one by one
            await asyncio.sleep(0)
        person = people[place % PEOPLE]
        tokens.token(person, "样*甲", "1234")
        if displays:
            recorder.record(person, now(), DisplayDetail.GREEN)
        late.append(time.monotonic() - due)
    count = len(late) if displays else 0
    written, lost = await _settled(count, before)
    latency = percentiles(late)
    assert latency is not None
    writer_seconds, broker_seconds = (
        round(cpu_seconds_of(process) - at, 2)
        for process, at in zip(processes, cpu_before, strict=True)
    )
    return Shown(
        round=number,
        displays=count,
        colours=len(late),
        latency=latency,
        loop_seconds=round(time.thread_time() - own, 3),
        writer_seconds=writer_seconds,
        written=written,
        lost=lost,
        broker_seconds=broker_seconds,
    )


async def _most(recorder: Recorder, writer: int) -> tuple[float, float]:
    """Return how many displays a second were written while more waited, and their CPU time each
    in microseconds."""
    people, at = _people(), now()
    before, writer_before, begun, place = _counts(), cpu_seconds_of(writer), time.monotonic(), 0
    while (passed := time.monotonic() - begun) < FULL_SECONDS:
        for _ in range(min(ROWS_MAX, WAITING_MAX - recorder.waiting)):
            recorder.record(people[place % PEOPLE], at, DisplayDetail.GREEN)
            place += 1
        await asyncio.sleep(TICK_SECONDS)
    written = _counts()[0] - before[0]
    each = (cpu_seconds_of(writer) - writer_before) / written
    await _settled(place, before)
    return round(written / passed, 1), round(each * 1e6, 2)


def _counts() -> tuple[int, int]:
    """Return how many displays were written so far, and how many were lost."""
    found = {
        sample.labels["outcome"]: round(sample.value)
        for metric in metrics.VIEW_DISPLAYS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    return found.get("shown", 0), found.get("lost", 0)


async def _settled(count: int, before: tuple[int, int]) -> tuple[int, int]:
    """Return how many of `count` displays were written and lost, once each was."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            written, lost = (a - b for a, b in zip(_counts(), before, strict=True))
            if written + lost >= count:
                return written, lost
            await asyncio.sleep(0.05)


# The producer's share of a scan, whose answer waits for Kafka's


async def _scans(brokers: Brokers) -> dict[int, float]:
    writer = Writer(brokers)
    writer.start()
    try:
        record = KEYS.signed(structured(_display(0, _people()[0], datetime.now(UTC))), "/portal")
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                with suppress(Refused):
                    await writer.write([record])
                    break
                await asyncio.sleep(0.1)
        return {waiting: await _writes(writer, record, waiting) for waiting in WAITING}
    finally:
        await writer.stop()


async def _writes(writer: Writer, record: TopicRecord, waiting: int) -> float:
    """Return the median CPU time of a write, in microseconds, with so many under way."""

    async def write() -> None:
        for _ in range(WRITES_EACH):
            await writer.write([record])

    took = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(waiting):
                group.create_task(write())
        took.append((time.thread_time() - begun) / (waiting * WRITES_EACH))
    return round(median(took) * 1e6, 1)


# The fold


def _folded(bootstrap: str, directory: Path, terminal: Terminal) -> Folded:
    with terminal.bar("A backlog of displays", FOLDED) as tick:
        topics.publish(Brokers(bootstrap), _displays(), tick)
    directory.mkdir(parents=True)
    environment = environment_with(bootstrap, directory)
    port = int(environment["YUEKANG_LISTS_STATUS_PORT"])
    command = [str(OWN_PYTHON.with_name("yuekang")), "lists-worker"]
    worker = HttpProcess("lists", command, directory, environment, f"http://127.0.0.1:{port}")
    worker.start()
    try:
        assert worker.pid is not None
        first = _wait_applied(port, FOLDED // 5)
        begun, cpu = time.monotonic(), cpu_seconds_of(worker.pid)
        last = _wait_applied(port, FOLDED)
        seconds, cpu = time.monotonic() - begun, cpu_seconds_of(worker.pid) - cpu
    finally:
        worker.stop()
    if refused := sum(topics.ends(bootstrap, DEAD_LETTERS).values()):
        raise RuntimeError(f"{refused:,} of the displays' records are dead letters: none may be")
    terminal.say(f"a lists worker folds {(last - first) / seconds:,.0f} displays/s")
    return Folded(last - first, round(seconds, 2), round(cpu, 2))


def _wait_applied(port: int, count: int) -> int:
    """Return how many are applied once they are so many; raise `TimeoutError`."""
    until = time.monotonic() + SECONDS_MAX
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if (found := applied(port)) >= count:
                return found
        time.sleep(0.2)
    raise TimeoutError(f"{count:,} displays were not folded in {SECONDS_MAX:g} s")


def _displays() -> Iterator[Record]:
    at, people = datetime.now(UTC), _people()
    for place in range(FOLDED):
        yield record_of(_display(place, people[place % PEOPLE], at))


def _display(place: int, person: str, at: datetime) -> DisplayRecorded:
    return DisplayRecorded(
        specversion="1.0",
        id=f"display-{place}",
        source="/portal",
        time=at,
        partitionkey=person,
        sequence=str(place),
        data=DisplayData(at, Outcome.SHOWN, DisplayDetail.GREEN),
    )


# The report


def p99_later_ms(found: Found) -> float:
    """Return by how much displays put off a colour's p99: the median of the rounds."""
    return median(
        run.latency.p99_ms - other.latency.p99_ms
        for run in found.shown
        for other in found.shown
        if run.displays and not other.displays and run.round == other.round
    )


def loop_microseconds(found: Found) -> Sequence[float]:
    """Return what a display costs the loop, of each round: with displays, less without."""
    return [
        (run.loop_seconds - other.loop_seconds) / run.displays * 1e6
        for run in found.shown
        for other in found.shown
        if run.displays and not other.displays and run.round == other.round
    ]


def lines(found: Found) -> Iterator[str]:
    """Yield the section of the report."""
    beside = [run for run in found.shown if run.displays]
    yield from ("", f"## {RATE:,} displays a second", "")
    later = p99_later_ms(found)
    verdict = "met" if later <= LATER_MS_MAX else "**missed**"
    yield (
        f"A loop that has {RATE:,} colours a second to make, without displays and with one for "
        f"each, {SECONDS} s each, in turns. Displays put off a colour's p99 by {later:.2f} ms (at "
        f"most {LATER_MS_MAX:g} ms is the goal: {verdict}). Latency from when a colour was due, "
        "median (least–most) of the rounds."
    )
    yield from ("", "| | p50, ms | p99, ms | Longest, ms |", "|---|---|---|---|")
    for what, runs in (
        ("without", [run for run in found.shown if not run.displays]),
        ("with", beside),
    ):
        columns = [
            [getattr(run.latency, name) for run in runs] for name in ("p50_ms", "p99_ms", "max_ms")
        ]
        yield (
            f"| {what} | " + " | ".join(Spread.of(column).text(".2f") for column in columns) + " |"
        )
    each = [run.writer_seconds / run.written * 1e6 for run in beside]
    yield ""
    yield (
        f"A display takes {found.record_microseconds:g} µs of its request, "
        f"{Spread.of(loop_microseconds(found)).text('.2f')} µs of the loop in all, and "
        f"{Spread.of(each).text('.1f')} µs of CPU of the writer's process; "
        f"{sum(run.lost for run in beside):,} of {sum(run.displays for run in beside):,} were "
        f"lost. A writer that has more than it can do takes {found.most_per_second:,.0f} a second, "
        f"at {found.most_microseconds:g} µs each."
    )
    folded = found.folded
    yield ""
    yield (
        f"One lists worker folds {folded.displays / folded.seconds:,.0f} displays a second, at "
        f"{folded.cpu_seconds / folded.displays * 1e6:.0f} µs of CPU each."
    )
    yield ""
    shares = ", ".join(f"{each:g} µs with {waiting:,}" for waiting, each in found.scans.items())
    yield f"A scan waits for Kafka. The producer's share of the loop, by how many wait: {shares}."
