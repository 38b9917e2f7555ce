"""Members of a worker's group: who comes back, who leaves, who is missed, who has two places."""

import asyncio
import os
import secrets
import shutil
import signal
import time
from base64 import b32encode
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from app.engine.halts import PARTITIONS_PATH
from app.projection.freshness import PEOPLE
from app.topics.catalogue import CATALOGUE, partition_of
from support import builders as b
from support.brokers import Kafka
from support.gateways import PLAIN
from support.workers import Worker, drained, send

ALL = set(range(CATALOGUE.partitions))
SESSION_SECONDS = 10.0


async def held(worker: Worker) -> set[int]:
    """Return the partitions of the people that a worker can commit to."""
    async with httpx.AsyncClient(verify=PLAIN) as client:
        try:
            answer = await client.get(worker.url + PARTITIONS_PATH)
        except httpx.TransportError:
            return set()
    return {p["partition"] for p in answer.json() if (p["table"], p["state"]) == ("people", "live")}


async def until_held(*workers: Worker) -> None:
    """Wait until each of the workers holds something, and they hold all of it."""
    async with asyncio.timeout(60):
        while True:
            found = [await held(worker) for worker in workers]
            if all(found) and set[int]().union(*found) == ALL:
                return
            await asyncio.sleep(0.1)


@pytest.fixture
async def two(kafka: Kafka, tmp_path: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers, with partitions each."""
    workers = Worker(kafka, tmp_path / "a"), Worker(kafka, tmp_path / "b")
    for worker in workers:
        worker.start()
    try:
        await until_held(*workers)
        await work(kafka)
        yield workers
    finally:
        for worker in workers:
            worker.give_up_its_place()
            worker.signal_stop()
        for worker in workers:
            worker.stop()


async def work(kafka: Kafka) -> None:
    """Return once somebody new has been judged in each partition."""
    keys = ("p1-" + b32encode(secrets.token_bytes(20)).decode().lower() for _ in range(100))
    people = {partition_of(key.encode(), CATALOGUE.partitions): key for key in keys}
    assert people.keys() == ALL
    await send(kafka, [b.verified(person=person) for person in people.values()])
    await drained(kafka)


async def states_of(kafka: Kafka, meanwhile: Awaitable[object]) -> set[str]:
    """Return all states that the group had meanwhile, as the broker says."""
    admin = AIOKafkaAdminClient(**kafka.brokers.client)
    await admin.start()
    try:
        done, found = asyncio.ensure_future(meanwhile), set[str]()
        while not done.done():
            [answer] = await admin.describe_consumer_groups([kafka.named(PEOPLE.name)])
            [(error, _, state, *_)] = answer.groups
            assert not error
            found.add(state)
            await asyncio.sleep(0.05)
        await done
        return found
    finally:
        await admin.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_nobody_hears_of_a_restart(
    kafka: Kafka, two: tuple[Worker, Worker], number: signal.Signals
) -> None:
    stays, restarts = two
    before, own = await held(stays), await held(restarts)

    async def restart() -> None:
        os.kill(restarts.pid or 0, number)
        while restarts.exited() is None:
            await asyncio.sleep(0.05)
        restarts.start()
        await until_held(*two)

    assert await states_of(kafka, restart()) == {"Stable"}, "a rebalance"
    assert (await held(stays), await held(restarts)) == (before, own)
    await work(kafka)


async def test_who_does_not_come_back_is_missed(kafka: Kafka, two: tuple[Worker, Worker]) -> None:
    stays, ends = two
    ends.stop()
    assert ends.exited() == 0, ends.tail()
    ended = time.monotonic()
    await until_held(stays)
    assert SESSION_SECONDS / 2 < time.monotonic() - ended < 2 * SESSION_SECONDS
    await work(kafka)


async def test_who_leaves_for_good_is_not_waited_for(
    kafka: Kafka, two: tuple[Worker, Worker]
) -> None:
    stays, leaves = two
    leaves.give_up_its_place()
    leaves.signal_stop()
    left = time.monotonic()
    await until_held(stays)
    assert time.monotonic() - left < SESSION_SECONDS / 2
    await work(kafka)


def test_a_second_worker_in_one_folder_ends_and_the_first_keeps_its_place(
    kafka: Kafka, two: tuple[Worker, Worker]
) -> None:
    first, _ = two
    second = Worker(kafka, first.directory)
    second.log = second.log.with_name("second.log")
    second.start()
    with pytest.raises(Exception, match="another worker runs in"):
        second.wait_ready()
    assert "Traceback" not in second.log.read_text()
    assert first.exited() is None


async def test_two_of_one_id_end_and_say_why(kafka: Kafka, two: tuple[Worker, Worker]) -> None:
    one, other = two
    other.stop()
    shutil.rmtree(other.directory / "data" / "faust")
    shutil.copytree(one.directory / "data" / "faust", other.directory / "data" / "faust")
    other.start()
    async with asyncio.timeout(60):
        while one.exited() is None and other.exited() is None:
            await asyncio.sleep(0.2)
    ended = one if one.exited() is not None else other
    assert "another worker has the same id" in ended.log.read_text()
