"""The three forms of CloudEvents over HTTP: structured, batched, binary.

CloudEvents 1.0, HTTP protocol binding: https://github.com/cloudevents/spec, section 3. All three
give the same result: the event as a JSON object, with attributes and `data` side by side.
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from app.topics.codec import parse_strict
from app.web.problems import Refused

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
DATA = "application/json"

BATCH_EVENTS_MAX = 500
PREFIX = b"ce-"

_MEDIA_TYPES = (
    f"Send {ONE} for one event, {BATCH} for a batch, or {DATA} with ce- headers (binary mode)."
)


def media_type(content_type: str) -> str:
    """Return the media type without parameters, lower-case; raise `Refused` for a charset.

    JSON is UTF-8 (RFC 8259), so another charset cannot be true.
    """
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            raise Refused("unsupported-media-type", "The charset of JSON is UTF-8; send that.")
    return kind


def is_batch(kind: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Say whether the body is a batch; raise `Refused` if it has none of the three forms."""
    binary = kind == DATA and any(name.startswith(PREFIX) for name, _ in headers)
    if kind not in (ONE, BATCH) and not binary:
        raise Refused("unsupported-media-type", _MEDIA_TYPES, headers={"Accept": f"{ONE}, {BATCH}"})
    return kind == BATCH


def one(kind: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
    """Return the one event of a request; raise `Refused` or the codec's `Refusal`."""
    if kind == ONE:
        return parse_strict(body)
    attributes = _attributes(headers)
    return {**attributes, "datacontenttype": DATA, "data": parse_strict(body)}


def batch(body: bytes) -> list[bytes]:
    """Split a batch into its events without reading them, so a bad one harms no other.

    Raise `Refused` for anything but a JSON array, and for an array that is too long.
    """
    try:
        events = [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except msgspec.ValidationError:
        raise Refused(
            "not-a-cloudevent", f"A batch is a JSON array of events; for one event send {ONE}."
        ) from None
    except (msgspec.DecodeError, RecursionError):
        events = _split_by_brackets(body)
    if len(events) > BATCH_EVENTS_MAX:
        raise Refused(
            "too-many", f"The batch has {len(events)} events; at most {BATCH_EVENTS_MAX} go."
        )
    return events


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_WITHIN = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}

MARKS_MAX = 200_000
"""Brackets, commas and texts in a batch that is not JSON; ten times those of a full batch."""


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


def _attributes(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Read the ce- headers. Their values are percent-encoded UTF-8 (binding, 3.1.3.2)."""
    attributes: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if not raw_name.startswith(PREFIX):
            continue
        name = raw_name[len(PREFIX) :].decode("latin-1")
        if name in attributes:
            raise Refused("malformed-header", f"The header ce-{name} occurs twice.")
        if name in ("data", "datacontenttype"):
            raise Refused("malformed-header", f"There is no ce-{name}; data is the body.")
        try:
            attributes[name] = unquote_to_bytes(raw_value).decode()
        except UnicodeDecodeError:
            raise Refused("malformed-header", f"ce-{name} is not percent-encoded UTF-8.") from None
    return attributes
