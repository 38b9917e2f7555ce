"""A source above its limit on a real Kafka, with policy's own numbers: held, told, seen by the
public, and released by two operators; killed in the middle, with one worker and with two."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port
from app.projection.codes import HELD_IN, read_counts
from app.web.tokens import Role
from integration.test_gateway_refusals import ask, gateway_over
from models.codes import Colour, HealthCode, Reason
from models.events import Event
from models.policy import POLICIES
from support import builders as b
from support.asgi import transport_to
from support.brokers import Kafka
from support.gateways import command
from support.tokens import TRUSTING, operator_token
from support.views import (
    Json,
    Running,
    running_projection,
    running_rows,
    running_view,
    someone,
    someone_in,
)
from support.workers import Worker, drained, everything, running_worker, send

LIMIT = POLICIES[-1].openings_max[Reason.SUSPECTED_CASE]
ABOVE = 30
FIRST, SECOND = "/cdc/440100", "/cdc/440300"
SLUG = Reason.SUSPECTED_CASE.slug
RELEASES = "source-releases"
SECONDS_MAX = 120.0
CHEN, LI = "/operators/chen", "/operators/li"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), free_port()).running() as server:
        yield server


@pytest.fixture(scope="module")
def rows_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("rows-redis"), free_port()).running() as server:
        yield server


@pytest.fixture(scope="module")
def stack(
    kafka: Kafka,
    server: RedisServer,
    rows_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Worker, Running]]:
    with ExitStack() as running:
        projection = running_projection(kafka, server.url, tmp_path_factory.mktemp("projection"))
        rows = running_rows(kafka, rows_server.url, tmp_path_factory.mktemp("rows"))
        worker = running_worker(kafka, tmp_path_factory.mktemp("worker"))
        running.enter_context(rows)
        yield running.enter_context(worker), running.enter_context(projection)


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


def cases(source: str, people: list[str]) -> list[Event]:
    """A suspected case each, of just now."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    return [
        b.suspected(
            at, person=person, source=source, id=f"s{number}", case=f"C{number}", sequence=1
        )
        for number, person in enumerate(people)
    ]


async def codes(kafka: Kafka, people: list[str]) -> dict[str, Colour]:
    """The newest colour told of each of these people."""
    wanted = {person.encode() for person in people}
    found = dict[str, Colour]()
    for record in await everything(kafka, "health-codes"):
        if record.key in wanted and record.value is not None:
            code = msgspec.json.decode(record.value, type=HealthCode)
            found[code.person] = code.colour
    return found


async def reds(kafka: Kafka, people: list[str]) -> int:
    return sum(colour is Colour.RED for colour in (await codes(kafka, people)).values())


async def held_of(kafka: Kafka, source: str) -> int:
    found = await everything(kafka, "held")
    return sum(dict(record.headers)["yk_source"] == source.encode() for record in found)


async def approve(kafka: Kafka, by: str, source: str) -> str:
    """Run the command as an operator of this name; return what it says."""
    environment = {
        **kafka.environment_of("operator"),
        "YUEKANG_TOKEN": operator_token(Role.APPROVE, name=by),
        **TRUSTING,
    }
    done = await asyncio.to_thread(
        subprocess.run,
        command("held", "approve", source, SLUG, "--reason", "called back by telephone"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


async def number_held(redis: Redis, number: int) -> None:
    """Wait until the read model counts so many that are held."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            state, counts = await read_counts(redis)
            known = state is not None and state.built
            if known and sum(n for name, n in counts.items() if name.startswith(HELD_IN)) == number:
                return
            await asyncio.sleep(0.3)


async def public_figures(kafka: Kafka, redis_url: str, directory: Path) -> Json:
    """What a view answers everybody."""
    with running_view(kafka, redis_url, directory) as view:
        view.wait_ready()
        async with httpx.AsyncClient(base_url=view.address) as http:
            answer = await http.get("/v1/counts")
    assert answer.is_success, answer.text
    figures: Json = answer.json()
    return figures


async def test_above_the_limit_is_held_whatever_is_killed_and_the_public_sees_a_number(
    kafka: Kafka, stack: tuple[Worker, Running], redis: Redis, server: RedisServer, tmp_path: Path
) -> None:
    """All of it in one partition of people, with one worker."""
    worker, _ = stack
    people = [someone_in(2) for _ in range(LIMIT + ABOVE)]
    await send(kafka, [b.verified(person=person) for person in people])
    sent = asyncio.create_task(send(kafka, cases(FIRST, people)))
    await asyncio.sleep(1.5)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    while worker.exited() is None:
        await asyncio.sleep(0.02)
    worker.start()
    await sent
    await drained(kafka)
    assert await held_of(kafka, FIRST) == ABOVE
    assert await reds(kafka, people) == LIMIT
    assert len(await everything(kafka, "openings")) == len(people)
    await number_held(redis, ABOVE)
    figures = await public_figures(kafka, server.url, tmp_path)
    assert figures["held"] == {"least": ABOVE, "most": ABOVE + 9}
    assert FIRST not in str(figures)


async def test_its_source_sees_what_is_held(
    kafka: Kafka, stack: tuple[Worker, Running], rows_server: RedisServer
) -> None:
    async with (
        gateway_over(rows_server.url) as app,
        httpx.AsyncClient(transport=transport_to(app), base_url="http://gateway") as http,
        asyncio.timeout(SECONDS_MAX),
    ):
        while (answer := await ask(http, FIRST)).is_error or len(answer.json()["refusals"]) < ABOVE:
            await asyncio.sleep(0.5)
    for told in answer.json()["refusals"]:
        assert (told["reason"], told["refused"]) == ("held", False)
        assert told["topic"].endswith("case-reports")
        assert "two operators" in told["detail"]


async def test_the_same_operator_twice_is_not_enough(
    kafka: Kafka, stack: tuple[Worker, Running]
) -> None:
    people = await held_people(kafka, FIRST)
    for _ in range(2):
        assert "another operator" in await approve(kafka, CHEN, FIRST)
    await drained(kafka)
    assert await reds(kafka, people) == 0
    assert "approval_needs_another_operator" in stack[0].log.read_text()


async def held_people(kafka: Kafka, source: str) -> list[str]:
    """Whose events are held of a source."""
    found = await everything(kafka, "held")
    of_source = [r for r in found if dict(r.headers)["yk_source"] == source.encode()]
    return [(record.key or b"").decode() for record in of_source]


async def test_two_operators_let_it_go_on_and_each_once(
    kafka: Kafka, stack: tuple[Worker, Running], redis: Redis
) -> None:
    people = await held_people(kafka, FIRST)
    assert f"{ABOVE} go on now" in await approve(kafka, LI, FIRST)
    assert f"0 go on now, {ABOVE} went on before" in await approve(kafka, LI, FIRST)
    await drained(kafka)
    assert await reds(kafka, people) == ABOVE
    assert await held_of(kafka, FIRST) == ABOVE, "nothing was held again"
    await number_held(redis, 0)
    acts = [msgspec.json.decode(r.value or b"") for r in await everything(kafka, "audit")]
    approvals = [act["by"] for act in acts if act["what"] == "openings-approved"]
    assert approvals == [CHEN, CHEN, LI, LI]
    events = [msgspec.json.decode(r.value or b"") for r in await everything(kafka, RELEASES)]
    said = [(event["source"], event["data"]["subject"]) for event in events]
    assert said == [(by, by) for by in approvals], "each says whose token it was"


async def test_spread_over_partitions_and_workers_it_is_the_same_number(
    kafka: Kafka, stack: tuple[Worker, Running], tmp_path: Path
) -> None:
    people = [someone() for _ in range(LIMIT + ABOVE)]
    await send(kafka, [b.verified(person=person) for person in people])
    with running_worker(kafka, tmp_path):
        await send(kafka, cases(SECOND, people))
        await drained(kafka)
        assert await held_of(kafka, SECOND) == ABOVE
        assert await reds(kafka, people) == LIMIT
