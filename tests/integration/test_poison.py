"""Poison on a real Kafka with a real worker: parked, released, sent again, and never twice."""

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from typer.testing import CliRunner

from app.letters import commands
from app.process.consumer import LogRecord
from app.process.kafka import Brokers
from app.topics.catalogue import input_topics
from app.topics.codec import encode
from app.topics.letters import Letter, letter_in, opened
from app.topics.openings import COUNTED
from app.web.tokens import Role
from models.codes import Colour, HealthCode
from oracle import replay
from support import builders as b
from support.brokers import Kafka
from support.gateways import command
from support.tokens import OPERATOR, TRUSTING, operator_token
from support.views import someone_in
from support.workers import DEAD_LETTER_KEY, Worker, everything, send, until

TOPIC = "laboratory-results"
GOOD, BAD = "/laboratories/440100-001", "/laboratories/440100-666"
NUMBER = 3
"""The partition that is poisoned."""


@pytest.fixture(scope="module")
def kafka(broker: Brokers) -> Kafka:
    """The topics with plain names, since commands run in this process. No other module writes to
    them: what is left there is compared whole."""
    kafka = Kafka(broker)
    asyncio.run(kafka.create_topics())
    return kafka


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(kafka, tmp_path_factory.mktemp("worker")).running() as worker:
        yield worker


def someone(number: int = NUMBER) -> str:
    """A person of this partition."""
    return someone_in(number)


def bad(person: str, source: str = BAD) -> bytes:
    return encode(b.positive(b.day(2), person=person, source=source)).replace(
        b'"positive"', b'"probably"'
    )


async def append(kafka: Kafka, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    """Append records to the poisoned partition, in this order."""
    async with kafka.producer() as out:
        for person, value in records:
            await out.send(topic, value, person.encode(), NUMBER)


def started(kafka: Kafka, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command as a process, to be killed or to meet another."""
    return subprocess.Popen(
        command(*arguments),
        env=kafka.environment_of("operator"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def run(kafka: Kafka, group: str, *arguments: str, code: int = 0) -> str:
    """Run a command to its end, which must be `code`; return what it printed."""
    environment = {
        **kafka.environment_of("operator"),
        "YUEKANG_DEAD_LETTER_PRIVATE_KEY": bytes(DEAD_LETTER_KEY).hex(),
        "YUEKANG_TOKEN": operator_token(Role.RELEASE),
        **TRUSTING,
    }
    command = {"parked": commands.parked, "dead-letters": commands.dead_letters}[group]
    result = await asyncio.to_thread(CliRunner().invoke, command, arguments, env=environment)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if code == 0 else result.output


def place(record: LogRecord) -> tuple[str, int, int]:
    """The place in the input that a letter names."""
    said = dict(record.headers)
    return said["yk_topic"].decode(), int(said["yk_partition"]), int(said["yk_offset"])


async def letters(kafka: Kafka, topic: str, source: str = BAD) -> list[LogRecord]:
    """The letters of a source, in their order."""
    found = await everything(kafka, topic)
    return [r for r in found if dict(r.headers).get("yk_source") == source.encode()]


async def sent_of(kafka: Kafka, person: str) -> list[LogRecord]:
    """What was sent about somebody, without what came back counted."""
    found = await everything(kafka, TOPIC)
    own = [record for record in found if record.key == person.encode()]
    return [record for record in own if COUNTED not in dict(record.headers)]


async def code_of(kafka: Kafka, person: str, version: int = 1) -> HealthCode:
    def found(records: list[LogRecord]) -> HealthCode | None:
        values = [r.value for r in records if r.key == person.encode()]
        code = msgspec.json.decode(values[-1] or b"", type=HealthCode) if values else None
        return code if code and code.version >= version else None

    code: HealthCode = await until(kafka, "health-codes", found)
    return code


async def parked_is(worker: Worker, count: int) -> bool:
    """Wait until the worker's metric says that so many sources are parked."""
    line = f'yuekang_worker_sources_parked{{topic="{TOPIC}"}} {count:.1f}'
    async with asyncio.timeout(15), httpx.AsyncClient(trust_env=False) as http:
        while line not in (await http.get(f"{worker.url}/metrics")).text.splitlines():
            await asyncio.sleep(0.2)
    return True


async def test_a_bad_source_is_parked_while_others_flow_also_when_killed_in_the_middle(
    kafka: Kafka, worker: Worker
) -> None:
    people = [someone() for _ in range(20)]
    await send(kafka, [b.verified(person=person) for person in people])
    for part in range(4):
        # 35 bad ones at a time, one good one after each 7: the limit lies in the third part.
        for begin in range(0, 35, 7):
            number = part * 5 + begin // 7
            good = encode(b.positive(b.day(2), person=people[number], source=GOOD))
            await append(
                kafka,
                TOPIC,
                [*((someone(), bad(someone())) for _ in range(7)), (people[number], good)],
            )
        if part < 3:
            await asyncio.sleep(0.3 * part)
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            while worker.exited() is None:
                await asyncio.sleep(0.02)
            worker.start()
    await append(
        kafka, TOPIC, [(p := someone(), encode(b.positive(b.day(2), person=p, source=BAD)))]
    )
    for person in people:
        assert (await code_of(kafka, person, 3)).colour is Colour.RED
    await until(kafka, "parked", lambda records: len(records) >= 41)
    inputs = [r for r in await everything(kafka, TOPIC) if b'"' + BAD.encode() in (r.value or b"")]
    dead, aside = await letters(kafka, "dead-letters"), await letters(kafka, "parked")
    assert [place(r)[2] for r in dead] == [r.offset for r in inputs[:100]]
    assert [place(r)[2] for r in aside] == [r.offset for r in inputs[100:]]
    assert len(aside) == 41
    assert [dict(r.headers)["yk_refused"] for r in aside] == [b"true"] * 40 + [b"false"]
    assert await parked_is(worker, 1)
    said = worker.log.read_text() + worker.log.with_suffix(".log.1").read_text()
    assert "source_parked" in said
    assert BAD in said
    assert "p1-" not in said


async def test_every_record_has_one_fate(kafka: Kafka, worker: Worker) -> None:
    """Applied, a dead letter, or put aside; and the people are those of a pure replay."""
    inputs = [
        record
        for topic in input_topics()
        if topic.folds_into == "people"
        for record in await everything(kafka, topic.name)
        if COUNTED not in dict(record.headers)  # it is there as it first came, too
    ]
    dead = {place(r) for r in await everything(kafka, "dead-letters")}
    aside = {place(r) for r in await everything(kafka, "parked")}
    assert dead & aside == set()
    expected, refused = replay.replay(inputs, aside)
    found = replay.table(await everything(kafka, "yuekang-people-changelog"))
    assert replay.differences(expected, found) == []
    assert refused == len(dead) == 100
    facts = sum(len(person.facts) for person in found.values())
    assert facts + len(dead) + len(aside) == len(inputs)


async def test_a_parked_source_is_released_and_its_events_sent_again_once(
    kafka: Kafka, worker: Worker
) -> None:
    [aside] = [
        r for r in await letters(kafka, "parked") if dict(r.headers)["yk_refused"] == b"false"
    ]
    assert aside.key is not None
    person = aside.key.decode()
    at = str(aside.partition), str(aside.offset)
    said = await run(kafka, "parked", "resend", *at, code=1)
    assert f"{BAD} is still parked" in said
    asked = "--status", worker.url
    [line] = (await run(kafka, "parked", "sources", "--json", *asked)).splitlines()
    parking = json.loads(line)
    assert (parking["source"], parking["topic"]) == (BAD, TOPIC)
    assert (parking["partition"], parking["reason"]) == (NUMBER, "invalid")
    assert parking["since"].startswith("20")
    said = await run(kafka, "parked", "release", "/laboratories/never", *asked, code=1)
    assert f"/laboratories/never is not parked; nothing is released. Parked are: {BAD}." in said
    said = await run(kafka, "parked", "release", BAD, *asked)
    assert "is released" in said
    told = [msgspec.json.decode(r.value or b"") for r in await everything(kafka, "source-releases")]
    assert {release["source"] for release in told} == {OPERATOR}
    assert await parked_is(worker, 0)
    assert await run(kafka, "parked", "sources", *asked) == "Nobody is parked.\n"
    before = len(await everything(kafka, TOPIC))
    said = await run(kafka, "parked", "resend", "--source", BAD, "--dry-run", code=1)
    assert "1 would be sent, 0 sent before, 40 not sent." in said
    assert len(await everything(kafka, TOPIC)) == before
    said = await run(kafka, "parked", "resend", "--source", BAD, code=1)
    assert "1 sent, 0 sent before, 40 not sent." in said
    assert "would be refused again: invalid: data.result" in said
    said = await run(kafka, "parked", "resend", *at)
    assert said == "0 sent, 1 sent before, 0 not sent.\n"
    assert (await code_of(kafka, person, 2)).reasons
    sent = await sent_of(kafka, person)
    assert [r.value for r in sent] == [aside.value, aside.value]
    listed = [
        json.loads(line)
        for line in (await run(kafka, "parked", "list", "--source", BAD, "--json")).splitlines()
    ]
    assert len(listed) == 41
    assert [(line["offset"], line["refused"]) for line in listed if line["sent_again"]] == [
        (aside.offset, False)
    ]


def within(record: LogRecord) -> Letter:
    """The letter as its private key opens it."""
    return opened(letter_in(record), bytes(DEAD_LETTER_KEY))


async def test_a_mended_dead_letter_turns_the_code_as_its_event_says_and_once(
    kafka: Kafka, worker: Worker, tmp_path: Path
) -> None:
    person = someone()
    await send(kafka, [b.verified(person=person)])
    await code_of(kafka, person)
    await append(kafka, TOPIC, [(person, bad(person, GOOD))])

    def found(records: list[LogRecord]) -> LogRecord | None:
        return next((r for r in records if within(r).key == person.encode()), None)

    letter = await until(kafka, "dead-letters", found)
    at = str(letter.partition), str(letter.offset)
    shown = await run(kafka, "dead-letters", "show", *at)
    assert "reason: invalid" in shown
    assert f"came from: {TOPIC}[{NUMBER}] at" in shown
    raw = await run(kafka, "dead-letters", "show", *at, "--open", "--raw")
    assert raw.encode() == within(letter).value
    mended = tmp_path / "mended.json"
    mended.write_text(raw.replace('"probably"', '"positive"'))
    said = await run(kafka, "dead-letters", "resend", *at, code=1)
    assert "data.result" in said
    replaced = (*at, "--replace", str(mended))
    assert "1 would be sent" in await run(kafka, "dead-letters", "resend", *replaced, "--dry-run")
    assert "1 sent, 0 sent before" in await run(kafka, "dead-letters", "resend", *replaced)
    assert (await code_of(kafka, person, 3)).colour is Colour.RED
    assert "0 sent, 1 sent before" in await run(kafka, "dead-letters", "resend", *replaced)
    assert len(await sent_of(kafka, person)) == 2
    assert "There is no letter" in await run(kafka, "dead-letters", "show", "0", "99999", code=1)


async def test_a_sealed_letter_is_opened_with_the_private_key_alone(
    kafka: Kafka, worker: Worker
) -> None:
    person = someone()
    value = encode(b.negative(b.day(2), person=person, source="/laboratories/440100-777"))
    value = value.replace(b"Laboratory 1", b"11010519491231002X")
    await append(kafka, TOPIC, [(person, value)])

    def found(records: list[LogRecord]) -> LogRecord | None:
        return next((r for r in records if ("yk_reason", b"document-number") in r.headers), None)

    letter = await until(kafka, "dead-letters", found)
    at = str(letter.partition), str(letter.offset)
    shown = await run(kafka, "dead-letters", "show", *at)
    assert "Sealed" in shown
    assert "11010519491231002X" not in shown
    assert (await run(kafka, "dead-letters", "show", *at, "--open", "--raw")).encode() == value


async def test_a_resend_that_is_killed_again_and_again_sends_each_letter_once(kafka: Kafka) -> None:
    """Killed as soon as it has written something: within a transaction, or just after one."""
    source, count = "/laboratories/440100-500", 1_600
    async with kafka.producer() as out:
        for offset in range(count):
            person = someone()
            value = encode(b.negative(b.day(2), person=person, source=source))
            headers = {
                "yk_topic": TOPIC,
                "yk_partition": str(NUMBER),
                "yk_offset": str(1_000_000 + offset),
                "yk_reason": "not-json",
                "yk_source": source,
                "yk_refused": "true",
            }
            await out.send(
                "dead-letters",
                value,
                person.encode(),
                NUMBER,
                headers=[(n, text.encode()) for n, text in headers.items()],
            )
    arguments = ("dead-letters", "resend", "--source", source)
    async with watching(kafka, "resent") as written:
        for _ in range(2):
            before = await written()
            process = started(kafka, *arguments)
            while await written() == before and process.poll() is None:
                await asyncio.sleep(0.002)
            process.kill()
            process.communicate()
    both = [started(kafka, *arguments) for _ in range(2)]  # one may shut the other out
    ends = [await asyncio.to_thread(process.communicate) for process in both]
    for process, (_, err) in zip(both, ends, strict=True):
        assert process.returncode == 0 or b"shut this one out" in err, err
    await run(kafka, *arguments)
    assert f"{count} sent before" in await run(kafka, *arguments)
    sent = Counter(
        dict(r.headers).get("yk_resent_from")
        for r in await everything(kafka, TOPIC)
        if source.encode() in (r.value or b"")
    )
    assert len(sent) == count
    assert set(sent.values()) == {1}


@asynccontextmanager
async def watching(kafka: Kafka, topic: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Give what says how far the poisoned partition is written, also by what is not committed."""
    consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(**kafka.brokers.client)
    await consumer.start()
    tp = TopicPartition(topic, NUMBER)

    async def written() -> int:
        return int((await consumer.end_offsets([tp]))[tp])

    try:
        yield written
    finally:
        await consumer.stop()
