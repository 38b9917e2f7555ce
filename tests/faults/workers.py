"""What happens to workers: they die, stand still, come and go."""

import asyncio
import shutil
import signal

from faults.points import SLOW_SECONDS, Act
from faults.scenes import Scene, armed, down, running, started
from faults.stage import SESSION_SECONDS, Worker, gone, send

JOIN_SECONDS_MAX = 20.0


async def killed(scene: Scene) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name):
        await running(worker)
        await asyncio.sleep(scene.random.uniform(0, 3))
        perhaps_for_good(scene, worker)
        send(worker, signal.SIGKILL)
        await gone(worker)


async def ended(scene: Scene) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name):
        await running(worker)
        perhaps_for_good(scene, worker)
        send(worker, signal.SIGTERM)
        await gone(worker)


def perhaps_for_good(scene: Scene, worker: Worker) -> None:
    """Let it leave its group, every other time: then others take its partitions. A worker that
    keeps its place and is back soon has them again, and nobody else hears of it."""
    if scene.random.random() < 0.5:
        worker.give_up_its_place()


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
    _, second, third = scene.stage.workers[:3]
    async with scene.lock(second.name):
        third.wanted = True
        await running(third)
        await asyncio.sleep(scene.random.uniform(1, 5))
        second.wanted = False
        perhaps_for_good(scene, second)
        send(second, scene.random.choice((signal.SIGTERM, signal.SIGKILL)))
        await gone(second)
        await asyncio.sleep(scene.random.uniform(0, 2 * SESSION_SECONDS))
        second.wanted = True
        await running(second)
        third.wanted = False
        perhaps_for_good(scene, third)
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
        # These come once a partition or once a second, the others once a chunk. Fetches gather, so
        # a worker with little time has few chunks, and they are large.
        few = point.endswith(("fence", "catch-up", "offset commit"))
        number = passing or scene.random.randint(1, 2 if few else 6)
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


async def ends_again_and_again(scene: Scene) -> None:
    """A worker ends soon after each of its starts: before it holds anything, or in the midst."""
    worker = scene.worker()
    async with scene.lock(worker.name):
        await running(worker)
        for _ in range(scene.random.randint(4, 7)):
            send(worker, scene.random.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)))
            await gone(worker)
            await started(worker)
            await asyncio.sleep(scene.random.uniform(0.5, 6))


async def more_than_partitions(scene: Scene) -> None:
    """So many workers come that one holds nothing; it takes over from one that dies."""
    _, second, *more = scene.stage.workers
    async with scene.lock(second.name):
        for worker in more:
            worker.wanted = True
        for worker in more:
            await joined(scene, worker)
        await asyncio.sleep(scene.random.uniform(1, 4))
        for _ in range(3):
            worker = scene.random.choice((second, *more))
            send(worker, scene.random.choice((signal.SIGTERM, signal.SIGKILL)))
            await gone(worker)
            await asyncio.sleep(scene.random.uniform(0, 4))
            await joined(scene, worker)
        for worker in more:
            worker.wanted = False
            send(worker, scene.random.choice((signal.SIGTERM, signal.SIGKILL)))
        for worker in more:
            await gone(worker)


async def joined(scene: Scene, worker: Worker) -> None:
    """Return when it is in the group: one that holds nothing is never ready."""
    await started(worker)
    until = asyncio.get_running_loop().time() + JOIN_SECONDS_MAX
    while not scene.stage.journal.has(worker.pid, "assigned"):
        if asyncio.get_running_loop().time() > until:
            return  # another fault holds it up; this one may add to that
        await asyncio.sleep(0.2)


async def slow_ends(scene: Scene) -> None:
    """A worker that starts waits for the ends of logs: some answers are old when they come."""
    worker = scene.worker()
    async with scene.lock(worker.name):
        async with down(worker):
            worker.arm_point("after end of a log", scene.random.randint(2, 6), "slow")
        await running(worker)


async def taken_over_slowly(scene: Scene) -> None:
    """A worker stops with a transaction half done. The other takes over, and takes its time when it
    has read the log. Meanwhile the first wakes up, ends its transaction and dies, before
    it has its partitions back."""
    first, second = scene.stage.workers[:2]
    async with scene.lock(second.name), scene.lock(first.name):
        try:
            async with down(second):
                second.arm_point("after end of a catch-up", 100, "slow")
            await running(second)
            async with down(first):
                passing = scene.random.randint(1, 12)
                first.arm_point("before confirmation", passing, "stop-then-kill")
            await started(first)
            await armed(scene, first, "before confirmation")
            await asyncio.sleep(SESSION_SECONDS + scene.random.uniform(1.5, 4))
            first.wanted = False
            send(first, signal.SIGCONT)
            await gone(first)  # before it is back in its group
            await asyncio.sleep(SLOW_SECONDS)
        finally:
            first.wanted = True
            async with down(second):
                pass


async def late_end(scene: Scene) -> None:
    """An EndTxn is held up, ends the next transaction half-way if it can, and the worker dies."""
    worker = scene.worker()
    async with scene.lock(worker.name):
        async with down(worker):
            worker.arm_late(scene.random.randint(2, 12))
        await started(worker)
        await armed(scene, worker, "late end")
        await gone(worker)
