"""A real Kafka for the run and a real Redis, started by what `yuekang up` starts them with."""

import asyncio
import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from app.development.stack.redis_server import RedisServer
from app.process.kafka import Brokers
from app.process.memory import look_seldom
from app.process.ports import free_port
from support.brokers import Kafka, shared_broker
from support.redis_users import give_users

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


# Brokers and Keycloak start with half the work if Java compiles only once.
os.environ["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

LONGEST = (
    "test_stack",
    "test_encrypted",
    "test_openapi",
    "test_worker",
    "test_login_keycloak",
    "test_accessible",
    "test_changes",
    "test_projection",
    "test_clock",
    "test_every_page",
    "test_membership",
    "test_register",
    "test_publish",
    "test_refusals",
    "test_code_page",
    "test_poison",
    "test_quotas",
    "test_halts",
    "test_freshness",
    "test_credentials",
    "test_canary",
    "test_view",
    "test_audit",
    "test_information",
    "test_login",
    "test_at_night",
    "test_gate",
    "test_explanations",
    "test_form_pages",
    "test_closed",
    "test_forms",
    "test_dashboard",
    "test_latency",
    "test_against_naive",
)
"""Files that take long. They are begun first, so that none is left when the others are done."""


gc.disable()  # until all is imported, which stays


def pytest_collection_finish() -> None:
    """Look for cycles as our own processes do; a sixth of the time went to looking often."""
    gc.enable()
    look_seldom()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; a file's tests keep their order."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def broker(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Brokers:
    """The run's one broker, which all workers of pytest share."""
    directory = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        directory = directory.parent
    brokers, let_go = shared_broker(directory / "broker")
    # Not as the last test's teardown, whose time would be that of all others.
    pytestconfig.add_cleanup(let_go)
    return brokers


@pytest.fixture(scope="module")
def kafka(broker: Brokers, request: pytest.FixtureRequest, worker_id: str) -> Kafka:
    """The broker with the topics of topics.yaml, the module's own."""
    module = request.path.stem.removeprefix("test_").replace("_", "-")
    kafka = Kafka(broker, f"{module}-{worker_id}-")
    asyncio.run(kafka.create_topics())
    return kafka


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Redis, where a process may do what it does."""
    with RedisServer(tmp_path_factory.mktemp("redis"), free_port()).running() as server:
        give_users(server.url)
        yield server.url
