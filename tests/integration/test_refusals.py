"""A source sees what became of what it sent: from Kafka to the page, the stream and the command."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from app.development.stack.redis_server import RedisServer
from app.gateway.answers import Missed, ToldLetter
from app.gateway.client import GatewayClient, Patience
from app.process.ports import free_port
from app.topics.codec import encode
from models.operators import released
from models.parking import SOURCE_LIMIT
from support import builders as b
from support.brokers import Kafka
from support.gateways import NUMBER, Json, command, environment, event, running_gateway
from support.records import PARTITIONS
from support.tokens import TOKENS
from support.views import Running, running_rows, someone
from support.workers import Worker, running_worker, send

LABORATORY, OTHER = "/laboratories/440100-001", "/laboratories/440100-002"
SECONDS_MAX = 30.0
PATIENCE = Patience(seconds=20.0, first_wait_seconds=0.2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), free_port()).running() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, retry=Retry(ConstantBackoff(0.1), 50)) as client:
        yield client


@pytest.fixture(scope="module")
def workers(
    kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, Worker]]:
    people, lists = (tmp_path_factory.mktemp(name) for name in ("people", "lists"))
    with (
        running_worker(kafka, people) as worker,
        running_worker(kafka, lists, "lists-worker") as lists_worker,
    ):
        yield worker, lists_worker


@pytest.fixture(scope="module")
def rows(
    workers: tuple[Worker, Worker],
    kafka: Kafka,
    server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    with running_rows(kafka, server.url, tmp_path_factory.mktemp("rows")) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def url(
    rows: Running, kafka: Kafka, server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway"), server.url) as address:
        yield address


@pytest.fixture
async def gateway(url: str) -> AsyncIterator[GatewayClient]:
    async with httpx.AsyncClient() as http:
        yield GatewayClient(url, PATIENCE, http)


def fresh() -> str:
    """A source that no other test sends for."""
    return f"/laboratories/{time.time_ns()}"


def wrong(source: str, id_: str, person: str | None = None) -> tuple[str, bytes]:
    """A record that only who writes to Kafka itself can send."""
    person = person or someone()
    whole = encode(b.positive(b.day(2), id=id_, person=person, source=source))
    return person, whole.replace(b'"positive"', b'"probably"')


async def append(kafka: Kafka, *records: tuple[str, bytes], partition: int | None = None) -> None:
    async with kafka.producer() as producer:
        for person, value in records:
            await producer.send("laboratory-results", value, person.encode(), partition)


async def told(gateway: GatewayClient, source: str, *ids: str) -> list[ToldLetter]:
    """Wait until these ids are told, and return all that is."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            page = await gateway.refusals(TOKENS.token_for(source))
            if {letter.id for letter in page.refusals} >= set(ids):
                return page.refusals
            await asyncio.sleep(0.2)


async def followed(
    gateway: GatewayClient, source: str, count: int, after: str | None
) -> list[tuple[str, ToldLetter]]:
    """The next letters of the stream, each with its place."""
    found: list[tuple[str, ToldLetter]] = []
    async with asyncio.timeout(SECONDS_MAX):
        async for place, what in gateway.follow_refusals(TOKENS.token_for(source), after):
            assert not isinstance(what, Missed)
            if isinstance(what, ToldLetter):
                found.append((place, what))
            if len(found) >= count:
                break
    return found


async def test_what_is_refused_on_kafka_is_told_its_source_alone(
    kafka: Kafka, gateway: GatewayClient
) -> None:
    source, other = fresh(), fresh()
    begun = time.monotonic()
    await append(kafka, wrong(source, "mine"), wrong(other, "theirs"))
    [letter] = await told(gateway, source, "mine")
    assert time.monotonic() - begun < 10
    assert (letter.topic, letter.reason) == (kafka.named("laboratory-results"), "invalid")
    assert letter.refused
    assert letter.detail is not None
    assert "data.result" in letter.detail
    assert [letter.id for letter in await told(gateway, other, "theirs")] == ["theirs"]
    assert (await gateway.refusals(TOKENS.token_for(OTHER))).refusals == []


async def test_a_document_number_is_never_told(kafka: Kafka, gateway: GatewayClient) -> None:
    source = fresh()
    person, value = wrong(source, "numbered")
    numbered = value.replace(b'"probably"', b'"%s"' % NUMBER.encode())
    # Of one person, so that they are told in order.
    await append(kafka, (person, numbered), wrong(source, "after", person))
    letters = await told(gateway, source, "after")
    [sealed] = [letter for letter in letters if letter.sealed]
    assert (sealed.reason, sealed.id, sealed.detail) == ("document-number", None, None)
    assert NUMBER not in msgspec.json.encode(letters).decode()


async def test_what_has_no_effect_is_told_on_the_stream(
    kafka: Kafka, gateway: GatewayClient
) -> None:
    source, person = fresh(), someone()
    begin = (await gateway.refusals(TOKENS.token_for(source))).cursor
    stream = asyncio.create_task(followed(gateway, source, 1, begin))
    of: Json = {"person": person, "source": source}
    first = b.positive(b.day(2), id="first", sequence=2, **of)
    before_it = b.positive(b.day(3), id="nothing", sequence=1, supersedes="first", **of)
    await send(kafka, [first, before_it])
    [(place, letter)] = await stream
    assert (letter.id, letter.refused) == ("nothing", False)
    assert letter.reason == "correction-of-later-event"
    assert letter.type == "yuekang.nat-result.reported.v1"
    assert letter.cursor == place


async def test_resumed_after_an_emptied_redis_nothing_is_missed_or_repeated(
    kafka: Kafka, gateway: GatewayClient, redis: Redis
) -> None:
    source = fresh()
    await append(kafka, *(wrong(source, f"e{n}") for n in range(20)))
    whole = await told(gateway, source, *(f"e{n}" for n in range(20)))
    begin = (await gateway.refusals(TOKENS.token_for(fresh()))).cursor
    first = await followed(gateway, source, 7, begin)
    await redis.flushdb()
    await append(kafka, *(wrong(source, f"e{n}") for n in range(20, 30)))
    rest = await followed(gateway, source, 23, first[-1][0])
    ids = [letter.id for _, letter in first + rest]
    assert sorted(ids, key=str) == sorted((f"e{n}" for n in range(30)), key=str)
    again = await told(gateway, source, *(f"e{n}" for n in range(30)))
    assert len(again) == 30
    kept = {letter.id: msgspec.structs.replace(letter, cursor="") for letter in again}
    assert all(kept[one.id] == msgspec.structs.replace(one, cursor="") for one in whole)


async def test_a_parked_source_is_told_where_and_since_when_until_it_is_released(
    kafka: Kafka, gateway: GatewayClient
) -> None:
    source, number = fresh(), 2
    records = [wrong(source, f"p{n}") for n in range(SOURCE_LIMIT.in_a_row)]
    await append(kafka, *records, partition=number)
    async with asyncio.timeout(SECONDS_MAX):
        while not (page := await gateway.refusals(TOKENS.token_for(source))).parked:
            await asyncio.sleep(0.2)
        [last] = [letter for letter in page.refusals if letter.id == "p99"]
    [parked] = page.parked
    assert (parked.topic, parked.partition) == (last.topic, number)
    assert (parked.offset, parked.since, parked.reason) == (last.offset, last.at, last.reason)
    assert (await gateway.refusals(TOKENS.token_for(OTHER))).parked == []
    release = msgspec.json.encode(released(source, "r1", b.day(1), "/operators/chen"))
    async with kafka.producer() as producer:
        for n in range(PARTITIONS):
            await producer.send("source-releases", release, source.encode(), n)
    async with asyncio.timeout(SECONDS_MAX):
        while (await gateway.refusals(TOKENS.token_for(source))).parked:
            await asyncio.sleep(0.2)


# The commands


def run(kafka: Kafka, *arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        command(*arguments),
        env=environment(kafka, 1),
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )


def begin(kafka: Kafka, out: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    with out.open("wb") as file:
        return subprocess.Popen(
            command(*arguments),
            env=environment(kafka, 1),
            stdout=file,
            stderr=subprocess.PIPE,
            # A shell that runs the tests in its background has SIGINT ignored, and so all below it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def without_effect(source: str, id_: str) -> list[Json]:
    """An event, and a correction that does not come after it; the gateway cannot know."""
    first = event(source=source, id=id_, sequence="2")
    return [first, event(source=source, id=f"{id_}-late", sequence="1", supersedes=id_)]


def test_publish_tells_what_had_no_effect(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson"
    source = fresh()
    events = [one for n in range(3) for one in without_effect(source, f"c{n}")]
    lines = b"\n".join(map(msgspec.json.encode, events))
    done = run(kafka, "publish", "-", "--gateway", url, "--json", "--wait", "20", given=lines)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["accepted"] == 6
    outcome = summary["outcome"]
    assert (outcome["known"], outcome["refused"], outcome["without_effect"]) == (True, 0, 3)
    others = [one for n in range(3) for one in without_effect(source, f"d{n}")]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, others)))
    screen = run(kafka, "publish", str(path), "--gateway", url, "--wait", "20").stderr.decode()
    assert "3 had no effect" in " ".join(screen.split())
    assert "d2-late" in screen
    assert "c2-late" not in screen, "that was another run"
    unasked = run(kafka, "publish", "-", "--gateway", url, "--json", "--wait", "0", given=lines)
    assert json.loads(unasked.stdout)["outcome"] is None


async def test_the_command_lists_and_follows(
    kafka: Kafka, url: str, gateway: GatewayClient, tmp_path: Path
) -> None:
    source = fresh()
    await append(kafka, wrong(source, "one"))
    await told(gateway, source, "one")
    ask = ["refusals", "--gateway", url, "--source", source]
    listed = await asyncio.to_thread(run, kafka, *ask)
    assert listed.returncode == 0, listed.stderr
    [line] = listed.stdout.decode().splitlines()
    assert "refused" in line
    assert "one" in line
    cursor = listed.stderr.decode().split("--after ")[1].strip()
    out = tmp_path / "followed.txt"
    process = begin(kafka, out, *ask, "--follow", "--json", "--after", cursor)
    try:
        await append(kafka, wrong(source, "two"))
        async with asyncio.timeout(SECONDS_MAX):
            while b'"two"' not in out.read_bytes():
                assert process.poll() is None
                await asyncio.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert b'"one"' not in out.read_bytes()
    assert b"Traceback" not in said
    since = await asyncio.to_thread(run, kafka, *ask, "--json", "--after", cursor)
    first, *letters = map(json.loads, since.stdout.splitlines())
    assert first == {"parked": []}
    assert [letter["id"] for letter in letters] == ["two"]


def test_the_command_says_what_is_wrong(kafka: Kafka, url: str) -> None:
    nobody = run(kafka, "refusals", "--gateway", url)
    assert nobody.returncode == 2
    wrong_cursor = run(
        kafka, "refusals", "--gateway", url, "--source", LABORATORY, "--after", "nonsense"
    )
    assert wrong_cursor.returncode == 3
    assert b"no cursor" in wrong_cursor.stderr
    away = run(
        kafka, "refusals", "--gateway", f"http://127.0.0.1:{free_port()}", "--source", LABORATORY
    )
    assert away.returncode == 3
    assert b"Traceback" not in nobody.stderr + wrong_cursor.stderr + away.stderr


async def test_a_gateway_ends_while_it_is_followed(
    kafka: Kafka, rows: Running, server: RedisServer, tmp_path: Path
) -> None:
    token = TOKENS.token_for(LABORATORY)
    async with httpx.AsyncClient() as http:
        with running_gateway(kafka, tmp_path, server.url) as address:
            client = GatewayClient(address, Patience(seconds=0.0), http)
            stream = client.follow_refusals(token)
            await anext(stream)
            begun = time.monotonic()
        assert time.monotonic() - begun < 12
        await stream.aclose()  # type: ignore[attr-defined]
