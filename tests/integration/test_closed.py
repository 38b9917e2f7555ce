"""A broker that refuses strangers, and lets each process do what it does and nothing else."""

import asyncio
import subprocess
from collections.abc import Callable, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from msgspec.structs import replace

from app.access.acls import Acl, create, delete, read
from app.access.rights import PROCESSES, Operation, Resource, rights_of
from app.process.consumer import Consumer
from app.process.kafka import Brokers
from app.topics.catalogue import CATALOGUE
from support.brokers import Kafka
from support.gateways import command
from support.tokens import MAKING

NAMES = tuple(CATALOGUE.topics)


STRANGERS: dict[str, Callable[[Kafka], Brokers]] = {
    "nobody": lambda kafka: Brokers(kafka.brokers.servers),
    "a wrong password": lambda kafka: replace(kafka.brokers_of("worker"), password="guessed"),
    "no such user": lambda kafka: replace(kafka.brokers_of("worker"), user="stranger"),
    "the super user, guessed": lambda kafka: replace(kafka.brokers, password="guessed"),
}


@pytest.mark.parametrize("who", STRANGERS)
async def test_a_stranger_gets_nothing(kafka: Kafka, who: str) -> None:
    admin = AIOKafkaAdminClient(**STRANGERS[who](kafka).client, request_timeout_ms=3_000)
    with pytest.raises(KafkaConnectionError):
        await admin.start()
    await admin.close()


async def test_without_a_right_even_who_is_known_sees_nothing(kafka: Kafka) -> None:
    other = Kafka(kafka.brokers, f"{kafka.prefix}other-")
    await other.create_topics()
    admin = AIOKafkaAdminClient(**other.brokers_of("view").client)
    await admin.start()
    try:
        assert all(name.startswith(other.prefix) for name in await admin.list_topics())
        for name in NAMES:
            described = await admin.describe_topics([kafka.named(name)])
            assert for_code(described[0]["error_code"]) is TopicAuthorizationFailedError
    finally:
        await admin.close()


async def writable(kafka: Kafka, process: str) -> list[str]:
    """The topics to which a process can write a record."""
    async with AIOKafkaProducer(**kafka.brokers_of(process).client) as producer:
        answers = await asyncio.gather(
            *(producer.send_and_wait(kafka.named(name), b"tried", b"key") for name in NAMES),
            return_exceptions=True,
        )
    for answer in answers:
        assert not isinstance(answer, BaseException) or isinstance(
            answer, TopicAuthorizationFailedError
        ), answer
    return [
        name
        for name, answer in zip(NAMES, answers, strict=True)
        if not isinstance(answer, BaseException)
    ]


async def readable(kafka: Kafka, process: str) -> list[str]:
    """The topics from which a process can fetch."""
    consumer = Consumer(**kafka.brokers_of(process).client)
    await consumer.start()
    try:
        request = FetchRequest(0, 0, 1, 0, [(kafka.named(name), [(0, 0, 1)]) for name in NAMES])
        client = consumer._client
        response = await client.send(client.get_random_node(), request)
    finally:
        await consumer.stop()
    codes = {topic: code for topic, [(_, code, *_)] in response.topics}
    assert {for_code(code) for code in codes.values() if code} <= {TopicAuthorizationFailedError}
    return [name for name in NAMES if not codes[kafka.named(name)]]


def may(process: str, operation: Operation) -> list[str]:
    own = {
        right.name
        for right in rights_of(process)
        if right.resource is Resource.TOPIC and right.operation is operation
    }
    return [name for name in NAMES if name in own]


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_process_writes_and_reads_its_own_topics_alone(kafka: Kafka, process: str) -> None:
    assert await writable(kafka, process) == may(process, Operation.WRITE)
    assert await readable(kafka, process) == may(process, Operation.READ)


@pytest.mark.parametrize("process", PROCESSES)
async def test_nobody_takes_the_fence_of_another(kafka: Kafka, process: str) -> None:
    fences = {"yuekang-g1-people-0": "worker", "yuekang-lists-g1-lists-0": "lists-worker"}
    for fence, owner in fences.items():
        producer = AIOKafkaProducer(
            **kafka.brokers_of(process).client, transactional_id=kafka.named(fence)
        )
        try:
            await producer.start()
            assert process == owner
        except TransactionalIdAuthorizationFailed:
            assert process != owner
        finally:
            await producer.stop()


@pytest.mark.parametrize("process", PROCESSES)
async def test_nobody_makes_topics_or_rights(kafka: Kafka, process: str) -> None:
    mine = kafka.brokers_of(process)
    with pytest.raises(KafkaError, match="uthoriz"):
        await create(mine, [Acl(f"User:{mine.user}", "topic", "*", "all")])
    if process != "operator":
        with pytest.raises(KafkaError, match="uthoriz"):
            await read(mine)


def yuekang(kafka: Kafka, process: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = kafka.environment if process == "admin" else kafka.environment_of(process)
    return subprocess.run(
        command(*arguments),
        env={**environment, **MAKING},
        capture_output=True,
        text=True,
        timeout=60,
    )


def fields(lines: str, begin: str) -> Sequence[str]:
    return [line.removeprefix(begin) for line in lines.splitlines() if line.startswith(begin)]


async def test_what_differs_is_told_and_put_right(kafka: Kafka) -> None:
    gone = next(acl for acl in kafka.acls() if acl.name == kafka.named("health-codes"))
    more = Acl("User:lab", "topic", kafka.named("health-codes"), "write")
    await delete(kafka.brokers, [gone])
    await create(kafka.brokers, [more])
    wrong = yuekang(kafka, "operator", "acls", "check")
    assert wrong.returncode == 1
    assert fields(wrong.stdout, "Missing: ") == [str(gone)]
    assert fields(wrong.stdout, "Too much: ") == [str(more)]
    refused = yuekang(kafka, "operator", "acls", "apply")
    assert refused.returncode == 1
    assert f"does not let {kafka.prefix}operator do that" in refused.stderr
    applied = yuekang(kafka, "admin", "acls", "apply", "--prune")
    assert applied.stdout.splitlines() == [
        f"Written: 1 of {len(kafka.acls())}.",
        f"Deleted: {more}",
    ]
    right = yuekang(kafka, "operator", "acls", "check")
    assert (right.returncode, right.stdout) == (
        0,
        f"All {len(kafka.acls())} rights are there, and no other.\n",
    )


NEEDED = [
    ("read", "dead-letters", ("dead-letters", "list")),
    ("describe-configs", "scans", ("topics", "check")),
    ("write", "source-releases", ("parked", "release", "/laboratories/x", "--unasked")),
    ("read", "sources", ("sources", "list")),
    ("write", "sources", ("sources", "close", "/laboratories/x", "--reason", "-")),
    ("describe", "kafka-cluster", ("acls", "check")),
]


@pytest.mark.parametrize(("operation", "name", "arguments"), NEEDED)
async def test_a_command_without_a_right_says_so(
    kafka: Kafka, operation: str, name: str, arguments: tuple[str, ...]
) -> None:
    [right] = [
        acl
        for acl in kafka.acls()
        if acl.principal == f"User:{kafka.prefix}operator"
        and acl.operation == operation
        and acl.name in (name, kafka.named(name))
    ]
    await delete(kafka.brokers, [right])
    try:
        done = await asyncio.to_thread(yuekang, kafka, "operator", *arguments)
    finally:
        await create(kafka.brokers, [right])
    assert done.returncode == 1
    assert f"does not let {kafka.prefix}operator do that" in done.stderr
    assert "yuekang acls check" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_password_is_told(kafka: Kafka) -> None:
    environment = {**kafka.environment_of("operator"), "YUEKANG_KAFKA_PASSWORD": "guessed"}
    done = subprocess.run(
        command("topics", "check"), env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "YUEKANG_KAFKA_USER and its password" in done.stderr
    assert "guessed" not in done.stderr
