"""The kinds of faults, each a coroutine that makes it happen once and heals it.

`WORKER` and `AROUND` list them; a round draws from both. Each draws what is open (which worker,
which moment, how long) from the round's own random numbers. A fault that could not happen raises
`Missed`, and is counted apart.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from faults.cluster import reorder, wait_in_step
from faults.points import POINTS, Act
from faults.stage import SESSION_SECONDS, Python, Stage, Worker, gone, send
from support.clocks import FAKETIME

REACHED_SECONDS_MAX = 60.0
"""How long a worker may take from its start to the point at which it dies."""

DAMAGE_BYTES = 256


class Missed(Exception):
    """The fault did not happen; the message says why."""


class Scene(NamedTuple):
    """Where a fault happens, and what it draws from."""

    stage: Stage
    random: Random
    locks: dict[str, asyncio.Lock]
    notes: list[str]

    def lock(self, what: str) -> asyncio.Lock:
        """Return the lock of what only one fault may have at a time."""
        return self.locks.setdefault(what, asyncio.Lock())

    def worker(self) -> Worker:
        """Draw one of the two workers that always run."""
        return self.random.choice(self.stage.workers[:2])


Fault = Callable[[Scene], Awaitable[None]]


class Kind(NamedTuple):
    """A fault by its name in the report. `isolated`: it needs namespaces; `brokers`: so many."""

    name: str
    happen: Fault
    isolated: bool = False
    brokers: int = 1
    clock: bool = False


# Workers


async def killed(scene: Scene) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name):
        await running(worker)
        await asyncio.sleep(scene.random.uniform(0, 3))
        send(worker, signal.SIGKILL)
        await gone(worker)


async def ended(scene: Scene) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name):
        await running(worker)
        send(worker, signal.SIGTERM)
        await gone(worker)


async def stopped(scene: Scene) -> None:
    """Mostly some seconds beyond the session; up to 40 s."""
    worker = scene.worker()
    seconds = 5 + 35 * scene.random.random() ** 3
    async with scene.lock(worker.name):
        await running(worker)
        send(worker, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        send(worker, signal.SIGCONT)


async def third_joins_and_leaves(scene: Scene) -> None:
    """A third worker comes, the second leaves, the second comes again, the third leaves.

    Each leaves its group, or keeps its place and is back sooner or later than it is missed.
    """
    _, second, third = scene.stage.workers
    async with scene.lock(second.name):
        third.wanted = True
        await running(third)
        await asyncio.sleep(scene.random.uniform(1, 5))
        second.wanted = False
        if scene.random.random() < 0.5:
            second.give_up_its_place()
        send(second, scene.random.choice((signal.SIGTERM, signal.SIGKILL)))
        await gone(second)
        await asyncio.sleep(scene.random.uniform(0, 2 * SESSION_SECONDS))
        second.wanted = True
        await running(second)
        third.wanted = False
        if scene.random.random() < 0.5:
            third.give_up_its_place()
        send(third, scene.random.choice((signal.SIGTERM, signal.SIGKILL)))
        await gone(third)


async def at_point(
    scene: Scene,
    point: str,
    act: Act = "kill",
    passing: int | None = None,
    of: Worker | None = None,
) -> None:
    """A worker starts, and dies when it passes a point of the commit path the n-th time."""
    worker = of or scene.worker()
    async with scene.lock(worker.name):
        # These come once a partition or once a second, the others once a chunk.
        few = point.endswith(("fence", "catch-up", "offset commit"))
        number = passing or scene.random.randint(1, 2 if few else 12)
        async with down(worker):
            if point.endswith("catch-up"):  # or there may be nothing to catch up with
                await asyncio.to_thread(shutil.rmtree, worker.tables, ignore_errors=True)
            worker.arm_point(point, number, act)
        await started(worker)
        await armed(scene, worker, point)
        if act == "stop":
            await asyncio.sleep(SESSION_SECONDS + scene.random.uniform(2, 8))
            send(worker, signal.SIGCONT)


async def alone_at_point(scene: Scene, point: str, act: Act = "kill") -> None:
    """The only worker dies at a point; nobody takes over before it is back with its store."""
    first, second = scene.stage.workers[:2]
    async with scene.lock(second.name):
        second.wanted = False
        second.give_up_its_place()
        send(second, signal.SIGTERM)
        await gone(second)
        try:
            await at_point(scene, point, act, of=first)
            await running(first)
        finally:
            second.wanted = True


# Its store


async def store_full(scene: Scene) -> None:
    worker = scene.worker()
    assert worker.disk is not None
    async with scene.lock(worker.name):
        await running(worker)
        await asyncio.to_thread(worker.disk.fill, scene.random.randrange(0, 300_000))
        await asyncio.sleep(scene.random.uniform(4, 10))
        worker.disk.empty()


async def store_deleted(scene: Scene) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name), down(worker):
        shutil.rmtree(worker.tables, ignore_errors=True)


async def store_deleted_while_open(scene: Scene) -> None:
    """It goes on in files that have no name any more, until it needs a new one."""
    worker = scene.worker()
    async with scene.lock(worker.name):
        await running(worker)
        await asyncio.to_thread(shutil.rmtree, worker.tables, ignore_errors=True)
        await asyncio.sleep(3)
        send(worker, signal.SIGKILL)
        await gone(worker)


async def store_corrupted(scene: Scene) -> None:
    """Bytes of several files are overwritten while the worker is down."""
    worker = scene.worker()
    async with scene.lock(worker.name), down(worker):
        files = [
            path
            for pattern in ("*.sst", "MANIFEST-*", "*.log", "CURRENT")
            for path in sorted(worker.tables.rglob(pattern))
            if path.stat().st_size > 0
        ]
        if not files:
            raise Missed("there is no store yet")
        for path in scene.random.sample(files, min(len(files), scene.random.randint(1, 4))):
            damage(path, scene.random)


def damage(path: Path, random: Random) -> None:
    """Overwrite some bytes of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(random.randrange(size))
        file.write(random.randbytes(min(DAMAGE_BYTES, size)))
    if path.stat().st_size > size:
        with path.open("r+b") as file:
            file.truncate(size)


async def store_from_before(scene: Scene) -> None:
    """A copy is taken, the worker goes on for a while, and finds the copy when it comes back."""
    worker = scene.worker()
    copy = worker.data / "copy"
    async with scene.lock(worker.name):
        async with down(worker):
            if not worker.tables.exists():
                raise Missed("there is no store yet")
            await asyncio.to_thread(shutil.copytree, worker.tables, copy)
        await running(worker)
        await asyncio.sleep(scene.random.uniform(3, 6))
        async with down(worker):
            await asyncio.to_thread(shutil.rmtree, worker.tables)
            copy.rename(worker.tables)


# Its clock and its network


async def clock_stepped(scene: Scene, sign: int) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name):
        await restart(worker, worker.arm_clock)
        await running(worker)
        worker.step_clock(sign * scene.random.choice((5, 30, 120, 25 * 3600)))
        await asyncio.sleep(scene.random.uniform(4, 8))
        worker.step_clock(0)


async def cut_off(scene: Scene) -> None:
    """No packet goes between the worker and any broker."""
    worker = scene.worker()
    assert worker.link is not None
    async with scene.lock(worker.name):
        await running(worker)
        worker.link.cut()
        await asyncio.sleep(scene.random.uniform(2, 12))
        worker.link.join()


async def cut_off_from_one(scene: Scene) -> None:
    """No packet goes from the worker to one of the brokers."""
    worker = scene.worker()
    assert worker.link is not None
    async with scene.lock(worker.name):
        await running(worker)
        worker.link.cut_broker(scene.random.choice((1, 2, 3)))
        await asyncio.sleep(scene.random.uniform(3, 12))
        worker.link.join()


# Brokers


async def broker_down(scene: Scene, number: signal.Signals) -> None:
    async with scene.lock("brokers"):
        node = scene.random.choice(scene.stage.nodes)
        node.wanted = False
        send(node, number)
        await gone(node)
        await asyncio.sleep(scene.random.uniform(2, 6))
        node.wanted = True
        await asyncio.sleep(1)
        await wait_in_step(scene.stage.bootstrap)


async def broker_stopped(scene: Scene) -> None:
    async with scene.lock("brokers"):
        node = scene.random.choice(scene.stage.nodes)
        send(node, signal.SIGSTOP)
        await asyncio.sleep(scene.random.uniform(3, 9))
        send(node, signal.SIGCONT)
        await wait_in_step(scene.stage.bootstrap)


async def leaders_moved(scene: Scene) -> None:
    """Every partition gets another leader, its groups' and transactions' coordinators too."""
    async with scene.lock("brokers"):
        for _ in range(2):
            order = [node.number for node in scene.stage.nodes]
            scene.random.shuffle(order)
            await reorder(scene.stage.bootstrap, order)
            await asyncio.sleep(5)


# Redis and the projection


async def redis_killed(scene: Scene) -> None:
    """It comes back empty, as it keeps nothing on disk."""
    async with scene.lock("redis"):
        scene.stage.redis_wanted = False
        send(scene.stage.redis, signal.SIGKILL)
        await asyncio.sleep(scene.random.uniform(0.5, 4))
        scene.stage.redis_wanted = True


async def redis_flushed(scene: Scene) -> None:
    async with scene.lock("redis"):
        for _ in range(scene.random.randint(1, 3)):
            await scene.stage.redis_command("FLUSHALL")
            await asyncio.sleep(scene.random.uniform(0.5, 2))


async def redis_slow(scene: Scene) -> None:
    """It holds every command for longer than the projection waits."""
    async with scene.lock("redis"):
        milliseconds = scene.random.randint(2_000, 8_000)
        await scene.stage.redis_command("CLIENT", "PAUSE", str(milliseconds), "ALL")
        await asyncio.sleep(milliseconds / 1_000)


async def redis_stopped(scene: Scene) -> None:
    async with scene.lock("redis"):
        send(scene.stage.redis, signal.SIGSTOP)
        await asyncio.sleep(scene.random.uniform(2, 9))
        send(scene.stage.redis, signal.SIGCONT)


async def projection_killed(scene: Scene) -> None:
    projection = scene.stage.projections[0]
    async with scene.lock("projection"):
        for _ in range(2):
            await running(projection)
            await asyncio.sleep(scene.random.uniform(0, 2))
            send(projection, signal.SIGKILL)
            await gone(projection)


async def projection_replaced(scene: Scene) -> None:
    """It is stopped, another takes over, and it wakes up again."""
    first, second = scene.stage.projections
    async with scene.lock("projection"):
        await running(first)
        second.wanted = True
        await running(second)
        send(first, signal.SIGSTOP)
        await asyncio.sleep(scene.random.uniform(5, 9))
        send(first, signal.SIGCONT)
        await asyncio.sleep(2)
        second.wanted = False
        send(second, signal.SIGTERM)
        await gone(second)


async def projection_at_point(
    scene: Scene, point: str, successor_ends_by: signal.Signals = signal.SIGTERM
) -> None:
    """It stops with a batch in hand, another takes over and goes, and it wakes up to write."""
    first, second = scene.stage.projections
    async with scene.lock("projection"):
        await restart(first, partial(first.arm_point, point, scene.random.randint(1, 3), "stop"))
        await armed(scene, first, point)
        second.wanted = True
        await running(second)
        await asyncio.sleep(scene.random.uniform(2, 4))
        second.wanted = False
        send(second, successor_ends_by)
        await gone(second)
        send(first, signal.SIGCONT)


# What they have in common


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
            while not (process.running and await asyncio.to_thread(process.ready)):
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
    while not process.running:
        await asyncio.sleep(0.05)


ZOMBIES = (
    "before changelog send",
    "after changelog send",
    "before confirmation",
    "after confirmation",
)

WORKER: tuple[Kind, ...] = (
    Kind("worker killed", killed),
    Kind("worker ended and started", ended),
    Kind("worker stopped, woken after its session", stopped),
    Kind("third worker joins, second leaves and returns", third_joins_and_leaves),
    *(Kind(f"worker dies {point}", partial(at_point, point=point)) for point in POINTS),
    *(
        Kind(
            f"worker stopped {point}, woken after its session",
            partial(at_point, point=point, act="stop"),
        )
        for point in ZOMBIES
    ),
    Kind(
        "only worker dies before confirmation", partial(alone_at_point, point="before confirmation")
    ),
    Kind(
        "only worker dies after confirmation", partial(alone_at_point, point="after confirmation")
    ),
    *(
        Kind(
            f"only worker dies {point}, its store written out",
            partial(alone_at_point, point=point, act="write-out"),
        )
        for point in ("before confirmation", "after confirmation", "after store write")
    ),
    Kind("store: disk full", store_full, isolated=True),
    Kind("store: deleted", store_deleted),
    Kind("store: deleted while open", store_deleted_while_open),
    Kind("store: bytes overwritten", store_corrupted),
    Kind("store: an old copy put back", store_from_before),
    Kind("clock: stepped back", partial(clock_stepped, sign=-1), clock=True),
    Kind("clock: stepped forward", partial(clock_stepped, sign=1), clock=True),
    Kind("network: worker cut off", cut_off, isolated=True),
    Kind("network: worker cut off from one broker", cut_off_from_one, isolated=True, brokers=3),
)

AROUND: tuple[Kind, ...] = (
    Kind("broker killed", partial(broker_down, number=signal.SIGKILL), brokers=3),
    Kind("broker ended and started", partial(broker_down, number=signal.SIGTERM), brokers=3),
    Kind("broker stopped and woken", broker_stopped, brokers=3),
    Kind("leaders moved", leaders_moved, brokers=3),
    Kind("Redis killed, back empty", redis_killed),
    Kind("Redis flushed", redis_flushed),
    Kind("Redis slow", redis_slow),
    Kind("Redis stopped and woken", redis_stopped),
    Kind("projection killed", projection_killed),
    Kind("projection stopped, replaced, woken", projection_replaced),
    Kind(
        "projection stopped before write to Redis, replaced, woken",
        partial(projection_at_point, point="before write to Redis"),
    ),
    Kind(
        "projection stopped before write without changes, replaced by one that is killed, woken",
        partial(
            projection_at_point,
            point="before write without changes",
            successor_ends_by=signal.SIGKILL,
        ),
    ),
)


PROVOKING: tuple[Kind, ...] = (
    *WORKER,
    *AROUND,
    Kind(
        "worker lingers and dies before confirmation",
        partial(at_point, point="before confirmation", act="linger"),
    ),
    Kind(
        "worker dies after confirmation of rows",
        partial(at_point, point="after confirmation", passing=11),  # the others are of what is told
    ),
)
"""What mutants are provoked with."""


def in_turn(names: Sequence[str]) -> Kind:
    """Return the fault that is these, one after another."""
    by_name = {kind.name: kind for kind in PROVOKING}

    async def happen(scene: Scene) -> None:
        for name in names:
            await by_name[name].happen(scene)

    return Kind("; ".join(names), happen)


def possible(kind: Kind, isolated: bool, brokers: int) -> bool:
    """Say whether a fault can happen on such a stage."""
    return (
        (isolated or not kind.isolated)
        and brokers >= kind.brokers
        and (FAKETIME.exists() or not kind.clock)
    )
