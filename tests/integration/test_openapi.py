"""The OpenAPI documents of both faces, in the hands of those who read such documents."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from playwright._impl._driver import compute_driver_executable
from redis.asyncio import Redis

from app.development.stack.broker import ROOT
from app.gateway.messages import BATCH
from app.process.settings import Settings
from support.brokers import Kafka
from support.gateways import LABORATORY, event, running_gateway
from support.letters import LettersModel, letter, refused, tally
from support.rows import filled
from support.tokens import TOKENS, operator_token
from support.views import Model, resident, running_view, someone

BIN = Path(sys.executable).parent
REDOCLY = ROOT / ".run" / "npm" / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js"
PERSON = someone()
OF_EXAMPLES = "/laboratories/440100-017"


@pytest.fixture(scope="module")
async def gateway(
    kafka: Kafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """A gateway that has something to tell the source of the examples."""
    letters_url = Settings(redis_url=redis_url).sessions_redis_url  # a view without logins has room
    async with Redis.from_url(letters_url) as redis:
        await redis.flushdb()  # of what a module before this one has left of its logins
        model = LettersModel(redis)
        await model.begin()
        told = [letter(refused(n, OF_EXAMPLES), 0, n) for n in range(3)]
        await model.put(*told, tally(1, **{OF_EXAMPLES.rpartition("/")[2]: 7}))
    directory = tmp_path_factory.mktemp("gateway")
    with running_gateway(kafka, directory, letters_url) as address:
        yield address


@pytest.fixture(scope="module")
def alone(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway that cannot reach Redis."""
    with running_gateway(kafka, tmp_path_factory.mktemp("alone")) as address:
        yield address


@pytest.fixture(scope="module")
async def view(
    kafka: Kafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """A view that knows one person."""
    rows_url = Settings(redis_url=redis_url).rows_redis_url
    async with Redis.from_url(redis_url) as codes, Redis.from_url(rows_url) as rows:
        model = Model(codes, kafka.prefix)
        await model.begin()
        await filled(rows, model, PERSON, prefix=kafka.prefix)
    with running_view(kafka, redis_url, tmp_path_factory.mktemp("view")) as running:
        running.wait_live()
        yield running.address


@pytest.fixture(params=["gateway", "view"])
def face(request: pytest.FixtureRequest) -> str:
    """The address of either face."""
    return str(request.getfixturevalue(request.param))


def run(directory: Path, *command: str | Path, **environment: str) -> str:
    """Run a command, which may leave things in `directory`; return what it prints."""
    ran = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def ask_everything(face: str, directory: Path, *options: str) -> None:
    """Let schemathesis ask; fail if it finds anything."""
    config = Path(__file__).with_name("schemathesis.toml")
    run(
        directory,
        *(BIN / "schemathesis", "--config-file", config, "run", f"{face}/openapi.json"),
        *options,
        PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}",
        SOURCE_TOKEN=TOKENS.token_for(OF_EXAMPLES),
        OPERATOR_TOKEN=operator_token(),
        TERMINAL_TOKEN=TOKENS.token_for("/terminals/440100-001"),
        SESSION=resident(PERSON)["cookie"].partition("=")[2],
    )


def test_schemathesis_finds_nothing(face: str, tmp_path: Path) -> None:
    ask_everything(face, tmp_path)


def test_without_redis_refusals_are_away_as_described(alone: str, tmp_path: Path) -> None:
    token = {"authorization": f"Bearer {TOKENS.token_for(OF_EXAMPLES)}"}
    answer = httpx.get(f"{alone}/v1/sources/me/refusals", headers=token)
    assert (answer.status_code, answer.json()["code"]) == (503, "refusals-away")
    ask_everything(alone, tmp_path, "--include-operation-id", "refusalsOfSource")


def test_redocly_finds_nothing(face: str, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_bytes(httpx.get(f"{face}/openapi.json").content)
    node, _ = compute_driver_executable()  # Playwright's own
    said = run(
        tmp_path,
        *(node, REDOCLY, "lint", file, "--format=json"),
        "--skip-rule=operation-4xx-response",  # whoever asks for the counts is never refused
        REDOCLY_TELEMETRY="off",
        REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
    )
    assert json.loads(said)["problems"] == []


def test_a_client_is_made_and_publishes_and_asks(
    gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        tmp_path,
        *(BIN / "openapi-python-client", "generate", "--url", f"{gateway}/openapi.json"),
        *("--output-path", tmp_path / "laboratory", "--meta=none", "--fail-on-warning"),
        PATH=f"{BIN}:{os.environ['PATH']}",  # it calls ruff
    )
    monkeypatch.syspath_prepend(tmp_path)
    made, models = import_module("laboratory"), import_module("laboratory.models")
    publish = import_module("laboratory.api.default.publish_events").sync
    with made.AuthenticatedClient(gateway, TOKENS.token_for(LABORATORY)) as client:
        whole = models.NatResultReported.from_dict(event())
        assert publish(client=client, body=whole).status == 202

        attributes = event()
        data = models.NatResultDataOfDocument.from_dict(attributes.pop("data"))
        attributes["type"] = models.PublishEventsCeType(attributes["type"])
        headers = {f"ce_{name}": value for name, value in attributes.items()}
        assert publish(client=client, body=data, **headers).id == attributes["id"]

        whole.source = "/laboratories/another"
        refused = publish(client=client, body=whole)
        assert isinstance(refused, models.Problem)
        assert refused.code == "wrong-source"

        # Where an operation takes other bodies too, the generator writes nothing that sends a list.
        answer = client.get_httpx_client().post(
            "/v1/events",
            json=[models.NatResultReported.from_dict(event()).to_dict(), whole.to_dict()],
            headers={"content-type": BATCH},
        )
        results = models.Results.from_dict(answer.json()).results
        assert [result.status for result in results] == [202, 403]

    ask = import_module("laboratory.api.default.refusals_of_source").sync
    with made.AuthenticatedClient(gateway, TOKENS.token_for(OF_EXAMPLES)) as client:
        newest = ask(client=client, limit=2)
        assert [told.offset for told in newest.refusals] == [2, 1]
        assert [parked.offset for parked in newest.parked] == [7]
        assert [told.offset for told in ask(client=client, before=newest.older).refusals] == [0]
