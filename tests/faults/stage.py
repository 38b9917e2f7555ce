"""Everything that runs while faults happen: brokers, Redis, projections, workers.

What ends is started again, as an operator's supervisor would. Processes are started from the main
thread alone, since they end with the thread that started them.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.development.stack.processes import HttpProcess, Process
from app.development.stack.redis_server import RedisServer
from app.process.kafka import Brokers
from app.process.ports import free_ports
from app.topics.admin import create_topics
from app.topics.catalogue import CATALOGUE, STATUS_CHANGES
from faults import journal
from faults.cluster import Node, Place, stamp_by_broker, wait_in_step, with_copies
from faults.isolation import BROKERS, Link, SmallDisk, isolated
from faults.points import Act
from support.clocks import SteppedClock
from support.macs import ENVIRONMENT
from support.workers import give_up_places

UNHANDLED = (
    b"User provided subscription listener",
    b"exception was never retrieved",
    b"was never awaited",
    b"Task was destroyed",
    b"Unexpected error in",
)
"""How aiokafka and Python say that an error came to nobody. Both go on, as if nothing was."""

TOLD_OF_UNHANDLED = 1000
"""Bytes of the end of such a line that a failed round tells: a traceback says there what it was."""

SESSION_SECONDS = 4.0
"""Of a worker: what a fault holds up for longer goes through a rebalance."""

WORKERS = CATALOGUE.partitions + 1
"""Two of them always run; with all of them, one has no partition."""

WATCH_SECONDS = 0.2
DEAD_LETTER_KEY = PrivateKey(bytes(range(32)))
ROOT = Path(__file__).parents[2]

Environment = dict[str, str]


class Python(HttpProcess):
    """A worker or projection under test, started again when it ends."""

    def __init__(self, kind: str, name: str, directory: Path, own: Environment, url: str) -> None:
        # Not through `setpriv` alone: the namespace is entered by what starts the worker.
        self.command = [sys.executable, "-m", "faults.process", kind]
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            **ENVIRONMENT,
            **own,
        }
        super().__init__(name, self.command, directory, self.environment, url)
        self.url = url
        self.wanted = False
        self.restarts = 0
        self._trap: Environment = {}

    def arm(self, trap: Environment) -> None:
        """Give the next start, and only that, more of an environment."""
        self._trap = trap

    def arm_point(self, point: str, passing: int, act: Act) -> None:
        """Let the next start die at a point of the commit path."""
        self.arm({"FAULTS_POINT": point, "FAULTS_PASSING": str(passing), "FAULTS_ACT": act})

    def arm_late(self, passing: int) -> None:
        """Let the next start have the end of a transaction come late, and die (faults.late)."""
        self.arm({"FAULTS_LATE": str(passing)})

    def disarm(self) -> None:
        """Let the next start be as any."""
        self._trap = {}

    def start(self) -> None:
        """Start it; the log of the run before is kept."""
        if self.log.exists():
            with self.log.open("rb") as old, self.log.with_suffix(".all.log").open("ab") as out:
                shutil.copyfileobj(old, out)
        self._environment = {**self.environment, **self._trap}
        self._trap = {}
        super().start()

    @property
    def runs(self) -> bool:
        """Say whether there is a process."""
        return self.pid is not None and self.exited() is None


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process, if it runs."""
    if process.pid is not None and process.exited() is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def gone(process: Process, seconds_max: float = 40.0) -> None:
    """Return when a process that was sent a signal has ended; SIGKILL at the end of the time."""
    pid = process.pid
    until = asyncio.get_running_loop().time() + seconds_max
    while process.pid == pid and pid is not None and process.exited() is None:
        if asyncio.get_running_loop().time() > until:
            journal.write("did-not-end", process=process.name)
            send(process, signal.SIGKILL)
        await asyncio.sleep(0.05)


class Worker(Python):
    """A worker with its own data, clock and, where that can be had, network."""

    def __init__(
        self, number: int, directory: Path, own: Environment, port: int, link: Link | None
    ) -> None:
        self.number = number
        self.link = link
        self.data = directory / f"worker-{number}"
        self.disk = SmallDisk(self.data) if link is not None else None
        self.data.mkdir(exist_ok=True)
        self._clock = SteppedClock(directory / f"clock-{number}")
        address = "127.0.0.1" if link is None else link.address
        environment = {
            **own,
            "YUEKANG_DATA_DIR": str(self.data / "data"),
            "YUEKANG_STATUS_HOST": address,
            "YUEKANG_WORKER_STATUS_PORT": str(port),
            "YUEKANG_WORKER_SESSION_SECONDS": f"{SESSION_SECONDS:g}",
            "YUEKANG_DEAD_LETTER_PUBLIC_KEY": bytes(DEAD_LETTER_KEY.public_key).hex(),
        }
        name = f"worker-{number}"
        super().__init__("worker", name, directory, environment, f"http://{address}:{port}")
        if link is not None:
            self._command = ["ip", "netns", "exec", link.namespace, *self.command]

    @property
    def tables(self) -> Path:
        """The folder of its stores."""
        return self.data / "data" / "tables"

    def give_up_its_place(self) -> None:
        """Let it leave its group when it ends; killed, it comes back as another member."""
        give_up_places(self.data / "data")

    def step_clock(self, seconds: float) -> None:
        """Set its wall clock off from the machine's; also while it runs."""
        self._clock.step(seconds)

    def arm_clock(self) -> None:
        """Let the next start have a wall clock that can be stepped."""
        self.arm(self._clock.environment)


def _projection(number: int, directory: Path, own: Environment, port: int) -> Python:
    return Python(
        "projection",
        f"projection-{number}",
        directory,
        {**own, "YUEKANG_PROJECTION_STATUS_PORT": str(port)},
        f"http://127.0.0.1:{port}",
    )


class Stage:
    """All processes, on ports that were free."""

    def __init__(
        self,
        directory: Path,
        brokers: int = 3,
        mutant: str = "",
        isolate: bool = False,
    ) -> None:
        isolate = isolate and isolated()
        self.directory = directory
        directory.mkdir(parents=True)
        self.copies = min(3, brokers)
        addresses = [f"{BROKERS}.{n}" if isolate else "127.0.0.1" for n in range(1, brokers + 1)]
        ports = iter(free_ports(2 * brokers + 3 + WORKERS))
        places = [Place(address, next(ports), next(ports)) for address in addresses]
        self.nodes = [Node(directory, n, places) for n in range(1, brokers + 1)]
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)
        self.brokers = Brokers(self.bootstrap)
        self.redis = RedisServer(directory, next(ports))
        self.redis_wanted = True
        os.environ[journal.VARIABLE] = str(directory / "journal")
        self.journal = journal.Journal(directory / "journal")
        own = {
            "YUEKANG_KAFKA": self.bootstrap,
            "YUEKANG_ENVIRONMENT": "development",  # production takes no other machine without TLS
            "YUEKANG_REDIS_URL": self.redis.url,
            "FAULTS_COPIES": str(self.copies),
            "FAULTS_MUTANT": mutant,
        }
        self.workers = [
            Worker(n, directory, own, next(ports), Link(n) if isolate else None)
            for n in range(1, WORKERS + 1)
        ]
        self.projections = [_projection(n, directory, own, next(ports)) for n in (1, 2)]
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start brokers, topics, Redis, two workers and a projection."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for node in self.nodes:
            node.start()
        self.redis.start()
        for node in self.nodes:
            await asyncio.to_thread(node.wait_ready)
        with_copies(self.copies)
        stamp_by_broker(STATUS_CHANGES)
        await create_topics(self.brokers)
        await wait_in_step(self.bootstrap)
        self.heal()
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Start what is wanted and does not run."""
        while True:
            for process in self.pythons:
                if process.wanted and not process.runs:
                    process.restarts += process.pid is not None
                    process.start()
            for node in self.nodes:
                if node.wanted and node.exited() is not None:
                    node.start()
            if self.redis_wanted and self.redis.exited() is not None:
                self.redis.start()
            await asyncio.sleep(WATCH_SECONDS)

    @property
    def pythons(self) -> tuple[Python, ...]:
        """Workers and projections."""
        return (*self.workers, *self.projections)

    def heal(self) -> None:
        """Undo whatever a fault may have left."""
        for worker in self.workers:
            worker.step_clock(0)
            if worker.disk is not None:
                worker.disk.empty()
            if worker.link is not None:
                worker.link.join()
        for process in self.pythons:
            process.wanted = process in (*self.workers[:2], self.projections[0])
            process.disarm()
        for node in self.nodes:
            node.wanted = True
        self.redis_wanted = True
        for stopped in (*self.pythons, *self.nodes, self.redis):
            send(stopped, signal.SIGCONT)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event in the workers' logs."""
        mark = json.dumps(event).encode()
        return [json.loads(line) for line in self._lines() if mark in line and line[:1] == b"{"]

    def unhandled(self) -> Counter[str]:
        """Return what the workers' logs say of errors that nobody handled, each with how often."""
        return Counter(
            f"{mark.decode()}: {line[-TOLD_OF_UNHANDLED:].decode(errors='replace')}"
            for line in self._lines()
            for mark in UNHANDLED
            if mark in line
        )

    def _lines(self) -> Iterator[bytes]:
        for worker in self.workers:
            for path in (worker.log.with_suffix(".all.log"), worker.log):
                if path.exists():
                    yield from path.read_bytes().splitlines()

    async def redis_command(self, *words: str) -> None:
        """Give Redis a command, if it can be reached."""
        redis: Redis = Redis.from_url(self.redis.url, socket_timeout=2)
        run: Any = redis.execute_command  # redis-py leaves it untyped
        with suppress(RedisError):
            await run(*words)
        await redis.aclose()

    def check(self) -> None:
        """Raise what ended the watching."""
        if self._watching is not None and self._watching.done():
            self._watching.result()

    async def close(self) -> None:
        """End everything."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        everything = (*self.pythons, *self.nodes, self.redis)
        for process in everything:
            send(process, signal.SIGCONT)
            send(process, signal.SIGKILL)
        for process in everything:
            await gone(process)


@asynccontextmanager
async def opened(directory: Path, **settings: Any) -> AsyncIterator[Stage]:
    """A stage that runs; its folder is new."""
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
    stage = Stage(directory, **settings)
    try:
        await stage.open()
        yield stage
    finally:
        await stage.close()
