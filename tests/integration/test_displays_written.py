"""Displays on a real Kafka: each once and in order, whoever fails meanwhile."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from app.development.stack.broker import Broker
from app.process import metrics
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.topics.admin import create_topics
from app.topics.catalogue import CATALOGUE, partition_of
from app.topics.reading import reading
from app.topics.writer import BATCH_BYTES_MAX, WRITE_SECONDS_MAX
from app.view import recorder
from app.view.recorder import Recorder
from models.events import DisplayDetail, DisplayRecorded
from support.brokers import Kafka
from support.macs import KEYS
from support.views import Model, health_code, now, resident, running_view, someone

PEOPLE = 40
EACH = 50
PATIENCE_SECONDS = 60.0

AT = datetime.fromisoformat("2022-03-04T08:00:00Z")


def written() -> float:
    return float(metrics.VIEW_DISPLAYS.labels("shown")._value.get())


def writers() -> list[int]:
    """The processes that write displays for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"display_writer" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def read(brokers: Brokers, topic: str) -> dict[str, list[DisplayRecorded]]:
    """The displays of each person as they lie on the log, each id once, checked by their MACs."""
    found: dict[str, dict[str, DisplayRecorded]] = defaultdict(dict)
    async with reading(brokers, topic, CATALOGUE.partitions) as reader:
        async for record in reader.records():
            assert record.key is not None
            assert record.partition == partition_of(record.key, CATALOGUE.partitions)
            assert KEYS.author(record) == "/portal"
            event = msgspec.json.decode(record.value or b"", type=DisplayRecorded)
            assert found[event.partitionkey].setdefault(event.id, event) == event
    return {person: list(events.values()) for person, events in found.items()}


@asynccontextmanager
async def recording(brokers: Brokers) -> AsyncIterator[Recorder]:
    writing = Recorder(brokers, KEYS)
    writing.start()
    try:
        yield writing
    finally:
        await writing.stop()


async def record_all(
    writing: Recorder, then: Callable[[int], Awaitable[None]] | None = None
) -> dict[str, list[datetime]]:
    """Record displays of people in turn; `then` is called between their turns. Return when each
    person's were, once Kafka has them."""
    people = [someone() for _ in range(PEOPLE)]
    shown: dict[str, list[datetime]] = defaultdict(list)
    before = written()
    for turn in range(EACH):
        for person in people:
            at = AT + timedelta(milliseconds=turn)
            writing.record(person, at, DisplayDetail.GREEN)
            shown[person].append(at)
        if then is not None:
            await then(turn)
        await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while written() - before < PEOPLE * EACH:
            await asyncio.sleep(0.05)
    return shown


def times(found: dict[str, list[DisplayRecorded]]) -> dict[str, list[datetime]]:
    return {
        person: [event.data.displayed_at for event in events] for person, events in found.items()
    }


async def test_each_display_is_on_the_log_once_and_in_order_though_its_writer_is_killed(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rights of the view, and no others."""
    monkeypatch.setenv("YUEKANG_TOPIC_PREFIX", kafka.prefix)
    killed = []

    async def kill(turn: int) -> None:
        if turn % 10 == 5:
            before = written()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while written() == before:
                    await asyncio.sleep(0.001)
            [pid] = writers()
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    async with recording(kafka.brokers_of("view")) as writing:
        shown = await record_all(writing, kill)
    found = await read(kafka.brokers, kafka.named("displays"))
    assert times({person: found[person] for person in shown}) == shown
    assert len(killed) >= EACH // 10
    assert not writers(), "the last one ended with its input"


async def test_many_displays_of_one_person_take_several_batches_and_keep_their_order(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YUEKANG_TOPIC_PREFIX", kafka.prefix)
    person, before = someone(), written()
    shown = [AT + timedelta(milliseconds=number) for number in range(2 * recorder.ROWS_MAX)]
    async with recording(kafka.brokers_of("view")) as writing:
        for at in shown:
            writing.record(person, at, DisplayDetail.RED)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while written() - before < len(shown):
                await asyncio.sleep(0.05)
    assert len(shown) / 2 * 400 > BATCH_BYTES_MAX, "a frame is larger than a batch"
    assert times(await read(kafka.brokers, kafka.named("displays")))[person] == shown


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, free_port(), free_port())
    broker.start()
    try:
        broker.wait_ready()
        yield broker
    finally:
        broker.stop()


async def test_a_broker_that_says_nothing_for_seconds_loses_no_display(own_broker: Broker) -> None:
    """It is silent for longer than a write waits, so all is written again, by another producer."""
    await create_topics(own_broker.brokers, CATALOGUE)
    pid = own_broker.pid
    assert pid is not None

    async def fall_silent(turn: int) -> None:
        if turn == EACH // 2:
            os.kill(pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(
                WRITE_SECONDS_MAX + 2, os.kill, pid, signal.SIGCONT
            )

    try:
        async with recording(own_broker.brokers) as writing:
            shown = await record_all(writing, fall_silent)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert times(await read(own_broker.brokers, "displays")) == shown


async def test_a_broker_that_is_gone_for_seconds_loses_no_display_up_to_the_bound(
    own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds the queue full meanwhile is counted; the rest is there when the broker is back."""
    await create_topics(own_broker.brokers, CATALOGUE)
    monkeypatch.setattr(recorder, "WAITING_MAX", PEOPLE)
    lost, person, count = metrics.VIEW_DISPLAYS.labels("lost")._value, someone(), 10 * PEOPLE
    async with recording(own_broker.brokers) as writing:
        before, lost_before = written(), lost.get()
        await asyncio.to_thread(own_broker.stop)
        for number in range(count):
            at = AT + timedelta(milliseconds=number)
            writing.record(person, at, DisplayDetail.GREEN)
            await asyncio.sleep(0.005)
        await asyncio.to_thread(own_broker.start)
        await asyncio.to_thread(own_broker.wait_ready)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while written() - before + lost.get() - lost_before < count:
                await asyncio.sleep(0.05)
    [found] = times(await read(own_broker.brokers, "displays")).values()
    assert PEOPLE < len(found) <= 2 * PEOPLE, "a full queue, and a frame that was under way"
    assert found == sorted(found)
    assert (written() - before, lost.get() - lost_before) == (len(found), count - len(found))


async def test_a_view_that_is_told_to_end_writes_what_it_has_shown(
    kafka: Kafka, redis_url: str, tmp_path: Path
) -> None:
    """The last display is shown just before; the first has the writer's process started."""
    first, last = someone(), someone()
    with running_view(kafka, redis_url, tmp_path) as view:
        view.wait_live()
        async with Redis.from_url(redis_url) as client:
            model = Model(client, kafka.prefix)
            await model.begin()
            await model.put(health_code(first), health_code(last))
        async with httpx.AsyncClient(base_url=view.address, timeout=PATIENCE_SECONDS) as http:
            await http.get("/code", headers=resident(first))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while 'displays_total{outcome="shown"} 1.0' not in view.get("/metrics")[1]:
                    await asyncio.sleep(0.05)
            page = await http.get("/code", headers=resident(last))
        assert page.status_code == 200, page.text
    async with asyncio.timeout(PATIENCE_SECONDS):  # on a busy machine its writer ends after it
        while last not in (found := await read(kafka.brokers, kafka.named("displays"))):
            await asyncio.sleep(0.1)
    [event] = found[last]
    assert event.data.detail is DisplayDetail.GREEN
    assert abs(now() - event.time) < timedelta(seconds=PATIENCE_SECONDS)
