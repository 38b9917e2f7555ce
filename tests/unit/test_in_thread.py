"""What a thread does is over before anybody goes on, also whoever is cancelled."""

import asyncio
import threading

import pytest

from app.process.tasks import end, in_thread

SECONDS_MAX = 5.0


async def test_returns_what_the_call_returns() -> None:
    assert await in_thread(lambda one, two: one + two, 1, two=2) == 3


async def test_what_the_call_raises_is_raised() -> None:
    def fails() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await in_thread(fails)


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_who_is_cancelled_hears_of_it_when_the_call_has_ended(cancellations: int) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert may_end.wait(SECONDS_MAX)
        ended.set()

    task = asyncio.create_task(in_thread(call))
    await asyncio.to_thread(begun.wait, SECONDS_MAX)
    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
    may_end.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended.is_set()


async def test_a_call_that_fails_is_told_before_the_cancellation() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert may_end.wait(SECONDS_MAX)
        raise OSError("full")

    task = asyncio.create_task(in_thread(call))
    await asyncio.to_thread(begun.wait, SECONDS_MAX)
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    await end(task)
    with pytest.raises(OSError, match="full"):
        await task
