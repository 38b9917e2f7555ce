"""When a consumer fetches again, and what it asks for."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest

from app.process import gather as module
from app.process.gather import gather
from app.projection.commands import CODES, CREDENTIALS, REPLICA, ROWS
from app.topology import ListsApp, SubmissionsApp, YuekangApp


class Fetching:
    """Stands in for aiokafka's fetcher: one broker leads all, and `brings` is what it answers."""

    def __init__(self, *topics: str) -> None:
        self.topics = topics
        self.brings = True
        self._records = dict[str, Any]()
        self._fetch_max_wait_ms = 0

    async def _proc_fetch_request(self, *_: Any) -> bool:
        return self.brings

    def _get_actions_per_node(self, _: Any) -> Any:
        topics = [(topic, [(0, 0, 1)]) for topic in self.topics]
        request = FetchRequest(self._fetch_max_wait_ms, 1, 1, 1, topics)
        return [(1, request)], {2: "reset"}, 0.2, False, []


async def next_fetch(fetcher: Any) -> tuple[list[str], float]:
    """Let it fetch; return of what, or nothing, and after how long it would look again."""
    fetches, resets, seconds, *_ = fetcher._get_actions_per_node(None)
    assert resets == {2: "reset"}, "they wait for nothing"
    for broker, request in fetches:
        await fetcher._proc_fetch_request(None, broker, request)
        return [topic for topic, _ in request.topics], seconds
    return [], seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("app.process.gather.time.monotonic", lambda: now.seconds)
    return now


async def test_what_comes_after_a_silence_is_fetched_at_once_and_the_rest_together(
    clock: Any,
) -> None:
    fetcher: Any = Fetching("in")
    gather(SimpleNamespace(_fetcher=fetcher), module.GATHER_SECONDS)
    fetcher.brings = False
    for _ in range(2):
        assert await next_fetch(fetcher) == (["in"], 0.2), "it lies at the broker"
    fetcher.brings = True
    assert (await next_fetch(fetcher))[0] == ["in"]
    topics, seconds = await next_fetch(fetcher)
    assert not topics
    assert seconds == pytest.approx(module.GATHER_SECONDS)
    clock.seconds += module.GATHER_SECONDS / 2
    topics, seconds = await next_fetch(fetcher)
    assert not topics
    assert seconds == pytest.approx(module.GATHER_SECONDS / 2)
    clock.seconds += module.GATHER_SECONDS
    assert (await next_fetch(fetcher))[0] == ["in"]


async def test_what_goes_round_is_fetched_in_turn_with_all_else(clock: Any) -> None:
    fetcher: Any = Fetching("in", "round", "other")
    gather(SimpleNamespace(_fetcher=fetcher), module.GATHER_SECONDS, {"round"})
    seen = []
    for _ in range(4):
        seen.append((await next_fetch(fetcher))[0])
        clock.seconds += module.GATHER_SECONDS
    assert seen == [["in", "round", "other"], ["round"], ["in", "other"], ["round"]]
    fetcher.brings = False
    assert (await next_fetch(fetcher))[0] == ["in", "other"]
    assert (await next_fetch(fetcher))[0] == ["in", "round", "other"], "nobody waits for a turn"


async def test_a_turn_of_which_a_broker_has_nothing_is_left_out(clock: Any) -> None:
    fetcher: Any = Fetching("round")
    gather(SimpleNamespace(_fetcher=fetcher), module.GATHER_SECONDS, {"round"})
    for _ in range(3):
        assert (await next_fetch(fetcher))[0] == ["round"]
        clock.seconds += module.GATHER_SECONDS


async def test_a_fetch_beside_what_was_not_taken_yet_lies_at_the_broker_for_a_short_time() -> None:
    fetcher: Any = Fetching("in")
    gather(SimpleNamespace(_fetcher=fetcher), module.GATHER_SECONDS)
    for held, wait in (({}, module.WAIT_MS), ({"in": "records"}, module.SHARED_WAIT_MS)):
        fetcher._records = held
        [(_, request)], *_ = fetcher._get_actions_per_node(None)
        assert request._max_wait_ms == wait


def test_what_bears_on_a_code_is_gathered_shortly_and_all_else_for_longer() -> None:
    shortly = (YuekangApp, SubmissionsApp, CODES, CREDENTIALS, REPLICA)
    assert {each.gather_seconds for each in shortly} == {module.GATHER_SECONDS}
    assert {each.gather_seconds for each in (ListsApp, ROWS)} == {module.UNHURRIED_SECONDS}
