"""The examples of /agency, run as an agency would, against a gateway and Kafka."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.view.pages.agency import EXAMPLES, FOLDER
from support.brokers import Kafka
from support.gateways import LABORATORY, running_gateway
from support.tokens import TOKENS

COMMANDS = {".sh": ["sh"], ".py": [sys.executable], ".java": ["java"]}


@pytest.fixture(scope="module")
def gateway(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway")) as address:
        yield address


def run(name: str, gateway: str, token: str) -> subprocess.CompletedProcess[str]:
    file = FOLDER / EXAMPLES[name]
    environment = {**os.environ, "YUEKANG_GATEWAY": gateway, "YUEKANG_TOKEN": token}
    command = [*COMMANDS[Path(name).suffix], str(file)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_there_is_one_for_each_language_and_no_other_file() -> None:
    assert {Path(name).suffix for name in EXAMPLES} == COMMANDS.keys()
    assert {file.name for file in FOLDER.iterdir() if file.is_file()} == {*EXAMPLES.values()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_taken_twice_and_refused_with_a_wrong_token(name: str, gateway: str) -> None:
    for _ in range(2):
        done = run(name, gateway, TOKENS.token_for(LABORATORY))
        assert done.returncode == 0, done.stderr
        assert "yuekang" in done.stdout or "partition" in done.stdout, done.stdout
    refused = run(name, gateway, TOKENS.token_for("/cdc/440100"))
    assert refused.returncode != 0
    assert "wrong-source" in refused.stdout + refused.stderr


def test_a_browser_at_the_gateway_is_led_to_where_an_agency_starts(gateway: str) -> None:
    page = httpx.get(gateway + "/", headers={"accept-language": "en"})
    assert page.status_code == 200
    assert "/agency?lang=en" in page.text
