"""A partition that cannot go on stands still by itself, with a real worker, until an operator lets
it go on."""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from app.development.stack.broker import ROOT
from app.process.consumer import LogRecord
from app.projection.state import read_state
from app.topics.letters import letter_in
from models.codes import Colour, HealthCode
from support import builders as b
from support.brokers import Kafka
from support.buggy import UNFOLDABLE
from support.gateways import command
from support.records import PARTITIONS
from support.tokens import MAKING
from support.views import running_projection, someone_in
from support.workers import Worker, everything, send, until

NUMBER = 3
"""The partition that stands still."""
OTHERS = [number for number in range(PARTITIONS) if number != NUMBER]
OLD_SECONDS = 5.0
"""From then on the view says how old a code is."""


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with a bug; one event meets it."""
    worker = Worker(kafka, tmp_path_factory.mktemp("worker"))
    worker._command = [sys.executable, "-m", "support.buggy"]
    path = f"{ROOT}:{ROOT / 'tests'}"
    worker._environment = {**(worker._environment or {}), "PYTHONPATH": path}
    with worker.running():
        yield worker


def someone(number: int = NUMBER) -> str:
    """A person of this partition."""
    return someone_in(number)


def partitions(worker: Worker, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `yuekang partitions` against the worker, to its end."""
    return subprocess.run(
        [*command("partitions", *arguments), "--status", worker.url],
        env={**(worker._environment or {}), **worker.kafka.known_as("operator"), **MAKING},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def halted(worker: Worker) -> list[dict[str, Any]]:
    """Wait until something stands still; return what does."""
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as http:
        while True:
            assert worker.exited() is None, worker.tail()
            held = (await http.get(f"{worker.url}/partitions")).json()
            if found := [halt for each in held for halt in each["halts"]]:
                states = {each["state"] for each in held if each["halts"]}
                assert states == {"halted"}
                return found
            await asyncio.sleep(0.2)


async def colour_of(kafka: Kafka, person: str, version: int) -> Colour:
    def found(records: list[LogRecord]) -> Colour | None:
        values = [r.value for r in records if r.key == person.encode()]
        code = msgspec.json.decode(values[-1] or b"", type=HealthCode) if values else None
        return code.colour if code and code.version >= version else None

    return await until(kafka, "health-codes", found)


async def turn_red(kafka: Kafka, number: int, positive: Callable[..., Any] = b.positive) -> None:
    """Let somebody of this partition be verified and then turn red."""
    person = someone(number)
    await send(kafka, [b.verified(person=person), positive(b.day(2), person=person)])
    assert await colour_of(kafka, person, 3) is Colour.RED


def aside(records: Sequence[LogRecord], topic: str, reason: str | None = None) -> list[int]:
    """The offsets that dead letters name, in their order."""
    letters = [letter_in(record) for record in records]
    return [
        letter.came_from.offset
        for letter in letters
        if letter.came_from is not None
        and letter.came_from.topic == topic
        and reason in (None, letter.reason)
    ]


async def test_rubbish_of_a_stranger_holds_up_nothing(kafka: Kafka, worker: Worker) -> None:
    topic = kafka.named("contact-listings")
    async with kafka.producer() as out:
        for _ in range(150):
            await out.send(
                "contact-listings", secrets.token_bytes(40), b"p1-x", NUMBER, author=None
            )
    for number in range(PARTITIONS):
        await turn_red(kafka, number)  # other topics of all partitions, this one too
        await turn_red(kafka, number, b.contact)
    dead = await until(kafka, "dead-letters", lambda r: r if len(aside(r, topic)) >= 150 else None)
    assert aside(dead, topic, "not-authentic") == list(range(150)), "each is a dead letter, once"
    nothing = partitions(worker, "release", "people", str(NUMBER), "--reason", "nothing")
    assert nothing.returncode == 1
    assert f"Nothing stands still in partition {NUMBER} of people: it is live." in nothing.stderr


async def test_a_record_that_a_bug_cannot_fold_is_left_aside_and_old_codes_are_its_partitions_alone(
    kafka: Kafka, worker: Worker, redis_url: str, tmp_path: Path
) -> None:
    topic = kafka.named("laboratory-results")
    person, other = someone(), someone(0)
    await send(kafka, [b.verified(person=p) for p in (person, other)])
    with running_projection(kafka, redis_url, tmp_path) as projection:
        projection.wait_ready()
        await send(
            kafka,
            [
                b.negative(b.day(2), person=person),
                b.positive(b.day(3), person=person, id=UNFOLDABLE),
                b.positive(b.day(4), person=person),
            ],
        )
        [halt] = await halted(worker)
        assert (halt["topic"], halt["partition"], halt["whole"]) == (topic, NUMBER, True)
        assert halt["error"].startswith("KeyError in buggy.py, line ")
        await _assert_told_of(halt, worker)
        standing = time.time()
        async with Redis.from_url(redis_url) as redis, asyncio.timeout(30):
            while True:
                await send(kafka, [b.positive(b.day(4), person=other)])
                state = await read_state(redis)
                assert state is not None
                codes = state.positions[kafka.named("health-codes")]
                ages = [time.time() - (position.known_until or 0.0) for position in codes]
                if ages[NUMBER] > OLD_SECONDS + 2:
                    break
                await asyncio.sleep(0.5)
        assert max(ages[number] for number in OTHERS) < OLD_SECONDS, ages
        assert ages[NUMBER] >= time.time() - standing - 1, "as old as what stands"

    worker.stop()
    worker.start()
    worker.wait_ready()
    [again] = await halted(worker)
    assert (again["topic"], again["offset"]) == (topic, halt["offset"]), "where it stood"
    tried = partitions(worker, "release", "people", str(NUMBER), "--reason", "try again")
    assert tried.returncode == 1
    assert "It was released and stands still again" in tried.stderr
    record = ["--topic", topic, "--leave-aside", "--reason", "a bug in judging", "--offset"]
    wrong = partitions(worker, "release", "people", str(NUMBER), *record, "99999")
    assert wrong.returncode == 1
    assert "It does not stand still there" in wrong.stderr
    said = partitions(worker, "release", "people", str(NUMBER), *record, str(halt["offset"]))
    assert said.returncode == 0, said.stderr
    assert await colour_of(kafka, person, 3) is Colour.RED, "what lies behind it is applied"
    dead = await everything(kafka, "dead-letters")
    assert aside(dead, topic, "left-aside") == [halt["offset"]]
    [letter] = [letter_in(r) for r in dead if aside([r], topic, "left-aside")]
    assert "a bug in judging" in letter.detail
    assert worker.exited() is None
    log = worker.log.read_text()
    assert "fold_failed" in log
    assert "p1-" not in log, "a person is in the log"
    assert "partition_halted" in log
    assert '"reason": "try again"' in log


async def _assert_told_of(halt: dict[str, Any], worker: Worker) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        ready = await http.get(f"{worker.url}/readyz")
        numbers = (await http.get(f"{worker.url}/metrics")).text.splitlines()
    place = f"{halt['topic']} at {halt['offset']}"
    assert ready.status_code == 200, "no restart mends it, and the rest goes on"
    assert f"Table people: all of partition {NUMBER} stands still at {place} since" in ready.text
    assert f"yuekang partitions release people {NUMBER}" in ready.text
    assert 'yuekang_worker_partitions_halted{table="people"} 1.0' in numbers
    assert 'yuekang_worker_partitions_halted{table="scans"} 0.0' in numbers
    listed = partitions(worker, "list", "--json")
    assert listed.returncode == 0, listed.stderr
    held = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(held) == 3 * PARTITIONS
    assert [each["partition"] for each in held if each["state"] == "halted"] == [NUMBER]
    assert f"people   {NUMBER}         halted      " in partitions(worker, "list").stdout
