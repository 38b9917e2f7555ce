"""How a background task is ended."""

import asyncio

CANCEL_AGAIN_SECONDS = 2.0


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel `tasks` and wait until all have ended.

    Clients can swallow a cancellation (aiokafka's do), so a task that goes on is cancelled again.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=CANCEL_AGAIN_SECONDS)
