"""A source that sends too much poison is put aside, and nothing else is; without a broker."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from app.engine.store import TALLY
from app.process import metrics
from app.topics.catalogue import DEAD_LETTERS, PARKED, SOURCE_RELEASES
from app.topics.codec import encode
from app.topics.records import Record, binary
from models.events import ScanData, ScanRecorded
from models.operators import released
from models.parking import LEFT_ASIDE_MAX, Tally
from support import builders as b
from topology.driver import HERE, START, Driver, made

TOPIC = "laboratory-results"
GOOD, BAD = "/laboratories/440100-001", "/laboratories/440100-666"


def good(source: str = GOOD) -> Record:
    return made(b.negative(b.day(2), source=source))


def bad(source: str = BAD) -> Record:
    value = encode(b.negative(b.day(2), source=source)).replace(b"negative", b"probably")
    return made(value, TOPIC, key=b.PERSON)


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
    "breaks",
    [
        lambda value: value[:-1],
        lambda value: value.replace(b'"institution":"', b'"institution":"\xff'),
        lambda value: value.replace(b'"source"', b'"sender"'),
        lambda value: value.replace(b"440100-666", b"11010519491231002X"),
        lambda value: value.replace(b"440100-666", b"440100-001"),
        lambda value: b"\x00\x01 not an event",
    ],
)
def test_a_broken_record_counts_for_whose_key_it_has(
    driver: Driver, breaks: Callable[[bytes], bytes]
) -> None:
    """And for nobody whom it names."""
    value = breaks(encode(b.negative(b.day(2), source=BAD)))
    driver.send(value, TOPIC, key=b.PERSON, author=BAD)
    [letter] = driver.outputs(DEAD_LETTERS)
    assert letter.headers["yk_source"] == BAD
    assert list(driver.tally(TOPIC).counting) == [BAD]
    assert driver.row() is None


@pytest.mark.parametrize("topic", [TOPIC, "scans", "displays"])
def test_what_no_key_has_made_counts_against_nobody(driver: Driver, topic: str) -> None:
    """And nothing stands still: nobody can speak for another, or silence him."""
    forged = encode(b.positive(b.day(19), source=GOOD))
    another = encode(b.negative(b.day(19), source=GOOD))
    mac = made(another, TOPIC, key=b.PERSON).headers
    for value, headers in ((b"rubbish", None), (forged, None), (forged, mac)):
        for _ in range(40):
            driver.send(value, topic, key=b.PERSON, headers=headers, author=None)
    letters = driver.outputs(DEAD_LETTERS)
    assert {letter.reason for letter in letters} == {"not-authentic"}
    assert len(letters) == 120
    assert not any("yk_source" in letter.headers for letter in letters)
    assert not driver.tally(topic)
    assert driver.halts == []
    driver.send(good())
    assert sources(driver) == [GOOD]


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
    driver.send(value, SOURCE_RELEASES, key="k", partition=HERE, author="/operator")
    [letter] = driver.outputs(DEAD_LETTERS)
    assert letter.reason == "invalid"
    driver.send(good())
    assert sources(driver) == [GOOD]


@pytest.mark.parametrize(
    ("by", "valid"),
    [
        ("/operators/chen", True),
        pytest.param("/operator", True, id="as releases of before have it"),
        (BAD, False),
        ("/operators", False),
        ("/operators/", False),
        ("/operators/chen/x", False),
        ("/operatorship/chen", False),
    ],
)
def test_a_release_is_valid_only_from_an_operator(driver: Driver, by: str, valid: bool) -> None:
    event = msgspec.to_builtins(released(BAD, "r1", START, by))
    driver.send_all([bad() for _ in range(100)])
    driver.send(msgspec.json.encode(event), SOURCE_RELEASES, key=BAD)
    assert bool(driver.tally(TOPIC).parked) is not valid


@pytest.mark.parametrize(
    ("author", "reason"),
    [
        (None, "not-authentic"),
        (BAD, "no-authority"),
        pytest.param("/operators/li", "not-authentic", id="another operator's"),
    ],
)
def test_a_release_is_valid_only_from_the_operator_whom_it_names(
    driver: Driver, author: str | None, reason: str
) -> None:
    release = msgspec.json.encode(released(BAD, "r1", START, "/operators/chen"))
    driver.send_all([bad() for _ in range(100)])
    driver.outputs(DEAD_LETTERS)
    driver.send(release, SOURCE_RELEASES, key=BAD, partition=HERE, author=author)
    assert driver.tally(TOPIC).parked
    [letter] = driver.outputs(DEAD_LETTERS)
    assert letter.reason == reason


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
    assert all(tally.leave_aside(offset, "broken") for offset in range(LEFT_ASIDE_MAX))
    assert tally.leave_aside(0, "said again")
    assert not tally.leave_aside(LEFT_ASIDE_MAX, "broken")
    assert len(tally.left_aside) == LEFT_ASIDE_MAX
