"""How a background task is ended."""

import asyncio

CLOSE_SECONDS_MAX = 10.0
"""Longer than any orderly close takes, so no second cancellation falls into one."""


async def end(*tasks: asyncio.Task[None], again_after: float = CLOSE_SECONDS_MAX) -> None:
    """Cancel `tasks` and wait until all have ended.

    Clients can swallow a cancellation (aiokafka's do), so a task that still goes on `again_after`
    seconds is cancelled again.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=again_after)
