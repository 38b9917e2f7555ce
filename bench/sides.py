"""Who is measured: each side's processes, guarantee and settings."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.development.stack.broker import ROOT
from app.development.stack.processes import Process
from app.engine.chunks import CHUNK_RECORDS_MAX
from models.policy import POLICIES, Policy

COMMIT_SECONDS = 1.0
"""Interval at which every side commits its offsets (and those with caches, all they hold)."""

OWN_PYTHON = ROOT / ".venv" / "bin" / "python"
PEER = ROOT / "bench" / "peers" / "java"
KAFKA_POM = ROOT / "docker" / "kafka" / "pom.xml"

JVM = ("-Xms512m", "-Xmx1g", "-XX:+UseParallelGC", "-XX:+ExitOnOutOfMemoryError",
       "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")  # fmt: skip
CACHE_BYTES = 64 * 1024 * 1024


class Place(Struct, frozen=True):
    """Where one run of a side lives: its group, which also begins its topics' names. `topic` may
    be several, with commas between. `warm` is folded first by a side that has to be warmed."""

    fold: str
    topic: str
    bootstrap: str
    group: str
    directory: Path
    warm: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What every side's command begins with."""
        return self.fold, self.topic, self.bootstrap, self.group


class Side(Struct, frozen=True):
    """One side. `processes` are started together; `members` is what they are in the group.

    `short`: it is so slow that it gets the first tenth of the events.
    """

    name: str
    title: str
    guarantee: str
    settings: str
    members: int
    command: Callable[[Place, int], Sequence[str]]
    processes: int = 1
    short: bool = False
    keeps: bool = True
    """Whether it keeps state and tells; the limit does not."""


def java() -> str:
    """Return the Java that the peer runs on: that of JAVA_HOME, if it is set."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def kafka_version() -> str:
    """Return the version of Kafka that the broker runs."""
    found = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>(.*)</version>",
                      KAFKA_POM.read_text())  # fmt: skip
    assert found is not None, KAFKA_POM
    return found[1]


NUMBERS = (
    "version",
    "valid_from",
    "negatives_apart",
    "sampled_to_reported_max",
    "correction_wait",
    "facts_max",
    "ended_kept",
)
"""What the rules of the Java peer's slice take from a policy."""


def numbers(policies: Sequence[Policy] = POLICIES) -> str:
    """Return policies as the Java peer is given them: the numbers of its slice, in JSON."""
    return msgspec.json.encode(
        [{name: getattr(policy, name) for name in NUMBERS} for policy in policies]
    ).decode()


def _us(place: Place, number: int) -> Sequence[str]:
    return (
        str(OWN_PYTHON),
        "-m",
        "bench.peers.us",
        *place.arguments,
        str(place.directory / str(number)),
        str(COMMIT_SECONDS),
    )


def _streams(guarantee: str) -> Callable[[Place, int], Sequence[str]]:
    target = PEER / "target"

    def command(place: Place, number: int) -> Sequence[str]:
        return (
            java(),
            *JVM,
            "-cp",
            f"{target}/bench-peer.jar:{target}/libs/*",
            "yuekang.bench.Main",
            *place.arguments,
            str(place.directory),
            guarantee,
            "2",
            f"{COMMIT_SECONDS * 1000:.0f}",
            str(CACHE_BYTES),
            numbers(),
            *([place.warm] if place.warm else []),
        )

    return command


def _quix(guarantee: str) -> Callable[[Place, int], Sequence[str]]:
    def command(place: Place, number: int) -> Sequence[str]:
        return (
            sys.executable,
            "-m",
            "bench.peers.quix",
            *place.arguments,
            str(place.directory),
            guarantee,
            str(COMMIT_SECONDS),
        )

    return command


def _faust(place: Place, number: int) -> Sequence[str]:
    return (
        str(OWN_PYTHON),
        "-m",
        "bench.peers.faust_each",
        *place.arguments,
        str(place.directory),
        str(COMMIT_SECONDS),
    )


def _limit(place: Place, number: int) -> Sequence[str]:
    return (
        str(OWN_PYTHON),
        "-m",
        "bench.peers.limit",
        *place.arguments,
        str(COMMIT_SECONDS),
    )


_OURS = (
    f"chunks of at most {CHUNK_RECORDS_MAX:,} events, a transaction for each; fenced; zstd; no "
    "cache; no timers; 4 ms, not aiokafka's 20, between transactions"
)
_STREAMS = (
    "2 threads; max.poll.records 5000; caching on, statestore.cache.max.bytes 64 MiB; "
    "linger 100 ms, batch 256 KiB, lz4, acks all; heap 1 GiB, ParallelGC"
)
_QUIX = "bytes state; changelog on; no cache; linger 50 ms, batch 256 KiB, lz4"

SIDES: Mapping[str, Side] = {
    side.name: side
    for side in (
        Side("us", "Yuekang, 1 worker", "exactly once", _OURS, 1, _us),
        Side("us-2", "Yuekang, 2 workers", "exactly once", _OURS, 2, _us, processes=2),
        Side("streams-alo", "Kafka Streams", "at least once", _STREAMS, 2,
             _streams("at_least_once")),
        Side("streams-eos", "Kafka Streams", "exactly once v2", _STREAMS, 2,
             _streams("exactly_once_v2")),
        Side("quix-alo", "Quix Streams", "at least once", _QUIX, 1, _quix("at-least-once")),
        Side("quix-eos", "Quix Streams", "exactly once", _QUIX, 1, _quix("exactly-once")),
        Side("faust", "Faust, one event at a time", "at least once",
             "RocksDB table; max poll 5000; linger 50 ms, lz4, acks all", 1, _faust, short=True),
        Side("limit", "The limit: getmany + orjson", "none", "keeps nothing, tells nothing", 1,
             _limit, keeps=False),
    )
}  # fmt: skip


def stop_all(processes: Sequence[Process]) -> None:
    """End processes together: each is asked to end before the first is waited for."""
    for process in processes:
        process.signal_stop()
    for process in processes:
        process.stop()
