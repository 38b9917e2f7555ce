"""What a worker says of its partitions: which are held, how, and what stands still."""

import time

import msgspec
import pytest
from aiokafka import TopicPartition

from app.engine.halts import Halt, HeldPartition, halt_of
from app.topics.ahead import Ahead
from app.topology import TableApp
from app.worker.lag import (
    SHORTER_SECONDS,
    SILENT_SECONDS,
    STALLED_SECONDS,
    EndLostError,
    WorkerLag,
)
from app.worker.partitions import halted_inputs, held_partitions, remarks_on
from support import builders as b
from support.brokers import NO_BROKERS
from topology.driver import HERE, START, Driver, made
from topology.test_poison import TOPIC

RUBBISH = TopicPartition(TOPIC, HERE)


@pytest.fixture
def app(driver: Driver) -> TableApp:
    """A worker that has applied 99 of a laboratory's results, and stands still at the next."""
    driver.send_all([made(b.negative(b.day(2))) for _ in range(99)])
    [worker] = driver._workers.values()
    worker.app.held_tables[0].lanes.halt(
        Halt("people", HERE, TOPIC, 99, False, "it cannot be folded", START)
    )
    return worker.app


def states(app: TableApp) -> dict[str, HeldPartition]:
    held = msgspec.json.decode(held_partitions(app), type=list[HeldPartition])
    assert [each.partition for each in held] == [HERE] * len(app.held_tables)
    return {each.table: each for each in held}


def test_each_partition_has_a_state_and_its_halts(app: TableApp) -> None:
    people, scans = states(app)["people"], states(app)["scans"]
    assert (people.state, scans.state) == ("halted", "live")
    [halt] = people.halts
    assert (halt.topic, halt.offset, halt.whole) == (TOPIC, 99, False)
    assert scans.halts == []
    assert remarks_on(app) == [str(halt)]
    held = app.held_tables[0].held[HERE]
    held.lost = True
    assert states(app)["people"].state == "fenced"
    held.live.clear()
    assert states(app)["people"].state == "being-taken"
    assert states(app)["people"].halts == [halt]
    held.lost = False
    held.live.set()


def test_a_halt_holds_up_its_topic_or_all_that_its_table_reads(app: TableApp) -> None:
    assert halted_inputs(app) == {RUBBISH}
    app.held_tables[0].lanes.halt(_bug())
    assert halted_inputs(app) == {
        TopicPartition(topic.name, HERE)
        for topic in app.topics_read()
        if topic.folds_into == "people"
    }, "a release does not wait"


def test_what_stands_still_does_not_make_its_worker_unready(app: TableApp) -> None:
    """And what stalls beside it does."""
    lag = WorkerLag(app, NO_BROKERS)
    other = TopicPartition("case-reports", HERE)
    lag._asked_at = time.monotonic()
    lag._behind = {RUBBISH: 51, other: 7}
    lag._moved_at = dict.fromkeys(lag._behind, time.monotonic() - 2 * STALLED_SECONDS)
    [reason] = lag.reasons()
    assert reason.startswith(f"case-reports[{HERE}]: 7 records to apply")
    lag._behind.pop(other)
    assert lag.reasons() == []


def test_a_partition_of_which_no_end_is_known_is_named(
    app: TableApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag, now = WorkerLag(app, NO_BROKERS), time.monotonic()
    monkeypatch.setattr("app.worker.lag.time.monotonic", lambda: now)
    applied = lag._applied_offsets()
    ends = {tp: offset + 1 for tp, offset in applied.items()}
    ends.pop(RUBBISH)
    for _ in range(2):
        lag._asked_at = now
        lag._compare(ends)
        reasons = lag.reasons()
        now += SILENT_SECONDS + 1
    lag._asked_at = now
    assert reasons == [f"{TOPIC}[{HERE}]: Kafka does not say where it ends for 11 s."]
    lag._compare(ends | {RUBBISH: 150})
    assert lag.reasons() == []


def test_a_partition_that_was_given_up_and_comes_back_has_not_stood_meanwhile(
    app: TableApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag, now = WorkerLag(app, NO_BROKERS), time.monotonic()
    monkeypatch.setattr("app.worker.lag.time.monotonic", lambda: now)
    ends = {tp: offset + 8 for tp, offset in lag._applied_offsets().items() if tp != RUBBISH}
    lag._asked_at = now
    lag._compare(ends)
    lag._empty = dict.fromkeys(ends, (0, 1))
    lag._held_up = dict.fromkeys(ends, Ahead(1, 2, is_open=True))
    with monkeypatch.context() as while_away:
        for table in app.held_tables:
            while_away.setattr(table, "held", {})
        lag._compare(ends)
        for kept in (lag._applied, lag._moved_at, lag._behind, lag._held_up, lag._empty):
            assert not kept, "bounded by what is held"
    now += 2 * STALLED_SECONDS
    lag._asked_at = now
    lag._compare(ends)
    assert lag.reasons() == []


def test_an_input_that_has_lost_its_end_ends_the_worker(
    app: TableApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no end that was only asked for before a record was applied, nor a leader's that has just
    been elected."""
    lag, now = WorkerLag(app, NO_BROKERS), time.monotonic()
    monkeypatch.setattr("app.worker.lag.time.monotonic", lambda: now)
    applied = lag._applied_offsets()
    lag._compare({RUBBISH: applied[RUBBISH]})
    now += SHORTER_SECONDS + 1
    lag.check()
    lag._compare({RUBBISH: applied[RUBBISH]})
    lag.check()
    lag._compare({RUBBISH: applied[RUBBISH] + 1})
    now += SHORTER_SECONDS + 1
    lag.check()
    lag._compare({RUBBISH: 40})
    now += SHORTER_SECONDS + 1
    lag._compare({RUBBISH: 42})
    with pytest.raises(EndLostError, match=rf"{TOPIC}\[{HERE}\] ends at offset 40, and offset 98"):
        lag.check()


def _bug() -> Halt:
    try:
        raise KeyError("p1-someone")
    except KeyError as error:
        return halt_of("people", HERE, "identities", 0, error)
