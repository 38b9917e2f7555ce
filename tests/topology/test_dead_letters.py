"""What of a refused record lies in the clear, where it may carry a phone number."""

from typing import Any

import pytest
from nacl.public import SealedBox

from app.topics.catalogue import CATALOGUE
from app.topics.codec import encode
from app.topics.numbers import carries_phone_number
from models.events import TelecomVisitData, TelecomVisitReported, Visit
from support import builders as b
from topology.driver import DEAD_LETTER_KEY, Driver, Letter

NUMBER = b"13800138000"


def visited(**kw: Any) -> bytes:
    data = TelecomVisitData("440100", Visit.REACHED, b.day(2))
    source = {"source": "/telecoms/1", **kw}
    return encode(b.make(TelecomVisitReported, data, at=b.day(2), **source))


def negative(**kw: Any) -> bytes:
    return encode(b.negative(b.day(2), source="/laboratories/1", **kw))


def letter(driver: Driver, value: bytes, topic: str, *headers: tuple[str, bytes]) -> Letter:
    """Send what the codec has something against; return its dead letter."""
    driver.send(value, topic, key=b.PERSON, headers=headers)
    [told] = driver.outputs("dead-letters")
    assert isinstance(told, Letter)
    return told


def in_the_clear(told: Letter) -> bytes:
    return b"\n".join((told.value, told.key or b"", *(v for _, v in told.record.headers)))


@pytest.mark.parametrize(
    "value",
    [
        visited().replace(b'"city"', b'"phone":"13800138000","city"'),
        visited().replace(b'"city"', b'"document":{"number":"13800138000"},"city"'),
        visited().replace(b"440100", NUMBER),
        visited().replace(b"reached", NUMBER),
        visited(id="V-13800138000"),
        visited(supersedes="8613800138000"),
        visited().replace(b"440100", b"\\u00313800138000"),
        visited()[:-1] + b',"13800138000":1}',
        b"13800138000,440100,reached",
    ],
)
def test_a_telecoms_phone_number_is_sealed(driver: Driver, value: bytes) -> None:
    told = letter(driver, value, "telecom-visits")
    assert NUMBER not in in_the_clear(told)
    assert told.key is None
    assert SealedBox(DEAD_LETTER_KEY).decrypt(told.value) == value


def test_anothers_phone_number_is_sealed_in_a_field_that_there_is_not(driver: Driver) -> None:
    value = negative().replace(b'"result"', b'"phone":"13800138000","result"')
    told = letter(driver, value, "laboratory-results")
    assert NUMBER not in in_the_clear(told)
    told = letter(driver, negative()[:-1], "laboratory-results", ("holder", NUMBER))
    assert NUMBER not in in_the_clear(told)


def test_a_file_number_that_looks_like_one_leaves_the_letter_open(driver: Driver) -> None:
    """It could not be sent again as it is, otherwise, for nothing."""
    for changed in ({"id": "13800138000"}, {"sequence": 13800138000}):
        value = negative(**changed).replace(b"negative", b"probably")
        told = letter(driver, value, "laboratory-results")
        assert told.value == value


def test_numbers_of_the_sources_own_are_known_by_their_fields() -> None:
    topics = CATALOGUE.topics
    for name in ("id", "supersedes", "sequence", "case", "listing", "order", "notice", "terminal"):
        member = b'{"%s": "13800138000"}' % name.encode()
        assert not carries_phone_number(member, None, (), topics["scans"])
    member = b'{"sequence": "13800138000"}'
    assert not carries_phone_number(member, None, (), topics["telecom-visits"])
    assert carries_phone_number(b'{"place": "13800138000"}', None, (), topics["scans"])
