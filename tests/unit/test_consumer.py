"""A consumer that is stopped while it fetches, and what aiokafka's own does then."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaError

from app.process import consumer as module
from app.process.consumer import Consumer
from app.process.tasks import end

HOUR = 3600.0

Fetch = Callable[[], Coroutine[Any, Any, None]]


async def waits() -> None:
    """As a fetch does after its broker went away."""
    await asyncio.sleep(HOUR)


async def swallows() -> None:
    """As the loop does, where the assignment has just changed."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(HOUR)
    await asyncio.sleep(HOUR)


async def fetching(kind: type[AIOKafkaConsumer], loop: Fetch, fetch: Fetch) -> AIOKafkaConsumer:
    """Return a consumer with one fetch under way, and no broker."""
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._fetch_task = asyncio.create_task(loop())
    fetcher._pending_tasks = {asyncio.create_task(fetch())}
    fetcher._fetch_waiters = set()
    consumer = kind(bootstrap_servers="nowhere")
    consumer._fetcher = fetcher
    await asyncio.sleep(0)
    return consumer


async def fails() -> None:
    """As the loop does, where a record cannot be read."""
    raise KafkaError


@pytest.mark.parametrize("fetch", [waits, swallows, fails])
@pytest.mark.parametrize("loop", [waits, swallows, fails])
async def test_it_stops_whatever_its_fetches_do(
    monkeypatch: pytest.MonkeyPatch, loop: Fetch, fetch: Fetch
) -> None:
    monkeypatch.setattr(module, "CANCEL_AGAIN_SECONDS", 0.01)
    consumer = await fetching(Consumer, loop, fetch)
    closed = []

    async def close() -> None:
        closed.append("client")

    monkeypatch.setattr(consumer._client, "close", close)
    async with asyncio.timeout(5):
        await consumer.stop()
    assert closed == ["client"]


async def test_a_task_that_stops_one_in_its_end_is_not_cut_short() -> None:
    stopped = asyncio.Event()

    async def watch() -> None:
        consumer = await fetching(Consumer, swallows, swallows)
        try:
            await asyncio.sleep(HOUR)
        finally:
            await consumer.stop()
            stopped.set()

    task = asyncio.create_task(watch())
    await asyncio.sleep(0.1)
    await end(task)
    assert stopped.is_set()


async def test_one_that_was_never_started_stops() -> None:
    await Consumer(bootstrap_servers="nowhere").stop()


async def test_aiokafka_lets_out_the_cancellation_of_its_fetches() -> None:
    """Once this fails, `Consumer` can go."""
    consumer = await fetching(AIOKafkaConsumer, waits, waits)
    with pytest.raises(asyncio.CancelledError):
        await consumer.stop()


async def test_aiokafka_waits_without_end_for_a_loop_that_swallowed_its_cancellation() -> None:
    """Once this fails, `Consumer` can go."""
    consumer = await fetching(AIOKafkaConsumer, swallows, waits)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await consumer.stop()
