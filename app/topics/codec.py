"""Bytes to events, and back: the same checks at both entrances.

Everything that may be wrong with one event by itself is found and named here. A `Refusal` has a
code from the closed list `Code`, a sentence, and the fields at fault. Whether an event contradicts
others about the same person (a conflict, a correction of another source's) is the fold's matter
(models.notices.Objection).

CloudEvents 1.0 comes in two modes on Kafka (https://github.com/cloudevents/spec, Kafka protocol
binding, section 3): structured, the whole event as JSON in the value; binary, attributes in `ce_`
headers and data in the value. A record without `ce_` headers is taken as structured. What may be
written in several ways is read in one (app.topics.attributes).

Inputs hold what the entrances have written, all in one spelling. What is of that spelling goes a
short way, at half of the cost; it ends where the long one does (decision 39).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from app.process.macs import MAC
from app.topics import strict_json
from app.topics.attributes import TwoValues, in_one_way, likely, of_headers
from app.topics.catalogue import CATALOGUE, Topic
from app.topics.numbers import carries_personal_number, searchable
from app.topics.records import CLOUDEVENT, Headers
from app.topics.schemas import expectation
from app.topics.strict_json import NotStrict
from models.checks import Fault, faults, misfits
from models.events import EVENT_TYPES, Event, type_of
from models.operators import SOURCE_READ


class Code(StrEnum):
    """Why an event is refused; the same names in dead-letters and in HTTP problems."""

    TOMBSTONE = "tombstone"
    TOO_LARGE = "too-large"
    NOT_UTF_8 = "not-utf-8"
    NUL = "nul"
    NOT_JSON = "not-json"
    TOO_DEEP = "too-deep"
    DUPLICATE_KEY = "duplicate-key"
    NOT_A_CLOUDEVENT = "not-a-cloudevent"
    UNKNOWN_TYPE = "unknown-type"
    WRONG_TOPIC = "wrong-topic"
    DOCUMENT_NUMBER = "document-number"
    INVALID = "invalid"
    NO_AUTHORITY = "no-authority"
    NOT_AUTHENTIC = "not-authentic"
    KEY = "key"
    WRONG_PARTITION = "wrong-partition"
    LEFT_ASIDE = "left-aside"


class Refusal(Exception):
    """An event is refused. `source` is who sent it, if that can be read."""

    def __init__(
        self,
        code: Code,
        detail: str,
        source: str | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.source = source
        self.faults = faults


BESIDE_BYTES_MAX = 16_384
"""Of a record's key and headers: every attribute of binary mode and what tracing adds is 2 KB."""

encode = msgspec.json.Encoder().encode
"""Return an event as structured JSON."""


def decode(
    value: bytes | None,
    key: bytes | None,
    headers: Headers,
    topic: Topic,
    arrived_at: datetime,
) -> Event:
    """Return the event in a record of `topic`, or raise `Refusal`."""
    # First, since all that follows costs time by the byte, and anybody may write to Kafka.
    beside = len(key or b"")
    for name, raw in headers:
        beside += len(name) + len(raw or b"")
    if value is not None and len(value) > topic.value_bytes_max:
        raise Refusal(
            Code.TOO_LARGE,
            f"The value has {len(value)} bytes; {topic.name} takes {topic.value_bytes_max}.",
        )
    if beside > BESIDE_BYTES_MAX:
        raise Refusal(
            Code.TOO_LARGE,
            f"The key and the headers have {beside} bytes; at most {BESIDE_BYTES_MAX} are read.",
        )
    if (event := _as_we_write(value, key, headers, topic)) is not None:
        _check(event, arrived_at)
        return event
    if carries_personal_number(searchable(value, key, headers)):
        raise document_number(source_in(value, headers))
    if value is None:
        raise Refusal(
            Code.TOMBSTONE,
            "The record has no value. To take an event back, publish its retraction.",
        )
    parsed = parse_strict(value)
    if _is_binary(headers):
        parsed = {**_attributes(headers), "data": parsed}
    event = from_mapping(parsed, arrived_at, topic)
    if key is None or key != event.partitionkey.encode():
        raise Refusal(
            Code.KEY,
            f"The record's key is {_wrong_key(key, event.partitionkey)}.",
            event.source,
            (Fault("key", "the record's key must be the event's partitionkey, as UTF-8."),),
        )
    return event


def _as_we_write(
    value: bytes | None, key: bytes | None, headers: Headers, topic: Topic
) -> Event | None:
    """Return the event of a record that is byte for byte as the entrances write it, if it carries
    no personal number; None of any other. Inputs hold hardly any other.

    What `encode` writes is strict JSON of one spelling. So a value that it writes again from what
    was read of it has no name twice, and nothing that was passed over.
    """
    if value is None or b"\\" in value:
        return None
    macs = 0
    for header in headers:
        if header[0] == MAC:
            macs += 1
        elif header not in CLOUDEVENT:
            return None
    if macs > 1:
        return None
    try:
        event = _read(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if (
        encode(event) != value
        or event.partitionkey.encode() != key
        or event.sequence.startswith("0")  # it has another spelling
        or not topic.takes(type_of(event))
        or carries_personal_number(value)
    ):
        return None
    return event


_read: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode


def _wrong_key(key: bytes | None, person: str) -> str:
    if not key:
        return "missing"
    try:
        written = strict_json.parse(key)
    except NotStrict:
        return "another person"
    if written == person:
        return "quoted: it is JSON text. Write it without the quotes, as a plain string"
    if isinstance(written, dict):
        return "a JSON object. Write the partitionkey alone, as a plain string"
    return "another person"


def source_in(value: bytes | None, headers: Headers) -> str | None:
    """Return who a record seems to be from, however broken it is; None if that is unreadable.

    The source is read from the header of binary mode, else from the first member of that name.
    """
    named = [raw or b"" for name, raw in headers if name == "ce_source"]
    found = _SOURCE_IN.search(b'"source":"%s"' % named[0] if named else value or b"")
    if found is None or carries_personal_number(b'"%s"' % found[1]):
        return None
    return found[1].decode()


def from_mapping(parsed: Any, arrived_at: datetime, topic: Topic | None = None) -> Event:
    """Return the event that `parsed` JSON says, or raise `Refusal`.

    `topic` is where it was found; None if it is not in a topic yet. Numbers of people are not
    looked for: whoever calls this asks `carries_personal_number` too.
    """
    if not isinstance(parsed, dict):
        raise Refusal(Code.NOT_A_CLOUDEVENT, "The value is JSON but no object.")
    if parsed.get("specversion") != "1.0":
        raise Refusal(
            Code.NOT_A_CLOUDEVENT,
            "specversion is missing or another than 1.0; see https://cloudevents.io.",
            _source_of(parsed),
        )
    type_ = parsed.get("type")
    if not isinstance(type_, str):
        raise Refusal(Code.NOT_A_CLOUDEVENT, "type is missing or no text.", _source_of(parsed))
    known = EVENT_TYPES.get(type_)
    if known is None:
        raise Refusal(Code.UNKNOWN_TYPE, _unknown(type_), _source_of(parsed))
    if topic is not None and not topic.takes(type_):
        right = CATALOGUE.topic_of(type_).name
        raise Refusal(
            Code.WRONG_TOPIC, f"{type_} belongs to {right}, not {topic.name}.", _source_of(parsed)
        )
    data = parsed.get("data")
    if "document" in parsed:
        raise document_number(_source_of(parsed), "document")
    if not isinstance(data, dict):
        raise _no_data(parsed, type_)
    if "document" in data:
        raise document_number(_source_of(parsed), "data.document")
    try:
        event = msgspec.convert(in_one_way(parsed), known)
    except msgspec.ValidationError as error:
        fault = _fault(str(error), type_)
        raise Refusal(
            Code.INVALID, f"{fault.field}: {fault.detail}", _source_of(parsed), (fault,)
        ) from None
    _check(event, arrived_at)
    return event


def _no_data(parsed: Mapping[str, Any], type_: str) -> Refusal:
    """Return the refusal of an event that has no object as its data."""
    if "data_base64" in parsed:
        what = "it is missing; data_base64 is not read. Send it as a JSON object"
    elif parsed.get("data") is None:
        what = "it is missing"
    else:
        what = "it is no JSON object"
    expected = expectation(type_, "data") or "Expected: an object with the fields of its type."
    fault = Fault("data", f"{what}. {expected}")
    return Refusal(Code.INVALID, f"data: {fault.detail}", _source_of(parsed), (fault,))


def _check(event: Event, arrived_at: datetime) -> None:
    """Raise `Refusal` if a text lacks the form that its field asks for, if the source has no
    authority, or if something is wrong with an event that arrived at `arrived_at`."""
    if unfit := misfits(event):
        raise _invalid(unfit, event)
    if (refused := CATALOGUE.entitled(event.source, type_of(event), event.data)) is not None:
        raise Refusal(Code.NO_AUTHORITY, refused, event.source)
    if wrong := tuple(faults(event, arrived_at)):
        raise _invalid(wrong, event)


def _invalid(found: tuple[Fault, ...], event: Event) -> Refusal:
    detail = " ".join(f"{fault.field}: {fault.detail}" for fault in found)
    return Refusal(Code.INVALID, detail, _readable(event.source), found)


def parse_strict(raw: bytes) -> Any:
    """Parse JSON as RFC 8259 and I-JSON want it: UTF-8, no name twice, no NaN, no NUL.

    Raise `Refusal`.
    """
    try:
        return strict_json.parse(raw)
    except NotStrict as error:
        raise Refusal(Code(error.code), error.detail) from None


def document_number(source: str | None, *fields: str) -> Refusal:
    """Return the refusal of an event that carries a personal number, in `fields` if known."""
    if source is not None and carries_personal_number(b'"%s"' % source.encode()):
        source = None
    return Refusal(
        Code.DOCUMENT_NUMBER,
        "The event carries the number of a document or a phone, or a text of its form. Send it to "
        "the gateway, which puts the person key in its place, or obtain the key first (POST "
        "/v1/person-keys). No number of your own may have this form (11 digits from 13 on, say).",
        source,
        tuple(
            Fault(field, "no number of a document or a phone, nor anything like one, may be here.")
            for field in fields
        ),
    )


_SOURCE = re.compile(SOURCE_READ)
_SOURCE_IN = re.compile(rf'"source"\s*:\s*"({SOURCE_READ})"'.encode())


def _source_of(parsed: Mapping[str, Any]) -> str | None:
    return _readable(parsed.get("source"))


def _readable(source: Any) -> str | None:
    return source if isinstance(source, str) and _SOURCE.fullmatch(source) else None


def _is_binary(headers: Headers) -> bool:
    """Say whether attributes are in headers; in structured mode headers may hold copies."""
    structured = any(
        name.lower() == "content-type" and (raw or b"").strip().lower().startswith(_STRUCTURED)
        for name, raw in headers
    )
    return not structured and any(name.startswith("ce_") for name, _ in headers)


_STRUCTURED = b"application/cloudevents"


def _attributes(headers: Headers) -> dict[str, str]:
    """Read the attributes of binary mode: `ce_` headers, and data's content type.

    A header without a value sets nothing.
    """
    try:
        return of_headers(_named(headers))
    except TwoValues as twice:
        raise Refusal(
            Code.NOT_A_CLOUDEVENT,
            f"The headers give {twice.name} two different values; send one.",
        ) from None


def _named(headers: Headers) -> Iterator[tuple[str, str]]:
    for header, raw in headers:
        if header.lower() == "content-type":
            name = "datacontenttype"
        elif header.startswith("ce_"):
            name = header.removeprefix("ce_")
        else:
            continue
        if name == "data":
            raise Refusal(Code.NOT_A_CLOUDEVENT, "There is no header ce_data; data is the value.")
        if raw is None:
            continue
        try:
            yield name, raw.decode()
        except UnicodeDecodeError:
            raise Refusal(Code.NOT_UTF_8, f"The header {header} is not UTF-8.") from None


_ERROR = re.compile(r"(?s)(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>[^`]*)`)?")
_QUOTED = re.compile(r"(?s) '.*'")
_NAMED = re.compile(r"(?s)Object (?:missing required|contains unknown) field `(?P<name>.*)`")


def _fault(message: str, type_: str) -> Fault:
    """Turn msgspec's message into the field at fault and what would be right."""
    match = _ERROR.fullmatch(message)
    assert match is not None
    path = (match["path"] or "").lstrip(".")
    named = _NAMED.fullmatch(match["what"])
    if named is not None:
        path = f"{path}.{named['name'][:64]}".lstrip(".")
        missing = "missing" in message[:14]
        what = "it is missing" if missing else "there is no such field"
        if not missing and "." not in path and (meant := likely(path)) is not None:
            what += f"; {meant} may be meant"
    else:
        # The value is not repeated: a detail is no secret, and it may be somebody's name.
        what = _QUOTED.sub("", match["what"])[:200]
        what = what[0].lower() + what[1:]
    path = path.encode(errors="replace").decode()
    what = what.encode(errors="replace").decode()
    expected = expectation(type_, path)
    return Fault(path or "$", f"{what}. {expected}" if expected else f"{what}.")


def _unknown(type_: str) -> str:
    stem = type_.rpartition(".")[0]
    versions = [known for known in EVENT_TYPES if known.rpartition(".")[0] == stem]
    shown = type_[:80].encode("ascii", "replace").decode()
    if versions:
        return f"{shown} is no version there is; known: {', '.join(versions)}."
    return f"There is no event type {shown}; the AsyncAPI document lists all."
