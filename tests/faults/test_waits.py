"""What a round waits for at its end, without a cluster: its limits hold, and nothing that was not
confirmed counts as compared."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from faults import results, waits
from faults.results import Result
from faults.waits import Compared, Drain, compare_stores, drain, flushed
from oracle.found import Differences


class Time:
    """A clock that goes on when somebody sleeps, or looks slowly."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def drained(*looks: tuple[float, str | Exception]) -> Drain:
    """Drain with looks that take so long (s) and find so much; the last is repeated."""
    time, left = Time(), list(looks)

    async def look() -> str:
        seconds, found = left.pop(0) if len(left) > 1 else left[0]
        time.now += seconds
        if isinstance(found, Exception):
            raise found
        return found

    return await drain(look, clock=time, sleep=time.sleep)


async def test_what_drains_in_time_is_not_late() -> None:
    found = await drained((1.0, "3 rows are due"), (1.0, ""))
    assert (found.late, found.left) == ("", "")
    assert found.seconds == pytest.approx(2.3)


async def test_one_slow_look_is_late_as_many_quick_ones_are() -> None:
    found = await drained((67.0, ""))
    assert found.late == "nothing was left at 67.0 s; the look before: nothing was read"
    assert (found.seconds, found.left) == (67.0, "")
    found = await drained((1.0, "3 rows are due"), (66.0, ""))
    assert found.late == "nothing was left at 67.3 s; the look before: 3 rows are due"
    many = await drained(*[(1.0, "3 rows are due")] * 60, (1.0, ""))
    assert (many.late, many.left) == ("3 rows are due", "")


async def test_a_look_may_end_at_the_limit_and_no_later() -> None:
    assert (await drained((waits.DRAIN_SECONDS_MAX, ""))).late == ""
    assert (await drained((waits.DRAIN_SECONDS_MAX + 0.1, ""))).late


async def test_what_stands_still_is_given_up_and_says_what_is_left() -> None:
    found = await drained((1.0, "3 rows are due"))
    assert (found.late, found.left) == ("3 rows are due", "3 rows are due")
    assert waits.GIVEN_UP_SECONDS <= found.seconds < waits.GIVEN_UP_SECONDS + 2


async def test_a_look_that_fails_is_made_again() -> None:
    found = await drained((1.0, OSError("away")), (1.0, ""))
    assert (found.late, found.left) == ("", "")
    found = await drained((1.0, OSError("away")))
    assert found.late == found.left == "nothing was read"


# Flushes


class Workers:
    """Processes that note down a flush so long after they were asked; None: never."""

    def __init__(self, time: Time, delays: dict[int, float | None]) -> None:
        self._time = time
        self._delays = delays
        self.notes: list[dict[str, Any]] = []
        self._coming: list[tuple[float, int]] = []

    def ask(self, pid: int) -> None:
        if (delay := self._delays[pid]) is not None:
            self._coming.append((self._time.now + delay, pid))

    def read(self) -> list[dict[str, Any]]:
        for at, pid in [each for each in self._coming if each[0] <= self._time.now]:
            self._coming.remove((at, pid))
            self.notes.append({"pid": pid, "what": "flushed", "begun": at})
        return self.notes


async def test_those_that_flushed_in_time_are_confirmed() -> None:
    time = Time()
    workers = Workers(time, {1: 0.5, 2: None, 3: waits.FLUSH_SECONDS_MAX + 1})
    begun = time.now
    confirmed = await flushed(workers.ask, [1, 2, 3], workers.read, time, time.sleep)
    assert confirmed == {1}
    assert waits.FLUSH_SECONDS_MAX <= time.now - begun < waits.FLUSH_SECONDS_MAX + 1


async def test_who_flushes_at_once_is_waited_for_no_longer() -> None:
    time = Time()
    workers, begun = Workers(time, {1: 0.0, 2: 0.2}), time.now
    assert await flushed(workers.ask, [1, 2], workers.read, time, time.sleep) == {1, 2}
    assert time.now - begun < 1


async def test_a_flush_of_before_or_of_another_confirms_nothing() -> None:
    time = Time()
    workers = Workers(time, {1: None})
    workers.notes = [
        {"pid": 1, "what": "flushed", "begun": time.now - 0.1},
        {"pid": 1, "what": "assigned", "begun": time.now + 1},
        {"pid": 7, "what": "flushed", "begun": time.now + 1},
    ]
    assert await flushed(workers.ask, [1], workers.read, time, time.sleep) == set()


# Stores


def wrong(what: str = "") -> Differences:
    found = Differences()
    if what:
        found.add("store", what)
    return found


async def compared(
    confirmed: list[set[int]],
    differences: Callable[[int, str], str] = lambda attempt, store: "",
    held: dict[str, int] | None = None,
) -> tuple[Compared[str], list[str]]:
    """Compare with flushes that are confirmed attempt by attempt; also return what was read."""
    attempt, read = -1, list[str]()

    async def flush() -> set[int]:
        nonlocal attempt
        attempt += 1
        return confirmed[min(attempt, len(confirmed) - 1)]

    def compare(store: str) -> Differences:
        read.append(store)
        return wrong(differences(attempt, store))

    async def sleep(_: float) -> None:
        pass

    stores = {"a": 1, "b": 2} if held is None else held
    return await compare_stores(flush, lambda: stores, compare, sleep), read


async def test_stores_that_were_flushed_are_compared_once_where_they_are_equal() -> None:
    found, read = await compared([{1, 2}])
    assert (found.stores, found.unflushed, bool(found.found)) == (["a", "b"], [], False)
    assert read == ["a", "b"]


async def test_a_store_that_was_not_flushed_is_not_compared_and_is_named() -> None:
    """It holds less than the log: compared, it would differ, and nothing would be wrong."""
    found, read = await compared([{1}], lambda _, store: "old" if store == "b" else "")
    assert (found.stores, found.unflushed, bool(found.found)) == (["a"], ["b"], False)
    assert "b" not in read
    assert len(read) == waits.ATTEMPTS, "it was tried to the end"


async def test_a_flush_that_is_confirmed_later_counts() -> None:
    found, _ = await compared([{1}, {1}, {1, 2}])
    assert (found.stores, found.unflushed) == (["a", "b"], [])


async def test_what_differs_for_a_moment_is_nothing_and_what_stays_is_a_difference() -> None:
    found, _ = await compared([{1, 2}], lambda attempt, _: "behind" if attempt < 2 else "")
    assert not found.found
    found, _ = await compared([{1, 2}], lambda _, store: "lost" if store == "b" else "")
    assert found.found.counts == {"store": 1}


async def test_a_difference_is_not_hidden_by_a_later_flush_that_failed() -> None:
    found, _ = await compared([{1, 2}, {1}], lambda _, store: "lost" if store == "b" else "")
    assert found.found.counts == {"store": 1}
    assert found.unflushed == []


async def test_a_store_that_another_took_is_compared_there() -> None:
    held = {"a": 1}

    def moves(attempt: int, _: str) -> str:
        held["a"] = 2
        return "half written" if attempt == 0 else ""

    found, _ = await compared([{1, 2}], moves, held)
    assert (found.stores, bool(found.found)) == (["a"], False)


# What is said


def result(**fields: Any) -> Result:
    counts: dict[str, Any] = dict.fromkeys(COUNTS, 1)
    return Result(
        commit="c",
        seed="s",
        kinds=["worker killed"],
        missed=[],
        **counts,
        differences={},
        examples={},
        **fields,
    )


COUNTS = [
    *("round", "events", "told", "letters", "by_time", "rebalances", "redelivered", "fenced"),
    *("restarts", "drain_seconds", "seconds", "load"),
]


def said(*rounds: Result) -> Iterator[str]:
    page = results.page(rounds)
    return iter(page.partition("## Stores\n")[2].partition("\n## ")[0].strip().split("\n\n"))


def test_the_page_says_what_was_not_compared() -> None:
    whole, part = result(stores=8), result(stores=6, unflushed=["people[0] of worker-1"])
    _, counts, named = said(whole, part)
    assert counts == "In 2 rounds: 14 stores compared; 1 not compared, and not counted as equal."
    assert named == "- seed s, round 1, not compared: people[0] of worker-1"
    *_, before = said(whole, result())
    assert before.startswith("In 1 rounds every store was compared, whether its flush was")


def test_a_line_of_before_is_read_as_not_noted(tmp_path: Any) -> None:
    path = tmp_path / "faults.jsonl"
    results.add(path, result(stores=8))
    path.write_text(path.read_text().replace(',"stores":8,"unflushed":[]', ""))
    [read] = results.read(path)
    assert isinstance(read, Result)
    assert (read.stores, read.unflushed) == (None, [])
