"""The register on a real Kafka: a gateway and a view act on a change within seconds, and each is a
line of the audit log."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from app.audit.entries import Act, entry_in
from app.process.ports import free_port
from app.sources.follow import RegisterFollower
from app.topics.authentic import REGISTER, mac_variables
from app.web.issuing import told_by
from app.web.tokens import Role
from models.register import SOURCE_CLOSED
from support.audits import lines_on
from support.brokers import NO_BROKERS, Kafka
from support.gateways import LABORATORY, command, event, running_gateway
from support.macs import KEYS, MAC_KEY
from support.tokens import OPERATOR, TOKENS, TRUSTING, operator_token
from support.views import Running, someone, view_environment
from support.workers import everything

OTHER = "/laboratories/440100-002"
LI = "/operators/li"
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


OF_OPERATOR = operator_token(Role.REGISTER)


@pytest.fixture(scope="module")
def view(
    kafka: Kafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A view that has the register's key and not the master key, as in production."""
    port = free_port()
    environment = view_environment(kafka, redis_url, port)
    del environment["YUEKANG_MAC_KEY"]
    running = Running("view", environment, port, tmp_path_factory.mktemp("view") / "view.log")
    try:
        running.wait_live()
        yield running
    finally:
        assert running.end() == 0, running.log.read_text()


def done(kafka: Kafka, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as an operator who may change the register."""
    own = {**TRUSTING, "YUEKANG_TOKEN": OF_OPERATOR}
    return subprocess.run(
        command(*arguments),
        env={**kafka.environment_of("operator"), **own, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(kafka: Kafka, *arguments: str, **more: str) -> str:
    ended = done(kafka, "sources", *arguments, **more)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


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
    seconds, said = until(gateway, LABORATORY, 401)
    assert said.startswith(f"unauthenticated {LABORATORY} is closed: Its token was stolen.")
    assert seconds < SEEN_SECONDS_MAX
    assert f"closed by {OPERATOR}" in run(kafka, "show", LABORATORY)
    run(kafka, "open", LABORATORY)
    until(gateway, LABORATORY, 202)
    metrics = httpx.get(f"{gateway}/metrics").text
    assert "yuekang_register_sources 2.0" in metrics


def test_one_token_is_taken_back_in_the_gateway_and_the_view(
    kafka: Kafka, gateway: str, view: Running
) -> None:
    """Within seconds, and no other of the same source."""
    asked: dict[str, Callable[[], str]] = {
        f"{gateway}/v1/sources/me/refusals": lambda: TOKENS.token_for("/cdc/440100"),
        f"{view.address}/v1/people/{someone()}/code": operator_token,
    }
    for address, make in asked.items():
        lost, kept = make(), make()
        token_id, ends = told_by(lost)
        assert status_of(address, lost)[0] != 401
        run(kafka, "take-back", token_id, "--reason", "Lost.", "--until", ends.isoformat())
        written = time.monotonic()
        while status_of(address, lost)[0] != 401:
            assert time.monotonic() - written < SEEN_SECONDS_MAX, status_of(address, lost)
            time.sleep(0.05)
        assert "The token was taken back: Lost." in status_of(address, lost)[1]
        assert status_of(address, kept)[0] != 401


def status_of(address: str, token: str) -> tuple[int, str]:
    answer = httpx.get(address, headers={"authorization": f"Bearer {token}"})
    return answer.status_code, answer.text


async def seen(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(SEEN_SECONDS_MAX):
        while not what():
            await asyncio.sleep(0.02)


async def test_who_cannot_reach_kafka_knows_nobody_and_says_so() -> None:
    following = RegisterFollower(NO_BROKERS, KEYS)
    assert following.unready() == [
        "The register of sources is not read yet. It has just been started."
    ]
    following.start()
    begun = time.monotonic()
    await following.tried(30.0)
    assert time.monotonic() - begun < 10, "it waits for no more than a failure"
    [said] = following.unready()
    assert said.startswith("The register of sources is not read yet. Kafka at ")
    following.check()
    await following.stop()


async def test_a_token_is_taken_back_within_seconds_and_rubbish_stops_nobody(
    kafka: Kafka,
) -> None:
    plain = Kafka(kafka.brokers)  # names in this process have no prefix
    await plain.create_topics()
    following = RegisterFollower(plain.brokers, KEYS)
    following.start()
    try:
        await following.tried(SEEN_SECONDS_MAX)
        assert following.unready() == []
        register = following.register
        async with plain.producer() as producer:
            await producer.send_and_wait("sources", b"rubbish", b"entry /cdc/1", author=REGISTER)
            await producer.send_and_wait("sources", b"{}", b"rubbish", author=None)
        token = f"token-{os.getpid()}-{time.time_ns()}"
        await asyncio.to_thread(run, plain, "take-back", token, "--reason", "Lost.")
        written = time.monotonic()
        await seen(lambda: register.taken_back(token) is not None)
        assert time.monotonic() - written < SEEN_SECONDS_MAX
        assert register.refused("/cdc/440100", token) == "The token was taken back: Lost."
        again = RegisterFollower(plain.brokers, KEYS)
        again.start()
        await again.tried(SEEN_SECONDS_MAX)
        assert again.register.taken_back(token) is not None
        await again.stop()
    finally:
        await following.stop()


async def test_another_master_key_reads_on_once_the_register_is_signed_again(kafka: Kafka) -> None:
    own = Kafka(kafka.brokers, f"{kafka.prefix}again-")
    await own.create_topics()
    run(own, "close", LABORATORY, "--reason", "Stolen.")
    other = bytes(range(1, 33))
    more = {**mac_variables(other), "YUEKANG_MAC_KEY_VERSION": "2"}
    with_both = {**more, "YUEKANG_FORMER_MAC_KEY": MAC_KEY.hex()}
    assert run(own, "list", **more).endswith("There are none.\n")
    assert "Signed by the key of now: 1 records." in run(own, "sign-again", **with_both)
    assert f"closed by {OPERATOR}" in run(own, "show", LABORATORY, **more)
    *_, line = await lines_on(own)
    assert (line.by, line.what, line.about) == (
        *(OPERATOR, Act.REGISTER_SIGNED_AGAIN, own.named("sources")),
    )
    assert line.details["records"] == "1"


IN_AN_OPERATORS_NAME = (
    ("dead-letters", "show", "0", "0"),
    ("parked", "release", LABORATORY, "--unasked"),
    ("held", "approve", "/cdc/440100", "close-contact", "--reason", "An outbreak."),
    ("sources", "close", OTHER, "--reason", "Stolen."),
)


async def test_a_closed_operator_and_a_token_taken_back_run_no_command(kafka: Kafka) -> None:
    own = Kafka(kafka.brokers, f"{kafka.prefix}closed-")
    await own.create_topics()
    token, other = operator_token(name=LI), operator_token(name=LI)

    def refused(token: str) -> set[tuple[int, str]]:
        ends = [done(own, *command, YUEKANG_TOKEN=token) for command in IN_AN_OPERATORS_NAME]
        assert not any(end.stdout for end in ends)
        return {(end.returncode, end.stderr) for end in ends}

    run(own, "close", LI, "--reason", "Left the service.")
    says = f"The register of sources refuses {LI}. "
    assert refused(token) == {(2, f"{says}{LI} is closed: Left the service.\n")}
    run(own, "open", LI)
    run(own, "take-back", told_by(token)[0], "--reason", "Lost.")
    assert refused(token) == {(2, f"{says}The token was taken back: Lost.\n")}
    assert {r.value for r in await everything(own, "source-releases")} == set()
    assert {line.by for line in await lines_on(own)} == {OPERATOR}
    assert "no letter" in done(own, *IN_AN_OPERATORS_NAME[0], YUEKANG_TOKEN=other).stderr
    assert {line.by for line in await lines_on(own)} == {OPERATOR, LI}


async def test_changes_lie_on_the_log_with_who_and_why_and_each_is_a_line_of_the_audit_log(
    kafka: Kafka,
) -> None:
    values = [r.value for r in await everything(kafka, "sources") if r.value is not None]
    assert any(SOURCE_CLOSED.encode() in value for value in values)
    changes = [msgspec.json.decode(value) for value in values]
    assert {each["source"] for each in changes} == {OPERATOR}
    found = [entry_in(r.value or b"") for r in await everything(kafka, "audit")]
    lines = [line for line in found if line is not None and "id" in line.details]
    assert [(line.what, line.about, line.reason) for line in lines] == [
        (Act.SOURCE_REGISTERED, LABORATORY, ""),
        (Act.SOURCE_REGISTERED, "/cdc/440100", ""),
        (Act.SOURCE_CLOSED, LABORATORY, "Its token was stolen."),
        (Act.SOURCE_OPENED, LABORATORY, ""),
        *((Act.TOKEN_TAKEN_BACK, line.about, "Lost.") for line in lines[4:]),
    ]
    assert len(lines) == 6
    assert {line.by for line in lines} == {OPERATOR}
    assert {each["id"] for each in changes} <= {line.details["id"] for line in lines}
