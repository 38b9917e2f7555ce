"""What happens to what a worker has of its own: its store, its clock, its network."""

import asyncio
import shutil
import signal
from pathlib import Path
from random import Random

from faults.scenes import Missed, Scene, down, restart, running
from faults.stage import gone, send

DAMAGE_BYTES = 256


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


async def clock_stepped(scene: Scene, sign: int) -> None:
    worker = scene.worker()
    async with scene.lock(worker.name):
        await restart(worker, worker.arm_clock)
        await running(worker)
        worker.step_clock(sign * scene.random.choice((5, 30, 120, 25 * 3600)))
        await asyncio.sleep(scene.random.uniform(4, 8))
        worker.step_clock(0)


async def clock_ahead(scene: Scene, seconds: float) -> None:
    """Its clock runs ahead for a while, also in starts meanwhile; beyond 10 minutes it ends."""
    worker = scene.worker()
    async with scene.lock(worker.name):
        await restart(worker, worker.arm_clock)
        await running(worker)
        worker.step_clock(seconds)
        until = asyncio.get_running_loop().time() + scene.random.uniform(8, 14)
        while asyncio.get_running_loop().time() < until:
            worker.arm_clock()
            await asyncio.sleep(0.1)
        worker.disarm()
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
