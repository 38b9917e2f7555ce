"""The three forms of CloudEvents over HTTP: structured, batched, binary.

CloudEvents 1.0, HTTP protocol binding: https://github.com/cloudevents/spec, section 3. All three
give the same result: the event as a JSON object, with attributes and `data` side by side.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from app.topics.attributes import JSON, TwoValues, media_type, of_headers
from app.topics.catalogue import CATALOGUE
from app.topics.codec import parse_strict
from app.web.problems import Refused

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
DATA = JSON

Headers = list[tuple[bytes, bytes]]

BATCH_EVENTS_MAX = 500
DOCUMENTS_MAX = 1_000
"""Documents in one request for person keys."""

DOCUMENTS_BYTES_MAX = 512 * DOCUMENTS_MAX
"""Of such a request: a document has some 70 bytes."""

EVENT_BYTES_MAX = max(
    topic.value_bytes_max for topic in CATALOGUE.topics.values() if topic.folds_into is not None
)
"""Of one event as it was sent: no topic takes more, and all that follows costs by the byte."""

COMMAS_MAX = 64 * BATCH_EVENTS_MAX
"""Commas in a batch whose events need not be counted before they are split; five times those of a
full one."""

PREFIX = b"ce-"

_MEDIA_TYPES = (
    f"Send {ONE} for one event, {BATCH} for a batch, or {DATA} with ce- headers (binary mode)."
)


def kind_of(headers: Headers) -> str:
    """Return the media type of the body without parameters, lower-case; "" if none is named.

    Raise `Refused` for two of them, and for a charset: JSON is UTF-8 (RFC 8259), so another cannot
    be true.
    """
    kinds = {media_type(raw.decode("latin-1")) for name, raw in headers if name == b"content-type"}
    if len(kinds) > 1:
        raise Refused("malformed-header", _two_values("Content-Type"))
    kind, utf_8 = kinds.pop() if kinds else ("", True)
    if not utf_8:
        raise Refused("unsupported-media-type", "The charset of JSON is UTF-8; send that.")
    return kind


def is_batch(kind: str, headers: Headers) -> bool:
    """Say whether the body is a batch; raise `Refused` if it has none of the three forms.

    In binary mode the type may be left out: then the data is JSON.
    """
    binary = kind in (DATA, "") and any(name.startswith(PREFIX) for name, _ in headers)
    if kind not in (ONE, BATCH) and not binary:
        raise Refused("unsupported-media-type", _MEDIA_TYPES, headers={"Accept": f"{ONE}, {BATCH}"})
    return kind == BATCH


def one(kind: str, headers: Headers, body: bytes) -> Any:
    """Return the one event of a request; raise `Refused` or the codec's `Refusal`."""
    attributes = sum(len(name) + len(raw) for name, raw in headers if name.startswith(PREFIX))
    check_size(len(body) + (0 if kind == ONE else attributes))
    if kind == ONE:
        return parse_strict(body)
    return {**_attributes(headers), "data": parse_strict(body)}


def check_size(event_bytes: int) -> None:
    """Raise `Refused` for an event that is larger than any topic takes, before it is read."""
    if event_bytes > EVENT_BYTES_MAX:
        raise Refused(
            "too-large",
            f"The event has {event_bytes} bytes as it was sent; at most {EVENT_BYTES_MAX} go.",
        )


def batch(body: bytes) -> list[bytes]:
    """Split a batch into its events without reading them, so a bad one harms no other.

    Raise `Refused` for anything but a JSON array, and for an array that is too long.
    """
    _check_count(body)
    try:
        events = [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except msgspec.ValidationError:
        raise Refused(
            "not-a-cloudevent", f"A batch is a JSON array of events; for one event send {ONE}."
        ) from None
    except (msgspec.DecodeError, RecursionError):
        events = _split_by_brackets(body)
    if len(events) > BATCH_EVENTS_MAX:
        raise _too_many(f"{len(events)} events")
    return events


def _too_many(found: str) -> Refused:
    return Refused("too-many", f"The batch has {found}; at most {BATCH_EVENTS_MAX} go.")


def _check_count(body: bytes) -> None:
    """Raise `Refused` where splitting alone would cost too much.

    A million empty events would be a million objects here before anybody counted them.
    """
    if body.count(b",") <= COMMAS_MAX:
        return
    depth, events = 0, 1
    for number, mark in enumerate(_MARKS.finditer(body)):
        events += depth == 1 and mark.group() == b","
        depth += _WITHIN.get(mark.group(), 0)
        if events > BATCH_EVENTS_MAX:
            raise _too_many(f"more than {BATCH_EVENTS_MAX} events")
        if number == MARKS_MAX:
            raise Refused("too-large", f"No batch has more than {MARKS_MAX} names and values.")


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_WITHIN = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}

MARKS_MAX = 200_000
"""Brackets, commas and texts in a batch that are looked at one by one; ten times those of a full
batch."""


def _split_by_brackets(body: bytes) -> list[bytes]:
    """Split a batch that is not JSON where its brackets and commas show that an event ends.

    The fault may lie inside an event: then that event is refused, and no other.
    """
    events: list[bytes] = []
    depth, begin = 0, 0
    for number, mark in enumerate(_MARKS.finditer(body)):
        kind = mark.group()
        if number == 0 and (kind != b"[" or body[: mark.start()].strip()):
            break
        closes = depth == 1 and kind in (b"]", b",")
        if closes:
            events.append(body[begin : mark.start()].strip())
        if depth == 0 or closes:
            begin = mark.end()
        depth += _WITHIN.get(kind, 0)
        if depth == 0:
            if body[mark.end() :].strip():
                break
            return events
        if number == MARKS_MAX:
            break
    raise Refused(
        "not-json",
        "The batch as a whole is not JSON, and where its events end cannot be told; nothing of it "
        "was taken.",
    )


def _attributes(headers: Headers) -> dict[str, str]:
    """Read the attributes of binary mode: ce- headers, and data's content type."""
    try:
        return of_headers(_named(headers))
    except TwoValues as twice:
        name = "Content-Type" if twice.name == "datacontenttype" else f"ce-{twice.name}"
        raise Refused("malformed-header", _two_values(name)) from None


def _named(headers: Headers) -> Iterator[tuple[str, str]]:
    """Yield the attributes in headers. Their values are percent-encoded UTF-8 (binding,
    3.1.3.2)."""
    for raw_name, raw_value in headers:
        if raw_name == b"content-type" and raw_value:
            yield "datacontenttype", raw_value.decode("latin-1")
        if not raw_name.startswith(PREFIX):
            continue
        name = raw_name.removeprefix(PREFIX).decode("latin-1")
        if name == "data":
            raise Refused("malformed-header", "There is no ce-data; data is the body.")
        try:
            yield name, unquote_to_bytes(raw_value).decode()
        except UnicodeDecodeError:
            raise Refused("malformed-header", f"ce-{name} is not percent-encoded UTF-8.") from None


def _two_values(name: str) -> str:
    return f"The header {name} has two different values; send one."
