"""The sample day through both entrances: what comes of each person is what its story says."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
import pytest

from app.development.sample.client import AgencyClient
from app.development.sample.day import Scenario, plan_day
from app.development.sample.publish import Publication
from app.process.consumer import LogRecord
from models.codes import NO_CODE, HealthCode, Status, judge
from oracle import replay
from support.brokers import Kafka
from support.gateways import running_gateway
from support.macs import KEYS
from support.tokens import TOKENS
from support.workers import Worker, everything, running_workers, until

PEOPLE = 600


@pytest.fixture(scope="module")
def worker(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with running_workers(kafka, tmp_path_factory.mktemp("workers")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # As in `yuekang up`, no province has to sign: which ones the day has, depends on the day.
    with running_gateway(
        kafka,
        tmp_path_factory.mktemp("gateway"),
        YUEKANG_ENVIRONMENT="development",
        YUEKANG_SIGNING_KEYS="",
    ) as address:
        yield address


async def test_each_story_comes_out_as_it_is_told(
    worker: Worker, gateway: str, kafka: Kafka
) -> None:
    before = refused(await everything(kafka, "dead-letters"))
    day = plan_day(PEOPLE, datetime.now(UTC), seed=7)
    async with (
        AgencyClient(gateway, lru_cache(TOKENS.token_for)) as client,
        kafka.producer() as producer,
    ):
        keys = await client.person_keys([person.document for person in day.expected])
        publication = Publication(day, keys, KEYS, client, producer, lambda done, total: None)
        tally = await publication.run()
    assert tally.refused_unexpected == 0, tally.unexpected
    wanted = {keys[story.document]: story for story in day.expected}

    def as_told(records: list[LogRecord]) -> bool:
        rows = replay.newest(records)
        return all(
            shown(rows.get(person.encode())) == expected(story, now())
            for person, story in wanted.items()
        )

    assert await until(kafka, "health-codes", as_told)
    # The claims of no effect, which some stories make, are letters too; they refuse nothing.
    assert await until(
        kafka, "dead-letters", lambda letters: refused(letters) - before == tally.broken
    )


def expected(story: Scenario, at: datetime) -> Status | None:
    """What must be shown of a person at `at`."""
    return story.expected if story.changes_at is None or at < story.changes_at else story.then


def refused(letters: list[LogRecord]) -> Counter[str]:
    """How many records were refused, by reason."""
    headers = [dict(letter.headers) for letter in letters]
    return Counter(h["yk_reason"].decode() for h in headers if h.get("yk_refused") == b"true")


def now() -> datetime:
    return datetime.now(UTC)


def shown(row: bytes | None) -> object:
    return (
        NO_CODE if row is None else judge(msgspec.json.decode(row, type=HealthCode), now()).status
    )
