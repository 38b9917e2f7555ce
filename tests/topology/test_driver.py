"""What the driver promises to every other test here, and what its Kafka in memory does."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from textwrap import dedent
from typing import Any, NoReturn

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from app.topics.catalogue import CATALOGUE, SOURCE_RELEASES, partition_of
from app.topics.codec import encode
from app.topics.records import structured
from models.codes import Colour
from models.events import ListName
from models.operators import released
from support import builders as b
from support.log import Consumer, Log, Producer
from support.macs import MAC_KEY
from support.records import PARTITIONS
from support.views import someone
from topology import driver as module
from topology.driver import HERE, START, Driver, made

TOPIC, BAD = "laboratory-results", "/laboratories/440100-666"


def of_partition(number: int) -> str:
    """The same person for each partition, every time."""
    random = Random(number)
    while partition_of((person := someone(random)).encode(), PARTITIONS) != number:
        pass
    return person


def bad(source: str = BAD) -> Any:
    value = encode(b.negative(b.day(2), source=source)).replace(b"negative", b"probably")
    return made(value, TOPIC, key=b.PERSON)


def test_the_first_test_in_the_docstring_passes_and_has_ten_lines(driver: Driver) -> None:
    assert module.__doc__ is not None
    example = [line for line in module.__doc__.splitlines() if line.startswith("    ")]
    assert len(example) == 10
    names: dict[str, Any] = {}
    exec(dedent("\n".join(example)), names)
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    test(driver)


# Records


def test_a_record_lies_where_its_key_says_and_is_stamped_with_the_clock(driver: Driver) -> None:
    for number in range(CATALOGUE.partitions):
        sent = driver.send(b.verified(person=of_partition(number)), at=START + timedelta(hours=1))
        assert (sent.topic, sent.partition, sent.offset) == ("identities", number, 0)
        assert sent.timestamp == (START + timedelta(hours=1)).timestamp() * 1000
    assert driver.send(b.verified(), partition=1).partition == 1
    assert driver.send(b.verified()).offset == 3, "after what was forwarded, and a marker"


def test_offsets_that_no_reader_gets_are_passed_over(driver: Driver) -> None:
    place = TopicPartition("identities", HERE)
    driver.log.mark(place)
    driver.send(b.verified(city="440100"))
    driver.log.mark(place)
    assert driver.send(b.verified(city="440300")).offset == 3
    assert driver.code().city == "440300"
    assert driver.committed("identities", HERE) == 4
    assert driver.store("people", HERE).applied_offset("identities") == 3
    told = [record.offset for record in driver.records("health-codes")]
    assert told == [0, 2], "a transaction's end takes one as well"


def test_what_is_sent_together_is_one_chunk_of_each_topic_partition(driver: Driver) -> None:
    other = of_partition((HERE + 1) % CATALOGUE.partitions)
    driver.send_all(
        [
            b.verified(),
            b.negative(b.day(2)),
            b.verified(city="440300"),
            b.verified(person=other),
            b.negative(b.day(4)),
        ]
    )
    assert folded(driver) == ["identities", "laboratory-results", "identities"]
    cities = [code.city for code in driver.outputs("health-codes") if code.person == b.PERSON]
    assert cities == ["440300"], "of a chunk the newest code alone is told"


def folded(driver: Driver) -> list[str]:
    """The topics whose chunks were folded into the people table, in order."""
    begin = b"\x00place:"
    keys = [record.key or b"" for record in driver.records("yuekang-people-changelog")]
    return [key.removeprefix(begin).decode() for key in keys if key.startswith(begin)]


@pytest.mark.parametrize("builders", [(b.verified, b.negative), (b.negative, b.verified)])
def test_of_several_topics_what_was_sent_first_is_taken_first(
    driver: Driver, builders: tuple[Any, Any]
) -> None:
    """Of what is sent together, and of what waited for a worker."""
    for waits in (False, True):
        person = someone()
        events = [build(b.day(1), person=person) for build in builders]
        if waits:
            driver.stop()
        driver.send_all(events)
        if waits:
            assert driver.changes(person) == []
            driver.start()
        assert folded(driver)[-2:] == [structured(event).topic for event in events]


def test_a_topic_that_every_partition_has_is_sent_to_each(driver: Driver) -> None:
    driver.send(
        msgspec.json.encode(released(BAD, "r", START, "/operators/chen")), SOURCE_RELEASES, key=BAD
    )
    assert sorted(record.partition for record in driver.records(SOURCE_RELEASES)) == [0, 1, 2, 3]
    assert [driver.committed(SOURCE_RELEASES, n) for n in range(4)] == [1] * 4


def test_outputs_are_those_since_they_were_asked_for_and_records_are_all(driver: Driver) -> None:
    driver.send(b.verified())
    assert [code.colour for code in driver.outputs("health-codes")] == [Colour.GREEN]
    driver.send(b.positive(b.day(2)))
    away, counted = driver.outputs("health-codes")
    assert (away.colour, counted.colour) == (Colour.GREEN, Colour.RED)
    assert driver.outputs("health-codes") == []
    assert len(driver.records("health-codes")) == 3
    driver.send(b"{", "identities", key=b.PERSON, headers=[("trace", b"7")])
    [letter] = driver.outputs("dead-letters")
    assert (letter.reason, letter.value, letter.offset) == ("not-json", b"{", 1)
    assert datetime.fromisoformat(letter.headers["yk_time"]) == START, "the agents' clock as well"


def test_a_list_is_kept_by_the_lists_worker(driver: Driver) -> None:
    driver.send(b.temperature(36.5, b.day(19)))
    listing = driver.listing(ListName.TEMPERATURES)
    assert listing is not None
    assert len(listing.entries) == 1
    assert driver.listing(ListName.DISPLAYS) is None


# Time


def test_what_falls_due_is_told_in_due_order_each_at_its_instant(driver: Driver) -> None:
    ends = {of_partition(n): b.day(25 - n, 3, 17) for n in range(CATALOGUE.partitions)}
    for person, end in ends.items():
        driver.send(b.verified(person=person))
        driver.send(b.ordered("home", b.day(12), end, person=person))
    driver.outputs("status-changes")
    driver.advance(by=timedelta(days=30))
    told = driver.outputs("status-changes")
    assert [(change.person, change.at) for change in told] == list(reversed(ends.items()))
    stamps = [record.timestamp for record in driver.records("status-changes")][-len(ends) :]
    assert stamps == [end.timestamp() * 1000 for end in reversed(ends.values())]
    assert driver.now == START + timedelta(days=30)


def test_sending_at_an_instant_advances_first(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(12), b.day(25)))
    driver.send(b.positive(b.day(24)), at=b.day(25))
    colours = [change.after.colour for change in driver.changes()]
    assert colours == [Colour.GREEN, Colour.RED, Colour.GREEN, Colour.RED]


def test_the_clock_does_not_go_back(driver: Driver) -> None:
    with pytest.raises(ValueError, match="does not go back"):
        driver.advance(to=START - timedelta(seconds=1))


def test_a_code_is_read_at_any_instant_without_moving_the_clock(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(12), b.day(25)))
    assert driver.code(at=b.day(26)).colour is Colour.GREEN
    assert (driver.code().colour, driver.now) == (Colour.RED, START)


# Processes


def lived(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(b.positive(b.day(2)))
    driver.send_all([bad()] * 5)
    driver.send(b.temperature(36.5, b.day(19)))


def test_the_store_is_what_the_changelog_says(driver: Driver) -> None:
    lived(driver)
    for table in ("people", "lists"):
        rows = driver.rows(table)
        assert rows
        assert driver.store(table, HERE).get_many(list(rows)) == list(rows.values())


@pytest.mark.parametrize("again", [Driver.restart, Driver.lose_store])
def test_a_new_process_has_what_the_old_one_left_and_tells_nothing(
    driver: Driver, again: Any
) -> None:
    lived(driver)
    topics = ("health-codes", "status-changes", "dead-letters", "yuekang-people-changelog")
    before = driver.row(), driver.tally(TOPIC), [driver.records(topic) for topic in topics]
    offset = driver.store("people", HERE).offset
    again(driver)
    assert (driver.row(), driver.tally(TOPIC), [driver.records(t) for t in topics]) == before
    assert driver.store("people", HERE).offset == offset
    driver.send(b.negative(b.day(4)))
    driver.send(b.negative(b.day(6)))
    assert driver.code().colour is Colour.GREEN


def test_while_no_worker_runs_records_wait_and_nobody_looks(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(12), b.day(25)))
    driver.stop()
    driver.send(b.positive(b.day(2)), at=b.day(21))
    driver.advance(to=b.day(28))
    assert len(driver.changes()) == 2
    driver.start()
    reasons = [len(change.after.reasons) for change in driver.changes()]
    assert (reasons, [c.at for c in driver.changes()][-1]) == ([0, 1, 2, 1], b.day(25))


def test_what_fell_due_while_no_worker_ran_is_told_once_with_its_instant(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(12), b.day(25)))
    driver.stop()
    driver.advance(to=b.day(26))
    driver.start()
    driver.restart()
    assert [change.at for change in driver.changes()][2:] == [b.day(25)]
    assert driver.records("status-changes")[-1].timestamp == b.day(26).timestamp() * 1000


def test_what_comes_again_is_left_out(driver: Driver) -> None:
    lived(driver)
    before = [driver.rows("people"), driver.records("dead-letters"), driver.changes()]
    driver.redeliver()
    driver.redeliver(TOPIC, since=1)
    driver.restart()
    driver.redeliver()
    assert [driver.rows("people"), driver.records("dead-letters"), driver.changes()] == before


def test_what_would_end_the_process_is_raised_and_ends_it(driver: Driver) -> None:
    driver.send(b.verified())
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send(b.positive(b.day(2)))
    assert not driver.running
    with pytest.raises(OSError, match="gone"):
        driver.start()
    assert driver.committed(TOPIC, HERE) == 0


def unfolded(*_: object) -> NoReturn:
    raise KeyError("a bug")


def test_what_stands_still_is_listed_and_comes_again_to_the_next_worker(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.people.fold", unfolded)
    driver.send(b.verified())
    assert [halt.topic for halt in driver.halts] == ["identities"]
    assert driver.committed("identities", HERE) == 0
    driver.stop()
    driver.start()
    assert sorted(str(halt.topic) for halt in driver.halts) == ["identities"]


def test_what_is_not_committed_comes_to_the_next_worker(driver: Driver) -> None:
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send(b.verified())
    assert (driver.records("health-codes"), driver.committed("identities", HERE)) == ([], 0)
    driver.log.fails_with = None
    driver.start()
    assert driver.code().colour is Colour.GREEN


def test_settings_are_the_workers(folder: Path) -> None:
    with Driver(folder, mac_key_version=2, former_mac_key=MAC_KEY) as driver:
        driver.send(b.verified())
        assert driver.code().colour is Colour.GREEN
        [code] = driver.records("health-codes")
        assert dict(code.headers)["yk_mac"].startswith(b"2 /yuekang ")


# Its Kafka


SETTINGS: dict[str, Any] = {"transactional_id": "people-0", "max_batch_size": 100}


async def send(producer: Producer, *values: bytes) -> None:
    await producer.begin_transaction()
    batch = producer.create_batch()
    for value in values:
        assert batch.append(key=b"k", value=value, timestamp=None, headers=()) is not None
    await producer.send_batch(batch, "out", partition=0)


def values(log: Log) -> list[bytes | None]:
    return [record.value for record in log.all_of("out")]


async def test_a_transaction_is_seen_when_it_is_committed_and_never_when_it_is_not() -> None:
    log = Log(lambda: START)
    producer, other = (Producer(log, **{**SETTINGS, "transactional_id": n}) for n in "ab")
    await producer.start()
    await other.start()
    await send(producer, b"1", b"2")
    await send(other, b"3")
    await other.commit_transaction()
    assert values(log) == [], "what is behind an open one waits for it"
    assert log.end(TopicPartition("out", 0)) == 0
    await producer.commit_transaction()
    assert values(log) == [b"1", b"2", b"3"]
    await send(producer, b"4")
    await producer.stop()
    assert values(log) == [b"1", b"2", b"3"]
    assert log.end(TopicPartition("out", 0)) == 7, "four records and three ends"


async def test_a_producers_successor_aborts_what_is_open_and_shuts_it_out() -> None:
    log = Log(lambda: START)
    old, new = Producer(log, **SETTINGS), Producer(log, **SETTINGS)
    await old.start()
    await send(old, b"lost")
    await new.start()
    for write in (old.begin_transaction, old.commit_transaction):
        with pytest.raises(ProducerFenced):
            await write()
    await send(new, b"kept")
    await old.stop()
    await new.commit_transaction()
    assert values(log) == [b"kept"]


async def test_a_consumer_reads_to_the_end_in_parts() -> None:
    log, place = Log(lambda: START), TopicPartition("out", 0)
    for number in range(5):
        log.append(place, b"k", b"%d" % number)
        log.mark(place)
    consumer = Consumer(log, isolation_level="read_committed")
    consumer.assign([place])
    consumer.seek(place, 1)
    [end] = (await consumer.end_offsets([place])).values()
    positions, read = [await consumer.position(place)], list[bytes | None]()
    while positions[-1] < end:
        fetched = await consumer.getmany(timeout_ms=1, max_records=2)
        read += [record.value for record in fetched.get(place, ())]
        positions.append(await consumer.position(place))
    assert read == [b"1", b"2", b"3", b"4"]
    assert (end, all(one < other for one, other in pairwise(positions))) == (10, True)
    assert await consumer.topics() == {"out"}
    log.delete("out")
    assert log.end(place) == 0


def test_a_batch_takes_what_fits_and_one_record_of_any_size() -> None:
    batch = Producer(Log(lambda: START), **SETTINGS).create_batch()
    fields: Any = {"key": None, "timestamp": None, "headers": ()}
    assert batch.append(value=b"x" * 500, **fields) is not None
    assert batch.append(value=b"x", **fields) is None
    assert batch.record_count() == 1
