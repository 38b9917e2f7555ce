"""The limit: what this client costs alone. Fetch, parse, commit; nothing is kept or told."""

import asyncio
import sys
import time
from contextlib import suppress

import orjson
from aiokafka import AIOKafkaConsumer

RECORDS_MAX = 5_000


async def consume(topic: str, bootstrap: str, group: str, commit_seconds: float) -> None:
    """Read `topic` until cancelled."""
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    loads = orjson.loads
    async with consumer:
        committed_at, pending = time.monotonic(), False
        while True:
            fetched = await consumer.getmany(timeout_ms=50, max_records=RECORDS_MAX)
            for records in fetched.values():
                for record in records:
                    # Some records of the real fold are no JSON; that is found, and passed by.
                    with suppress(orjson.JSONDecodeError):
                        loads(record.value or b"")
            pending = pending or bool(fetched)
            # At the end it waits for no interval: it is over in less than one.
            if pending and (not fetched or time.monotonic() - committed_at > commit_seconds):
                await consumer.commit()
                committed_at, pending = time.monotonic(), False


if __name__ == "__main__":
    _, topic, bootstrap, group, commit_seconds = sys.argv[1:]
    asyncio.run(consume(topic, bootstrap, group, float(commit_seconds)))
