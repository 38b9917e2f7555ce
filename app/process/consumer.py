"""A consumer of Kafka that ends when it is told to.

aiokafka's own (0.14) has two faults when it is stopped while it fetches. It awaits the fetches that
it cancelled, so their `CancelledError` comes out of `stop`, and the connections stay open. And its
loop can swallow its one cancellation, and is then awaited for ever.
"""

from aiokafka import AIOKafkaConsumer

from app.process.tasks import end


# aiokafka has no types: its class is Any to mypy.
class Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """As aiokafka's, but `stop` always returns."""

    async def stop(self) -> None:
        """Close it; leave its group, if it has one."""
        await end_fetches(self)
        await super().stop()


async def end_fetches(consumer: AIOKafkaConsumer) -> None:
    """End what a consumer fetches; it must be stopped next."""
    fetcher = consumer._fetcher
    if fetcher is not None:  # else it was never started
        await end(fetcher._fetch_task)
        await end(*fetcher._pending_tasks)
        fetcher._pending_tasks.clear()
