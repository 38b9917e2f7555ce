"""A release waits for no other partition, and one that cannot be folded stands still by itself."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from agents.poison import tally_of
from app.engine.chunks import Chunk
from app.topics.catalogue import SOURCE_RELEASES
from app.worker.partitions import halted_inputs
from models.codes import Colour
from models.operators import released
from models.parking import Tally
from support import builders as b
from topology.driver import HERE, START, Driver
from topology.worker import Worker

SOURCE = "/laboratories/440100-001"
THERE = (HERE + 1) % 4
"""Another partition."""


def append(driver: Driver, worker: Worker, number: int) -> "asyncio.Future[None]":
    """Hand a release to the worker; what is returned is done when it is acked."""
    event = msgspec.json.encode(released(SOURCE, "r1", START, "/operators/chen"))
    record = driver.log.append(TopicPartition(SOURCE_RELEASES, number), None, event)
    generation = worker.app.consumer_generation_id
    return worker._streams[SOURCE_RELEASES].put(
        Chunk(SOURCE_RELEASES, number, generation, [record])
    )


def test_a_release_waits_for_no_other_partition(driver: Driver) -> None:
    answers = asyncio.Event()

    async def slow(producer: str) -> None:
        if producer.endswith(f"-people-{HERE}"):
            await answers.wait()

    async def both() -> None:
        worker = await driver._take("worker", {HERE, THERE})
        driver.log.before_commit = slow
        first, second = append(driver, worker, HERE), append(driver, worker, THERE)
        await asyncio.wait_for(second, 5)
        assert not first.done(), "one table has it, and not all"
        answers.set()
        await asyncio.wait_for(first, 5)

    driver._run(both())


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One partition of one table has a row that no release can be folded into."""

    def of(transaction: Any, topic: str) -> Tally:
        if topic == "identities" and transaction.get(b.PERSON.encode()) is not None:
            raise KeyError(b.PERSON)
        return tally_of(transaction, topic)

    monkeypatch.setattr("agents.releases.tally_of", of)
    return monkeypatch


def test_a_release_that_cannot_be_folded_stands_still_by_itself(
    driver: Driver, bug: pytest.MonkeyPatch
) -> None:
    driver.send(b.verified())
    driver.release(SOURCE)
    [halt] = driver.halts
    place = halt.table, halt.partition, halt.topic, halt.offset, halt.whole, halt.until_start
    assert place == ("people", HERE, SOURCE_RELEASES, 0, False, True)
    assert driver.committed(SOURCE_RELEASES, THERE) == 1
    driver.send(b.positive(b.day(19)))
    assert driver.code().colour is Colour.RED, "the inputs of its partition go on"
    assert halted_inputs(driver._workers["worker"].app) == {TopicPartition(SOURCE_RELEASES, HERE)}
    assert driver.table("people").lanes.held_back == {(SOURCE_RELEASES, HERE)}
    bug.undo()
    driver.restart()
    assert driver.halts == []
    assert driver.committed(SOURCE_RELEASES, HERE) == 1
