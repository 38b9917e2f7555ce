"""What a chunk becomes: rows, codes, changes, dead letters; without a broker."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from faust.types import TP
from nacl.public import PrivateKey
from structlog.testing import capture_logs

from agents import lifts, people, quotas, releases, scans
from agents.dead_letters import DeadLetters
from agents.instants import microseconds
from app.engine.store import DUE, TALLY
from app.process import metrics
from app.process.settings import Settings
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    EVERY_TABLE,
    HEALTH_CODES,
    STATUS_CHANGES,
    input_topics,
)
from app.topics.codec import Code
from app.topology import create_app, whole_partitions
from models.codes import Colour, Reason
from models.events import ScanData, ScanRecorded
from models.policy import POLICIES
from support import builders as b
from support.macs import KEYS, MAC_KEY
from topology.driver import Driver, made

LETTERS = DeadLetters(bytes(PrivateKey.generate().public_key))
NOW = b.day(20)


def test_a_chunk_tells_each_change_and_each_code_once(driver: Driver) -> None:
    driver.send(b.verified())
    driver.outputs(HEALTH_CODES)
    driver.outputs(STATUS_CHANGES)
    driver.send(b.positive(b.day(2)))
    assert driver.code().colour is Colour.RED
    driver.outputs(HEALTH_CODES)
    driver.send_all([b.negative(b.day(4)), b.negative(b.day(6))])
    [code], row = driver.outputs(HEALTH_CODES), driver.row()
    assert row is not None
    assert (code.colour, code.version) == (Colour.GREEN, row.code.version)
    assert [c.after.colour for c in driver.outputs(STATUS_CHANGES)] == ["red", "green"]
    told = [*driver.records(HEALTH_CODES), *driver.records(STATUS_CHANGES)]
    assert {record.key for record in told} == {b.PERSON.encode()}


def test_a_copy_writes_and_tells_nothing(driver: Driver) -> None:
    event = b.verified()
    driver.send(event)
    before = driver.rows("people"), told(driver)
    driver.send(event, at=NOW + timedelta(hours=1))
    assert (driver.rows("people"), told(driver)) == before


def told(driver: Driver) -> list[Any]:
    return [driver.records(topic) for topic in (HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS)]


def test_what_is_refused_stands_beside_what_is_not(driver: Driver) -> None:
    driver.send_all(
        [
            made(b.verified()),
            made(b"{", "identities", key=b.PERSON),
            made(None, "identities", key=b.PERSON),
            made(b.verified(city="440300")),
        ]
    )
    letters = driver.outputs(DEAD_LETTERS)
    assert [letter.reason for letter in letters] == ["not-json", "tombstone"]
    assert [letter.offset for letter in letters] == [1, 2]
    assert [letter.value for letter in letters] == [b"{", b""]
    assert driver.code().city == "440300"


def due(driver: Driver) -> int:
    [instant] = DUE.unpack_from(driver.rows("people")[b.PERSON.encode()])
    return int(instant)


def test_a_row_that_waits_for_time_carries_its_due_instant(driver: Driver) -> None:
    end = b.day(25)
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(12), end))
    assert due(driver) == int(end.timestamp()) * 1_000_000
    driver.outputs(STATUS_CHANGES)
    driver.advance(to=end)
    [change] = driver.outputs(STATUS_CHANGES)
    assert change.at == end
    assert change.before.reasons == (Reason.HOME_QUARANTINE,)
    left = end + POLICIES[0].ended_kept
    assert due(driver) == microseconds(left)
    driver.advance(to=left)
    assert driver.outputs(STATUS_CHANGES) == []
    assert due(driver) == 0


def test_metrics_count_what_is_committed_and_nothing_else(driver: Driver) -> None:
    counter = metrics.WORKER_DEAD_LETTERS.labels(Code.NOT_JSON)
    before = counter._value.get()
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send(b"{", "identities", key=b.PERSON)
    assert counter._value.get() == before
    driver.log.fails_with = None
    driver.start()
    assert counter._value.get() == before + 1


def test_a_row_that_holds_too_much_is_counted_and_its_source_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = msgspec.structs.replace(POLICIES[0], facts_max=4, facts_reserved=2)
    monkeypatch.setattr("models.history.policy_at", lambda at: policy)
    monkeypatch.setattr("models.person.PAGE_MIN", 1)
    before = metrics.WORKER_ROWS_OVERFULL._value.get()
    orders = [b.ordered("home", b.day(2), b.day(40), order=f"Q{n}") for n in range(7)]
    with capture_logs() as lines:
        for order in orders[:6]:
            driver.send(order)
        assert metrics.WORKER_ROWS_OVERFULL._value.get() == before
        driver.send(orders[6])
    assert metrics.WORKER_ROWS_OVERFULL._value.get() == before + 1
    (line,) = [line for line in lines if line["event"] == "row_overfull"]
    assert (line["events"], line["source"], line["of_source"]) == (7, orders[0].source, 7)
    assert b.PERSON not in str(line)


@pytest.fixture
async def app(tmp_path: Path) -> Any:
    return create_app(Settings(data_dir=str(tmp_path), mac_key=MAC_KEY), "cluster")


async def test_every_input_topic_has_one_agent_and_every_table_its_changelog(app: Any) -> None:
    people.register(app, LETTERS, KEYS)
    scans.register(app, LETTERS, KEYS)
    quotas.register(app, LETTERS, KEYS)
    releases.register(app, LETTERS, KEYS)
    lifts.register(app, LETTERS, lambda: True)
    app.finalize()
    read = sorted(topic for agent in app.agents.values() for topic in agent.channel.topics)
    assert read == sorted(topic.name for topic in app.topics_read())
    assert all(agent.concurrency == 1 for agent in app.agents.values())
    assert {table.settings.changelog for table in app.held_tables} < set(CATALOGUE.topics)
    tables = {table.settings.name for table in app.held_tables}
    assert {topic.folds_into for topic in app.topics_read()} == {*tables, EVERY_TABLE}


async def test_its_tables_ask_over_one_connection_which_is_closed_with_them(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [topics] = {table._topics for table in app.held_tables}
    closed: list[str] = []

    async def close(what: str) -> dict[TP, int]:
        closed.append(what)
        return {}

    monkeypatch.setattr("app.engine.app.threading.Timer", Mock())
    monkeypatch.setattr(topics, "close", partial(close, "topics"))
    for table in app.held_tables:
        monkeypatch.setattr(table, "stop", partial(close, "table"))
    await app.on_before_shutdown.send()
    assert closed == [*["table"] * len(app.held_tables), "topics"]


def test_a_partition_without_all_its_topics_is_refused() -> None:
    topics = input_topics()
    every = {TP(topic.name, 2) for topic in topics}
    assert whole_partitions(topics, every) == {2}
    with pytest.raises(RuntimeError, match=r"scans\[2\]"):
        whole_partitions(topics, every - {TP("scans", 2)})


def test_a_scan_changes_nothing_and_a_bad_one_is_a_dead_letter(driver: Driver) -> None:
    data = ScanData("T-1", "Gate 1", NOW)
    scan = b.make(ScanRecorded, data, at=NOW, source="/terminals/440100-0001")
    driver.send_all([made(scan), made(b"{", "scans", key=b.PERSON)])
    assert list(driver.rows("scans")) == [TALLY + b"scans"]
    assert [len(each) for each in told(driver)] == [0, 0, 1]
    assert driver.records("parked") == []
