"""The register on a real Kafka: who follows it sees each change within seconds, and a gateway acts
on it."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.sources.follow import RegisterFollower
from models.register import SOURCE_CLOSED
from support.brokers import NOBODY, Kafka
from support.gateways import LABORATORY, TOKENS, command, environment, event, running_gateway
from support.workers import everything

OTHER = "/laboratories/440100-002"
FILE = f"""
{LABORATORY}: {{name: {{zh: 一所, en: First}}, city: "440100", telephone: 020-12345}}
/cdc/440100: {{name: {{zh: 疾控, en: CDC}}, city: "440100"}}
"""
SEEN_SECONDS_MAX = 10.0
"""Of a machine that has other work; a change is seen within a fetch, some 10 ms."""


@pytest.fixture(scope="module")
def gateway(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway")) as address:
        yield address


def run(kafka: Kafka, *arguments: str) -> str:
    done = subprocess.run(
        command("sources", *arguments),
        env=environment(kafka, 1),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answered(gateway: str, source: str) -> tuple[int, str]:
    """The status of an event of `source`, and the problem's code and sentence."""
    token = {"authorization": f"Bearer {TOKENS.token_for(source)}"}
    content = {"content-type": "application/cloudevents+json"}
    said = httpx.post(f"{gateway}/v1/events", json=event(source=source), headers=token | content)
    problem = said.json()
    return said.status_code, f"{problem.get('code', '')} {problem.get('detail', '')}"


def until(gateway: str, source: str, status: int) -> tuple[float, str]:
    """Wait until `source` is answered so; return how long that took (s), and what was said."""
    begun = time.monotonic()
    while (found := answered(gateway, source))[0] != status:
        assert time.monotonic() - begun < SEEN_SECONDS_MAX, found
        time.sleep(0.05)
    return time.monotonic() - begun, found[1]


def test_sources_are_let_in_shut_out_and_let_in_again(
    kafka: Kafka, gateway: str, tmp_path: Path
) -> None:
    assert answered(gateway, LABORATORY)[0] == answered(gateway, OTHER)[0] == 202
    file = tmp_path / "sources.yaml"
    file.write_text(FILE)
    assert "2 registered, 0 changed" in run(kafka, "load", str(file))
    _, said = until(gateway, OTHER, 403)
    assert said.startswith(f"source-unregistered {OTHER} is not in the register")
    assert answered(gateway, LABORATORY)[0] == 202
    assert "is closed." in run(kafka, "close", LABORATORY, "--reason", "Its token was stolen.")
    seconds, said = until(gateway, LABORATORY, 403)
    assert said.startswith(f"source-closed {LABORATORY} is closed since")
    assert "Its token was stolen." in said
    assert seconds < SEEN_SECONDS_MAX
    assert "closed by /operator" in run(kafka, "show", LABORATORY)
    run(kafka, "open", LABORATORY)
    until(gateway, LABORATORY, 202)
    metrics = httpx.get(f"{gateway}/metrics").text
    assert "yuekang_register_sources 2.0" in metrics


async def seen(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(SEEN_SECONDS_MAX):
        while not what():
            await asyncio.sleep(0.02)


async def test_who_cannot_reach_kafka_knows_nobody_and_says_so() -> None:
    following = RegisterFollower(NOBODY)
    assert following.unready() == [
        "The register of sources is not read yet. It has just been started."
    ]
    following.start()
    begun = time.monotonic()
    await following.tried(30.0)
    assert time.monotonic() - begun < 10, "it waits for no more than a failure"
    [said] = following.unready()
    assert said.startswith("The register of sources is not read yet. Kafka: ")
    following.check()
    await following.stop()


async def test_a_token_is_taken_back_within_seconds_and_rubbish_stops_nobody(
    kafka: Kafka,
) -> None:
    plain = Kafka(kafka.bootstrap)  # names in this process have no prefix
    await plain.create_topics()
    following = RegisterFollower(plain.bootstrap)
    following.start()
    try:
        await following.tried(SEEN_SECONDS_MAX)
        assert following.unready() == []
        register = following.register
        async with plain.producer() as producer:
            await producer.send_and_wait("sources", b"rubbish", b"entry /cdc/1")
            await producer.send_and_wait("sources", b"{}", b"rubbish")
        token = f"token-{os.getpid()}-{time.time_ns()}"
        await asyncio.to_thread(run, plain, "take-back", token, "--reason", "Lost.")
        written = time.monotonic()
        await seen(lambda: register.taken_back(token) is not None)
        assert time.monotonic() - written < SEEN_SECONDS_MAX
        assert register.refused("/cdc/440100", token) == "The token was taken back: Lost."
        again = RegisterFollower(plain.bootstrap)
        again.start()
        await again.tried(SEEN_SECONDS_MAX)
        assert again.register.taken_back(token) is not None
        await again.stop()
    finally:
        await following.stop()


async def test_closings_lie_on_the_log_with_who_and_why(kafka: Kafka) -> None:
    found = [r.value for r in await everything(kafka, "sources") if b"switch" in (r.key or b"")]
    assert any(SOURCE_CLOSED.encode() in (value or b"") for value in found)
    assert all(b'"source":"/operator"' in (value or b"") for value in found)
