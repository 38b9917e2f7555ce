"""Health information from an event on Kafka to what a resident reads, whatever is killed."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port
from app.projection import rows as projected
from app.projection.rows import NoRows, read_high
from app.view.information import Information
from app.view.limits import HISTORY_AT_ONCE_MAX
from app.view.reading import SectionAnswer, Unavailable
from models.events import NationalStatus
from models.information import LISTED, Section
from models.policy import ZONE
from support import builders as b
from support.brokers import Kafka
from support.views import Running, running_rows, someone
from support.workers import Worker, running_worker, send

SECONDS_MAX = 60.0


@pytest.fixture(autouse=True)
def names(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read in this process was written by one that calls the changelogs otherwise."""
    tables = {kafka.named(topic): table for topic, table in projected.TABLES.items()}
    monkeypatch.setattr(projected, "TABLES", tables)
    monkeypatch.setattr(projected, "LISTS_CHANGELOG", kafka.named(projected.LISTS_CHANGELOG))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that a test may kill."""
    with RedisServer(tmp_path_factory.mktemp("redis"), free_port()).running() as server:
        yield server


@pytest.fixture(scope="module")
def workers(
    kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, Worker]]:
    """The worker that codes come from, and that of the lists, with no store in common."""
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


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    patient = Retry(ConstantBackoff(0.1), 50)
    async with Redis.from_url(server.url, retry=patient) as client:
        yield client


@pytest.fixture
def information(rows: Running, redis: Redis) -> Information:
    return Information(redis, lambda: datetime.now(ZONE))


def ago(**spans: float) -> datetime:
    return datetime.now(UTC) - timedelta(**spans)


async def until(
    information: Information,
    person: str,
    section: Section,
    done: Callable[[SectionAnswer], bool],
) -> SectionAnswer:
    """Read a section until it is as wanted."""
    last: Any = None
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        try:
            answer = await information.section(person, section)
        except Unavailable as failure:
            last = failure
        else:
            if done(answer):
                return answer
            last = answer
        await asyncio.sleep(0.1)
    raise AssertionError(last)


async def test_each_section_shows_what_was_sent(kafka: Kafka, information: Information) -> None:
    person = someone()
    at = ago(hours=30)
    await send(
        kafka,
        [
            b.verified(ago(days=3), person=person),
            b.negative(ago(days=2), person=person),
            b.negative(at, person=person),
            b.ordered("centralised", ago(days=20), ago(days=6), person=person),
            b.released(ago(days=5), person=person),
            b.igg("positive", at, person=person),
            b.certificate(at, person=person),
            b.entry_registration(at, person=person),
            b.border_entry(at, person=person),
            b.declaration(at, "student-or-staff", person=person),
            b.temperature(36.5, at, person=person),
            b.national_status("high", at, person=person),
            b.display(ago(hours=1), person=person),
        ],
    )
    nat = await until(information, person, Section.NAT_RESULTS, lambda s: len(s.items) == 2)
    assert [item.newest for item in nat.items] == [True, False]
    assert json.loads(bytes(nat.items[0].data))["result"] == "negative"
    notices = await until(information, person, Section.RELEASE_NOTICES, lambda s: bool(s.items))
    assert json.loads(bytes(notices.items[0].data))["notice"]
    for section in set(LISTED) - {Section.DISPLAYS}:
        answer = await until(information, person, section, lambda s: len(s.items) == 1)
        assert not answer.more
        assert not answer.stale
    await until(information, person, Section.DISPLAYS, lambda s: len(s.items) == 1)
    async with asyncio.timeout(60):
        while (status := await information.national_status(person)) is None:
            await asyncio.sleep(0.05)  # of a list that is no section, so not waited for above
    assert status.status is NationalStatus.HIGH


async def test_who_is_unknown_has_empty_sections(information: Information) -> None:
    answers = await information.sections(someone(), Section)
    assert [answer.section for answer in answers] == list(Section)
    assert all(answer.items == () and not answer.stale for answer in answers)


async def test_a_killed_worker_loses_nothing_and_repeats_nothing(
    kafka: Kafka, information: Information, workers: tuple[Worker, Worker]
) -> None:
    people = [someone() for _ in range(5)]
    _, lists_worker = workers
    for number in range(20):
        at = ago(hours=1, seconds=-number)
        await send(kafka, [b.temperature(36.5, at, person=person) for person in people])
        if number == 10:
            assert lists_worker.pid is not None
            os.kill(lists_worker.pid, signal.SIGKILL)
            while lists_worker.exited() is None:
                await asyncio.sleep(0.05)
            lists_worker.start()
    for person in people:
        answer = await until(
            information, person, Section.TEMPERATURES, lambda s: len(s.items) == 20
        )
        assert len({item.id for item in answer.items}) == 20


async def test_an_emptied_redis_is_filled_anew_and_says_nothing_until_then(
    kafka: Kafka, information: Information, redis: Redis, rows: Running
) -> None:
    person = someone()
    await send(kafka, [b.temperature(36.5, ago(hours=1), person=person)])
    await until(information, person, Section.TEMPERATURES, lambda s: len(s.items) == 1)
    rows.send(signal.SIGSTOP)
    try:
        await redis.flushdb()
        with pytest.raises(Unavailable) as caught:
            await information.section(person, Section.TEMPERATURES)
        assert caught.value.cause == "store"
    finally:
        rows.send(signal.SIGCONT)
    await until(information, person, Section.TEMPERATURES, lambda s: len(s.items) == 1)


async def test_who_is_high_on_the_national_platform_is_found_until_corrected_there(
    kafka: Kafka, information: Information, redis: Redis
) -> None:
    person, other = someone(), someone()
    reported_at = ago(hours=2)
    await send(
        kafka,
        [
            b.national_status("high", reported_at, person=person),
            b.national_status("low", reported_at, person=other),
        ],
    )
    found = await high(redis, lambda people: person in people)
    assert abs(found[person] - reported_at) < timedelta(milliseconds=1)
    assert other not in found
    await send(kafka, [b.national_status("low", ago(hours=1), person=person)])
    await high(redis, lambda people: person not in people)


async def high(redis: Redis, done: Callable[[dict[str, datetime]], bool]) -> dict[str, datetime]:
    """Read whose national status is high until it is as wanted."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            with suppress(NoRows):
                people = dict((await read_high(redis, 0, 1_000)).people)
                if done(people):
                    return people
            await asyncio.sleep(0.1)


async def test_a_rush_for_history_is_refused_as_busy(information: Information) -> None:
    person = someone()
    reads = [
        information.section(person, Section.TEMPERATURES) for _ in range(HISTORY_AT_ONCE_MAX * 3)
    ]
    found = await asyncio.gather(*reads, return_exceptions=True)
    refused = [f for f in found if isinstance(f, Unavailable)]
    assert len(refused) == HISTORY_AT_ONCE_MAX * 2
    assert {f.cause for f in refused} == {"busy"}
