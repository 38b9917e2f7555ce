"""What of a refused record lies in the clear: nothing of what it says."""

from typing import Any

import pytest

from app.topics.codec import encode
from models.events import TelecomVisitData, TelecomVisitReported, Visit
from support import builders as b
from topology.driver import Driver, Letter

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
    lies = told.record
    return b"\n".join((lies.value or b"", lies.key or b"", *(v for _, v in lies.headers)))


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
    assert (told.key, told.value) == (b.PERSON.encode(), value)


def test_anothers_phone_number_is_sealed_in_a_field_that_there_is_not(driver: Driver) -> None:
    value = negative().replace(b'"result"', b'"phone":"13800138000","result"')
    told = letter(driver, value, "laboratory-results")
    assert NUMBER not in in_the_clear(told)
    told = letter(driver, negative()[:-1], "laboratory-results", ("holder", NUMBER))
    assert NUMBER not in in_the_clear(told)


NAME = "欧阳金丝雀"


@pytest.mark.parametrize(
    "change",
    [
        (b'"result"', f'"name":"{NAME}","result"'.encode()),
        (b"negative", NAME.encode()),
        (b"Laboratory 1", f"{NAME}\u0007".encode()),
        (b"}}", b"}"),
    ],
)
def test_a_name_is_in_no_letter_in_the_clear(driver: Driver, change: tuple[bytes, bytes]) -> None:
    """Nothing could find it: a name has no form."""
    value = negative(id=f"e-{NAME}").replace(*change)
    told = letter(driver, value, "laboratory-results", ("holder", NAME.encode()))
    assert NAME.encode() not in in_the_clear(told)
    assert told.value == value
    assert told.within.own_headers == (("holder", NAME.encode()),)


def test_id_and_type_are_in_the_clear_so_that_its_source_knows_it(driver: Driver) -> None:
    told = letter(driver, negative(id="R-1").replace(b"negative", b"-"), "laboratory-results")
    assert (told.headers["yk_id"], told.headers["yk_source"]) == ("R-1", "/laboratories/1")
    assert told.headers["yk_type"] == "yuekang.nat-result.reported.v1"


@pytest.mark.parametrize("size", [10, 3 * 1024 * 1024, 3 * 1024 * 1024 + 1, 4_000_000])
def test_what_is_left_out_is_counted_in_plain_bytes(driver: Driver, size: int) -> None:
    told = letter(driver, b"x" * size, "laboratory-results")
    assert told.within.bytes_kept == len(told.value) == min(size, 3 * 1024 * 1024)
    assert told.within.bytes_left_out == size - len(told.value)
    assert told.within.bytes_left_out + told.within.bytes_kept == size
