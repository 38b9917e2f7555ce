"""The consumer that delivers chunks: none is lost, and no partition starves."""

import asyncio
import gc
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    UnknownMemberIdError,
)
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP

from app.engine import chunks
from app.engine.chunks import Chunk, ChunkConsumer, hear_commits, hear_errors
from app.process.settings import Settings
from app.topology import create_app
from support.macs import MAC_KEY
from support.records import record


@pytest.fixture
async def consumer(tmp_path: Path) -> ChunkConsumer:
    made: Any = create_app(Settings(data_dir=str(tmp_path), mac_key=MAC_KEY), "cluster").consumer
    assert isinstance(made, ChunkConsumer)
    return made


async def test_the_last_commit_holds_up_no_end(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def unanswered(_: Any) -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(chunks, "LAST_COMMIT_SECONDS_MAX", 0.01)
    monkeypatch.setattr(Consumer, "on_stop", unanswered)
    await asyncio.wait_for(consumer.on_stop(), 1)
    assert asked == 1
    await consumer.crash(RuntimeError("gone"))
    await consumer.on_stop()
    assert asked == 1, "after a crash nobody is there to answer"


async def test_a_commit_whose_asker_is_gone_fails_without_a_word() -> None:
    answered = asyncio.Event()
    unhandled: list[Any] = []

    async def known() -> None: ...

    async def refused(*_: Any) -> None:
        await answered.wait()
        raise UnknownMemberIdError("group")

    coordinator: Any = SimpleNamespace(
        ensure_coordinator_known=known, _commit_lock=asyncio.Lock(), _do_commit_offsets=refused
    )
    hear_commits(coordinator)
    asyncio.get_running_loop().set_exception_handler(lambda _, what: unhandled.append(what))
    asker = asyncio.create_task(GroupCoordinator.commit_offsets(coordinator, None, {}))
    await asyncio.sleep(0)
    asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    answered.set()
    with pytest.raises(CommitFailedError):
        await GroupCoordinator.commit_offsets(coordinator, None, {})
    gc.collect()
    await asyncio.sleep(0)
    assert not unhandled


def coordinator_that(**has: Any) -> Any:
    """Stand in for aiokafka's coordinator, whose task goes on."""
    going_on = asyncio.get_running_loop().create_future()
    parts = {"_send_req": None, "_push_error_to_user": None, "_coordination_task": going_on}
    return SimpleNamespace(_closing=asyncio.get_running_loop().create_future(), **(parts | has))


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("error", [AssertionError(), ValueError("?"), None], ids=repr)
async def test_a_worker_whose_tie_to_its_group_ends_does_not_live_on(
    consumer: ChunkConsumer, error: Exception | None, closing: bool
) -> None:
    failures, coordinator = list[BaseException](), coordinator_that()
    consumer.app.on_failure = failures.append  # type: ignore[attr-defined]
    hear_errors(coordinator, cast(Any, consumer.app))
    if closing:
        coordinator._closing.set_result(None)
    if error is None:
        coordinator._coordination_task.cancel()
    else:
        coordinator._coordination_task.set_exception(error)
    await asyncio.sleep(0)
    assert len(failures) == (0 if closing else 1)
    assert error is None or closing or failures == [error]


@pytest.mark.parametrize(
    ("error_code", "told"), [(0, ""), (27, ""), (82, "another worker has the same id")]
)
async def test_a_worker_whose_place_is_taken_ends_and_says_why(
    consumer: ChunkConsumer, error_code: int, told: str
) -> None:
    failures, answer = list[BaseException](), SimpleNamespace(error_code=error_code)

    async def answered(_: Any) -> Any:
        return answer

    coordinator = coordinator_that(_send_req=answered)
    consumer.app.on_failure = failures.append  # type: ignore[attr-defined]
    hear_errors(coordinator, cast(Any, consumer.app))
    assert await coordinator._send_req("JoinGroup") is answer
    assert len(failures) == bool(told)
    assert told in "".join(map(str, failures))


async def test_a_worker_that_cannot_join_its_group_ends_though_nobody_fetches(
    consumer: ChunkConsumer,
) -> None:
    """aiokafka keeps the error for the next fetch, and during a rebalance none comes."""
    failures = list[BaseException]()
    coordinator = coordinator_that(_subscription=SimpleNamespace(abort_waiters=lambda _: None))
    coordinator._push_error_to_user = partial(GroupCoordinator._push_error_to_user, coordinator)
    consumer.app.on_failure = failures.append  # type: ignore[attr-defined]
    hear_errors(coordinator, cast(Any, consumer.app))
    waiting = asyncio.ensure_future(
        coordinator._push_error_to_user(GroupAuthorizationFailedError("group"))
    )
    await asyncio.sleep(0)
    assert [type(error) for error in failures] == [GroupAuthorizationFailedError]
    assert not waiting.done(), "the coordinator goes on with nothing meanwhile"
    coordinator._closing.set_result(None)
    await waiting


def fetching_at(position: int, held: dict[TP, Any]) -> Any:
    """Stand in for aiokafka's consumer, whose position is the same in each partition."""
    assignment = SimpleNamespace(state_value=lambda _: SimpleNamespace(position=position))
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    return SimpleNamespace(_fetcher=SimpleNamespace(_records=held), _subscription=subscription)


async def test_each_fetch_begins_with_another_partition(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {TP("in", number): object() for number in range(3)}

    async def first_of(*_: Any) -> Any:
        return {next(iter(held)): ["records"]}

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", first_of)
    fetching = fetching_at(0, held)
    thread = consumer._new_consumer_thread()
    fetched = [await thread._fetch_records(fetching, {*held}) for _ in range(4)]
    assert [tp.partition for [tp] in fetched] == [0, 1, 2, 0]


async def test_a_chunk_knows_from_where_to_where_it_was_read(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, held = TP("in", 0), dict[TP, Any]()

    async def fetch(*_: Any) -> bool:
        held[place] = "all of it"
        return True

    async def takes(*_: Any) -> Any:
        return {place: ["records"]}

    async def taken() -> tuple[int | None, int]:
        [fetched] = (await thread._fetch_records(fetching, {place})).values()
        return fetched.start, fetched.end

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", takes)
    fetching, thread = fetching_at(12, held), cast(Any, consumer._new_consumer_thread())
    fetching._fetcher._proc_fetch_request = fetch
    thread._note_starts(fetching._fetcher)
    assert await taken() == (None, 12), "nobody knows where that was fetched"
    request = SimpleNamespace(topics=[("in", [(0, 7, 1_000), (1, 8, 1_000)])])
    assert await fetching._fetcher._proc_fetch_request(None, 1, request)
    assert TP("in", 1) not in thread._starts, "nothing was kept of it"
    assert await taken() == (7, 12)
    fetching._subscription = fetching_at(15, held)._subscription
    del held[place]
    assert await taken() == (12, 15), "the rest goes on from there"
    assert await taken() == (None, 15)


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        ((0, 5), (5, 9), (0, 9)),
        ((0, 5), (6, 9), (None, 9)),
        ((0, 5), (None, None), (None, None)),
        ((None, None), (None, 9), (None, 9)),
    ],
)
def test_joined_chunks_were_read_together_if_one_goes_on_from_the_other(
    first: tuple[int | None, int | None],
    second: tuple[int | None, int | None],
    whole: tuple[int | None, int | None],
) -> None:
    chunk, other = (
        Chunk("in", 0, 1, [record(b"v", datetime.now(UTC), offset, "in", b"k")], *of)
        for offset, of in ((2, first), (7, second))
    )
    assert chunk.joins(other)
    assert (chunk.start, chunk.end) == whole


async def test_what_is_held_back_is_not_fetched(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def fetch(_: Any, __: Any, active: set[TP], seconds: float, ___: Any) -> Any:
        asked.append(({tp.partition for tp in active}, seconds))
        return {}

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(chunks, "HELD_BACK_SECONDS", 0.001)
    fetching: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records={}))
    thread, partitions = consumer._new_consumer_thread(), {TP("in", n) for n in range(3)}
    cases: list[set[TP]] = [set(), {TP("in", 1)}, partitions]
    for held_back in cases:
        monkeypatch.setattr(consumer.app, "held_back", partial(set, held_back))
        await thread._fetch_records(fetching, {*partitions}, 1.0)
    assert asked == [({0, 1, 2}, 1.0), ({0, 2}, 0.001)], "none means all to aiokafka"


async def test_what_was_let_go_comes_again_also_before_the_first_commit(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = {TP("in", 0): 5, TP("in", 1): None, TP("in", 2): 0}
    begun: list[TP] = []

    class Thread:
        async def seek_to_committed(self) -> dict[TP, int | None]:
            return committed

        async def seek_wait(self, partitions: dict[TP, int]) -> None:
            assert set(partitions.values()) == {0}
            begun.extend(partitions)

    monkeypatch.setattr(consumer, "_thread", Thread())
    await consumer.perform_seek()
    assert begun == [TP("in", 1), TP("in", 2)]


async def test_a_group_that_does_not_answer_ends_the_worker_with_a_sentence(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        consumer, "_thread", SimpleNamespace(seek_to_committed=asyncio.Event().wait)
    )
    monkeypatch.setattr(chunks, "SEEK_SECONDS_MAX", 0.01)
    with pytest.raises(RuntimeError, match="did not say within"):
        await consumer.perform_seek()


async def test_what_is_committed_is_what_was_applied(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever applied it: the worker that did may have died before it committed. A commit that
    failed is tried again, although nothing more is acked."""
    here, there, other = (TP("in", number) for number in range(3))
    group = {here: 4, there: 9, other: 0}
    fails = True

    class Thread:
        async def seek_to_committed(self) -> dict[TP, int | None]:
            return {tp: at or None for tp, at in group.items()}

        async def seek_wait(self, partitions: dict[TP, int]) -> None:
            assert partitions == {here: 5, there: 3, other: 0}

        def assignment(self) -> set[TP]:
            return {here, there, other}

        async def commit(self, offsets: dict[TP, int]) -> bool:
            if not fails:
                group.update(offsets)
            return not fails

    unread = {here: 5, there: 3, other: 0, TP("in", 3): 7}
    monkeypatch.setattr(consumer, "_thread", Thread())
    monkeypatch.setattr(consumer.app, "unread", lambda: unread)
    await consumer.perform_seek()
    assert not await consumer.commit()
    fails = False
    assert await consumer.commit()
    assert group == {here: 5, there: 3, other: 0}
    assert not await consumer.commit(), "there is nothing to commit"


async def test_what_is_revoked_is_let_go_of(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka swallows what fails here, and nothing of a revocation would happen."""
    revoked = set[TP]()

    async def let_go(places: set[TP]) -> None:
        revoked.update(places)

    monkeypatch.setattr(consumer, "_on_partitions_revoked", let_go)
    await consumer.on_partitions_revoked({TP("in", 0), TP("in", 1)})
    assert revoked == {TP("in", 0), TP("in", 1)}


async def test_a_partition_lost_under_a_seek_ends_nothing(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebalance that took it away seeks again."""
    sought = 0

    async def fetched(_: float) -> Any:
        return {TP("in", 0): [object()]}, {TP("in", 0)}

    async def seek() -> None:
        nonlocal sought
        sought += 1
        raise IllegalStateError("No current assignment for partition in[0]")

    monkeypatch.setattr(consumer, "_wait_next_records", fetched)
    monkeypatch.setattr(consumer, "perform_seek", seek)
    consumer.stop_flow()
    assert [found async for found in consumer.getmany(1.0)] == []
    assert sought == 1
