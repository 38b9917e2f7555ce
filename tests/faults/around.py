"""What happens around the workers: to brokers, to Redis, to the projection."""

import asyncio
import signal
from functools import partial

from faults.cluster import reorder, wait_in_step
from faults.scenes import Scene, armed, restart, running
from faults.stage import gone, send


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
