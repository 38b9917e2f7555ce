"""A record in the wrong partition is forwarded to its own, exactly once, and its source is told."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from agents.poison import FORWARDED_FROM
from app.process import metrics
from app.process.macs import MAC
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, PARKED
from app.topics.codec import decode, encode
from app.topics.records import Record, binary, structured
from models.codes import Colour
from models.events import Event, ListName, ScanData, ScanRecorded
from support import builders as b
from support.log import Record as Lying
from topology.driver import HERE, START, Driver, Letter, made

ELSEWHERE = (HERE + 1) % CATALOGUE.partitions
TOPIC = "laboratory-results"
SOURCE = "/laboratories/440100-666"


def positive(number: int = 1) -> Event:
    event: Event = b.positive(b.day(2), source=SOURCE, id=f"e{number}", sequence=number)
    return event


def forwarded(driver: Driver, topic: str = TOPIC) -> list[Lying]:
    return [r for r in driver.records(topic) if FORWARDED_FROM in dict(r.headers)]


def told(driver: Driver) -> list[Letter]:
    letters: list[Letter] = driver.outputs(DEAD_LETTERS)
    return letters


def test_it_counts_where_its_key_belongs_and_its_source_is_told(driver: Driver) -> None:
    driver.send(b.verified())
    sent = driver.send(positive(), partition=ELSEWHERE)
    assert driver.code().colour is Colour.RED
    [again] = forwarded(driver)
    assert (again.partition, again.key) == (HERE, sent.key)
    assert dict(again.headers)[FORWARDED_FROM] == f"{TOPIC}/{ELSEWHERE}/0".encode()
    [letter] = told(driver)
    assert (letter.reason, letter.headers["yk_refused"]) == ("wrong-partition", "false")
    assert (letter.headers["yk_source"], letter.offset) == (SOURCE, sent.offset)
    assert f"partition {HERE}, not {ELSEWHERE}" in letter.headers["yk_detail"]
    assert letter.value == encode(positive())
    assert driver.rows("people", ELSEWHERE) == {}, "nobody is in two places"


@pytest.mark.parametrize("mode", [structured, binary])
def test_it_is_the_same_event_without_what_is_passed_over(driver: Driver, mode: object) -> None:
    assert callable(mode)
    whole: Record = mode(positive())
    sent = made(whole, headers=[*whole.headers, ("ce_subject", b"x"), ("traceparent", b"y")])
    driver.send(sent, partition=ELSEWHERE)
    [again] = forwarded(driver)
    topic = CATALOGUE.topics[TOPIC]
    assert decode(again.value, again.key, again.headers, topic, START) == positive()
    assert {name for name, _ in again.headers} == {"content-type", MAC, FORWARDED_FROM}
    assert {name for name, _ in told(driver)[0].record.headers if name[:3] != "yk_"} == set()


def test_wherever_records_lie_the_row_is_the_same(driver: Driver) -> None:
    for number in range(3 * CATALOGUE.partitions):
        driver.send(positive(number), partition=number % CATALOGUE.partitions)
    row = driver.row()
    assert row is not None
    assert len(row.facts) == 3 * CATALOGUE.partitions
    assert len(told(driver)) == len(forwarded(driver)) == 3 * (CATALOGUE.partitions - 1)


def test_it_is_forwarded_once_whatever_is_read_again(driver: Driver) -> None:
    driver.send(positive(), partition=ELSEWHERE)
    driver.redeliver()
    driver.restart()
    driver.lose_store()
    driver.redeliver()
    assert len(forwarded(driver)) == len(told(driver)) == len(driver.changes()) == 1


def test_where_the_transaction_fails_nothing_is_forwarded_or_told(driver: Driver) -> None:
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send(positive(), partition=ELSEWHERE)
    assert forwarded(driver) == told(driver) == []
    driver.log.fails_with = None
    driver.start()
    assert len(forwarded(driver)) == len(told(driver)) == 1
    assert driver.row() is not None


def test_what_was_forwarded_is_never_forwarded_again(driver: Driver) -> None:
    """It cannot be, unless two workers disagree about partitions; then it must not go round."""
    sent = structured(positive())
    marked = made(sent, headers=[*sent.headers, (FORWARDED_FROM, b"x")])
    driver.send(marked, partition=ELSEWHERE)
    assert len(driver.records(TOPIC)) == 1
    [letter] = told(driver)
    assert (letter.reason, letter.headers["yk_refused"]) == ("wrong-partition", "true")
    assert letter.headers["yk_source"] == SOURCE
    assert driver.tally(TOPIC, ELSEWHERE).counting[SOURCE].invalid == 1
    driver.send(marked)
    assert driver.row() is not None, "where it belongs, the mark says nothing"


def test_it_is_no_bad_input(driver: Driver) -> None:
    driver.send_all([positive(number) for number in range(150)], partition=ELSEWHERE)
    assert len(forwarded(driver)) == 150
    assert not driver.tally(TOPIC, ELSEWHERE)
    assert driver.outputs(PARKED) == []


def bad() -> Record:
    return made(encode(positive()).replace(b"positive", b"probably"), TOPIC, key=b.PERSON)


def test_it_ends_a_row_of_bad_input(driver: Driver) -> None:
    both: Sequence[Record] = [*[bad()] * 99, structured(positive()), *[bad()] * 99]
    driver.send_all(both, partition=ELSEWHERE)
    assert driver.tally(TOPIC, ELSEWHERE).parked == {}
    assert driver.tally(TOPIC, ELSEWHERE).counting[SOURCE].in_a_row == 99


def test_that_of_a_parked_source_is_put_aside_where_it_lies(driver: Driver) -> None:
    driver.send_all([bad()] * 100, partition=ELSEWHERE)
    driver.send(positive(), partition=ELSEWHERE)
    [aside] = driver.outputs(PARKED)
    assert (aside.reason, aside.headers["yk_refused"]) == ("parked", "false")
    assert forwarded(driver) == []


def test_that_of_a_source_parked_where_it_belongs_is_put_aside_there(driver: Driver) -> None:
    driver.send_all([bad()] * 100)
    driver.send(positive(), partition=ELSEWHERE)
    [aside] = driver.outputs(PARKED)
    assert aside.headers["yk_partition"] == str(HERE)
    assert FORWARDED_FROM not in dict(aside.record.headers), "sent again, it is as it came"


def test_a_list_gets_what_belongs_to_it(driver: Driver) -> None:
    event = b.temperature(36.4, b.day(18))
    driver.send(event, partition=ELSEWHERE)
    driver.redeliver()
    listing = driver.listing(ListName.TEMPERATURES)
    assert listing is not None
    assert [entry.id for entry in listing.entries] == [event.id]
    assert len(forwarded(driver, "temperatures")) == 1
    [letter] = told(driver)
    assert (letter.reason, letter.headers["yk_refused"]) == ("wrong-partition", "false")
    assert driver.rows("lists", ELSEWHERE) == {}


def test_a_scan_stays_where_it_lies(driver: Driver) -> None:
    """It is in nobody's row, so no partition is the wrong one; a second one would be counted."""
    scan = b.make(
        ScanRecorded,
        ScanData("T-1", "Gate 1", START),
        at=START,
        source="/terminals/440100-0001",
    )
    driver.send(scan, partition=ELSEWHERE)
    assert len(driver.records("scans")) == 1
    assert told(driver) == []


def test_metrics_count_it_and_the_log_names_nobody(driver: Driver) -> None:
    letters = metrics.WORKER_DEAD_LETTERS.labels("wrong-partition")
    outputs = metrics.WORKER_OUTPUTS.labels(TOPIC)
    before = letters._value.get(), outputs._value.get()
    with capture_logs() as logged:
        driver.send(b.negative(b.day(2)), partition=ELSEWHERE)
    assert (letters._value.get(), outputs._value.get()) == (before[0] + 1, before[1] + 1)
    assert b.PERSON not in str(logged)
