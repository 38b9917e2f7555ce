"""How background tasks are ended."""

import asyncio
from contextlib import suppress

import pytest

from app.process import tasks
from app.process.tasks import end

HOUR = 3600.0


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A projection once outlived its SIGTERM so."""
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.01)
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
        await end(task)
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
