"""The latency report: percentiles, what counts as a failure, and whom a run leaves behind."""

import asyncio
import math
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app.operator.latency.report import Percentiles, Plan, Report, percentiles
from app.operator.latency.run import BACKGROUND_SECONDS, REPORTING, Run
from app.topics.catalogue import CATALOGUE
from models.codes import Colour, Reason, judge
from models.events import (
    Event,
    NatResultReported,
    ProvincialCodeReported,
    ProvincialColour,
    type_of,
)
from models.person import Person, fold, unknown
from models.policy import policy_at
from support.macs import KEYS

PLAN = Plan(rate=500, seconds=1, follow_rate=50, interval_ms=2, deadline_seconds=0.2)


class FakeLog:
    """Stands in for producer, worker and view: what is sent is folded after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.sent: list[Event] = []
        self.rows: dict[str, Person] = {}
        self.by_person: Counter[str] = Counter()

    def create_batch(self) -> "FakeBatch":
        return FakeBatch()

    async def send_batch(
        self, batch: "FakeBatch", topic: str, partition: int
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        for value in batch.values:
            event = msgspec.json.decode(value, type=Event)
            assert CATALOGUE.topic_of(type_of(event)).name == topic
            self.sent.append(event)
            self.by_person[event.partitionkey] += 1
            loop.call_later(self.delay, self._fold, event)
        sent: asyncio.Future[Any] = loop.create_future()
        sent.set_result(SimpleNamespace(timestamp_type=1, timestamp=int(time.time() * 1_000)))
        return sent

    def _fold(self, event: Any) -> None:
        row = self.rows.get(event.partitionkey) or unknown(event.partitionkey, event.time)
        self.rows[event.partitionkey] = fold(row, event, event.time).person

    async def ask(self, person: str) -> bytes:
        row = self.rows.get(person)
        if row is None:
            return b""
        colour = judge(row.code, row.judged_at).colour
        return b'{"colour":"%s","code":%s}' % (colour.encode(), msgspec.json.encode(row.code))


class FakeBatch:
    """Stands in for a batch of aiokafka's."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._size = 0

    def append(self, *, key: bytes, value: bytes, timestamp: None, headers: Any) -> None:
        self.values.append(value)
        self._size += len(value)

    def size(self) -> int:
        return self._size


def test_no_run_turns_more_people_red_than_an_hour_has_room_for() -> None:
    longest = Plan(rate=5_000, seconds=500, follow_rate=100)
    room = policy_at(datetime.now(UTC)).openings_max[Reason.OUT_OF_PROVINCE_CODE]
    followed = longest.seconds * longest.follow_rate
    to_begin_with = BACKGROUND_SECONDS * longest.rate / 2
    reds = followed + (longest.events - followed) / 2 + to_begin_with
    assert reds / len(REPORTING) < room


async def run(log: FakeLog, plan: Plan) -> Report:
    no_session: Any = None  # `_ask` alone would use it
    measurement = Run(plan, log, KEYS, no_session, lambda done, total: None)
    # The server's answer, from what was written.
    measurement._ask = log.ask  # type: ignore[method-assign]
    await measurement.prepare()
    try:
        return await measurement.measure()
    finally:
        await measurement.clear_up()
        await asyncio.sleep(log.delay * 2)


async def test_measures_the_time_from_append_to_visible() -> None:
    plan = replace(PLAN, rate=100, follow_rate=20, deadline_seconds=10)
    report = await run(FakeLog(delay=0.03), plan)
    assert (report.published, report.followed, report.seen) == (100, 20, 20)
    assert report.clock == "broker's append time"
    assert report.visible is not None
    assert report.visible.p50_ms >= 29, "never less than it takes"
    assert report.resolution is not None
    assert report.resolution.p50_ms <= report.visible.p50_ms


async def test_it_is_not_asked_for_what_cannot_be_seen_yet() -> None:
    plan = replace(PLAN, rate=50, follow_rate=50, seconds=2, deadline_seconds=10)
    report = await run(FakeLog(delay=0.2), plan)
    assert report.seen == 100
    assert report.visible is not None
    assert report.visible.p50_ms >= 199
    first = 10  # before anything was seen, some 25 times each
    assert report.asked < 25 * first + 10 * 100


async def test_what_is_not_seen_in_time_is_a_failure() -> None:
    report = await run(FakeLog(delay=0.5), replace(PLAN, rate=100, follow_rate=10))
    assert (report.seen, report.not_seen) == (0, 10)
    assert report.visible is not None
    assert report.visible.p50_ms == 1_000 * report.deadline_seconds, "not left out"
    assert "10 of 10 followed" in report.failures(None)[0]


async def test_nobody_is_left_red_or_with_a_code() -> None:
    log = FakeLog(delay=0.001)
    await run(log, PLAN)
    for row in log.rows.values():
        shown = judge(row.code, row.judged_at)
        assert shown.colour is Colour.NONE
        assert not shown.open


async def test_every_followed_event_has_a_person_of_its_own() -> None:
    log = FakeLog(delay=0.001)
    await run(log, PLAN)
    reds = Counter(
        event.partitionkey for event in log.sent if isinstance(event, ProvincialCodeReported)
    )
    assert sum(count == 2 for count in reds.values()) >= 50, "red, and green at the end"
    assert len({event.sequence for event in log.sent}) == len(log.sent)


async def test_the_share_that_changes_codes_is_as_asked() -> None:
    log = FakeLog(delay=0.001)
    await run(log, replace(PLAN, changing_percent=30))
    results = sum(isinstance(event, NatResultReported) for event in log.sent)
    followed = PLAN.seconds * PLAN.follow_rate
    assert results / (PLAN.events - followed) == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize(
    ("rate", "follow_rate", "percent"),
    [(100, 1, 100), (200, 100, 100), (300, 7, 100), (400, 3, 2), (300, 3, 51)],
)
async def test_each_event_changes_a_code_and_as_many_turn_red_as_green(
    monkeypatch: pytest.MonkeyPatch, rate: int, follow_rate: int, percent: int
) -> None:
    monkeypatch.setattr("app.operator.latency.run.BACKGROUND_SECONDS", 1)
    log = FakeLog(delay=0.001)
    plan = replace(PLAN, rate=rate, seconds=3, follow_rate=follow_rate, changing_percent=percent)
    await run(log, plan)
    told = [event for event in log.sent if isinstance(event, ProvincialCodeReported)]
    by_person: dict[str, list[str]] = {}
    for event in told[: -len(log.by_person)]:  # without the end, which is green for all
        by_person.setdefault(event.partitionkey, ["green"]).append(event.data.colour)
    for colours in by_person.values():
        assert all(before != after for before, after in pairwise(colours))
    followed = math.ceil(plan.events / (rate // follow_rate))
    during = [event for event in told if "-event-" in event.id]
    reds = sum(event.data.colour is ProvincialColour.RED for event in during) - followed
    assert reds == pytest.approx((len(during) - followed) / 2, abs=1)


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentiles([n / 1_000 for n in range(1, 101)]) == Percentiles(50.0, 95.0, 99.0, 100.0)
    assert percentiles([]) is None


@pytest.fixture
def good() -> Report:
    some = Percentiles(1, 2, 3, 4)
    return Report(500, 100, 499.9, 30, 15_000, 600, 600, 0, 10, "", some, some, 10, some, some)


def test_a_good_run_has_no_failures(good: Report) -> None:
    assert good.failures(p99_ms_max=3) == []


def test_a_rate_that_was_not_reached_and_a_slow_p99_are_failures(good: Report) -> None:
    assert "400 events/s" in replace(good, rate_reached=400).failures(None)[0]
    assert "p99 is 3 ms" in good.failures(p99_ms_max=2.5)[0]
