"""The process of the rows turns off a credential that tells a code of before."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.credentials.bounds import ASK_SECONDS, LIFE
from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port
from app.process.settings import Settings
from app.projection.holdings import CHUNK, Held, Holdings, NotFollowed
from support.brokers import Kafka
from support.views import Log, health_code, now, reason, running_rows, someone

SECONDS_MAX = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, free_port()).running() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    """The database of credentials."""
    url = Settings(rows_redis_url=server.url).credentials_redis_url
    async with Redis.from_url(url) as redis:
        yield redis


@pytest.fixture
async def log(kafka: Kafka) -> AsyncIterator[Log]:
    async with Log(kafka) as log:
        yield log


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not await done():
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def hold(holdings: Holdings, person: str, asker: str) -> Held:
    """Take a place that tells green, as soon as one may."""
    while True:
        try:
            held = await holdings.hold(person, asker, b"x", now(), now() + LIFE, ASK_SECONDS)
        except NotFollowed:
            asker += "'"
            await asyncio.sleep(0.1)
        else:
            await holdings.tell(person, held.place, 1)
            return held


async def test_a_red_on_the_log_turns_off_a_green_also_after_another_start(
    kafka: Kafka,
    log: Log,
    server: RedisServer,
    redis: Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.projection.holdings.HEALTH_CODES", kafka.named("health-codes"))
    first, second, third = (someone() for _ in range(3))
    await log.put(*map(health_code, (first, second, third)))
    holdings = Holdings(redis)

    async def is_off(held: Held) -> bool:
        return bool(await redis.getbit(CHUNK + held.place.chunk, held.place.index ^ 7))

    with running_rows(kafka, server.url, tmp_path):
        places = [
            await asyncio.wait_for(hold(holdings, person, person), SECONDS_MAX)
            for person in (first, second, third)
        ]
        await log.put(health_code(first, reason(), version=2))
        await until(lambda: is_off(places[0]))
    await log.put(health_code(second, reason(), version=2))
    with running_rows(kafka, server.url, tmp_path):
        await until(lambda: is_off(places[1]))
    assert not await is_off(places[2])
    assert sum(places[0].offsets) >= 3
