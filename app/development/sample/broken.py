"""Records that must be refused: each is a valid event, broken in one way.

Every breakage knows the code with which the codec, or for `CONFLICT` the fold, refuses it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from app.development.sample.documents import SampleDocument
from app.topics.catalogue import named
from app.topics.records import Record
from models.events import DocumentType, Event

Json = dict[str, Any]

TOPIC = named("laboratory-results")
"""The topic of broken records: all are made of laboratory results."""

OTHER_PERSON = "p1-" + "a" * 32
"""A key that the gateway gives to nobody: the chance is 2 to the power of -160."""

_encode = msgspec.json.Encoder().encode
_to_json: Callable[[Event], Json] = msgspec.to_builtins


class Breakage(Struct, frozen=True):
    """One way to break a laboratory result. `code` is the reason in dead-letters."""

    name: str
    code: str
    record: Callable[[Event], Record]


def _of_value(change: Callable[[bytes], bytes | None]) -> Callable[[Event], Record]:
    """Break the bytes."""

    def record(event: Event) -> Record:
        return Record(TOPIC, event.partitionkey.encode(), change(_encode(event)))

    return record


def _of_json(change: Callable[[Json], Json]) -> Callable[[Event], Record]:
    """Break what the JSON says."""
    return lambda event: Record(
        TOPIC, event.partitionkey.encode(), _encode(change(_to_json(event)))
    )


def _of_key(key: bytes | None) -> Callable[[Event], Record]:
    """Break the record's key."""
    return lambda event: Record(TOPIC, key, _encode(event))


def _with(**attributes: object) -> Callable[[Event], Record]:
    """Give attributes another value."""
    return _of_json(lambda event: {**event, **attributes})


def _with_data(**fields: object) -> Callable[[Event], Record]:
    """Give fields of the data another value."""
    return _of_json(lambda event: {**event, "data": {**event["data"], **fields}})


def _without(*path: str) -> Callable[[Event], Record]:
    """Leave out the field at `path`."""

    def change(event: Json) -> Json:
        return _left_out(event, path)

    return _of_json(change)


def _left_out(value: Mapping[str, Any], path: tuple[str, ...]) -> Json:
    name, *rest = path
    if not rest:
        return {key: item for key, item in value.items() if key != name}
    return {**value, name: _left_out(value[name], tuple(rest))}


def _replaced(old: bytes, new: bytes) -> Callable[[Event], Record]:
    """Replace bytes that are in every encoded laboratory result."""
    return _of_value(lambda value: value.replace(old, new, 1))


_NESTED = b'"data":' + b"[" * 10_000 + b"]" * 10_000 + b',"was":'
_AHEAD = "2999-01-01T00:00:00+08:00"
_BEFORE = "2019-11-30T00:00:00+08:00"

BREAKAGES: tuple[Breakage, ...] = (
    Breakage("tombstone", "tombstone", _of_value(lambda _: None)),
    Breakage("not-json", "not-json", _of_value(lambda _: b"positive, 3 swabs, see fax")),
    Breakage("cut-short", "not-json", _of_value(lambda value: value[:40])),
    Breakage("not-utf-8", "not-utf-8", _replaced(b'"institution":"', b'"institution":"\xff\xfe')),
    Breakage("nul", "nul", _replaced(b'"institution":"', b'"institution":"\x00')),
    Breakage("nested", "too-deep", _replaced(b'"data":', _NESTED)),
    Breakage("nan", "not-json", _replaced(b'"data":{', b'"data":{"ct":NaN,')),
    Breakage("infinity", "not-json", _replaced(b'"data":{', b'"data":{"ct":-Infinity,')),
    Breakage(
        "duplicate-key", "duplicate-key", _replaced(b'"data":{', b'"data":{"result":"positive",')
    ),
    Breakage(
        "too-large",
        "too-large",
        _replaced(b'"data":{', b'"data":{"note":"' + b"x" * 70_000 + b'",'),
    ),
    Breakage("no-cloudevent", "not-a-cloudevent", _of_json(lambda event: dict(event["data"]))),
    Breakage("no-array", "not-a-cloudevent", _of_value(lambda value: b"[" + value + b"]")),
    Breakage("old-specversion", "not-a-cloudevent", _with(specversion="0.3")),
    Breakage("unknown-type", "unknown-type", _with(type="yuekang.antibody.reported.v1")),
    Breakage("unknown-version", "unknown-type", _with(type="yuekang.nat-result.reported.v9")),
    Breakage("field-missing", "invalid", _without("data", "result")),
    Breakage("sequence-missing", "invalid", _without("sequence")),
    Breakage("wrong-type", "invalid", _with_data(institution=7)),
    Breakage("unknown-result", "invalid", _with_data(result="probably")),
    Breakage("out-of-range", "invalid", _with(sequence="-1")),
    Breakage("time-without-zone", "invalid", _with_data(sampled_at="2020-04-20T08:00:00")),
    Breakage("far-future", "invalid", _with_data(reported_at=_AHEAD)),
    Breakage("too-early", "invalid", _with_data(sampled_at=_BEFORE)),
    Breakage(
        "sampled-after-reported",
        "invalid",
        _of_json(
            lambda event: {
                **event,
                "data": {
                    **event["data"],
                    "sampled_at": event["data"]["reported_at"],
                    "reported_at": event["data"]["sampled_at"],
                },
            }
        ),
    ),
    Breakage(
        "corrects-itself", "invalid", _of_json(lambda event: {**event, "supersedes": event["id"]})
    ),
    Breakage("empty-key", "key", _of_key(b"")),
    Breakage("no-key", "key", _of_key(None)),
    Breakage("key-of-another-person", "key", _of_key(OTHER_PERSON.encode())),
    Breakage("no-authority", "no-authority", _with(source="/terminals/440100-0001")),
    Breakage(
        "document-number",
        "document-number",
        _of_json(
            lambda event: {
                **event,
                "document": {"type": "resident-identity-card", "number": "440100199001010000"},
            }
        ),
    ),
    Breakage("conflict", "conflict", _with_data(institution="样本检测机构 999")),
)


class DocumentBreakage(Struct, frozen=True):
    """A document number that cannot exist, which the gateway refuses."""

    name: str
    document: SampleDocument


def _card(number: str) -> SampleDocument:
    return SampleDocument(DocumentType.RESIDENT_IDENTITY_CARD, number)


def _permit(number: str) -> SampleDocument:
    return SampleDocument(DocumentType.MAINLAND_TRAVEL_PERMIT, number)


DOCUMENT_BREAKAGES: tuple[DocumentBreakage, ...] = (
    DocumentBreakage("wrong-check-digit", _card("440100199001010010")),
    DocumentBreakage("impossible-birthday", _card("440100199002300014")),
    DocumentBreakage("too-short", _card("44010019900101")),
    DocumentBreakage("permit-of-wrong-form", _permit("K1234567")),
)
