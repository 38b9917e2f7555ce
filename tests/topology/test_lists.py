"""The agents of the lists: what a chunk writes, refuses and lets go of."""

from datetime import timedelta
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest
from nacl.public import PrivateKey

from agents import lists, poison, releases
from agents.dead_letters import DeadLetters
from app.engine.work import Told, Work
from app.process.settings import Settings
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, SOURCE_RELEASES
from app.topics.codec import Code
from app.topology import create_app, create_lists_app
from models.events import ListedEvent, ListName, StatusEvent
from models.information import Items, Section, listed
from models.lists import Listing
from support import builders as b
from support.records import PARTITIONS, partition_of, record
from support.stores import Store
from topology.driver import Driver

KEY = PrivateKey.generate()
LETTERS = DeadLetters(bytes(KEY.public_key))
NOW = b.day(20)
ROW = lists.key_of(b.PERSON, ListName.TEMPERATURES)


def fold(store: Store, *records: Any) -> list[Told]:
    """Fold one chunk and commit it."""
    work = Work(cast(Any, store))
    lists.chunk_fold(CATALOGUE.topics[records[0].topic], LETTERS)(work, records)
    return store.commit(work)


def row(store: Store, key: bytes = ROW) -> Listing:
    return msgspec.json.decode(store[key][8:], type=Listing)


def reasons(told: list[Told]) -> list[bytes]:
    assert {t.topic for t in told} <= {DEAD_LETTERS}
    return [dict(t.headers)["yk_reason"] for t in told]


def test_a_chunk_writes_each_row_once_and_tells_nothing() -> None:
    store = Store()
    events = [b.temperature(36.4, b.day(18)), b.temperature(36.5, b.day(19))]
    assert fold(store, *(record(event, NOW, n) for n, event in enumerate(events))) == []
    assert [entry.id for entry in row(store).entries] == [events[1].id, events[0].id]
    assert int.from_bytes(store[ROW][:8], "big") == int(b.day(48).timestamp()) * 1_000_000


def test_no_code_is_judged_by_what_a_list_holds(tmp_path: Path) -> None:
    """An antibody result, say, moves no colour: no rule takes it, no worker of codes reads it."""
    assert not set(get_args(ListedEvent)) & set(get_args(StatusEvent))
    settings = Settings(data_dir=str(tmp_path))
    codes, listed = create_app(settings, "c").topics_read(), create_lists_app(settings, "c")
    listed_names = {topic.name for topic in listed.topics_read()} - {SOURCE_RELEASES}
    assert "antibody-results" in listed_names
    assert not listed_names & {topic.name for topic in codes}


def test_a_copy_writes_nothing_and_a_conflict_is_a_dead_letter() -> None:
    store = Store()
    event = b.temperature(36.4, b.day(18))
    fold(store, record(event, NOW))
    before = dict(store)
    other = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, celsius=40.0))
    told = fold(store, record(event, NOW, 1), record(other, NOW, 2))
    assert reasons(told) == [b"conflict"]
    assert store == before


def test_what_is_refused_stands_beside_what_is_not() -> None:
    store = Store()
    told = fold(
        store,
        record(b"{", NOW, 0, "temperatures", b.PERSON.encode()),
        record(b.temperature(36.4, b.day(18)), NOW, 1),
    )
    assert reasons(told) == [Code.NOT_JSON.encode()]
    assert len(row(store).entries) == 1
    assert poison.TALLY + b"temperatures" in store


def test_a_person_of_another_partition_is_refused() -> None:
    store = Store()
    stray = record(b.temperature(36.4, b.day(18)), NOW)
    stray.partition = (partition_of(b.PERSON.encode()) + 1) % PARTITIONS  # type: ignore[misc]
    assert reasons(fold(store, stray)) == [Code.WRONG_PARTITION.encode()]


def test_what_is_too_old_leaves_its_row_when_it_is_due() -> None:
    store = Store()
    key = lists.key_of(b.PERSON, ListName.DISPLAYS)
    fold(store, record(b.display(b.day(18)), NOW), record(b.display(b.day(19)), NOW, 1))
    work = Work(cast(Any, store))
    lists.advance_due(b.day(21), work, [key])
    assert store.commit(work) == []
    assert [entry.at for entry in row(store, key).entries] == [b.day(19)]
    work = Work(cast(Any, store))
    lists.advance_due(b.day(22), work, [key])
    store.commit(work)
    assert row(store, key) == Listing()
    assert int.from_bytes(store[key][:8], "big") == 0


@pytest.mark.parametrize("topic", ["declarations", "displays"])
async def test_every_topic_has_one_agent(tmp_path: Path, topic: str) -> None:
    app = create_lists_app(Settings(data_dir=str(tmp_path)), "cluster")
    lists.register(app, LETTERS)
    releases.register(app, None)
    app.finalize()
    read = sorted(name for agent in app.agents.values() for name in agent.channel.topics)
    assert read == sorted(t.name for t in app.topics_read())
    assert topic in read


# What a resident reads of a list


def temperatures(driver: Driver) -> Items:
    listing = driver.listing(ListName.TEMPERATURES)
    assert listing is not None
    return listed(listing, Section.TEMPERATURES, driver.now)


def test_a_retraction_takes_a_line_back(driver: Driver) -> None:
    wrong = b.temperature(39.9, b.day(19, 8))
    driver.send_all([wrong, b.temperature(36.5, b.day(19, 9))])
    assert len(temperatures(driver).items) == 2
    driver.send(b.temperature_retracted(wrong, b.day(19, 10)))
    [left] = temperatures(driver).items
    assert msgspec.json.decode(left.data)["celsius"] == 36.5


def test_a_person_of_many_events_is_within_the_bound_and_told_so(driver: Driver) -> None:
    first = b.day(18)
    events = [b.temperature(36.5, first + timedelta(seconds=n)) for n in range(3_000)]
    driver.send_all(events)
    answer = temperatures(driver)
    assert answer.items[0].id == events[-1].id
    assert (len(answer.items), answer.more) == (100, True)
    assert len(driver.rows("lists")[ROW]) < 64 * 1024
