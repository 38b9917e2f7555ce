"""A consumer of Kafka that ends when it is told to.

aiokafka's own (0.14) has three faults when it is stopped while it fetches. It awaits the fetches
that it cancelled, so their `CancelledError` comes out of `stop`, and the connections stay open. So
does an error that had ended its loop. And the loop can swallow its one cancellation, and is then
awaited for ever.
"""

import asyncio
from typing import TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from app.process.tasks import CANCEL_AGAIN_SECONDS, end

LogRecord: TypeAlias = ConsumerRecord[bytes, bytes]
"""A record as it lies in the log."""

log = structlog.get_logger()


# aiokafka has no types: its class is Any to mypy.
class Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """As aiokafka's, but `stop` always returns."""

    async def stop(self) -> None:
        """Close it; leave its group, if it has one."""
        await end_fetches(self)
        await super().stop()


async def end_fetches(consumer: AIOKafkaConsumer) -> None:
    """End what a consumer fetches; it must be stopped next.

    What broke the fetching is logged: aiokafka would raise it, and close nothing.
    """
    fetcher = consumer._fetcher
    if fetcher is None:  # it was never started
        return
    loop = fetcher._fetch_task
    await end(loop, again_after=CANCEL_AGAIN_SECONDS)
    fetches = tuple(fetcher._pending_tasks)  # the loop began the last of them
    await end(*fetches, again_after=CANCEL_AGAIN_SECONDS)
    fetcher._pending_tasks.clear()
    for task in (loop, *fetches):
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("fetch_failed", error=repr(error))
    fetcher._fetch_task = asyncio.create_task(_nothing())


async def _nothing() -> None:
    """Stand in for a loop that has ended, whose error is told."""
