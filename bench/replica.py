"""The replica of the codes: how long it takes to build it from the log, and what a find costs.

`yuekang replica` is started on an empty folder, in memory and on the disk, until it says that it is
ready. Then people are looked for in it, in no order, as the view does it.
"""

import asyncio
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from app.development.stack.processes import HttpProcess
from app.projection.replica import CURRENT, DATA_FILE, Replica
from app.topics.admin import create_topics
from app.topics.authentic import OURS
from app.topics.catalogue import CATALOGUE, HEALTH_CODES
from bench import topics
from bench.broker import running_broker
from bench.cpu import cpu_seconds, peak_memory_mib
from bench.records import Record, person_key
from bench.sides import OWN_PYTHON
from bench.spread import Spread
from bench.stack import environment_with
from bench.terminal import Terminal
from models.codes import Colour, EventRef, HealthCode, Interval, Reason
from models.policy import ZONE

PEOPLE = 1_000_000
RED_EVERY = 20
BUILD_SECONDS = 30.0
FINDS = 100_000
FIND_US = 2.0
SECONDS_MAX = 1_800.0

MEMORY = Path("/dev/shm")
KEPT = ("in memory", "on disk")


class Build(Struct, frozen=True):
    """One build from nothing, by a process that is started with it. `bytes_each` is what a person
    takes; `find_us` is CPU time, without decoding."""

    kept: str
    seconds: float
    cpu_seconds: float
    peak_mib: float
    bytes_each: float
    find_us: float


class Found(Struct, frozen=True):
    """All builds of so many people's codes, of a mean length on the log."""

    people: int
    code_bytes: float
    builds: list[Build]


def measure(directory: Path, people: int, rounds: int, seed: int, terminal: Terminal) -> Found:
    """Measure on a broker of its own; raise `StackError` where the process ends, and `TimeoutError`
    where it does not get ready."""
    directory = directory.absolute()
    memory = MEMORY / f"yuekang-bench-{directory.parent.name}"
    with running_broker(directory) as broker:
        asyncio.run(create_topics(broker.brokers, CATALOGUE))
        with terminal.bar("Fill health-codes", people) as tick:
            topics.publish(broker.brokers, codes(people), tick)
        lengths = [len(code.value or b"") for code in codes(RED_EVERY)]
        builds = list[Build]()
        for _ in range(rounds):
            for kept, folder in zip(KEPT, (memory, directory / "replica"), strict=True):
                try:
                    build = _build(broker.brokers.servers, directory, folder, kept, people, seed)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                builds.append(build)
                terminal.say(
                    f"{kept}: {build.seconds:.1f} s, {build.cpu_seconds:.1f} s of CPU; "
                    f"a find {build.find_us:.2f} us"
                )
    shutil.rmtree(directory, ignore_errors=True)
    return Found(people, statistics.mean(lengths), builds)


def _build(
    bootstrap: str, directory: Path, folder: Path, kept: str, people: int, seed: int
) -> Build:
    environment = {
        **environment_with(bootstrap, directory),
        "YUEKANG_REPLICA": str(folder),
    }
    port = environment["YUEKANG_REPLICA_STATUS_PORT"]
    command = [str(OWN_PYTHON.with_name("yuekang")), "replica"]
    process = HttpProcess("replica", command, directory, environment, f"http://127.0.0.1:{port}")
    process.ready_seconds_max = SECONDS_MAX
    begun = time.monotonic()
    process.start()
    try:
        process.wait_ready()
        seconds = time.monotonic() - begun
        pid = process.pid or 0
        cpu, peak = cpu_seconds(pid), peak_memory_mib(pid)
        find_us = _find_us(folder, people, seed)
        taken = (folder / CURRENT / DATA_FILE).stat().st_blocks * 512
    finally:
        process.stop()
    return Build(
        kept, round(seconds, 2), round(cpu, 2), round(peak), round(taken / people), find_us
    )


def _find_us(folder: Path, people: int, seed: int) -> float:
    """Return what a find takes, in us, while the replica goes on writing how fresh it is."""
    random = Random(seed)
    wanted = [person(random.randrange(people)) for _ in range(FINDS)]
    replica = Replica(folder)
    try:
        begun = time.process_time()
        missing = sum(replica.find(one)[1] is None for one in wanted)
        took = time.process_time() - begun
    finally:
        replica.close()
    if missing:
        raise RuntimeError(f"{missing:,} of {FINDS:,} codes are not in the replica")
    return round(took / FINDS * 1e6, 2)


def person(number: int) -> str:
    """Return the key of a person of this measurement."""
    return person_key(blake2b(b"replica:%d" % number, digest_size=20).digest())


def codes(people: int) -> Iterator[Record]:
    """Yield everybody's code, as a worker writes it: one in `RED_EVERY` is red."""
    at = datetime.now(UTC).astimezone(ZONE)
    listed = EventRef("/cdc/440100", "listing-1")
    red = Interval(Reason.CLOSE_CONTACT, at - timedelta(days=2), listed, "2020-04", None, ())
    for number in range(people):
        is_red = number % RED_EVERY == 0
        code = HealthCode(
            person(number),
            3,
            at,
            Colour.RED if is_red else Colour.GREEN,
            told_version=2,
            intervals=(red,) if is_red else (),
            verified_since=at - timedelta(days=30),
            city="440100",
        )
        value = msgspec.json.encode(code)
        yield Record(HEALTH_CODES, code.person.encode(), value, author=OURS)


def goals(found: Found) -> Iterator[str]:
    """Yield the rows of the goals."""
    of = f"{found.people:,} people"
    for kept in KEPT:
        seconds = statistics.median(b.seconds for b in found.builds if b.kept == kept)
        yield (
            f"| A replica of {of} {kept}, built from health-codes | within {BUILD_SECONDS:g} "
            f"s | {seconds:.1f} s | {_met(seconds <= BUILD_SECONDS)} |"
        )
    find_us = statistics.median(build.find_us for build in found.builds)
    yield (
        f"| A find in it | at most {FIND_US:g} us of CPU | {find_us:.2f} us | "
        f"{_met(find_us <= FIND_US)} |"
    )


def _met(met: bool) -> str:
    return "met" if met else "**missed**"


def lines(found: Found) -> Iterator[str]:
    """Yield the section of the report."""
    yield from ("", "## A machine's replica of the codes", "")
    yield (
        f"`yuekang replica` is started on an empty folder, {found.people:,} codes of "
        f"{found.code_bytes:.0f} bytes lie in `health-codes`, and the clock stops when it says "
        f"that it is ready. A find is one of {FINDS:,} in no order; the code is not decoded in "
        "it. Each cell is median (least–most)."
    )
    yield from (
        "",
        "| Kept | Rounds | Built, s | CPU, s | Codes/s | Peak, MiB | Bytes each | Find, us |",
        "|---|---|---|---|---|---|---|---|",
    )
    for kept in KEPT:
        builds = [build for build in found.builds if build.kept == kept]
        cells = [
            Spread.of([build.seconds for build in builds]).text(".1f"),
            Spread.of([build.cpu_seconds for build in builds]).text(".1f"),
            Spread.of([found.people / build.seconds for build in builds]).text(",.0f"),
            Spread.of([build.peak_mib for build in builds]).text(",.0f"),
            Spread.of([build.bytes_each for build in builds]).text(",.0f"),
            Spread.of([build.find_us for build in builds]).text(".2f"),
        ]
        yield f"| {kept} | {len(builds)} | {' | '.join(cells)} |"
