"""From a transaction that a source leaves open to what the view says of the people behind it."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from app.topics.records import structured
from app.view.limits import STALE_SECONDS
from support import builders as b
from support.brokers import Kafka
from support.impatient import REFUSE_SECONDS
from support.views import Running, running_projection, running_view, someone_in
from support.workers import Worker, running_worker, send

TOPIC = "laboratory-results"
NUMBER = 3
"""The partition that is held up."""


class Province(NamedTuple):
    """What runs, from the input topics to the codes."""

    worker: Worker
    projection: Running
    view: Running

    def code_of(self, person: str) -> tuple[int, Any]:
        """Return the status and the body of what the view answers."""
        status, text = self.view.get(f"/v1/people/{person}/code")
        return status, json.loads(text or "{}")

    async def shows(self, person: str, wanted: Callable[[int, Any], bool]) -> Any:
        """Wait until the view answers as wanted about a person; return that."""
        async with asyncio.timeout(REFUSE_SECONDS + 20):
            while not wanted(*(answer := await asyncio.to_thread(self.code_of, person))):
                await asyncio.sleep(0.2)
        return answer[1]


@pytest.fixture
def province(kafka: Kafka, redis_url: str, tmp_path: Path) -> Iterator[Province]:
    with (
        running_worker(kafka, tmp_path) as worker,
        running_projection(kafka, redis_url, tmp_path) as projection,
        running_view(kafka, redis_url, tmp_path, "support.impatient") as view,
    ):
        projection.wait_ready()
        view.wait_live()
        yield Province(worker, projection, view)


@asynccontextmanager
async def transactions(kafka: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    id = kafka.named(secrets.token_hex(4))
    async with kafka.producer(transactional_id=id) as source:
        yield source


def fresh(colour: str) -> Callable[[int, Any], bool]:
    return lambda status, code: status == 200 and not code["stale"] and code["colour"] == colour


async def test_an_open_transaction_makes_codes_old_then_takes_their_colour_and_is_named(
    kafka: Kafka, province: Province
) -> None:
    held, free = someone_in(NUMBER), someone_in(0)
    await send(kafka, [b.verified(person=person) for person in (held, free)])
    for person in (held, free):
        await province.shows(person, fresh("green"))

    async with transactions(kafka) as source:
        await source.begin_transaction()
        record = structured(b.negative(b.day(2), person=held))
        await source.send_and_wait(TOPIC, record.value, record.key, headers=list(record.headers))
        await send(kafka, [b.positive(b.day(3), person=held)])  # behind it, by another source

        code = await province.shows(held, lambda status, code: status == 200 and code["stale"])
        assert code["colour"] == "green", "nobody can know of the positive"
        assert code["lag_s"] >= STALE_SECONDS
        assert fresh("green")(*province.code_of(free)), "only its own partition is old"

        refused = await province.shows(held, lambda status, _: status == 503)
        assert refused["code"] == "code-unavailable"
        assert fresh("green")(*province.code_of(free))

        place = f"{kafka.named(TOPIC)}[{NUMBER}]"
        said = await province.worker.readiness()
        assert f"{place}: a transaction of its source is open at offset 0, and holds up" in said
        _, scraped = province.projection.get("/metrics")
        labels = f'partition="{NUMBER}",topic="{kafka.named(TOPIC)}"'
        [seconds] = re.findall(
            rf"^yuekang_projection_held_up_seconds\{{{re.escape(labels)}\}} (.+)$",
            scraped,
            re.MULTILINE,
        )
        assert float(seconds) > STALE_SECONDS
        await source.commit_transaction()

    await province.shows(held, fresh("red"))
    assert "input_goes_on" in province.projection.log.read_text()
    async with asyncio.timeout(10):
        while (await province.worker.readiness()).strip() != "ready":
            await asyncio.sleep(0.2)
