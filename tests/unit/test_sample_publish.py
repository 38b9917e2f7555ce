"""Publishing a day: both entrances, in order, once each, and nothing personal on Kafka."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.development.sample.broken import DOCUMENT_BREAKAGES
from app.development.sample.client import Submission
from app.development.sample.day import PEOPLE_MIN, BrokenEntry, DayEntry, plan_day, plan_minutes
from app.development.sample.documents import SampleDocument
from app.development.sample.publish import Publication, SampleSummary, load, save, summarise
from app.gateway.client import Unreached
from app.publish.lines import RefusedLine
from app.topics.records import Record, binary, structured
from models.codes import Colour
from models.events import Event
from support.macs import KEYS as MAC_KEYS

NOW = datetime(2020, 4, 20, 1, 30, tzinfo=UTC)
DAY = plan_day(PEOPLE_MIN * 3, NOW, seed=3)
KEYS = {
    person.document: f"p1-{chr(97 + number // 26) * 16}{chr(97 + number % 26) * 16}"
    for number, person in enumerate(DAY.expected)
}
BEGUN = SampleSummary("cluster", DAY.people, DAY.seed, DAY.now, complete=False)


class FakeGateway:
    """Takes every event but those about documents that cannot exist."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def publish(self, events: Sequence[Submission]) -> list[RefusedLine | None]:
        await asyncio.sleep(0)
        decoded = [msgspec.json.decode(event.content) for event in events]
        self.events += decoded
        impossible = [msgspec.to_builtins(breakage.document) for breakage in DOCUMENT_BREAKAGES]
        return [
            RefusedLine(number, "document", "no such document")
            if event["data"]["document"] in impossible
            else None
            for number, event in enumerate(decoded)
        ]


class BrokenGateway(FakeGateway):
    async def publish(self, events: Sequence[Submission]) -> list[RefusedLine | None]:
        raise Unreached("gone", "gone")


class RefusingGateway(FakeGateway):
    async def publish(self, events: Sequence[Submission]) -> list[RefusedLine | None]:
        return [RefusedLine(n, "no-authority", "not you") for n, _ in enumerate(events)]


class FakeProducer:
    def __init__(self) -> None:
        self.records: list[Record] = []

    async def send(
        self, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[None]:
        self.records.append(Record(topic, key, value, tuple(headers)))
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent


def publication(gateway: Any, producer: Any, progress: Any = None) -> Publication:
    return Publication(
        DAY, KEYS, MAC_KEYS, gateway, producer, progress or (lambda done, total: None)
    )


async def test_everything_goes_out_and_progress_ends_at_the_whole() -> None:
    gateway, producer, steps = FakeGateway(), FakeProducer(), list[tuple[int, int]]()
    tally = await publication(gateway, producer, lambda *step: steps.append(step)).run()
    assert tally.published + tally.refused_expected + tally.broken.total() == len(DAY.entries)
    assert len(gateway.events) + len(producer.records) == len(DAY.entries)
    assert tally.refused_unexpected == 0
    assert tally.refused_expected > 0
    assert steps[-1] == (len(DAY.entries), len(DAY.entries))
    assert steps == sorted(steps)


async def test_no_document_number_of_the_city_goes_on_kafka() -> None:
    gateway, producer = FakeGateway(), FakeProducer()
    await publication(gateway, producer).run()
    numbers = [person.document.number.encode() for person in DAY.expected]
    on_kafka = b"\n".join((record.value or b"") for record in producer.records)
    assert not any(number in on_kafka for number in numbers)
    assert all("partitionkey" not in event for event in gateway.events)


async def test_each_entrance_keeps_the_order_of_the_day() -> None:
    gateway, producer = FakeGateway(), FakeProducer()
    await publication(gateway, producer).run()
    ids = [event["id"] for event in gateway.events]
    planned = [
        (e if isinstance(e, DayEntry) else e.entry).id
        for e in DAY.entries
        if not isinstance(e, BrokenEntry)
        and not (isinstance(e, DayEntry) and e.entrance == "kafka")
    ]
    assert ids == planned


async def test_publishing_again_sends_the_same() -> None:
    first, second = FakeProducer(), FakeProducer()
    await publication(FakeGateway(), first).run()
    await publication(FakeGateway(), second).run()
    assert first.records == second.records


async def test_a_gateway_that_fails_ends_it_with_its_own_error() -> None:
    with pytest.raises(Unreached, match="gone"):
        await publication(BrokenGateway(), FakeProducer()).run()


async def test_unexpected_refusals_are_counted_and_a_few_are_kept() -> None:
    tally = await publication(RefusingGateway(), FakeProducer()).run()
    assert tally.gateway == 0
    assert tally.refused_unexpected > len(tally.unexpected) > 0
    assert "not you" in tally.unexpected[0]
    assert "/entry-desks/" in " ".join(tally.unexpected)


async def test_the_summary_names_people_by_key_alone() -> None:
    tally = await publication(FakeGateway(), FakeProducer()).run()
    summary = summarise(DAY, KEYS, tally, BEGUN, seconds=1.0)
    assert summary.complete
    assert summary.scenarios["green"].person == summary.green
    assert summary.scenarios["many-reasons"].person == summary.red
    assert {p.colour for p in summary.scenarios.values()} == set(Colour)
    at = [person.changes_at for person in summary.ends_soon]
    assert len(at) >= 2
    assert at == sorted(at, key=lambda a: a or NOW)
    encoded = msgspec.json.encode(summary)
    assert not any(person.document.number.encode() in encoded for person in DAY.expected)


def test_the_summary_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "run" / "sample.json"
    assert load(path) is None
    save(path, BEGUN)
    assert load(path) == BEGUN
    path.write_text("{")
    with pytest.raises(ValueError, match="remove it"):
        load(path)


def test_a_few_minutes_hold_only_people_who_turn_green_by_themselves() -> None:
    minutes = plan_minutes(NOW, seed=3)
    assert 2 <= minutes.people <= 10
    assert all(person.changes_at and person.changes_at > NOW for person in minutes.expected)
    assert all(isinstance(entry, DayEntry) for entry in minutes.entries)


def test_both_modes_of_cloudevents_say_the_same() -> None:
    entry = next(e for e in DAY.entries if isinstance(e, DayEntry) and e.supersedes)
    assert isinstance(entry.document, SampleDocument)
    event = entry.event(KEYS[entry.document])
    whole, parts = structured(event), binary(event)
    assert whole.value is not None
    assert parts.value is not None
    assert (whole.topic, whole.key) == (parts.topic, parts.key)
    attributes: dict[str, object] = {
        name.removeprefix("ce_"): value.decode()
        for name, value in parts.headers
        if name.startswith("ce_")
    }
    rebuilt = msgspec.convert({**attributes, "data": msgspec.json.decode(parts.value)}, Event)
    assert rebuilt == msgspec.json.decode(whole.value, type=Event) == event
