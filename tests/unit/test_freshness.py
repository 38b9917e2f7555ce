"""How fresh a read model says that it is, by its positions and by what workers committed."""

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition

from app.process.memory import OBJECTS
from app.projection import commands, freshness
from app.projection.commands import CODES, ROWS
from app.projection.freshness import LISTS, PEOPLE, Freshness, InputsApplied
from app.projection.state import Position, oldest
from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES
from support.brokers import NO_BROKERS

NOW = 1_700_000_000.0


@pytest.fixture
def collector_as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_whoever_asks_waits_for_no_look_through_all_that_was_imported(
    monkeypatch: pytest.MonkeyPatch, collector_as_before: None
) -> None:
    """Such a look takes longer than an answer about 768 partitions."""
    seen = []

    def run(work: Coroutine[Any, Any, None]) -> None:
        work.close()
        seen.append((gc.get_threshold()[0], gc.get_freeze_count() > 0))

    monkeypatch.setattr("app.projection.commands.asyncio.run", run)
    monkeypatch.setattr("app.projection.commands.configure", lambda _: None)
    monkeypatch.setenv("YUEKANG_YUEKANG_MAC_KEY", "00" * 32)
    commands.projection()
    assert seen == [(OBJECTS, True)]


def test_a_position_is_as_fresh_as_the_older_of_log_and_worker() -> None:
    assert Position(7, NOW, NOW - 3).known_until == NOW - 3
    assert Position(7, NOW - 5, NOW).known_until == NOW - 5


def test_all_are_as_fresh_as_the_oldest_and_none_is_if_one_is_unknown() -> None:
    assert oldest([Position(1, NOW, NOW), Position(1, NOW - 9, NOW)]) == NOW - 9
    assert oldest([Position(1, NOW, NOW), Position(1)]) is None


async def test_a_watch_that_failed_is_told_to_who_relies_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(freshness.Watch, "run", broken)
    followed = Freshness(NO_BROKERS, {HEALTH_CODES: (PEOPLE,)})
    async with followed.watched():
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            followed.mark({})


def test_a_topic_of_several_groups_is_as_fresh_as_the_one_that_is_furthest_behind() -> None:
    followed = Freshness(NO_BROKERS, {DEAD_LETTERS: (PEOPLE, LISTS)})
    positions = {TopicPartition(DEAD_LETTERS, 0): Position(7, NOW)}
    followed._watches[PEOPLE].newest = InputsApplied(NOW - 2, {0: NOW - 2})
    followed.mark(positions)
    assert positions[TopicPartition(DEAD_LETTERS, 0)].applied_until is None, "one is not known yet"
    followed._watches[LISTS].newest = InputsApplied(NOW - 1, {0: NOW - 9, 1: NOW - 1})
    followed.mark(positions)
    assert positions[TopicPartition(DEAD_LETTERS, 0)].applied_until == NOW - 9
    followed._watches[PEOPLE].newest = InputsApplied(NOW + 1, {0: NOW + 1})
    followed.mark(positions)
    assert positions[TopicPartition(DEAD_LETTERS, 0)].applied_until == NOW - 9, "not read so far"


def test_nothing_known_of_the_worker_is_not_fresh() -> None:
    assert Position(7, NOW).known_until is None
    assert {*CODES.topics} == {*CODES.groups}, "or it could never be known"
    assert {*ROWS.topics} == {*ROWS.groups}


def test_a_partition_that_one_group_knows_nothing_of_is_not_marked() -> None:
    followed = Freshness(NO_BROKERS, {DEAD_LETTERS: (PEOPLE, LISTS)})
    positions = {TopicPartition(DEAD_LETTERS, number): Position(7, NOW) for number in (0, 1)}
    followed._watches[PEOPLE].newest = InputsApplied(NOW - 2, {0: NOW - 2})
    followed._watches[LISTS].newest = InputsApplied(NOW - 2, {0: NOW - 3, 1: NOW - 2})
    followed.mark(positions)
    assert [position.applied_until for position in positions.values()] == [NOW - 3, None]
