"""How background tasks are ended."""

import asyncio
from contextlib import suppress

from app.process.tasks import end

HOUR = 3600.0


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    """A projection once outlived its SIGTERM so."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(HOUR)
            swallowed += 1
        await asyncio.sleep(HOUR)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task, again_after=0.01)
    assert task.cancelled()
    assert swallowed == 2


async def test_what_ended_by_itself_is_not_waited_for_and_no_task_is_no_error() -> None:
    async def broken() -> None:
        raise ValueError

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await end(task)
    await end()
    assert isinstance(task.exception(), ValueError)


async def test_an_orderly_close_is_not_cut_short() -> None:
    """A producer may take 3 s for what is on its way."""
    closed = asyncio.Event()

    async def closes() -> None:
        try:
            await asyncio.sleep(HOUR)
        finally:
            await asyncio.sleep(2.5)
            closed.set()

    task = asyncio.create_task(closes())
    await asyncio.sleep(0)
    await end(task)
    assert closed.is_set()
