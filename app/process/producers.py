"""How a producer of aiokafka's is closed within a bounded time.

Its own `stop` waits for deliveries without bound. If it is cut short, it leaves its task and its
connections behind.
"""

import asyncio

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

CLOSE_SECONDS_MAX = 3.0

log = structlog.get_logger()


async def close(producer: AIOKafkaProducer) -> None:
    """Close a producer, after what it can still deliver within `CLOSE_SECONDS_MAX`."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("kafka_close_cut_short", error=type(error).__name__)
        await producer._sender.close()
        await producer.client.close()
