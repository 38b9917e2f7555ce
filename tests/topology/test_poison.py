"""A source that sends too much poison is put aside, and nothing else is; without a broker."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import pytest
from nacl.public import PrivateKey, SealedBox
from structlog.testing import capture_logs

from agents import people, poison, releases, scans
from agents.dead_letters import DeadLetters
from agents.poison import UnreadableError
from app.engine.work import Fold, Told, Work
from app.process import metrics
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, PARKED, STATUS_CHANGES
from app.topics.codec import encode
from app.topics.records import binary
from models.events import ScanData, ScanRecorded
from models.sources import Limit, Tally, released
from support import builders as b
from support.records import record
from support.stores import Store

KEY = PrivateKey.generate()
LETTERS = DeadLetters(bytes(KEY.public_key))
NOW = b.day(20)
TOPIC = CATALOGUE.topics["laboratory-results"]
GOOD, BAD = "/laboratories/440100-001", "/laboratories/440100-666"


def good(offset: int, source: str = GOOD) -> Any:
    return record(b.negative(b.day(2), source=source), NOW, offset)


def bad(offset: int, source: str = BAD) -> Any:
    value = encode(b.negative(b.day(2), source=source)).replace(b"negative", b"probably")
    return record(value, NOW, offset, TOPIC.name, b.PERSON.encode())


def unreadable(offset: int) -> Any:
    return record(b"\x00\x01 not an event", NOW, offset, TOPIC.name, b.PERSON.encode())


def fold(store: Store, records: Sequence[Any], **limit: Limit) -> list[Told]:
    """Fold one chunk and commit it."""
    work = Work(cast(Any, store))
    people.chunk_fold(TOPIC, LETTERS, **limit)(work, records)
    return store.commit(work)


def offsets(told: Sequence[Told], topic: str) -> list[int]:
    return [int(dict(t.headers)["yk_offset"]) for t in told if t.topic == topic]


def tally(store: Store, topic: str = TOPIC.name) -> Tally:
    stored = store.get(poison.TALLY + topic.encode())
    return Tally() if stored is None else msgspec.msgpack.decode(stored[8:], type=Tally)


def test_a_clean_chunk_reads_one_row_and_writes_none() -> None:
    store = Store()
    fold(store, [good(n) for n in range(50)])
    assert not any(key.startswith(b"\x00") for key in store)


def test_from_its_limit_on_a_source_is_put_aside_and_the_others_go_on() -> None:
    store = Store()
    told = fold(
        store, [bad(n) for n in range(105)] + [good(105), good(106, BAD), bad(107), good(108)]
    )
    assert offsets(told, DEAD_LETTERS) == list(range(100))
    assert offsets(told, PARKED) == [100, 101, 102, 103, 104, 106, 107]
    assert tally(store).parked == {BAD: 99}
    facts = [fact.event.source for fact in person(store).facts]
    assert facts == [GOOD, GOOD]


def person(store: Store) -> Any:
    return people._decode_row(store[b.PERSON.encode()][8:])


def test_what_is_put_aside_has_all_that_sending_it_again_needs() -> None:
    store = Store()
    event = b.negative(b.day(2), source=BAD)
    sent = binary(event)
    extra = [(f"trace-{n}", b"x") for n in range(40)]
    aside = record(sent.value, NOW, 100, TOPIC.name, sent.key, [*extra, *sent.headers]), bad(101)
    told = fold(store, [*map(bad, range(100)), *aside])
    valid, invalid = (t for t in told if t.topic == PARKED)
    headers = dict(valid.headers)
    assert (valid.key, valid.value) == (sent.key, sent.value)
    assert set(sent.headers) <= set(valid.headers), "they come before other headers"
    assert headers["yk_source"] == BAD.encode()
    assert (headers["yk_topic"], headers["yk_offset"]) == (TOPIC.name.encode(), b"100")
    assert (headers["yk_reason"], headers["yk_refused"]) == (b"parked", b"false")
    headers = dict(invalid.headers)
    assert invalid.value == aside[1].value
    assert (headers["yk_reason"], headers["yk_refused"]) == (b"invalid", b"true")


def test_a_document_number_of_a_parked_source_is_sealed_as_well() -> None:
    store = Store()
    number = encode(b.negative(b.day(2), source=BAD)).replace(
        b"Laboratory 1", b"11010519491231002X"
    )
    last = record(number, NOW, 100, TOPIC.name, b.PERSON.encode())
    [aside] = [t for t in fold(store, [*map(bad, range(100)), last]) if t.topic == PARKED]
    assert b"11010519491231002X" not in (aside.value or b"")
    assert SealedBox(KEY).decrypt(aside.value or b"") == number
    assert aside.key is None


@pytest.mark.parametrize("sizes", [[1] * 130, [7] * 19, [99, 1, 30], [130]])
def test_where_chunks_end_makes_no_difference(sizes: list[int]) -> None:
    records = [bad(n) if n % 13 else good(n) for n in range(130)]
    expected = Store()
    told = fold(expected, records)
    store, found = Store(), list[Told]()
    left = list(records)
    for size in sizes:
        if left[:size]:
            found += fold(store, left[:size])
        left = left[size:]
    assert tally(store) == tally(expected)
    assert offsets(found, PARKED) == offsets(told, PARKED)
    assert offsets(found, DEAD_LETTERS) == offsets(told, DEAD_LETTERS)


def test_a_chunk_that_was_not_committed_counts_nothing() -> None:
    store = Store()
    fold(store, [bad(n) for n in range(60)])
    people.chunk_fold(TOPIC, LETTERS)(Work(cast(Any, store)), [bad(n) for n in range(60, 100)])
    assert tally(store).parked == {}
    assert tally(store).counting[BAD].in_a_row == 60


def test_the_tally_is_empty_when_nothing_is_counted() -> None:
    """And not deleted: a tombstone that is compacted away is news to no store."""
    store = Store()
    fold(store, [bad(0)])
    assert tally(store)
    fold(store, [good(n, BAD) for n in range(1, 1_000)])
    assert poison.TALLY + TOPIC.name.encode() in store
    assert not tally(store)


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
    breaks: Callable[[bytes], bytes], source: str | None
) -> None:
    store = Store()
    value = breaks(encode(b.negative(b.day(2), source=BAD)))
    [letter] = fold(store, [record(value, NOW, 0, TOPIC.name, b.PERSON.encode())])
    said = dict(letter.headers).get("yk_source")
    assert said == (None if source is None else source.encode())
    assert list(tally(store).counting) == ([] if source is None else [source])
    assert (tally(store).unreadable is not None) == (source is None)


def test_a_broken_record_in_binary_mode_counts_for_whom_its_header_names() -> None:
    store = Store()
    sent = binary(b.negative(b.day(2), source=BAD))
    fold(store, [record(b"{", NOW, 0, TOPIC.name, sent.key, sent.headers)])
    assert list(tally(store).counting) == [BAD]


def test_metrics_and_the_log_tell_of_it() -> None:
    counter = metrics.WORKER_PARKED.labels(TOPIC.name)
    before = counter._value.get()
    work = Work(cast(Any, Store()))
    with capture_logs() as logged:
        people.chunk_fold(TOPIC, LETTERS)(work, [bad(n) for n in range(103)])
    assert counter._value.get() == before
    work.committed()
    assert counter._value.get() == before + 3
    said = str(logged)
    assert said.count("source_parked") == 1
    assert TOPIC.name in said
    assert BAD in said
    assert b.PERSON not in said


# Without a readable source


def test_unreadable_records_in_a_row_stop_the_worker_and_nothing_is_written() -> None:
    store = Store()
    fold(store, [unreadable(n) for n in range(7, 57)])
    before = dict(store)
    with pytest.raises(UnreadableError) as caught:
        fold(store, [good(57, GOOD)] + [unreadable(n) for n in range(58, 258)])
    assert store == before
    said = str(caught.value)
    assert f"{TOPIC.name}[{partition()}]: 100 records in a row, at offsets 58 to 157" in said
    assert "YUEKANG_UNREADABLE_IN_A_ROW above 100" in said
    assert "YUEKANG_UNREADABLE_PERCENT above 1" in said
    assert b.PERSON not in said


def partition() -> int:
    return int(unreadable(0).partition)


def test_too_large_a_share_of_unreadable_records_stops_the_worker() -> None:
    store = Store()
    records = [good(n) if n % 50 else unreadable(n) for n in range(1_000)]
    with pytest.raises(UnreadableError) as caught:
        fold(store, records)
    assert "20 records of 1000, at offsets 0 to 999" in str(caught.value)


def test_with_a_raised_limit_they_are_dead_letters() -> None:
    store = Store()
    told = fold(store, [unreadable(n) for n in range(150)], unreadable=Limit(1_000, 100, 1_000))
    assert offsets(told, DEAD_LETTERS) == list(range(150))


# Releases


def release(store: Store, source: str, table: str = "people") -> list[Told]:
    return released_by(store, msgspec.json.encode(released(source, "r1", NOW)), table)


def released_by(store: Store, value: bytes, table: str = "people") -> list[Told]:
    letters = LETTERS if table == "people" else None
    fold_releases: Fold = releases.chunk_release(table, letters)
    work = Work(cast(Any, store))
    fold_releases(work, [record(value, NOW, 0, releases.TOPIC.name, b"k")])
    return store.commit(work)


def test_a_released_source_is_applied_again_and_parked_again() -> None:
    store = Store()
    fold(store, [bad(n) for n in range(100)])
    assert release(store, BAD) == []
    assert not tally(store)
    told = fold(store, [good(100, BAD)] + [bad(n) for n in range(101, 210)])
    assert offsets(told, PARKED) == list(range(201, 210))
    assert [t.topic for t in told if t.topic == STATUS_CHANGES] == []
    assert [fact.event.source for fact in person(store).facts] == [BAD]


def test_a_release_is_for_one_source_and_of_no_effect_twice() -> None:
    store = Store()
    fold(store, [bad(n) for n in range(100)] + [bad(n, GOOD) for n in range(100, 200)])
    release(store, GOOD)
    after = dict(store)
    assert tally(store).parked == {BAD: 99}
    release(store, GOOD)
    release(store, "/never/heard-of")
    assert store == after


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"data":{"source":"x"}}', b"\xff\xfe"])
def test_what_is_no_release_is_one_dead_letter_and_stops_nothing(value: bytes) -> None:
    [letter] = released_by(Store(), value)
    assert letter.topic == DEAD_LETTERS
    assert dict(letter.headers)["yk_reason"] == b"invalid"
    assert released_by(Store(), value, "scans") == [], "each table reads it; one tells"


def test_a_release_is_valid_only_from_the_operator() -> None:
    event = msgspec.to_builtins(released(BAD, "r1", NOW))
    store = Store()
    fold(store, [bad(n) for n in range(100)])
    released_by(store, msgspec.json.encode({**event, "source": BAD}))
    assert tally(store).parked


# Scans


def test_scans_are_counted_and_parked_and_released_in_their_own_table() -> None:
    def scan(offset: int, good: bool = False) -> Any:
        event = b.make(
            ScanRecorded, ScanData("T-1", "Gate 1", NOW), at=NOW, source="/terminals/440100-0001"
        )
        value = encode(event) if good else encode(event).replace(b"Gate 1", b"Gate\\n1")
        return record(value, NOW, offset, "scans", b.PERSON.encode())

    store = Store()

    def check(records: Sequence[Any]) -> list[Told]:
        work = Work(cast(Any, store))
        scans.chunk_check(LETTERS)(work, records)
        return store.commit(work)

    told = check([scan(n) for n in range(101)] + [scan(101, good=True)])
    assert offsets(told, PARKED) == [100, 101]
    release(store, "/terminals/440100-0001", "people")
    assert len(store) == 1
    assert tally(store, "scans")
    release(store, "/terminals/440100-0001", "scans")
    assert not tally(store, "scans")
    assert check([scan(102, good=True)]) == []
