"""Where a fault happens, and what faults have in common: to wait for a process, to start it again.

A fault that could not happen raises `Missed`, and is counted apart.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

from faults.stage import Python, Stage, Worker, gone, send
from faults.workload import Workload
from oracle.audit import Audit

REACHED_SECONDS_MAX = 60.0
"""How long a worker may take from its start to the point at which it dies."""


class Missed(Exception):
    """The fault did not happen; the message says why."""


class Scene(NamedTuple):
    """Where a fault happens, and what it draws from.

    `workload` is told of what nothing may be sent to for a while, `audit` of what is lost on
    purpose.
    """

    stage: Stage
    random: Random
    locks: dict[str, asyncio.Lock]
    workload: Workload
    audit: Audit

    def lock(self, what: str) -> asyncio.Lock:
        """Return the lock of what only one fault may have at a time."""
        return self.locks.setdefault(what, asyncio.Lock())

    def worker(self) -> Worker:
        """Draw one of the two workers that always run."""
        return self.random.choice(self.stage.workers[:2])


Fault = Callable[[Scene], Awaitable[None]]


class Kind(NamedTuple):
    """A fault by its name in the report. `isolated`: it needs namespaces; `brokers`: so many;
    `clock`: it needs libfaketime."""

    name: str
    happen: Fault
    isolated: bool = False
    brokers: int = 1
    clock: bool = False


async def armed(scene: Scene, process: Python, point: str) -> None:
    """Return when a process has come to the point that it was armed with."""
    pid, clock = process.pid, asyncio.get_running_loop().time
    until = clock() + REACHED_SECONDS_MAX
    while not scene.stage.journal.has(pid, "at-point"):
        if process.pid != pid or clock() > until:
            async with down(process):
                pass  # disarmed, or it would come after the round
            raise Missed(f"{point} was not passed so often")
        await asyncio.sleep(0.2)


async def running(process: Python, seconds_max: float = 40.0) -> None:
    """Return when a worker or projection is ready; go on where that takes too long."""
    try:
        async with asyncio.timeout(seconds_max):
            while not (process.runs and await asyncio.to_thread(process.ready)):
                await asyncio.sleep(0.2)
    except TimeoutError:
        pass  # another fault holds it up; this one may add to that


@asynccontextmanager
async def down(process: Python) -> AsyncIterator[None]:
    """A process is killed, and started again at the end."""
    process.wanted = False
    send(process, signal.SIGKILL)
    await gone(process)
    try:
        yield
    finally:
        process.wanted = True


async def restart(process: Python, prepare: Callable[[], None]) -> None:
    """Start a process again, and return when it runs again."""
    async with down(process):
        prepare()
    await started(process)


async def started(process: Python) -> None:
    """Return when it runs."""
    while not process.runs:
        await asyncio.sleep(0.05)
