"""Whatever becomes of workers, what they leave is what a pure replay of the input says."""

from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from app.development.sample.broken import BREAKAGES
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    HEALTH_CODES,
    PARKED,
    STATUS_CHANGES,
    input_topics,
)
from app.topics.records import Record
from models.codes import HealthCode
from oracle import replay
from support import builders as b
from support.views import someone
from topology.driver import Driver, made

LABORATORY, BAD = "/laboratories/440100-001", "/laboratories/440100-666"


def lives(random: Random, people: int) -> list[Record]:
    """A life for each of many: red one way or another, some of it taken back, some of it broken."""
    sent: list[Any] = []
    for number in range(people):
        person = someone(random)
        sent.append(b.verified(person=person))
        positive = b.positive(b.day(2), person=person, source=LABORATORY)
        negative = b.negative(b.day(4), person=person, source=LABORATORY)
        match number % 6:
            case 0:
                sent += [positive, b.retracted(positive, b.day(3), person=person)]
            case 1:
                sent += [positive, positive, negative, b.negative(b.day(6), person=person)]
            case 2:
                sent += [b.provincial("red", b.day(2), person=person)]
                sent += [b.provincial("green", b.day(3), person=person)]
            case 3:
                sent += [b.contact(b.day(2), person=person), b.suspected(b.day(4), person=person)]
            case 4:
                sent += [negative, random.choice(BREAKAGES).record(negative)]
            case 5:
                sent += [b.ordered("home", b.day(12), b.day(21 + number % 9), person=person)]
    return [made(each) for each in sent]


def lost_store(driver: Driver, _: Random) -> None:
    driver.lose_store()


def went_on(driver: Driver, _: Random) -> None:
    driver.restart()


def came_again(driver: Driver, random: Random) -> None:
    driver.redeliver(random.choice([None, "identities"]), since=random.randrange(20))


def failed(driver: Driver, _: Random) -> None:
    """A commit that does not get to the log ends the worker; the next one begins there."""
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send(b.verified())
    driver.log.fails_with = None
    driver.start()


def was_away(driver: Driver, _: Random) -> None:
    driver.stop()
    driver.advance(by=timedelta(days=1))
    driver.start()


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_fail_leave_what_a_replay_says(driver: Driver, seed: int) -> None:
    random = Random(seed)
    left = lives(random, 120)
    poison = [made(b'{"source":"' + BAD.encode() + b'"', "laboratory-results", key="k")] * 130
    while left:
        count = random.randrange(1, 40)
        driver.send_all(left[:count], at=driver.now + timedelta(minutes=random.randrange(300)))
        left = left[count:]
        random.choice([lost_store, went_on, came_again, failed, was_away])(driver, random)
        driver.send_all(poison[:20])
        poison = poison[20:]
    driver.advance(by=timedelta(days=30))

    inputs = [
        record
        for topic in input_topics()
        if topic.folds_into == "people"
        for record in driver.records(topic.name)
    ]
    dead, aside = driver.outputs(DEAD_LETTERS), driver.outputs(PARKED)
    refused = {place(letter) for letter in dead if letter.headers["yk_refused"] == "true"}
    parked = {place(letter) for letter in aside}
    assert refused & parked == set()
    assert len(parked) == len(aside) > 0
    expected, count = replay.replay(inputs, parked)
    assert len(refused) == count == sum(x.headers["yk_refused"] == "true" for x in dead)
    changelog = driver.records("yuekang-people-changelog")
    found = replay.table(changelog)
    assert replay.differences(expected, found) == []
    assert replay.broken_chains(driver.records(STATUS_CHANGES), found) == []
    codes = {
        key.decode(): msgspec.json.decode(value, type=HealthCode)
        for key, value in replay.newest(driver.records(HEALTH_CODES)).items()
    }
    assert codes == {person: row.code for person, row in found.items() if row.code.version}
    for number in range(CATALOGUE.partitions):
        rows = driver.rows("people", number)
        assert driver.store("people", number).get_many(list(rows)) == list(rows.values())


def place(letter: Any) -> tuple[str, int, int]:
    said = letter.headers
    return said["yk_topic"], int(said["yk_partition"]), int(said["yk_offset"])
