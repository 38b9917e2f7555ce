"""What a chunk becomes: rows, codes, changes, dead letters; without a broker."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from faust.types import TP
from nacl.public import PrivateKey

from agents import lifts, people, poison, releases, scans
from agents.dead_letters import DeadLetters
from agents.instants import microseconds
from app.engine.work import Told, Work
from app.process import metrics
from app.process.settings import Settings
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, EVERY_TABLE, HEALTH_CODES, STATUS_CHANGES
from app.topics.codec import Code
from app.topology import create_app, input_topics, whole_partitions
from models.codes import Colour, HealthCode, Reason
from models.events import ScanData, ScanRecorded
from models.person import Person
from models.policy import POLICIES
from support import builders as b
from support.records import record
from support.stores import Store, of

KEY = PrivateKey.generate()
LETTERS = DeadLetters(bytes(KEY.public_key))
NOW = b.day(20)


def fold(store: Store, *records: Any) -> list[Told]:
    """Fold one chunk and commit it."""
    work = Work(cast(Any, store))
    people.chunk_fold(CATALOGUE.topics[records[0].topic], LETTERS)(work, records)
    return store.commit(work)


def row(store: Store) -> Person:
    return msgspec.msgpack.decode(store[b.PERSON.encode()][8:], type=Person)


def test_a_chunk_tells_each_change_and_each_code_once() -> None:
    store = Store()
    fold(store, record(b.verified(), NOW))
    told = fold(
        store,
        record(b.positive(b.day(2)), NOW, 1),
        record(b.negative(b.day(4)), NOW, 2),
        record(b.negative(b.day(6)), NOW, 3),
    )
    [code] = [msgspec.convert(c, HealthCode) for c in of(told, HEALTH_CODES)]
    assert (code.colour, code.version) == (Colour.GREEN, row(store).code.version)
    assert [c["data"]["after"]["colour"] for c in of(told, STATUS_CHANGES)] == ["red", "green"]
    assert {t.key for t in told} == {b.PERSON.encode()}


def test_a_copy_writes_and_tells_nothing() -> None:
    store = Store()
    event = b.verified()
    fold(store, record(event, NOW))
    before = dict(store)
    assert fold(store, record(event, NOW + timedelta(hours=1), 1)) == []
    assert store == before


def test_what_is_refused_stands_beside_what_is_not() -> None:
    store = Store()
    told = fold(
        store,
        record(b.verified(), NOW),
        record(b"{", NOW, 1, "identities", b.PERSON.encode()),
        record(None, NOW, 2, "identities", b.PERSON.encode()),
        record(b.verified(city="440300"), NOW, 3),
    )
    letters = [t for t in told if t.topic == DEAD_LETTERS]
    assert [dict(t.headers)["yk_reason"] for t in letters] == [b"not-json", b"tombstone"]
    assert [dict(t.headers)["yk_offset"] for t in letters] == [b"1", b"2"]
    assert [t.value for t in letters] == [b"{", b""]
    assert row(store).code.city == "440300"


def test_a_row_that_waits_for_time_carries_its_due_instant() -> None:
    store = Store()
    end = b.day(25)
    fold(store, record(b.verified(), NOW))
    fold(store, record(b.ordered("home", b.day(12), end), NOW))
    due = int.from_bytes(store[b.PERSON.encode()][:8], "big")
    assert due == int(end.timestamp()) * 1_000_000
    work = Work(cast(Any, store))
    people.advance_due(end, LETTERS)(work, [b.PERSON.encode()])
    told = store.commit(work)
    [change] = of(told, STATUS_CHANGES)
    assert datetime.fromisoformat(change["data"]["at"]) == end
    assert change["data"]["before"]["reasons"] == [int(Reason.HOME_QUARANTINE)]
    left = end + POLICIES[0].ended_kept
    assert int.from_bytes(store[b.PERSON.encode()][:8], "big") == microseconds(left)
    people.advance_due(left, LETTERS)(work := Work(cast(Any, store)), [b.PERSON.encode()])
    assert of(store.commit(work), STATUS_CHANGES) == []
    assert int.from_bytes(store[b.PERSON.encode()][:8], "big") == 0


def test_metrics_count_what_is_committed_and_nothing_else() -> None:
    counter = metrics.WORKER_DEAD_LETTERS.labels(Code.NOT_JSON)
    before = counter._value.get()
    work = Work(cast(Any, Store()))
    people.chunk_fold(CATALOGUE.topics["identities"], LETTERS)(
        work, [record(b"{", NOW, 0, "identities", b.PERSON.encode())]
    )
    assert counter._value.get() == before
    work.committed()
    assert counter._value.get() == before + 1


@pytest.fixture
async def app(tmp_path: Path) -> Any:
    return create_app(Settings(data_dir=str(tmp_path)), "cluster")


async def test_every_input_topic_has_one_agent_and_every_table_its_changelog(app: Any) -> None:
    people.register(app, LETTERS)
    scans.register(app, LETTERS)
    releases.register(app, LETTERS)
    lifts.register(app, LETTERS)
    app.finalize()
    read = sorted(topic for agent in app.agents.values() for topic in agent.channel.topics)
    assert read == sorted(topic.name for topic in app.topics_read())
    assert all(agent.concurrency == 1 for agent in app.agents.values())
    assert {table.settings.changelog for table in app.held_tables} < set(CATALOGUE.topics)
    tables = {table.settings.name for table in app.held_tables}
    assert {topic.folds_into for topic in app.topics_read()} == {*tables, EVERY_TABLE}


def test_a_partition_without_all_its_topics_is_refused() -> None:
    topics = input_topics()
    every = {TP(topic.name, 2) for topic in topics}
    assert whole_partitions(topics, every) == {2}
    with pytest.raises(RuntimeError, match=r"scans\[2\]"):
        whole_partitions(topics, every - {TP("scans", 2)})


def test_a_scan_changes_nothing_and_a_bad_one_is_a_dead_letter() -> None:
    data = ScanData("T-1", "Gate 1", NOW)
    scan = b.make(ScanRecorded, data, at=NOW, source="/terminals/440100-0001")
    work = Work(cast(Any, Store()))
    check = scans.chunk_check(LETTERS)
    check(work, [record(scan, NOW), record(b"{", NOW, 1, "scans", b.PERSON.encode())])
    assert list(work.rows) == [poison.TALLY + b"scans"]
    assert [t.topic for t in work.told] == [DEAD_LETTERS]
