"""How a background task is ended, and what a thread does for one."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_SECONDS_MAX = 10.0
"""Longer than any orderly close takes, so no second cancellation falls into one."""

CANCEL_AGAIN_SECONDS = 0.1
"""For a task that closes nothing at its end: there a second cancellation does no harm."""


async def end(*tasks: asyncio.Task[object], again_after: float = CLOSE_SECONDS_MAX) -> None:
    """Cancel `tasks` and wait until all have ended.

    Clients can swallow a cancellation: aiokafka's do, and redis-py's does where it comes while a
    command is written (`asyncio.wait_for` before Python 3.12). So a task that still goes on
    `again_after` seconds is cancelled again.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=again_after)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `call` does, from a thread. Whoever is cancelled meanwhile hears of it only when
    the call has ended: nothing goes on that nobody waits for."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if error := running.exception():
            raise error from None
        raise
