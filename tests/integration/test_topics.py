"""The topics on a real broker: made once, never changed, and compared."""

import json
import subprocess
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.process.kafka import Brokers
from app.process.ports import free_port
from app.topics.admin import create_topics, differences
from app.topics.catalogue import CATALOGUE, PATH, Catalogue
from support.brokers import Kafka
from support.gateways import command


@pytest.fixture
def kafka(broker: Brokers, worker_id: str, tmp_path: Path) -> Kafka:
    """The broker, which has none of this test's topics yet."""
    return Kafka(broker, f"{tmp_path.name.replace('_', '-')}-{worker_id}-")


@pytest.fixture
def catalogue(kafka: Kafka) -> Catalogue:
    """The topics as this test has them."""
    return Catalogue.load(prefix=kafka.prefix)


async def test_missing_topics_are_named_then_made_and_made_once(
    kafka: Kafka, catalogue: Catalogue
) -> None:
    missing = await differences(kafka.brokers, catalogue)
    assert missing == [
        f"{name}: it is missing. Run `yuekang topics create`." for name in catalogue.topics
    ]
    assert await create_topics(kafka.brokers, catalogue) == list(catalogue.topics)
    assert await differences(kafka.brokers, catalogue) == []
    assert await create_topics(kafka.brokers, catalogue) == []
    assert await differences(kafka.brokers, catalogue) == []


async def test_a_topic_that_differs_is_named_and_never_changed(
    kafka: Kafka, catalogue: Catalogue
) -> None:
    names = list(catalogue.topics)
    scans, codes = (next(n for n in names if n.endswith(end)) for end in ("scans", "health-codes"))
    admin = AIOKafkaAdminClient(**kafka.brokers.client)
    await admin.start()
    try:
        kept = {**catalogue.topics[codes].settings, "cleanup.policy": "delete"}
        await admin.create_topics(
            [
                NewTopic(scans, 3, 1, topic_configs=catalogue.topics[scans].settings),
                NewTopic(codes, 4, 1, topic_configs=kept),
            ]
        )
    finally:
        await admin.close()
    assert await create_topics(kafka.brokers, catalogue) == [
        n for n in names if n not in (scans, codes)
    ]
    for _ in range(2):
        found = await differences(kafka.brokers, catalogue)
        assert any(line.startswith(f"{scans}: it has 3 partitions, not 4.") for line in found)
        assert f"{codes}: cleanup.policy is delete, not compact." in found
        assert {line.partition(":")[0] for line in found} == {scans, codes}
        assert await create_topics(kafka.brokers, catalogue) == []


async def test_too_few_copies_are_named(kafka: Kafka, catalogue: Catalogue, tmp_path: Path) -> None:
    await create_topics(kafka.brokers, catalogue)
    path = tmp_path / "topics.yaml"
    path.write_text(PATH.read_text().replace("replication_factor: 1 ", "replication_factor: 3 "))
    found = await differences(kafka.brokers, Catalogue.load(path, kafka.prefix))
    for name in catalogue.topics:
        assert f"{name}: copies of a partition are 1, not 3." in found
        assert f"{name}: min.insync.replicas is 1, not 2." in found


def yuekang(*arguments: str, kafka: Kafka) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), env=kafka.environment, capture_output=True, text=True, timeout=60
    )


def test_the_command_makes_checks_and_lists(kafka: Kafka) -> None:
    first = yuekang("topics", "create", kafka=kafka)
    assert first.returncode == 0, first.stderr
    again = yuekang("topics", "create", "--json", kafka=kafka)
    assert json.loads(again.stdout) == {"made": []}
    check = yuekang("topics", "check", "--json", kafka=kafka)
    assert (check.returncode, json.loads(check.stdout)) == (0, {"differences": []})
    listed = json.loads(yuekang("topics", "list", "--json", kafka=kafka).stdout)
    assert [topic["name"] for topic in listed] == [kafka.named(name) for name in CATALOGUE.topics]


@pytest.mark.parametrize("subcommand", ["create", "check"])
def test_without_a_broker_the_command_says_so(subcommand: str) -> None:
    away = f"127.0.0.1:{free_port()}"
    done = yuekang("topics", subcommand, kafka=Kafka(Brokers(away)))
    assert done.returncode == 1
    assert away in done.stderr
    assert "YUEKANG_KAFKA" in done.stderr
    assert "Traceback" not in done.stderr
