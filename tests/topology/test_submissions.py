"""What an agency writes to Kafka itself: what is taken is copied to its input, and what is refused
reaches no input, whatever is wrong with it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agents.instants import instant
from agents.quotas import quota_key
from app.development.sample.broken import BREAKAGES, Breakage
from app.engine.store import DUE
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    HEALTH_CODES,
    OPENINGS,
    PARKED,
    SUBMISSIONS,
    input_topics,
    partition_of,
)
from app.topics.codec import encode
from app.topics.openings import COUNTED
from app.topics.records import Record, binary, structured
from app.topics.schemas import example
from app.topics.submissions import SUBMITTED
from models.codes import Colour, Reason
from models.events import EVENT_TYPES, Event
from models.quotas import Quota, limit_of
from support import builders as b
from support.log import Record as Lying
from support.macs import KEYS, signed
from topology.driver import HERE, START, Driver, Letter

TOPIC = "laboratory-results"
SOURCE, OTHER = "/laboratories/440100-001", "/laboratories/440100-002"
ELSEWHERE = (HERE + 1) % CATALOGUE.partitions

_quotas = msgspec.msgpack.Decoder(Quota)


def submitted(what: Event | Record, source: str = SOURCE) -> Record:
    """What an agency writes."""
    record = what if isinstance(what, Record) else structured(what)
    return signed(replace(record, topic=SUBMISSIONS), source)


def positive(number: int = 1, **kw: Any) -> Event:
    event: Event = b.positive(b.day(2), source=SOURCE, id=f"e{number}", sequence=number, **kw)
    return event


def negative(number: int = 1) -> Event:
    event: Event = b.negative(b.day(3), source=SOURCE, id=f"n{number}", sequence=number)
    return event


def on_inputs(driver: Driver) -> list[Lying]:
    """All that lies on an input, except what came back to it counted."""
    names = [t.name for t in input_topics() if t.name not in (SUBMISSIONS, OPENINGS)]
    records = [record for name in names for record in driver.records(name)]
    return [record for record in records if COUNTED not in dict(record.headers)]


def letters(driver: Driver) -> list[Letter]:
    told: list[Letter] = driver.outputs(DEAD_LETTERS)
    return told


def row_facts(driver: Driver) -> list[tuple[str, float]]:
    """Each fact of the person's row: its id, and when it arrived (ms since 1970)."""
    row = driver.row()
    assert row is not None
    return [(fact.id, fact.arrived_at.timestamp() * 1_000) for fact in row.facts]


# What is taken


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_every_event_of_a_source_goes_to_its_input_in_its_own_partition(
    driver: Driver, type_: str
) -> None:
    event = msgspec.convert(example(type_), EVENT_TYPES[type_])
    driver.advance(to=max(START, event.time + timedelta(hours=1)))
    sent = driver.send(submitted(event, event.source))
    [copy] = on_inputs(driver)
    topic = CATALOGUE.topic_of(type_)
    assert (copy.topic, copy.partition, copy.key) == (topic.name, sent.partition, sent.key)
    assert copy.value == encode(event)
    assert KEYS.author(copy) == event.source
    assert [r for r in driver.outputs(DEAD_LETTERS) if r.headers["yk_refused"] == "true"] == []


def test_a_positive_turns_a_code_red(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(submitted(positive()))
    assert driver.code().reasons == (Reason.CONFIRMED_OR_POSITIVE,)


@pytest.mark.parametrize("mode", [structured, binary])
def test_a_copy_is_the_event_and_nothing_beside_it(
    driver: Driver, mode: Callable[[Event], Record]
) -> None:
    record = mode(negative())
    beside = ("ce_subject", b"x"), ("traceparent", b"y")
    driver.send(submitted(replace(record, headers=(*record.headers, *beside))))
    [copy] = on_inputs(driver)
    assert copy.value == encode(negative())
    assert [name for name, _ in copy.headers] == ["content-type", "yk_mac", SUBMITTED]


def test_it_arrived_when_it_was_submitted_and_not_when_it_was_copied(driver: Driver) -> None:
    driver.send(b.verified())
    driver.stop()
    sent = [driver.send(submitted(event)) for event in (negative(), positive())]
    driver.advance(by=timedelta(hours=3))
    driver.start()
    assert [copy.timestamp - sent[0].timestamp for copy in driver.records(TOPIC)][:2] == [
        3 * 3_600_000
    ] * 2
    assert dict(row_facts(driver))["n1"] == sent[0].timestamp
    assert dict(row_facts(driver))["e1"] == sent[1].timestamp, "also what went round to be counted"
    there = partition_of(SOURCE.encode(), CATALOGUE.partitions)
    key = quota_key(SOURCE, Reason.CONFIRMED_OR_POSITIVE.slug)
    quota = _quotas.decode(driver.rows("quotas", there)[key][DUE.size :])
    assert quota == Quota({sent[1].timestamp // 3_600_000 * 3_600_000: 1})


def test_a_code_waits_for_what_was_submitted_though_what_came_later_is_back(
    driver: Driver, monkeypatch: Any
) -> None:
    """The copy lies behind what came by the gateway meanwhile, and is counted after it."""

    def stands_at_the_first(source: str, reason: Reason, at: datetime) -> Any:
        if at == instant(first.timestamp):
            raise KeyError
        return limit_of(source, reason, at)

    driver.send(b.verified())
    driver.stop()
    first = driver.send(submitted(positive(1)))
    driver.advance(by=timedelta(hours=1))
    driver.send(positive(2))
    with monkeypatch.context() as patch:
        patch.setattr("agents.quotas.limit_of", stands_at_the_first)
        driver.start()
        [halt] = driver.halts
        assert [fact_id for fact_id, _ in row_facts(driver)][-1] == "e2", "the later one is back"
        assert driver.code().complete_until == instant(first.timestamp)
    driver.release_partition(halt, "it is mended")
    assert driver.code().complete_until is None


def test_nobody_but_a_worker_says_when_an_event_was_submitted(driver: Driver) -> None:
    driver.send(submitted(negative()))
    [copy] = on_inputs(driver)
    stolen = copy.headers[-1]
    own = signed(structured(negative(2)), SOURCE)
    _, mac = KEYS.of(SOURCE).header(SUBMITTED, dict(own.headers)["yk_mac"], b"1", ())
    driver.advance(by=timedelta(hours=1))
    marks = stolen, (SUBMITTED, b"1 " + mac), (SUBMITTED, b"1"), (SUBMITTED, b"")
    for number, mark in enumerate(marks, 2):
        one = signed(structured(negative(number)), SOURCE)
        driver.send(replace(one, headers=(*one.headers, mark)))
        assert dict(row_facts(driver))[f"n{number}"] == START.timestamp() * 1_000 + 3_600_000


def test_what_is_sent_twice_is_copied_twice_and_folded_once(driver: Driver) -> None:
    driver.send_all([submitted(negative()), submitted(negative())])
    driver.send(negative())
    assert [copy.value for copy in on_inputs(driver)] == [encode(negative())] * 3
    assert [id_ for id_, _ in row_facts(driver)] == ["n1"]
    assert letters(driver) == []


def test_what_is_read_again_is_not_copied_again(driver: Driver) -> None:
    driver.send_all([submitted(negative(1)), submitted(negative(2))])
    driver.redeliver(SUBMISSIONS)
    driver.lose_store()
    driver.redeliver(SUBMISSIONS)
    assert len(on_inputs(driver)) == 2


def test_what_was_not_committed_is_copied_once_by_the_next_worker(driver: Driver) -> None:
    driver.log.fails_with = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        driver.send(submitted(negative()))
    assert on_inputs(driver) == []
    driver.log.fails_with = None
    driver.start()
    assert len(on_inputs(driver)) == 1


def test_what_was_misplaced_goes_to_its_own_partition_and_its_source_is_told(
    driver: Driver,
) -> None:
    driver.send(b.verified())
    sent = driver.send(submitted(positive()), partition=ELSEWHERE)
    assert driver.code().colour is Colour.RED
    assert {copy.partition for copy in driver.records(TOPIC)} == {HERE}
    [letter] = letters(driver)
    assert (letter.reason, letter.headers["yk_refused"]) == ("wrong-partition", "false")
    place = letter.headers["yk_topic"], letter.headers["yk_partition"], letter.offset
    assert place == (SUBMISSIONS, str(ELSEWHERE), sent.offset)


def test_what_the_fold_refuses_is_told_of_the_copy(driver: Driver) -> None:
    first = negative()
    driver.send(submitted(first))
    conflict = replace(structured(first), value=encode(first).replace(b"Laboratory 1", b"Lab 2"))
    driver.send(submitted(conflict))
    [letter], copy = letters(driver), driver.records(TOPIC)[-1]
    place = letter.headers["yk_topic"], letter.offset
    assert (letter.reason, place) == ("conflict", (TOPIC, copy.offset))


# What is refused


BROKEN = [breakage for breakage in BREAKAGES if breakage.code != "conflict"]


@pytest.mark.parametrize("breakage", BROKEN, ids=lambda breakage: breakage.name)
def test_what_is_broken_is_a_sealed_letter_and_on_no_input(
    driver: Driver, breakage: Breakage
) -> None:
    sent = driver.send(submitted(breakage.record(negative())))
    driver.send(submitted(negative(2)))
    assert [copy.value for copy in on_inputs(driver)] == [encode(negative(2))]
    [letter] = letters(driver)
    place = letter.headers["yk_topic"], letter.headers["yk_partition"], letter.offset
    assert place == (SUBMISSIONS, str(sent.partition), sent.offset)
    assert (letter.reason, letter.headers["yk_source"]) == (breakage.code, SOURCE)
    assert (letter.record.key, letter.headers["yk_sealed"]) == (None, "record")
    assert letter.value == (sent.value or b"")
    assert driver.tally(SUBMISSIONS, sent.partition).counting[SOURCE].invalid == 1


NOT_AUTHENTIC = {
    "no MAC": (replace(structured(negative()), topic=SUBMISSIONS), None),
    "the name of another": (submitted(negative(), OTHER), OTHER),
    "a sign of the workers": (submitted(negative(), "/yuekang"), "/yuekang"),
}


@pytest.mark.parametrize("which", NOT_AUTHENTIC)
def test_what_is_not_its_sources_own_is_on_no_input(driver: Driver, which: str) -> None:
    record, author = NOT_AUTHENTIC[which]
    driver.send(record, author=None)
    assert on_inputs(driver) == []
    [letter] = letters(driver)
    assert (letter.reason, letter.headers.get("yk_source")) == ("not-authentic", author)
    assert set(driver.tally(SUBMISSIONS).counting) == ({author} if author else set())


@pytest.mark.parametrize("topic", [SUBMISSIONS, TOPIC])
def test_the_mac_of_one_topic_is_none_of_the_other(driver: Driver, topic: str) -> None:
    """Nobody who sees a submission can write it to its input, nor the other way round."""
    other = {SUBMISSIONS: TOPIC, TOPIC: SUBMISSIONS}[topic]
    own = signed(replace(structured(negative()), topic=other), SOURCE)
    driver.send(replace(own, topic=topic), author=None)
    assert driver.records(HEALTH_CODES) == []
    assert [letter.reason for letter in letters(driver)] == ["not-authentic"]


@pytest.mark.parametrize(
    "value", ["11010519491231002X", "司机 13688812399 说", "１１０１０５１９４９１２３１００２Ｘ"]
)
def test_a_number_in_free_text_lies_on_submissions_alone(driver: Driver, value: str) -> None:
    text = encode(negative()).replace(b"Laboratory 1", value.encode())
    sent = driver.send(submitted(replace(structured(negative()), value=text)))
    [letter] = letters(driver)
    assert (letter.reason, letter.value) == ("document-number", text)
    there = {name for name in driver.log.topics() for r in driver.records(name) if _has(r, value)}
    assert there == {sent.topic} == {SUBMISSIONS}


def _has(record: Lying, text: str) -> bool:
    parts = [record.key, record.value, *(raw for _, raw in record.headers)]
    return any(text.encode() in (part or b"") for part in parts)


# Who sends too much of it


def bad(number: int) -> Record:
    value = encode(negative(number)).replace(b'"negative"', b'"probably"')
    return submitted(replace(structured(negative(number)), value=value))


def test_a_source_that_sends_too_much_of_it_is_parked_there_and_nowhere_else(
    driver: Driver,
) -> None:
    driver.send_all([*(bad(n) for n in range(100)), submitted(negative(1))])
    assert driver.tally(SUBMISSIONS).parked == {SOURCE: 99}
    [parked] = driver.outputs(PARKED)
    assert (parked.headers["yk_topic"], parked.headers["yk_refused"]) == (SUBMISSIONS, "false")
    assert on_inputs(driver) == []
    of_other = b.negative(b.day(3), source=OTHER, id="o1")
    driver.send(submitted(of_other, OTHER))
    driver.send(negative(2))  # by the gateway, where it is not parked
    assert {id_ for id_, _ in row_facts(driver)} == {"o1", "n2"}
    driver.release(SOURCE)
    assert not driver.tally(SUBMISSIONS).parked
    driver.send(submitted(negative(3)))
    assert {id_ for id_, _ in row_facts(driver)} == {"o1", "n2", "n3"}


def test_a_source_that_is_parked_on_an_input_has_its_copies_put_aside_there(
    driver: Driver,
) -> None:
    rubbish = encode(negative()).replace(b'"negative"', b'"probably"')
    record = replace(structured(negative()), value=rubbish)
    driver.send_all([signed(record, SOURCE) for _ in range(100)])
    driver.send(submitted(negative(1)))
    [parked] = driver.outputs(PARKED)
    assert (parked.headers["yk_topic"], parked.value) == (TOPIC, encode(negative(1)))
    assert driver.row() is None


def test_an_input_is_checked_all_the_same(driver: Driver) -> None:
    """What lies there was checked, but not by these rules or not by us."""
    driver.send(signed(replace(bad(1), topic=TOPIC, headers=()), SOURCE))
    [letter] = letters(driver)
    assert (letter.reason, letter.headers["yk_topic"]) == ("invalid", TOPIC)


# What stands still, and what does not


def test_a_submission_that_cannot_be_copied_holds_up_no_code(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> Record:
        raise KeyError("a bug")

    driver.send(b.verified())
    monkeypatch.setattr("agents.submissions.as_copied", bug)
    driver.send(submitted(positive()))
    [halt] = driver.halts
    assert (halt.table, halt.topic, halt.offset) == ("submissions", SUBMISSIONS, 0)
    driver.send(b.provincial("red", b.day(5)))
    assert driver.code().colour is Colour.RED, "what came by the gateway goes on"
    driver.release_partition(halt, "the bug is known", leave_aside=True)
    assert [letter.reason for letter in letters(driver)] == ["left-aside"]
    monkeypatch.undo()
    driver.send(submitted(negative(2)))
    assert "n2" in dict(row_facts(driver))


def test_a_clean_source_costs_no_row(driver: Driver) -> None:
    driver.send_all([submitted(negative(n)) for n in range(50)])
    assert len(on_inputs(driver)) == 50
    assert driver.rows("submissions") == {}
