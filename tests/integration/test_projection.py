"""From the log to Redis, whatever is killed, emptied or stopped: the same as a plain replay."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from app.development.stack.redis_server import RedisServer
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.projection.codes import CODE, COUNTS, CodeBatch, CodeWriter, stored
from app.projection.follow import LEASE_SECONDS
from app.projection.state import STATE, StateGate, read_state
from app.projection.trends import read_minutes
from app.topics.catalogue import HEALTH_CODES, STATUS_CHANGES
from models.codes import Colour, HealthCode, Reason, StatusChange
from support.brokers import Kafka
from support.views import (
    GREEN,
    RED,
    Log,
    Model,
    Running,
    change,
    check_equal,
    health_code,
    now,
    projection_environment,
    reason,
    running_projection,
    someone,
)

KILLS = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may kill."""
    with RedisServer(tmp_path, free_port()).running() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    patient = Retry(ConstantBackoff(0.1), 20)
    async with Redis.from_url(server.url, retry=patient) as client:
        yield client


@pytest.fixture
async def log(kafka: Kafka) -> AsyncIterator[Log]:
    async with Log(kafka) as log:
        yield log


class Traffic:
    """Codes and changes as the worker tells them, from a seed; now and then an old version."""

    def __init__(self, log: Log, seed: int, people: int = 40) -> None:
        self._log = log
        self._random = Random(seed)
        self._versions = {someone(self._random): 0 for _ in range(people)}
        self.told = 0

    async def flow(self, transactions: int) -> None:
        for _ in range(transactions):
            await self._log.put(*(item for _ in range(5) for item in self._one()))
            if self._random.random() < 0.1:
                await self._log.put_and_abort(health_code(someone(), reason(), version=9))
            await asyncio.sleep(0.002)

    def _one(self) -> Iterator[HealthCode | StatusChange | str]:
        random = self._random
        person = random.choice(list(self._versions))
        if random.random() < 0.05:
            yield person
            return
        self._versions[person] += 1
        version = self._versions[person]
        kinds = random.sample(list(Reason), random.randrange(3))
        city = random.choice(["440100", "440305", None])
        old = random.random() < 0.1 and version > 1
        yield health_code(
            person, *map(reason, kinds), version=version - 1 if old else version, city=city
        )
        before, after = (GREEN, RED) if kinds else (RED, GREEN)
        yield change(person, version, before, after, city)
        self.told += 1


TURNS = ("same", *Colour)


async def test_the_read_model_equals_the_log(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    traffic = Traffic(log, seed=1)
    await traffic.flow(20)
    with running_projection(kafka, server.url, tmp_path) as running:
        running.wait_ready()
        await traffic.flow(40)
        expected = await check_equal(redis, kafka)
        assert sum(map(len, expected.changes.values())) >= traffic.told
        last_hour = await read_minutes(redis, time.time())
        assert sum(sum(m.fields.get(to, 0) for to in TURNS) for m in last_hour) >= traffic.told
        _, scraped = running.get("/metrics")
        assert (
            f'yuekang_projection_records_total{{topic="{kafka.named("health-codes")}"}}' in scraped
        )
    assert running.process.returncode == 0


async def test_killed_at_any_point_nothing_is_lost_or_counted_twice(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    random = Random(2)
    traffic = Traffic(log, seed=2)
    flowing = asyncio.create_task(traffic.flow(400))
    writers = set()
    for _ in range(KILLS):
        with running_projection(kafka, server.url, tmp_path) as running:
            while (state := await read_state(redis)) is None or state.writer in writers:
                await asyncio.sleep(0.01)
            writers.add(state.writer)
            await asyncio.sleep(random.random() / 2)
            running.send(signal.SIGKILL)
    await flowing
    with running_projection(kafka, server.url, tmp_path):
        await check_equal(redis, kafka)


async def test_an_emptied_redis_is_noticed_and_built_anew(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    traffic = Traffic(log, seed=3)
    with running_projection(kafka, server.url, tmp_path) as running:
        running.wait_ready()
        before = await read_state(redis)
        flowing = asyncio.create_task(traffic.flow(100))
        await asyncio.sleep(0.3)
        await redis.flushall()
        await flowing
        await check_equal(redis, kafka)
        after = await read_state(redis)
    assert before is not None
    assert after is not None
    assert before.epoch != after.epoch


async def test_a_redis_that_comes_back_empty_is_built_anew(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    traffic = Traffic(log, seed=4)
    with running_projection(kafka, server.url, tmp_path) as running:
        running.wait_ready()
        await traffic.flow(10)
        server.stop()
        await traffic.flow(10)
        assert running.process.poll() is None
        server.start()
        server.wait_ready()
        await check_equal(redis, kafka)


async def test_a_restart_of_redis_with_its_data_begins_a_new_epoch(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    await log.put(change(someone()))
    with running_projection(kafka, server.url, tmp_path):
        await check_equal(redis, kafka)
        before = await read_state(redis)
        await redis.save()
        server.stop()
        server.start()
        server.wait_ready()
        await log.put(change(someone()))
        await check_equal(redis, kafka)
        after = await read_state(redis)
    assert before is not None
    assert after is not None
    assert before.server != after.server
    assert before.epoch != after.epoch
    assert after.changes == before.changes + 1


async def test_a_projection_that_wakes_up_late_writes_nothing(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    traffic = Traffic(log, seed=5)
    (second := tmp_path / "second").mkdir()
    with running_projection(kafka, server.url, tmp_path) as first:
        first.wait_ready()
        flowing = asyncio.create_task(traffic.flow(300))
        first.send(signal.SIGSTOP)
        with running_projection(kafka, server.url, second) as successor:
            await asyncio.sleep(LEASE_SECONDS + 1)
            successor.wait_ready()
            first.send(signal.SIGCONT)
            await flowing
            await check_equal(redis, kafka)
            assert successor.process.poll() is None
        assert first.process.poll() is None


async def test_idle_it_says_that_it_is_up_to_date(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    await log.put(health_code(someone()), partition=1)  # its transaction ends with a marker
    with running_projection(kafka, server.url, tmp_path):
        await check_equal(redis, kafka)
        for _ in range(3):
            await asyncio.sleep(1.5)
            state = await read_state(redis)
            assert state is not None
            for positions in state.positions.values():
                for position in positions:
                    assert position.as_of is not None
                    assert time.time() - position.as_of < 2.0


async def test_a_database_with_keys_of_others_is_left_alone(
    kafka: Kafka, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    await redis.set("somebody:else", "1")
    port = free_port()
    running = Running(
        "projection",
        projection_environment(kafka, server.url, port),
        port,
        tmp_path / "projection.log",
    )
    assert running.process.wait(20) == 1
    assert "database of its own" in running.log.read_text()
    assert await redis.keys() == [b"somebody:else"]


async def test_without_kafka_and_redis_it_waits_and_says_so(tmp_path: Path) -> None:
    nobody = free_port()
    with running_projection(
        Kafka(Brokers(f"127.0.0.1:{nobody}")), f"redis://127.0.0.1:{nobody}/0", tmp_path
    ) as running:
        until = time.monotonic() + 10
        while "Kafka" not in (answer := running.get("/readyz"))[1]:
            assert time.monotonic() < until, answer
            await asyncio.sleep(0.1)
        assert answer[0] == 503
        assert running.get("/livez")[0] == 200
    assert running.process.returncode == 0


# How long a mistaken red lasts


def sample(running: Running, name: str) -> float:
    """Return one of the metrics that a projection shows."""
    _, scraped = running.get("/metrics")
    return next(
        float(line.removeprefix(name))
        for line in scraped.splitlines()
        if line.startswith(f"{name} ")
    )


CORRECTIONS = "yuekang_projection_correction_seconds"


async def test_a_correction_is_measured_until_its_green_is_in_redis(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    person, other, again = someone(), someone(), someone()
    old = change(someone(), 2, RED, GREEN, at=now() - timedelta(hours=1), corrects="e0")
    await log.put(health_code(old.person, version=2), old)
    with running_projection(kafka, server.url, tmp_path) as running:
        running.wait_ready()
        assert sample(running, f"{CORRECTIONS}_count") == 0, "seen before it was built anew"
        for one in (person, other, again):
            await log.put(health_code(one, reason()), change(one))
        since = now()
        await log.put(change(person, 2, RED, GREEN, at=since, corrects="e1"))
        await log.put(health_code(other, version=2), change(other, 2, RED, GREEN))
        by_time = change(again, 2, RED, GREEN, source=None)
        await log.put(health_code(again, version=2), by_time)
        await check_equal(redis, kafka)
        await asyncio.sleep(2)
        assert sample(running, f"{CORRECTIONS}_count") == 0, "its green is not in Redis"
        await log.put(health_code(person, version=2))
        await check_equal(redis, kafka)
        until = time.monotonic() + 5
        while not sample(running, f"{CORRECTIONS}_count"):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        waited = (now() - since).total_seconds()
        assert sample(running, f"{CORRECTIONS}_count") == 1
        assert 2 < sample(running, f"{CORRECTIONS}_sum") <= waited
        recent = "yuekang_projection_correction_recent_seconds"
        for quantile in ("0.5", "0.95"):
            assert 2 < sample(running, f'{recent}{{quantile="{quantile}"}}') <= waited
        # One that was away measures what it missed: the red stood until then.
        await log.put(health_code(other, reason(), version=3), change(other, 3))
        await check_equal(redis, kafka)
    late = change(other, 4, RED, GREEN, at=now(), corrects="e3")
    await log.put(health_code(other, version=4), late)
    await asyncio.sleep(1)
    with running_projection(kafka, server.url, tmp_path) as running:
        await check_equal(redis, kafka)
        running.wait_ready()
        assert sample(running, f"{CORRECTIONS}_count") == 1
        assert sample(running, f"{CORRECTIONS}_sum") > 1


# The script alone


PEOPLE = [someone(Random(n)) for n in range(4)]

codes = st.builds(
    lambda person, version, kinds, city: health_code(
        person, *map(reason, kinds), version=version, city=city
    ),
    st.sampled_from(PEOPLE),
    st.integers(1, 6),
    st.sets(st.sampled_from(Reason), max_size=2).map(sorted),
    st.sampled_from(["440100", "440106", None]),
)
batches = st.lists(st.lists(codes | st.sampled_from(PEOPLE), max_size=6), max_size=6)


@given(batches)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_an_older_version_never_replaces_a_newer(
    redis: Redis, batches: list[list[HealthCode | str]]
) -> None:
    model = Model(redis)
    await model.begin()
    expected: dict[str, HealthCode] = {}
    for batch in batches:
        # Of a person only the last in a batch goes in, as a batch leaves it.
        await model.put(
            *{item if isinstance(item, str) else item.person: item for item in batch}.values()
        )
        for item in {i if isinstance(i, str) else i.person: i for i in batch}.values():
            if isinstance(item, str):
                expected.pop(item, None)
            elif item.person not in expected or expected[item.person].version < item.version:
                expected[item.person] = item
    found = {}
    async for key in redis.scan_iter(match=f"{CODE}*"):
        value: Any = await redis.get(key)
        found[key.decode().removeprefix(CODE)] = msgspec.json.decode(
            value.partition(b"\n")[2], type=HealthCode
        )
    assert found == expected
    counts = await redis.hgetall(COUNTS)
    coloured = [code.colour.value for code in expected.values()]
    assert int(counts.get(b"red", 0)) == coloured.count("red")
    assert int(counts.get(b"green", 0)) == coloured.count("green")
    assert all(int(count) > 0 for count in counts.values())


async def test_a_batch_from_another_state_writes_nothing_at_all(redis: Redis) -> None:
    model = Model(redis)
    await model.begin()
    late = CodeWriter(redis, StateGate(redis, "test/1", "late"))
    state = await late.gate.load()
    assert state is not None
    await model.put(health_code(PEOPLE[0], version=2))
    before = await redis.get(STATE)
    code = stored(msgspec.json.encode(health_code(PEOPLE[0], reason(), version=3)), 0)
    assert not await late.apply(CodeBatch([(PEOPLE[0], code), (PEOPLE[1], code)]), state)
    assert not await late.gate.begin_again(state)
    assert await redis.get(STATE) == before
    assert await redis.exists(CODE + PEOPLE[1]) == 0
    kept: Any = await redis.get(CODE + PEOPLE[0])
    assert kept.startswith(b"2 ")


async def test_changes_older_than_an_hour_are_not_in_the_minutes(redis: Redis) -> None:
    model = Model(redis)
    await model.begin()
    await model.put(
        change(PEOPLE[0], at=now() - timedelta(hours=2)),
        change(PEOPLE[0], 2, RED, GREEN, at=now() - timedelta(minutes=5)),
        change(PEOPLE[0], 3),
    )
    minutes = await read_minutes(redis, time.time())
    assert len(minutes) == 60
    assert sum(m.fields.get("red", 0) for m in minutes) == 1
    assert sum(m.fields.get("green", 0) for m in minutes) == 1
    kept = [await redis.ttl(key) for key in await redis.keys("yk:minute:*")]
    assert all(3_000 < seconds < 3_800 for seconds in kept)


async def test_what_no_worker_has_written_is_set_aside_and_the_rest_goes_on(
    kafka: Kafka, log: Log, server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    """The last here: what the log comes to is another thing after it."""
    person = someone()
    forged = msgspec.json.encode(health_code(person, version=1_000_000))
    genuine = msgspec.json.encode(health_code(person, version=1))

    async def shown(version: int) -> None:
        async with asyncio.timeout(10):
            while True:
                stored_now: Any = await redis.get(CODE + person)
                if stored_now is not None and stored_now.startswith(b"%d " % version):
                    assert b" red " in stored_now.partition(b"\n")[0]
                    return
                await asyncio.sleep(0.02)

    with running_projection(kafka, server.url, tmp_path) as running:
        running.wait_ready()
        await log.put(health_code(person, reason(), version=2))
        await shown(2)
        async with kafka.producer() as producer:
            send = partial(producer.send_and_wait, key=person.encode())
            await send(HEALTH_CODES, forged, author=None)
            await send(HEALTH_CODES, forged, author="/laboratories/440100-001")
            await send(HEALTH_CODES, None, author=None)
            await send(HEALTH_CODES, b"{")
            await send(STATUS_CHANGES, b"{}", author=None)
            await send(STATUS_CHANGES, genuine)
        await log.put(health_code(person, reason(), version=3))
        await shown(3)
        await log.put(health_code(person, version=10_000_000))
        await log.put(health_code(person, reason(), version=4))
        await shown(4)
        _, scraped = running.get("/metrics")
    found = re.findall(r"yuekang_projection_records_set_aside_total\{.*\} (\S+)", scraped)
    assert sum(map(float, found)) == 6
    assert "yuekang_projection_versions_leapt_total 1.0" in scraped
    assert running.process.returncode == 0
