"""How a background task is ended."""

import asyncio

CLOSE_SECONDS_MAX = 10.0
"""Longer than any orderly close takes, so no second cancellation falls into one."""

CANCEL_AGAIN_SECONDS = 0.1
"""For a task that closes nothing at its end: there a second cancellation does no harm."""


async def end(*tasks: asyncio.Task[None], again_after: float = CLOSE_SECONDS_MAX) -> None:
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
