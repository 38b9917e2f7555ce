"""The whole over TLS, to a Kafka and a Redis that know their clients by certificates: what works,
in which words a certificate is refused, and that each right on Kafka is needed."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from litestar.testing import AsyncTestClient
from msgspec.structs import replace
from structlog.testing import capture_logs
from typer.testing import CliRunner

from app.access.commands import acls
from app.access.passwords import set_passwords
from app.access.rights import PROCESSES
from app.development.secrets import ADMINISTRATOR
from app.development.stack.processes import HttpProcess
from app.process.kafka import Brokers
from app.projection.commands import CODES, codes_store
from app.projection.follow import Projection
from app.sources.follow import RegisterFollower
from app.topics.commands import topics
from app.worker.process import BROKER_SECONDS_MAX
from support.brokers import PASSWORD
from support.certificates import DAY, HERE
from support.encrypted import BY_PASSWORD, PORTS, PRINCIPALS, Encrypted, variables
from support.gateways import CARD, LABORATORY, PERSON, PLAIN, command, event, result
from support.macs import KEYS
from support.tokens import OPERATOR_HEADERS, bearer
from support.used_rights import Doings, Used, derived, used
from support.views import create_view, now, options_over

SECONDS_MAX = 60.0
IDENTITY_PROVIDER = "/identity-providers/gd"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """The two servers, with topics, users and rights, all by encrypted connections."""
    found = Encrypted(tmp_path_factory.mktemp("encrypted"))
    found.broker.stop_seconds_max = 0.0
    servers = (found.broker, found.redis)
    for server in servers:
        server.start()
    try:
        for server in servers:
            server.wait_ready()
        administrator = found.brokers_of(ADMINISTRATOR)
        asyncio.run(set_passwords(administrator, {BY_PASSWORD: PASSWORD}))
        assert run(topics, administrator, "create")[0] == 0
        code, said = run(acls, administrator, "apply", *PRINCIPALS)
        assert (code, "Written: " in said) == (0, True), said
        yield found
    finally:
        for server in servers:
            server.stop()


def run(command: object, brokers: Brokers, *arguments: str) -> tuple[int, str]:
    """Run a command; return its exit code and all that it says."""
    done = CliRunner().invoke(command, [*arguments], env=variables(brokers))  # type: ignore[arg-type]
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def processes(encrypted: Encrypted) -> Iterator[dict[str, HttpProcess]]:
    """All of them, and ready."""
    asyncio.run(Doings(encrypted).begin_changelogs())
    found = {name: encrypted.process(name) for name in PORTS}
    for process in found.values():
        process.start()
    try:
        for process in found.values():
            process.wait_ready()
        yield found
    finally:
        for process in found.values():
            process.signal_stop()
        for process in found.values():
            process.stop()


def colour(encrypted: Encrypted) -> str:
    answer = httpx.get(
        f"{encrypted.address_of('view')}/v1/people/{PERSON}/code",
        headers=OPERATOR_HEADERS,
        verify=PLAIN,
    )
    return str(answer.json().get("colour"))


def wait(done: Callable[[], bool], process: HttpProcess) -> None:
    until = time.monotonic() + SECONDS_MAX
    while not done():
        assert time.monotonic() < until, process.tail()
        time.sleep(0.05)


def test_a_code_turns_red_by_encrypted_connections_alone(
    encrypted: Encrypted, processes: dict[str, HttpProcess]
) -> None:
    """From the gateway's producer by the worker's consumer and transactions, the projection and
    Redis to the view, which writes a line to the audit log's keeper."""
    verified = event(
        type="yuekang.identity.verified.v1",
        source=IDENTITY_PROVIDER,
        data={
            "document": CARD,
            "document_type": CARD["type"],
            "verified_at": "2022-03-01T08:00:00+08:00",
            "city": "440100",
        },
    )
    positive = event(data=result(document=CARD, result="positive"))
    for said, source, wanted in (
        (verified, IDENTITY_PROVIDER, "green"),
        (positive, LABORATORY, "red"),
    ):
        answer = httpx.post(
            f"{encrypted.address_of('gateway')}/v1/events",
            json=said,
            headers={**bearer(source), "content-type": "application/cloudevents+json"},
            verify=PLAIN,
        )
        assert answer.status_code == 202, answer.text
        wait(lambda wanted=wanted: colour(encrypted) == wanted, processes["worker"])  # type: ignore[misc]
    tree = encrypted.directory / "audit-log" / "audit"
    wait(lambda: any(tree.rglob("checkpoint*")), processes["audit-log"])


def test_commands_go_by_certificates_too(encrypted: Encrypted) -> None:
    operator = encrypted.brokers_of("operator")
    assert run(topics, operator, "check")[0] == 0
    assert run(acls, operator, "check", *PRINCIPALS)[0] == 0


NOT_TRUSTED = "shows a certificate that is not trusted: "
REFUSALS: dict[str, tuple[Callable[[Encrypted], Brokers], str]] = {
    "an authority of others": (
        lambda to: replace(to.brokers_of("operator"), authorities=to.other_authority.certificate),
        f"{NOT_TRUSTED}unable to get local issuer certificate. Set YUEKANG_KAFKA_CA to",
    ),
    "the authorities of the system": (
        lambda to: replace(to.brokers_of("operator"), authorities=""),
        f"{NOT_TRUSTED}unable to get local issuer certificate. Set YUEKANG_KAFKA_CA to",
    ),
    "the broker's certificate is of another name": (
        lambda to: to.known_by(to.authority.pair("operator"), "OTHER"),
        f"{NOT_TRUSTED}IP address mismatch, certificate is not valid for '127.0.0.1'. Name the",
    ),
    "no certificate": (
        lambda to: replace(to.brokers_of("operator"), certificate="", key=""),
        "asks for a certificate. Set YUEKANG_KAFKA_CERTIFICATE and YUEKANG_KAFKA_KEY",
    ),
    "a certificate that has ended": (
        lambda to: to.known_by(to.authority.pair("operator", until=-DAY)),
        "refuses the certificate of YUEKANG_KAFKA_CERTIFICATE (CN=operator,O=yuekang, until ",
    ),
    "a certificate by others": (
        lambda to: to.known_by(to.other_authority.pair("operator")),
        "refuses the certificate of YUEKANG_KAFKA_CERTIFICATE (CN=operator,O=yuekang, until ",
    ),
}


@pytest.mark.parametrize("who", REFUSALS)
def test_a_command_says_which_certificate_is_refused(encrypted: Encrypted, who: str) -> None:
    make, wanted = REFUSALS[who]
    for asked, arguments in ((topics, ["check"]), (acls, ["check", *PRINCIPALS])):
        code, said = run(asked, make(encrypted), *arguments)
        assert code == 1
        [line] = said.splitlines()
        assert line.startswith("Kafka at 127.0.0.1:")
        assert wanted in line


def test_a_worker_that_is_refused_ends_at_once_and_says_why(encrypted: Encrypted) -> None:
    ended = encrypted.authority.pair("worker", until=timedelta(minutes=-1))
    environment = encrypted.environment_of("worker") | variables(encrypted.known_by(ended))
    begun = time.monotonic()
    done = subprocess.run(
        command("worker"), env=environment, capture_output=True, text=True, timeout=60
    )
    assert time.monotonic() - begun < BROKER_SECONDS_MAX / 2
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (
        "refuses the certificate of YUEKANG_KAFKA_CERTIFICATE (CN=worker,O=yuekang, until "
        in (done.stderr.splitlines()[-1])
    )


async def says(running: Projection, wanted: str) -> None:
    """Wait until a projection that cannot begin says this of itself. It goes on trying: a client
    that had written something when it was refused may hear of a closed connection alone."""
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(SECONDS_MAX):
        while not any(wanted in why for why in running.reasons()):
            await asyncio.sleep(0.02)
    running.stop()
    await asyncio.wait([task])


async def test_who_waits_for_kafka_says_which_certificate_is_refused(encrypted: Encrypted) -> None:
    make, wanted = REFUSALS["no certificate"]
    brokers = make(encrypted)
    await says(Projection(brokers, codes_store(encrypted.redis.url), CODES, KEYS.is_ours), wanted)
    following = RegisterFollower(brokers, KEYS)
    following.start()
    await following.tried(SECONDS_MAX)
    assert wanted in following.unready()[0]
    await following.stop()


REDIS_REFUSALS: dict[str, tuple[Callable[[Encrypted], str], str]] = {
    "the authorities of the system": (
        lambda to: to.redis.bare_url,
        "certificate verify failed: self-signed certificate in certificate chain",
    ),
    "another name": (
        lambda to: to.redis.url.replace(HERE, "localhost"),
        "Hostname mismatch, certificate is not valid for 'localhost'",
    ),
    "no certificate": (lambda to: to.redis.trusting_url, "certificate required"),
}


@pytest.mark.parametrize("who", REDIS_REFUSALS)
async def test_who_waits_for_redis_says_which_certificate_is_refused(
    encrypted: Encrypted, who: str
) -> None:
    make, wanted = REDIS_REFUSALS[who]
    brokers = encrypted.brokers_of("projection")
    await says(Projection(brokers, codes_store(make(encrypted)), CODES, KEYS.is_ours), wanted)


async def test_a_view_says_in_its_log_which_certificate_is_refused(encrypted: Encrypted) -> None:
    app = create_view(options_over(encrypted.redis.bare_url, now))
    with capture_logs() as lines:
        async with AsyncTestClient(app) as http, asyncio.timeout(SECONDS_MAX):
            assert (await http.get("/readyz")).text == "Redis does not answer.\n"
            while not any("certificate verify failed" in line.get("why", "") for line in lines):
                await asyncio.sleep(0.02)


ELSEWHERE = {("worker", "write", "held"), ("operator", "write", "openings")}
"""Rights that take more than 5,000 events to be used. In test_quotas a worker and an operator use
them, who have no other rights than these."""


async def test_each_right_is_used_and_what_is_not_is_not_given(
    encrypted: Encrypted, processes: dict[str, HttpProcess]
) -> None:
    """The rest of what is done on Kafka is done, and the broker's log says with which rights."""
    doings = Doings(encrypted)
    doings.publish()
    doings.go_to_the_view()
    await doings.write_wrongly()
    log = encrypted.broker.log
    shown_elsewhere = {
        (process, right)
        for process, right in derived()
        if (process, right.operation, right.name) in ELSEWHERE
    }
    assert len(shown_elsewhere) == len(ELSEWHERE)

    async def all_used(*of: str) -> set[Used]:
        """Wait until all is used that these processes may do; return what is not."""
        wanted = {each for each in derived() - shown_elsewhere if each[0] in of}
        until = time.monotonic() + SECONDS_MAX
        while (left := wanted - used(log)) and time.monotonic() < until:
            await asyncio.sleep(0.2)
        return left

    assert not await all_used("worker", "submissions-worker", "lists-worker", "gateway", "view")
    await doings.send_again()
    await doings.hold_one()
    await asyncio.to_thread(doings.command)
    for name in ("worker", "submissions-worker", "lists-worker", "audit-log"):
        processes[name].stop()
    await doings.leave_unread()
    await doings.change_the_audit_key()
    assert not await all_used(*PROCESSES)
    assert not used(log) & shown_elsewhere, "what is used here need not be shown elsewhere"
    assert " is Denied " not in log.read_text(), "nobody lacks a right"
