"""What the worker refuses: a dead letter that says why, and all beside it goes on."""

import msgspec
import pytest

from app.development.sample.broken import BREAKAGES, Breakage
from app.process.macs import MAC
from app.topics.records import binary
from models.codes import Colour
from support import builders as b
from topology.driver import Driver, Letter, made


def letter_of(driver: Driver, place: object) -> Letter:
    """Return the one dead letter that was told, which must be of this place."""
    [letter] = driver.outputs("dead-letters")
    said = letter.headers
    assert (said["yk_topic"], int(said["yk_partition"]), int(said["yk_offset"])) == place
    assert isinstance(letter, Letter)
    return letter


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_what_is_broken_is_a_dead_letter_and_all_beside_it_goes_on(
    driver: Driver, breakage: Breakage
) -> None:
    first, last = b.verified(), b.provincial("red", b.day(5))
    valid = b.negative(b.day(2), source="/laboratories/440100-001")
    record = breakage.record(valid)
    driver.send_all([first, valid] if breakage.code == "conflict" else [first])
    sent = driver.send(record)
    driver.send(last)
    letter = letter_of(driver, (sent.topic, sent.partition, sent.offset))
    said = letter.headers
    assert said["yk_reason"] == breakage.code
    assert len(said["yk_detail"]) > 10
    assert said["yk_refused"] == "true"
    raw = letter.value
    lies = letter.record
    assert (lies.key, said["yk_sealed"]) == (None, "record")
    assert record.value is None or len(record.value) < 3 or record.value not in (lies.value or b"")
    if breakage.code == "conflict":
        assert msgspec.json.decode(raw) == msgspec.json.decode(record.value or b"")
    else:
        assert raw == (record.value or b"")
        assert letter.key == record.key
    assert ("yk_tombstone" in said) == (record.value is None)
    assert (driver.code().version, driver.code().colour) == (3, Colour.RED)


def test_binary_mode_is_refused_with_its_headers(driver: Driver) -> None:
    bad = binary(b.negative(b.day(2)))
    kept = [(name, raw) for name, raw in bad.headers if name != "ce_sequence"]
    sent = driver.send(made(bad, headers=kept))
    letter = letter_of(driver, (sent.topic, sent.partition, sent.offset))
    assert letter.reason == "invalid"
    assert "sequence" in letter.headers["yk_detail"]
    assert set(kept) <= set(letter.within.own_headers)
    assert not set(kept) & set(letter.record.headers)


def test_a_document_number_in_the_key_or_a_header_is_sealed(driver: Driver) -> None:
    number = b"11010519491231002X"
    event = binary(b.negative(b.day(2)))
    in_header = [*event.headers, ("ce_subject", number)]
    for record in (made(event, key=number), made(event, headers=in_header)):
        sent = driver.send(record)
        letter = letter_of(driver, (sent.topic, sent.partition, sent.offset))
        assert letter.reason == "document-number"
        assert letter.record.key is None
        everything = b"".join(raw for _, raw in letter.record.headers) + (
            letter.record.value or b""
        )
        assert number not in everything
        assert letter.key == record.key
        own = {header for header in record.headers if header[0] != MAC}
        assert own <= set(letter.within.own_headers)
