"""The size of an event is looked at before anything that costs time by the byte."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.gateway import messages
from app.gateway.messages import (
    BATCH_EVENTS_MAX,
    COMMAS_MAX,
    DATA,
    DOCUMENTS_BYTES_MAX,
    EVENT_BYTES_MAX,
    MARKS_MAX,
    ONE,
)
from app.gateway.routes import _documents, _judge
from app.topics import codec
from app.topics.catalogue import CATALOGUE
from app.topics.codec import BESIDE_BYTES_MAX, Code, Refusal, decode
from app.web.problems import Problem, Refused

NUMBER = b"110105194912310021 "
TOPIC = CATALOGUE.topics["laboratory-results"]


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a byte of an event fails the test."""

    def read(*_: object) -> Any:
        pytest.fail("something was read before the size")

    for module, names in (
        (codec, ("_read", "parse_strict", "searchable", "carries_personal_number", "source_in")),
        (messages, ("parse_strict",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, read)


def _record(value: bytes, key: bytes = b"p", header: bytes = b"") -> Callable[[], object]:
    at = datetime(2022, 4, 20, tzinfo=UTC)
    return lambda: decode(value, key, [("ce_id", header)], TOPIC, at)


@pytest.mark.parametrize(
    "ask",
    [
        _record(NUMBER * (TOPIC.value_bytes_max // 19 + 1)),
        _record(b"{}", key=b"1" * (BESIDE_BYTES_MAX + 1)),
        _record(b"{}", header=b"1" * (BESIDE_BYTES_MAX + 1)),
        lambda: messages.one(ONE, [], b"1" * (EVENT_BYTES_MAX + 1)),
        lambda: messages.one(DATA, [(b"ce-id", b"1" * EVENT_BYTES_MAX)], b"{}"),
        lambda: messages.check_size(EVENT_BYTES_MAX + 1),
    ],
    ids=["value", "key", "header", "structured", "binary", "of a batch"],
)
@pytest.mark.usefixtures("nothing_is_read")
def test_one_byte_too_many_is_refused_before_anything_is_read(ask: Callable[[], object]) -> None:
    with pytest.raises((Refused, Refusal), match=f"^{Code.TOO_LARGE}: "):
        ask()


def test_an_event_of_a_batch_that_is_too_large_is_refused_by_itself() -> None:
    nobody: Any = None
    said = _judge(nobody, "/laboratories/1", b" " * (EVENT_BYTES_MAX + 1))
    assert isinstance(said, Problem)
    assert said.code == "too-large"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" + b",".join([b"{}"] * 1_300_000) + b"]", "too-many"),
        (b"[" + b",".join([b"1"] * 1_300_000) + b"]", "too-many"),
        (b"[[" + b",".join([b"1"] * MARKS_MAX) + b"]]", "too-large"),
    ],
    ids=["objects", "numbers", "one of very many parts"],
)
def test_events_are_counted_before_they_are_split(
    body: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split(*_: object, **__: object) -> Any:
        pytest.fail("it was split first")

    monkeypatch.setattr(msgspec.json, "decode", split)
    with pytest.raises(Refused, match=code):
        messages.batch(body)


def test_a_batch_whose_texts_have_very_many_commas_is_split() -> None:
    event = b'{"a":"' + b"," * COMMAS_MAX + b'"}'
    assert messages.batch(b"[" + event + b",{}]") == [event, b"{}"]


def test_the_bound_on_events_is_exact() -> None:
    for marks in (b"{}", b'{"a":"' + b"," * (COMMAS_MAX // 100) + b'"}'):
        assert len(messages.batch(b"[" + b",".join([marks] * BATCH_EVENTS_MAX) + b"]")) == 500
        with pytest.raises(Refused, match=re.escape("at most 500")):
            messages.batch(b"[" + b",".join([marks] * (BATCH_EVENTS_MAX + 1)) + b"]")


def test_documents_are_refused_by_their_size_first() -> None:
    with pytest.raises(Refused, match="body-too-large"):
        _documents(b"x" * (DOCUMENTS_BYTES_MAX + 1))
