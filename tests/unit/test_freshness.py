"""How fresh a read model says that it is, by its positions and by what workers committed."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from app.projection import freshness
from app.projection.freshness import LISTS, PEOPLE, Freshness, InputsApplied, ask
from app.projection.state import Position, oldest
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, HEALTH_CODES

NOW = 1_700_000_000.0
HOUR = 3600.0


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
    followed = Freshness("nowhere", {HEALTH_CODES: (PEOPLE,)})
    async with followed.watched():
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            followed.mark({})


def test_a_topic_of_several_groups_is_as_fresh_as_the_one_that_is_furthest_behind() -> None:
    followed = Freshness("nowhere", {DEAD_LETTERS: (PEOPLE, LISTS)})
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


class NoCommits:
    """The admin client of a broker on which no group has committed anything."""

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, Any]:
        """Return none."""
        return {}


class Backlog:
    """A consumer of inputs that hold one event each."""

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where each ends."""
        return dict.fromkeys(places, 1)


async def test_before_the_first_commit_nothing_is_fresher_than_the_oldest_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrived = round(time.time() - HOUR, 3)  # Kafka has milliseconds

    async def first(*_: object) -> Any:
        return SimpleNamespace(timestamp=arrived * 1_000)

    monkeypatch.setattr(freshness, "first_between", first)
    followed = Freshness("nowhere", {HEALTH_CODES: (PEOPLE,)})
    admin: Any = NoCommits()
    consumer: Any = Backlog()
    followed._watches[PEOPLE].newest = await ask(admin, consumer)
    positions = {
        TopicPartition(HEALTH_CODES, number): Position(0, time.time())
        for number in range(CATALOGUE.partitions)
    }
    followed.mark(positions)
    known_until = max(position.known_until or 0.0 for position in positions.values())
    assert round(known_until, 3) <= arrived
