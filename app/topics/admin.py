"""The broker's topics: made as the catalogue has them, and compared with it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from app.process.kafka import Brokers
from app.topics.catalogue import CATALOGUE, Catalogue, Topic

SHOWN_SECONDS_MAX = 30.0
"""How long the broker may take to show a topic that was made; usually milliseconds."""


@asynccontextmanager
async def asking(brokers: Brokers) -> AsyncIterator[AIOKafkaAdminClient]:
    """Ask the brokers, or have them do something; raise a `KafkaError` if none is reached."""
    admin = AIOKafkaAdminClient(**brokers.client)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def cluster_id_of(brokers: Brokers) -> str:
    """Return the cluster's id; raise a `KafkaError` if the broker does not answer."""
    async with asking(brokers) as admin:
        described: dict[str, Any] = await admin.describe_cluster()
        return str(described["cluster_id"])


async def partition_counts(brokers: Brokers, names: Iterable[str]) -> dict[str, int]:
    """Return how many partitions each topic has on the broker; 0 for a missing one. Raise a
    `KafkaError`."""
    async with asking(brokers) as admin:
        described = await admin.describe_topics(list(names))
    return {t["topic"]: len(t["partitions"]) if _is_there(t) else 0 for t in described}


async def create_topics(brokers: Brokers, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """Make the topics that the broker lacks; return their names. Never changes one that exists.

    When this returns, the broker shows them, which is a moment after it has made them. Raise a
    `KafkaError` if it refuses one, `TimeoutError` if it does not show them.
    """
    async with asking(brokers) as admin:
        answer = await admin.create_topics(
            [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    topic.replication_factor,
                    topic_configs=topic.settings,
                )
                for topic in catalogue.topics.values()
            ]
        )
        made = list(_made(answer.topic_errors))
        async with asyncio.timeout(SHOWN_SECONDS_MAX):
            # The broker does not say when it shows them; it can only be asked.
            while made and any(  # noqa: ASYNC110
                topic["error_code"] for topic in await admin.describe_topics(made)
            ):
                await asyncio.sleep(0.02)
    return made


def _made(errors: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    for name, code, *message in errors:
        error = for_code(code)
        if code == 0:
            yield name
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {message[0] if message else error.__name__}")


async def differences(brokers: Brokers, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """Say how the broker's topics differ from the catalogue; nothing if they do not."""
    async with asking(brokers) as admin:
        described = {t["topic"]: t for t in await admin.describe_topics(list(catalogue.topics))}
        there = [name for name in catalogue.topics if _is_there(described[name])]
        settings = await _settings(admin, there)
    return [
        line
        for name, topic in catalogue.topics.items()
        for line in _different(topic, described[name], settings.get(name, {}))
    ]


def _different(
    topic: Topic, described: Mapping[str, Any], settings: Mapping[str, str]
) -> Iterator[str]:
    """Yield how a topic as the broker describes it differs from `topic`."""
    if not _is_there(described):
        yield f"{topic.name}: it is missing. Run `yuekang topics create`."
        return
    partitions = described["partitions"]
    if len(partitions) != topic.partitions:
        yield (
            f"{topic.name}: it has {len(partitions)} partitions, not {topic.partitions}. The "
            "number is part of who is where; a new one needs a new generation of topics."
        )
    for copies in sorted({len(partition["replicas"]) for partition in partitions}):
        if copies != topic.replication_factor:
            yield (
                f"{topic.name}: copies of a partition are {copies}, not {topic.replication_factor}."
            )
    for key, value in topic.settings.items():
        if settings.get(key) != value:
            yield f"{topic.name}: {key} is {settings.get(key)}, not {value}."


def _is_there(described: Mapping[str, Any]) -> bool:
    error = for_code(described["error_code"])
    if described["error_code"] and error is not UnknownTopicOrPartitionError:
        raise error(f"topic {described['topic']}")
    return error is not UnknownTopicOrPartitionError


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    )
    found = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"topic {name}: {message or for_code(code).__name__}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
