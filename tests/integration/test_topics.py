"""The topics on a real broker: made once, never changed, and compared."""

import json
import subprocess
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.process.ports import free_port
from app.topics import admin
from app.topics.admin import create_topics, differences
from app.topics.catalogue import CATALOGUE, PATH, Catalogue
from support.gateways import command, environment


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Catalogue:
    """The catalogue with topics of other names, of which the broker has none yet."""
    text = PATH.read_text()
    for name in CATALOGUE.topics:
        text = text.replace(f"\n  {name}:\n", f"\n  {tmp_path.name}-{name}:\n")
    path = tmp_path / "topics.yaml"
    path.write_text(text)
    other = Catalogue.load(path)
    assert len(other.topics.keys() - CATALOGUE.topics.keys()) == len(CATALOGUE.topics)
    monkeypatch.setattr(admin, "CATALOGUE", other)
    return other


async def test_missing_topics_are_named_then_made_and_made_once(
    kafka: str, renamed: Catalogue
) -> None:
    missing = await differences(kafka)
    assert missing == [
        f"{name}: it is missing. Run `yuekang topics create`." for name in renamed.topics
    ]
    assert await create_topics(kafka) == list(renamed.topics)
    assert await differences(kafka) == []
    assert await create_topics(kafka) == []
    assert await differences(kafka) == []


async def test_a_topic_that_differs_is_named_and_never_changed(
    kafka: str, renamed: Catalogue
) -> None:
    names = list(renamed.topics)
    scans, codes = (next(n for n in names if n.endswith(end)) for end in ("scans", "health-codes"))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        kept = {**renamed.topics[codes].settings, "cleanup.policy": "delete"}
        await admin.create_topics(
            [
                NewTopic(scans, 3, 1, topic_configs=renamed.topics[scans].settings),
                NewTopic(codes, 4, 1, topic_configs=kept),
            ]
        )
    finally:
        await admin.close()
    assert await create_topics(kafka) == [n for n in names if n not in (scans, codes)]
    for _ in range(2):
        found = await differences(kafka)
        assert any(line.startswith(f"{scans}: it has 3 partitions, not 4.") for line in found)
        assert f"{codes}: cleanup.policy is delete, not compact." in found
        assert {line.partition(":")[0] for line in found} == {scans, codes}
        assert await create_topics(kafka) == []


async def test_too_few_copies_are_named(
    kafka: str, renamed: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await create_topics(kafka)
    path = tmp_path / "topics.yaml"
    path.write_text(path.read_text().replace("replication_factor: 1 ", "replication_factor: 3 "))
    monkeypatch.setattr(admin, "CATALOGUE", Catalogue.load(path))
    found = await differences(kafka)
    for name in renamed.topics:
        assert f"{name}: copies of a partition are 1, not 3." in found
        assert f"{name}: min.insync.replicas is 1, not 2." in found


def yuekang(*arguments: str, kafka: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), env=environment(kafka, 1), capture_output=True, text=True, timeout=60
    )


def test_the_command_makes_checks_and_lists(kafka: str) -> None:
    first = yuekang("topics", "create", kafka=kafka)
    assert first.returncode == 0, first.stderr
    again = yuekang("topics", "create", "--json", kafka=kafka)
    assert json.loads(again.stdout) == {"made": []}
    check = yuekang("topics", "check", "--json", kafka=kafka)
    assert (check.returncode, json.loads(check.stdout)) == (0, {"differences": []})
    listed = json.loads(yuekang("topics", "list", "--json", kafka=kafka).stdout)
    assert [topic["name"] for topic in listed] == list(CATALOGUE.topics)


@pytest.mark.parametrize("subcommand", ["create", "check"])
def test_without_a_broker_the_command_says_so(subcommand: str) -> None:
    away = f"127.0.0.1:{free_port()}"
    done = yuekang("topics", subcommand, kafka=away)
    assert done.returncode == 1
    assert away in done.stderr
    assert "YUEKANG_KAFKA" in done.stderr
    assert "Traceback" not in done.stderr
