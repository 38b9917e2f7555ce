"""Stop and start with a large table: fold a backlog, then lose each thing that can be lost.

The whole stack runs as `make run` starts it, without the sample day. While its worker is down, a
backlog of two events about each person comes in. Then: the worker folds it (how much memory does
that take?), is ended and started with its store, and without; Redis is ended and started empty,
while somebody asks the view for codes; two workers start without a store, each with a half of the
partitions.
"""

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from app.development.secrets import process_secrets
from app.development.stack.processes import HttpProcess, StackError
from app.development.stack.stack import Stack, own_environment
from app.process.ports import free_port
from app.process.settings import Settings
from app.web.issuing import operator_token
from bench import topics
from bench.cpu import cpu_seconds, peak_memory_mib
from bench.records import Record, person_key
from bench.sides import OWN_PYTHON
from bench.stack import applied, counted, environment_of, record_of
from bench.terminal import Terminal
from models.events import (
    DocumentType,
    IdentityData,
    IdentityVerified,
    NatResultData,
    NatResultReported,
    Result,
)

PEOPLE = 1_000_000
EVENTS_EACH = 2
BATCH = 10_000
"""People whose first events come in before their second."""

REDIS_MEMORY = "2gb"
SAMPLE = 200
"""People for whom the view is asked, in turn."""

CAUGHT_UP = re.compile(r'"rows": (\d+),[^\n]*"event": "caught_up"')
"""What the worker's log says of each partition that is level with its changelog."""

SECONDS_MAX = 1_800.0
POLL_SECONDS = 0.05


class Found(Struct, frozen=True):
    """What was measured, in seconds and MiB; each time is until the process says it is ready."""

    people: int
    backlog: int
    backlog_seconds: float
    """Until the worker had applied all of it."""
    worker_mib: float
    """The worker's peak while it did."""
    projection_mib: float
    redis_mib: float
    stop_seconds: float
    start_with_store_seconds: float
    start_without_store_seconds: float
    rebuilding_mib: float
    progress_lines: int
    """What the worker's log said of how far it was, while it had no store."""
    redis_seconds: float
    """From Redis's empty start until all codes are there again, and the projection is ready."""
    redis_answers: dict[str, int]
    """What the view answered meanwhile; it has a replica."""
    rows_read: int = 0
    """Rows of the changelogs that a worker without its store read, with those that compaction had
    left of earlier versions."""
    rebuilding_cpu_seconds: float = 0.0
    """Of the worker until it was ready without its store."""
    projection_cpu_seconds: float = 0.0
    redis_cpu_seconds: float = 0.0
    """Of the projection, and of Redis, while Redis was built again."""
    two_workers_seconds: float | None = None
    """Until two workers without a store were ready, who share the partitions."""


def measure(directory: Path, people: int, seed: int, terminal: Terminal) -> Found:
    """Measure all of it; raise `StackError` or `TimeoutError` where it does not get ready."""
    directory = directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    environment = environment_of(directory)
    settings = Settings.from_environment(environ=environment)
    stack = Stack(settings, environment, directory, terminal.say, REDIS_MEMORY)
    for process in (stack.worker, stack.projection, stack.view):
        process.ready_seconds_max = SECONDS_MAX
    try:
        stack.start(lambda _: None)
        found = _measure(stack, settings, people, seed, terminal)
        seconds = _two_workers(stack, environment)
        terminal.say(f"two workers ready without a store in {seconds:.1f} s")
        return msgspec.structs.replace(found, two_workers_seconds=seconds)
    finally:
        stack.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _measure(stack: Stack, settings: Settings, people: int, seed: int, terminal: Terminal) -> Found:
    stack.worker.stop()
    with terminal.bar("Fill the topics", people * EVENTS_EACH) as tick:
        backlog = topics.publish(settings.brokers, events(people), tick)
    sample = [person(number) for number in Random(seed).sample(range(people), SAMPLE)]

    begun = time.monotonic()
    stack.worker.start()
    with terminal.bar("Fold the backlog", backlog) as tick:
        _wait_applied(stack, settings, backlog, tick)
    backlog_seconds = time.monotonic() - begun
    _wait_shown(settings, sample, Counter())
    terminal.say(f"{backlog:,} events in {backlog_seconds:.0f} s")
    worker_mib, projection_mib = _peak(stack.worker.pid), _peak(stack.projection.pid)

    stop_seconds = _timed(stack.worker.stop)
    if code := stack.worker.exited():
        raise StackError(f"The worker ended with {code}.\n{stack.worker.tail()}")
    with_store = _timed(stack.worker.start, stack.worker.wait_ready)
    terminal.say(f"stopped in {stop_seconds:.1f} s, ready with its store in {with_store:.1f} s")

    stack.worker.stop()
    shutil.rmtree(stack.directory / "tables")
    without_store = _timed(stack.worker.start, stack.worker.wait_ready)
    rebuilding_mib, rebuilding_cpu = _peak(stack.worker.pid), cpu_seconds(stack.worker.pid or 0)
    said = stack.worker.log.read_text()
    progress, rows_read = (
        len(re.findall("catching_up", said)),
        sum(map(int, CAUGHT_UP.findall(said))),
    )
    terminal.say(f"ready without its store in {without_store:.1f} s, {progress} progress lines")

    redis_mib = _peak(stack.redis.pid)
    stack.redis.stop()
    answers: Counter[str] = Counter()

    read = _codes_read(settings)

    def rebuilt() -> None:
        stack.redis.start()
        _wait_shown(settings, sample, answers)
        while _codes_read(settings) < 2 * read:  # all of them once more
            time.sleep(POLL_SECONDS)
        stack.projection.wait_ready()

    projection_cpu = cpu_seconds(stack.projection.pid or 0)
    redis_seconds = _timed(rebuilt)
    projection_cpu = cpu_seconds(stack.projection.pid or 0) - projection_cpu
    redis_cpu = cpu_seconds(stack.redis.pid or 0)
    terminal.say(f"Redis rebuilt in {redis_seconds:.1f} s; the view meanwhile: {dict(answers)}")
    return Found(
        people=people,
        backlog=backlog,
        backlog_seconds=round(backlog_seconds, 1),
        worker_mib=worker_mib,
        projection_mib=projection_mib,
        redis_mib=redis_mib,
        stop_seconds=stop_seconds,
        start_with_store_seconds=with_store,
        start_without_store_seconds=without_store,
        rebuilding_mib=rebuilding_mib,
        progress_lines=progress,
        redis_seconds=redis_seconds,
        redis_answers=dict(answers),
        rows_read=rows_read,
        rebuilding_cpu_seconds=round(rebuilding_cpu, 1),
        projection_cpu_seconds=round(projection_cpu, 1),
        redis_cpu_seconds=round(redis_cpu, 1),
    )


def _two_workers(stack: Stack, environment: Mapping[str, str]) -> float:
    """Return how long two workers without a store take to be ready, after the one has ended."""
    port = free_port()
    own = {
        **own_environment(environment, "worker", process_secrets(stack.directory)["worker"]),
        "YUEKANG_DATA_DIR": str(stack.directory / "second"),
        "YUEKANG_WORKER_STATUS_PORT": str(port),
    }
    command = [str(OWN_PYTHON.with_name("yuekang")), "worker"]
    address = f"http://127.0.0.1:{port}"
    second = HttpProcess("second-worker", command, stack.directory, own, address)
    second.ready_seconds_max = SECONDS_MAX
    stack.worker.stop()
    shutil.rmtree(stack.directory / "tables")
    try:
        return _timed(stack.worker.start, second.start, stack.worker.wait_ready, second.wait_ready)
    finally:
        second.stop()


def person(number: int) -> str:
    """Return the key of a person of this measurement."""
    return person_key(blake2b(b"start:%d" % number, digest_size=20).digest())


def events(people: int) -> Iterator[Record]:
    """Yield who everybody is, and then a negative result of each; of `BATCH` people at a time."""
    at = datetime.now(UTC) - timedelta(hours=1)
    identity = IdentityData(at, DocumentType.RESIDENT_IDENTITY_CARD, "440100")
    negative = NatResultData(at - timedelta(hours=6), at, Result.NEGATIVE, "广州市某医院")

    def attributes(number: int) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "time": at,
            "partitionkey": person(number),
            "sequence": str(number),
        }

    for first in range(0, people, BATCH):
        some = range(first, min(first + BATCH, people))
        for number in some:
            event = IdentityVerified(
                **attributes(number),
                id=f"identity-{number}",
                source="/identity-providers/start",
                data=identity,
            )
            yield record_of(event)
        for number in some:
            result = NatResultReported(
                **attributes(number),
                id=f"result-{number}",
                source="/laboratories/440100-001",
                data=negative,
            )
            yield record_of(result)


def _wait_applied(stack: Stack, settings: Settings, backlog: int, tick: Any) -> None:
    """Return once the worker has applied so many records."""
    found, until = 0, time.monotonic() + SECONDS_MAX
    while found < backlog:
        if (code := stack.worker.exited()) is not None:
            raise StackError(f"The worker ended with {code}.\n{stack.worker.tail()}")
        if time.monotonic() > until:
            raise TimeoutError(f"the worker applied {found:,} of {backlog:,} events in time")
        time.sleep(POLL_SECONDS)
        before = found
        with suppress(httpx.TransportError):
            found = applied(settings.worker_status_port)
        tick(found - before)


def _wait_shown(settings: Settings, sample: list[str], answers: Counter[str]) -> None:
    """Return once the view shows a fresh green code for each of the sample, one after the other."""
    left, until = list(sample), time.monotonic() + SECONDS_MAX
    headers = {"authorization": f"Bearer {operator_token(settings)}"}
    with httpx.Client(
        base_url=settings.view_url, headers=headers, timeout=10.0, trust_env=False
    ) as view:
        while left:
            if time.monotonic() > until:
                raise TimeoutError(f"the view showed no code for {len(left)} people: {answers}")
            answer = view.get(f"/v1/people/{left[-1]}/code").json()
            said = answer.get("code") or f"{answer.get('colour')}, stale: {answer.get('stale')}"
            answers[str(said)] += 1
            if answer.get("colour") == "green" and not answer.get("stale"):
                left.pop()
            else:
                time.sleep(POLL_SECONDS)


def _codes_read(settings: Settings) -> int:
    """Return how many records of health-codes the projection has read since it was started."""
    metric = 'yuekang_projection_records_total{topic="health-codes"}'
    return counted(settings.projection_status_port, metric)


def _timed(*steps: Callable[[], object]) -> float:
    begun = time.monotonic()
    for step in steps:
        step()
    return round(time.monotonic() - begun, 1)


def _peak(pid: int | None) -> float:
    return round(peak_memory_mib(pid or 0))
