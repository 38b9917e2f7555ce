"""How the gateway refuses an event, and what its answer repeats of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET

from app.gateway.admission import Admission, readable_id
from app.gateway.person_keys import PersonKeys
from app.topics.codec import Code, Refusal, parse_strict
from support import builders
from support.macs import KEYS

CARD_NUMBER = "11010519491231002X"
PERMIT_NUMBER = "H12345678"


@pytest.mark.parametrize("id_", ["e1", "!", "~" * 64, 'a"b\\c', "440100-001/2022-03-01"])
def test_an_id_of_the_form_of_one_is_repeated(id_: str) -> None:
    assert readable_id({"id": id_}) == id_


@pytest.mark.parametrize(
    "id_",
    [
        None,
        7,
        True,
        ["e1"],
        {"id": "e1"},
        "",
        " ",
        "a b",
        "e1\n",
        "id\n2",
        "é",
        "检",
        "\x7f",
        "x" * 65,
        "x" * 100_000,
        CARD_NUMBER,
        f"of-{CARD_NUMBER}",
        PERMIT_NUMBER,
    ],
    ids=lambda id_: repr(id_)[:24],
)
def test_what_is_no_id_is_not_repeated(id_: Any) -> None:
    assert readable_id({"id": id_}) is UNSET


@pytest.mark.parametrize("event", [None, {}, [], ["id"], "id", 7, {"ID": "e1"}])
def test_what_has_no_id_has_none_to_repeat(event: Any) -> None:
    assert readable_id(event) is UNSET


def test_data_as_deep_as_is_read_is_no_event() -> None:
    """In binary mode it lies one deeper than it was read."""
    source = "/laboratories/440100-001"
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": source,
        "type": "yuekang.nat-result.reported.v1",
        "time": "2022-03-01T08:00:00+08:00",
        "partitionkey": builders.PERSON,
        "sequence": "1",
        "data": parse_strict(b"[" * 201 + b"]" * 201),
    }
    admission = Admission(PersonKeys(bytes(32), 1), KEYS, lambda: datetime.now(UTC))
    with pytest.raises(Refusal) as caught:
        admission.admit(event, source)
    assert caught.value.code is Code.INVALID
