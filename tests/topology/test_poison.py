"""A source that sends too much poison is put aside, and nothing else is; without a broker."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from app.engine.store import TALLY
from app.process import metrics
from app.topics.catalogue import DEAD_LETTERS, PARKED, SOURCE_RELEASES
from app.topics.codec import encode
from app.topics.letters import letter_in
from app.topics.records import Record, binary
from models.codes import Colour
from models.events import ScanData, ScanRecorded
from models.sources import LEFT_ASIDE_MAX, Tally, released
from support import builders as b
from topology.driver import HERE, START, Driver, made

TOPIC = "laboratory-results"
GOOD, BAD = "/laboratories/440100-001", "/laboratories/440100-666"


def good(source: str = GOOD) -> Record:
    return made(b.negative(b.day(2), source=source))


def bad(source: str = BAD) -> Record:
    value = encode(b.negative(b.day(2), source=source)).replace(b"negative", b"probably")
    return made(value, TOPIC, key=b.PERSON)


def unreadable() -> Record:
    return made(b"\x00\x01 not an event", TOPIC, key=b.PERSON)


def offsets(driver: Driver, topic: str) -> list[int]:
    """Return which records went to `topic` since this was asked last, by their offsets."""
    return [letter.offset for letter in driver.outputs(topic)]


def sources(driver: Driver) -> list[str]:
    """Return whose events are in the person's row."""
    row = driver.row()
    assert row is not None
    return [fact.source for fact in row.facts]


def test_a_clean_chunk_writes_no_tally(driver: Driver) -> None:
    driver.send_all([good() for _ in range(50)])
    assert not any(key.startswith(b"\x00") for key in driver.rows("people"))


def test_from_its_limit_on_a_source_is_put_aside_and_the_others_go_on(driver: Driver) -> None:
    driver.send_all([*(bad() for _ in range(105)), good(), good(BAD), bad(), good()])
    assert offsets(driver, DEAD_LETTERS) == list(range(100))
    assert offsets(driver, PARKED) == [100, 101, 102, 103, 104, 106, 107]
    assert driver.tally(TOPIC).parked == {BAD: 99}
    assert sources(driver) == [GOOD, GOOD]


def test_what_is_put_aside_has_all_that_sending_it_again_needs(driver: Driver) -> None:
    sent = binary(b.negative(b.day(2), source=BAD))
    extra = [(f"trace-{n}", b"x") for n in range(40)]
    aside = made(sent, headers=[*extra, *sent.headers]), bad()
    driver.send_all([*(bad() for _ in range(100)), *aside])
    valid, invalid = driver.outputs(PARKED)
    assert (valid.key, valid.value) == (sent.key, sent.value)
    assert set(sent.headers) <= set(valid.within.own_headers), "they come before other headers"
    assert valid.headers["yk_source"] == BAD
    assert (valid.headers["yk_topic"], valid.headers["yk_offset"]) == (TOPIC, "100")
    assert (valid.reason, valid.headers["yk_refused"]) == ("parked", "false")
    assert invalid.value == aside[1].value
    assert (invalid.reason, invalid.headers["yk_refused"]) == ("invalid", "true")


def test_a_document_number_of_a_parked_source_is_sealed_as_well(driver: Driver) -> None:
    number = encode(b.negative(b.day(2), source=BAD)).replace(
        b"Laboratory 1", b"11010519491231002X"
    )
    driver.send_all([*(bad() for _ in range(100)), made(number, TOPIC, key=b.PERSON)])
    [aside] = driver.outputs(PARKED)
    assert b"11010519491231002X" not in aside.record.value
    assert (aside.key, aside.value) == (b.PERSON.encode(), number)
    assert aside.record.key is None


MIXED = [bad() if n % 13 else good() for n in range(130)]


@pytest.fixture
def at_once(folder: Path) -> Iterator[Driver]:
    """Another driver, which got all of `MIXED` in one chunk."""
    with Driver(folder / "at-once") as driver:
        driver.send_all(MIXED)
        yield driver


@pytest.mark.parametrize("sizes", [[1] * 130, [7] * 19, [99, 1, 30], [130]])
def test_where_chunks_end_makes_no_difference(
    driver: Driver, at_once: Driver, sizes: list[int]
) -> None:
    left = list(MIXED)
    for size in sizes:
        if left[:size]:
            driver.send_all(left[:size])
        left = left[size:]
    assert driver.tally(TOPIC) == at_once.tally(TOPIC)
    for topic in (PARKED, DEAD_LETTERS):
        assert offsets(driver, topic) == offsets(at_once, topic) != []


def test_a_source_is_parked_at_the_same_record_by_workers_that_follow_one_another(
    driver: Driver, at_once: Driver
) -> None:
    for begin in range(0, 130, 30):
        driver.send_all(MIXED[begin : begin + 30])
        driver.lose_store()
        driver.redeliver()
    for topic in (PARKED, DEAD_LETTERS):
        assert offsets(driver, topic) == offsets(at_once, topic) != []


def test_a_chunk_that_was_not_committed_counts_nothing(driver: Driver) -> None:
    driver.send_all([bad() for _ in range(60)])
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send_all([bad() for _ in range(40)])
    assert driver.tally(TOPIC).parked == {}
    assert driver.tally(TOPIC).counting[BAD].in_a_row == 60


def test_the_tally_is_empty_when_nothing_is_counted(driver: Driver) -> None:
    """And not deleted: a tombstone that is compacted away is news to no store."""
    driver.send(bad())
    assert driver.tally(TOPIC)
    driver.send_all([good(BAD) for _ in range(1, 1_000)])
    assert TALLY + TOPIC.encode() in driver.rows("people")
    assert not driver.tally(TOPIC)


@pytest.mark.parametrize(
    ("breaks", "source"),
    [
        (lambda value: value[:-1], BAD),
        (lambda value: value.replace(b'"institution":"', b'"institution":"\xff'), BAD),
        (lambda value: value.replace(b'"/laboratories/440100-666"', b'"/Lab_7/X"'), "/Lab_7/X"),
        (lambda value: value.replace(b'"source"', b'"sender"'), None),
        (lambda value: value.replace(b"440100-666", b"11010519491231002X"), None),
        (lambda value: value.replace(b"/laboratories", b"laboratories"), None),
    ],
)
def test_a_broken_record_counts_for_whom_it_names(
    driver: Driver, breaks: Callable[[bytes], bytes], source: str | None
) -> None:
    driver.send(breaks(encode(b.negative(b.day(2), source=BAD))), TOPIC, key=b.PERSON)
    [letter] = driver.outputs(DEAD_LETTERS)
    assert letter.headers.get("yk_source") == source
    tally = driver.tally(TOPIC)
    assert list(tally.counting) == ([] if source is None else [source])
    assert (tally.unreadable is not None) == (source is None)


def test_a_broken_record_in_binary_mode_counts_for_whom_its_header_names(driver: Driver) -> None:
    sent = binary(b.negative(b.day(2), source=BAD))
    driver.send(b"{", TOPIC, key=sent.key, headers=sent.headers)
    assert list(driver.tally(TOPIC).counting) == [BAD]


def test_metrics_and_the_log_tell_of_it(driver: Driver) -> None:
    counter = metrics.WORKER_PARKED.labels(TOPIC)
    gauge = metrics.WORKER_SOURCES_PARKED.labels(TOPIC)
    before = counter._value.get()
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send_all([bad() for _ in range(103)])
    assert counter._value.get() == before
    driver.log.fails_with = None
    with capture_logs() as logged:
        driver.start()
    assert counter._value.get() == before + 3
    said = str(logged)
    assert said.count("source_parked") == 1
    assert TOPIC in said
    assert BAD in said
    assert b.PERSON not in said
    driver.advance(by=timedelta(seconds=1))
    assert gauge._value.get() == 1
    driver.release(BAD)
    driver.advance(by=timedelta(seconds=1))
    assert gauge._value.get() == 0


# Without a readable source


def test_from_the_limit_of_unreadable_records_on_their_partition_stands_still(
    driver: Driver,
) -> None:
    for _ in range(7):
        driver.log.mark(TopicPartition(TOPIC, HERE))
    driver.send_all([unreadable() for _ in range(50)])
    driver.send_all([good(), *(unreadable() for _ in range(200))])
    [halt] = driver.halts
    assert (halt.table, halt.topic, halt.partition, halt.offset) == ("people", TOPIC, HERE, 157)
    assert not halt.whole
    assert f"{TOPIC}[{HERE}]: 100 records in a row, at offsets 58 to 157" in halt.error
    assert b.PERSON not in halt.error
    assert len(offsets(driver, DEAD_LETTERS)) == 50 + 99, "what is before it is applied"
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(18), b.day(30)))
    assert driver.code().colour is Colour.RED, "the other topics of the partition go on"
    driver.release_partition(halt, "a laboratory sent pictures")
    assert [halt.offset for halt in driver.halts] == [256], "a hundred more"
    assert len(offsets(driver, DEAD_LETTERS)) == 99


def test_too_large_a_share_of_unreadable_records_stands_still(driver: Driver) -> None:
    driver.send_all([good() if n % 50 else unreadable() for n in range(1_000)])
    [halt] = driver.halts
    assert "20 records of 1000, at offsets 0 to 999" in halt.error
    driver.release_partition(halt, "looked at", leave_aside=True)
    assert driver.halts == []
    assert driver.committed(TOPIC, HERE) == 1_000
    last = letter_in(driver.records(DEAD_LETTERS)[-1])
    assert last.came_from is not None
    assert (last.came_from.offset, last.reason) == (999, "left-aside")
    assert "looked at" in last.detail
    assert not driver.tally(TOPIC).left_aside


def test_with_a_raised_limit_they_are_dead_letters(folder: Path) -> None:
    with Driver(folder, unreadable_in_a_row=1_000, unreadable_percent=100) as driver:
        driver.send_all([unreadable() for _ in range(150)])
        assert offsets(driver, DEAD_LETTERS) == list(range(150))


# Releases


def test_a_released_source_is_applied_again_and_parked_again(driver: Driver) -> None:
    driver.send_all([bad() for _ in range(100)])
    offsets(driver, DEAD_LETTERS)
    driver.release(BAD)
    assert offsets(driver, DEAD_LETTERS) == []
    assert not driver.tally(TOPIC)
    driver.send_all([good(BAD), *(bad() for _ in range(101, 210))])
    assert offsets(driver, PARKED) == list(range(201, 210))
    assert driver.changes() == []
    assert sources(driver) == [BAD]


def test_a_release_is_for_one_source_and_of_no_effect_twice(driver: Driver) -> None:
    driver.send_all([*(bad() for _ in range(100)), *(bad(GOOD) for _ in range(100))])
    driver.release(GOOD)
    after = driver.rows("people")
    assert driver.tally(TOPIC).parked == {BAD: 99}
    driver.release(GOOD)
    driver.release("/never/heard-of")
    assert driver.rows("people") == after


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"data":{"source":"x"}}', b"\xff\xfe"])
def test_what_is_no_release_is_one_dead_letter_and_stops_nothing(
    driver: Driver, value: bytes
) -> None:
    """Each table of both workers reads it; one tells."""
    driver.send(value, SOURCE_RELEASES, key="k", partition=HERE)
    [letter] = driver.outputs(DEAD_LETTERS)
    assert letter.reason == "invalid"
    driver.send(good())
    assert sources(driver) == [GOOD]


def test_a_release_is_valid_only_from_the_operator(driver: Driver) -> None:
    event = msgspec.to_builtins(released(BAD, "r1", START))
    driver.send_all([bad() for _ in range(100)])
    driver.send(msgspec.json.encode({**event, "source": BAD}), SOURCE_RELEASES, key=BAD)
    assert driver.tally(TOPIC).parked


# Scans


def test_scans_are_counted_and_parked_and_released_in_their_own_table(driver: Driver) -> None:
    terminal = "/terminals/440100-0001"

    def scan(good: bool = False) -> Record:
        event = b.make(ScanRecorded, ScanData("T-1", "Gate 1", START), at=START, source=terminal)
        value = encode(event) if good else encode(event).replace(b"Gate 1", b"Gate\\n1")
        return made(value, "scans", key=b.PERSON)

    driver.send_all([*(scan() for _ in range(101)), scan(good=True)])
    assert offsets(driver, PARKED) == [100, 101]
    assert len(driver.rows("scans")) == 1
    assert driver.tally("scans")
    driver.release(terminal)
    assert not driver.tally("scans")
    assert driver.rows("people") == {}
    offsets(driver, DEAD_LETTERS)
    driver.send(scan(good=True))
    assert offsets(driver, PARKED) == offsets(driver, DEAD_LETTERS) == []


def test_one_record_too_many_is_not_left_aside_and_a_repetition_is() -> None:
    tally = Tally()
    assert all(tally.go_on(offset, "broken") for offset in range(LEFT_ASIDE_MAX))
    assert tally.go_on(0, "said again")
    assert not tally.go_on(LEFT_ASIDE_MAX, "broken")
    assert len(tally.left_aside) == LEFT_ASIDE_MAX
