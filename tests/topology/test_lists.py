"""The agents of the lists: what a chunk writes, refuses and lets go of."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from nacl.public import PrivateKey

from agents import lists, releases
from agents.dead_letters import DeadLetters
from app.engine.store import DUE, TALLY
from app.process.settings import Settings
from app.topics.catalogue import DEAD_LETTERS, SOURCE_RELEASES
from app.topics.codec import Code
from app.topology import create_app, create_lists_app
from models.events import ListedEvent, ListName, StatusEvent
from models.information import Items, Section, listed
from models.lists import Listing
from support import builders as b
from support.macs import KEYS, MAC_KEY
from topology.driver import Driver, made

LETTERS = DeadLetters(bytes(PrivateKey.generate().public_key))
ROW = lists.key_of(b.PERSON, ListName.TEMPERATURES)


def row(driver: Driver, name: ListName = ListName.TEMPERATURES) -> Listing:
    listing = driver.listing(name)
    assert listing is not None
    return listing


def reasons(driver: Driver) -> list[str]:
    return [letter.reason for letter in driver.outputs(DEAD_LETTERS)]


def due(driver: Driver, key: bytes) -> int:
    [instant] = DUE.unpack_from(driver.rows("lists")[key])
    return int(instant)


def test_a_chunk_writes_each_row_once_and_tells_nothing(driver: Driver) -> None:
    events = [b.temperature(36.4, b.day(18)), b.temperature(36.5, b.day(19))]
    driver.send_all(events)
    written = [record.key for record in driver.records("yuekang-lists-changelog")]
    assert written == [ROW, b"\x00place:temperatures", b"\x00topic:temperatures"]
    assert driver.log.topics() == {"temperatures", "yuekang-lists-changelog"}, "nothing is told"
    assert [entry.id for entry in row(driver).entries] == [events[1].id, events[0].id]
    assert due(driver, ROW) == int(b.day(48).timestamp()) * 1_000_000


def test_no_code_is_judged_by_what_a_list_holds(tmp_path: Path) -> None:
    """An antibody result, say, moves no colour: no rule takes it, no worker of codes reads it."""
    assert not set(get_args(ListedEvent)) & set(get_args(StatusEvent))
    settings = Settings(data_dir=str(tmp_path), mac_key=MAC_KEY)
    codes, listed = create_app(settings, "c").topics_read(), create_lists_app(settings, "c")
    listed_names = {topic.name for topic in listed.topics_read()} - {SOURCE_RELEASES}
    assert "antibody-results" in listed_names
    assert not listed_names & {topic.name for topic in codes}


def test_a_copy_writes_nothing_and_a_conflict_is_a_dead_letter(driver: Driver) -> None:
    event = b.temperature(36.4, b.day(18))
    driver.send(event)
    before = driver.rows("lists")
    other = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, celsius=40.0))
    driver.send_all([event, other])
    assert reasons(driver) == ["conflict"]
    assert driver.rows("lists") == before


def test_what_is_refused_stands_beside_what_is_not(driver: Driver) -> None:
    valid = b.temperature(36.4, b.day(18))
    driver.send_all([made(b"{", "temperatures", key=b.PERSON), made(valid)])
    assert reasons(driver) == [Code.NOT_JSON]
    assert len(row(driver).entries) == 1
    assert TALLY + b"temperatures" in driver.rows("lists")


def test_what_is_too_old_leaves_its_row_when_it_is_due(driver: Driver) -> None:
    key = lists.key_of(b.PERSON, ListName.DISPLAYS)
    driver.send_all([b.display(b.day(18)), b.display(b.day(19))])
    driver.advance(to=b.day(21))
    assert [entry.at for entry in row(driver, ListName.DISPLAYS).entries] == [b.day(19)]
    driver.advance(to=b.day(22))
    assert row(driver, ListName.DISPLAYS) == Listing()
    assert due(driver, key) == 0
    assert driver.log.topics() == {"displays", "yuekang-lists-changelog"}, "nothing is told"


@pytest.mark.parametrize("topic", ["declarations", "displays"])
async def test_every_topic_has_one_agent(tmp_path: Path, topic: str) -> None:
    app = create_lists_app(Settings(data_dir=str(tmp_path), mac_key=MAC_KEY), "cluster")
    lists.register(app, LETTERS, KEYS, lambda: True)
    releases.register(app, None, KEYS)
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
