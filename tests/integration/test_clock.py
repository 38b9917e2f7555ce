"""A worker whose clock is really off from the broker's: what it says, tells, and when it ends."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from app.process.kafka import Brokers
from app.topics.catalogue import HEALTH_CODES
from app.topics.clock import BrokerClock
from models.codes import Colour, HealthCode
from support import builders as b
from support.brokers import NO_BROKERS, Kafka
from support.clocks import FAKETIME, SteppedClock
from support.views import someone
from support.workers import Worker, everything, send

pytestmark = pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not there")

MINUTE, HOUR = 60.0, 3_600.0
SECONDS_MAX = 30.0


@pytest.fixture
def kafka(broker: Brokers) -> Kafka:
    """Topics of the test's own."""
    return Kafka(broker, f"clock-{secrets.token_hex(4)}-")


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    return SteppedClock(tmp_path / "clock")


@pytest.fixture
async def worker(kafka: Kafka, tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Worker]:
    """A worker that is not started."""
    await kafka.create_topics()
    worker = Worker(kafka, tmp_path, more=clock.environment)
    yield worker
    worker.stop()


async def says(worker: Worker, *words: str) -> None:
    """Return when its readiness has these words."""
    async with asyncio.timeout(SECONDS_MAX):
        while not all(word in said for said in [await worker.readiness()] for word in words):
            await asyncio.sleep(0.1)


async def ends(worker: Worker, *words: str) -> None:
    """Return when it has ended with these words and exit code 1."""
    async with asyncio.timeout(SECONDS_MAX):
        while (code := worker.exited()) is None:
            await asyncio.sleep(0.1)
    assert code == 1
    assert all(word in worker.tail() for word in words), worker.tail()


async def colour(kafka: Kafka, person: str) -> Colour:
    """Return the colour that was told last of a person."""
    records = await everything(kafka, HEALTH_CODES)
    told = [record.value for record in records if record.key == person.encode()]
    return msgspec.json.decode(told[-1] or b"", type=HealthCode).colour if told else Colour.NONE


async def becomes(kafka: Kafka, person: str, wanted: Colour) -> None:
    """Return when that was told."""
    async with asyncio.timeout(SECONDS_MAX):
        while await colour(kafka, person) is not wanted:
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("minutes", [2, -2])
async def test_beyond_30_seconds_nothing_is_told_that_falls_due_and_readyz_says_why(
    kafka: Kafka, worker: Worker, clock: SteppedClock, minutes: int
) -> None:
    worker.start()
    await asyncio.to_thread(worker.wait_ready)
    clock.step(minutes * MINUTE)
    await says(worker, "The clock of this machine is 1", "ahead of" if minutes > 0 else "behind")
    person = someone()
    due = datetime.now(UTC) + timedelta(seconds=20 if minutes > 0 else 2)
    await send(kafka, [b.verified(person=person), b.ordered("home", b.day(1), due, person=person)])
    await becomes(kafka, person, Colour.RED)
    await asyncio.sleep(4)  # in which it would be told by this clock, or by the right one
    assert await colour(kafka, person) is Colour.RED
    assert datetime.now(UTC) < due or minutes < 0
    clock.step(0)
    await becomes(kafka, person, Colour.GREEN)
    assert datetime.now(UTC) >= due
    await asyncio.to_thread(worker.wait_ready)


async def test_within_30_seconds_a_clock_agrees(worker: Worker, clock: SteppedClock) -> None:
    clock.step(20)
    worker.start()
    await asyncio.to_thread(worker.wait_ready)


@pytest.mark.parametrize(("step", "way"), [(3 * HOUR, "ahead of"), (-HOUR, "behind")])
async def test_beyond_10_minutes_an_idle_worker_ends_with_a_sentence_about_the_clock(
    worker: Worker, clock: SteppedClock, step: float, way: str
) -> None:
    worker.start()
    await asyncio.to_thread(worker.wait_ready)
    clock.step(step)
    await ends(worker, "The clock of this machine is", f"{way} the broker's")


async def test_a_busy_one_says_so_too_though_the_broker_refuses_what_it_writes(
    kafka: Kafka, worker: Worker, clock: SteppedClock
) -> None:
    worker.start()
    await asyncio.to_thread(worker.wait_ready)

    over = asyncio.Event()

    async def keep_busy() -> None:
        while not over.is_set():
            await send(kafka, [b.verified(person=someone()) for _ in range(20)])

    busy = asyncio.create_task(keep_busy())
    await asyncio.sleep(1)
    clock.step(3 * HOUR)
    await ends(worker, "The clock of this machine is 10,", "ahead of the broker's")
    over.set()
    await busy


async def test_it_does_not_start_by_such_a_clock(worker: Worker, clock: SteppedClock) -> None:
    clock.step(-HOUR)
    worker.start()
    await ends(worker, "The clock of this machine is 3,", "behind the broker's")


async def test_without_an_answer_nothing_is_known() -> None:
    clock = BrokerClock(NO_BROKERS)
    assert (clock.seconds_ahead(), clock.agrees()) == (None, False)
    assert clock.reasons()
    clock.check()
