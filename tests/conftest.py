"""A real Kafka and a real Redis for the session, started by what `yuekang up` starts them with."""

import sys
from collections.abc import Iterator

import pygal  # noqa: F401
import pytest
from hypothesis import HealthCheck, settings

from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port
from support.brokers import running_broker

# pygal leaves a finder of a protocol that Python gave up; pytest's way to import asks every finder.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]

settings.register_profile(
    "test",
    max_examples=100,
    deadline=None,
    derandomize=True,  # the same worlds every time: a commit is green or it is not
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "search",  # pytest tests/unit --hypothesis-profile=search: new worlds, and many
    parent=settings.get_profile("test"),
    max_examples=5_000,
    derandomize=False,
)
settings.load_profile("test")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a broker that has no topic yet."""
    with running_broker(tmp_path_factory.mktemp("broker")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Redis."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    try:
        server.wait_ready()
        yield server.url
    finally:
        server.stop()
