"""A view over an empty Redis, without Kafka; a file that needs another has fixtures of its own."""

from collections.abc import AsyncIterator

import pytest
from litestar.testing import AsyncTestClient
from redis.asyncio import Redis

from app.process.settings import Settings
from app.view.releases import RELEASE
from support.audits import Noted
from support.views import Http, Model, create_view, now, options_over


@pytest.fixture
async def rows(redis_url: str) -> AsyncIterator[Redis]:
    """The database of rows: none is there, nor ever was."""
    async with Redis.from_url(Settings(redis_url=redis_url).rows_redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def model(redis_url: str) -> AsyncIterator[Model]:
    """The codes: a read model with nobody in it, nor any credential. No figures were told."""
    settings = Settings(redis_url=redis_url)
    async with Redis.from_url(settings.sessions_redis_url) as sessions:
        await sessions.delete(RELEASE)
    async with (
        Redis.from_url(redis_url) as client,
        Redis.from_url(settings.credentials_redis_url) as credentials,
    ):
        model = Model(client, credentials=credentials)
        await model.begin()
        yield model


@pytest.fixture
def noted() -> Noted:
    """What goes to the audit log."""
    return Noted()


@pytest.fixture
async def http(redis_url: str, noted: Noted) -> AsyncIterator[Http]:
    options = options_over(redis_url, now, write_down=noted)
    async with AsyncTestClient(create_view(options)) as client:
        yield client
