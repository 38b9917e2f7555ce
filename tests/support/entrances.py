"""Both entrances without a broker: what comes out of the gateway, and what the worker reads."""

from collections.abc import Sequence
from typing import Any

import orjson

from app.gateway import messages
from app.gateway.admission import Admission, Admitted
from app.gateway.person_keys import PersonKeys
from app.topics.catalogue import CATALOGUE
from app.topics.codec import decode
from app.topics.records import Headers
from models.events import Event
from support import builders
from support.macs import KEYS

Json = dict[str, Any]

NOW = builders.day(20)
LABORATORY = "/laboratories/440100-001"
RESULT = {
    "sampled_at": "2022-03-01T08:00:00+08:00",
    "reported_at": "2022-03-01T14:00:00+08:00",
    "result": "negative",
    "institution": "Laboratory 1",
}
ADMISSION = Admission(PersonKeys(bytes(32), 1), KEYS, lambda: NOW)


def written(**changes: Any) -> Json:
    """A laboratory's result as a source writes it in structured mode."""
    return {
        "specversion": "1.0",
        "id": "e1",
        "source": LABORATORY,
        "type": "yuekang.nat-result.reported.v1",
        "time": "2022-03-01T14:00:00+08:00",
        "partitionkey": builders.PERSON,
        "sequence": "7",
        "datacontenttype": "application/json",
        "data": RESULT,
        **changes,
    }


def in_headers(event: Json, prefix: str) -> list[Any]:
    """The headers of binary mode, without the content type; null is no value."""
    return [
        (f"{prefix}{name}", value if value is None else str(value).encode())
        for name, value in event.items()
        if name not in ("data", "datacontenttype")
    ]


def from_kafka(
    value: bytes | None, headers: Headers, key: bytes = builders.PERSON.encode()
) -> Event:
    """Return what the worker reads; raise `Refusal`."""
    return decode(value, key, headers, CATALOGUE.topics["laboratory-results"], NOW)


def admitted(
    body: bytes, headers: Sequence[tuple[str, bytes]], source: str = LABORATORY
) -> Admitted:
    """Return what the gateway takes of one request; raise `Refused` or `Refusal`."""
    raw = [(name.lower().encode(), value) for name, value in headers]
    kind = messages.kind_of(raw)
    assert not messages.is_batch(kind, raw)
    return ADMISSION.admit(messages.one(kind, raw, body), source)


def from_http(body: bytes, headers: Sequence[tuple[str, bytes]], source: str = LABORATORY) -> Event:
    """Return what the worker reads of what the gateway wrote."""
    record = admitted(body, headers, source).record
    assert record.value is not None
    return decode(record.value, record.key, record.headers, CATALOGUE.topics[record.topic], NOW)


def read_in(mode: str, event: Json, content_type: bytes | None = None) -> Event:
    """Send an event through an entrance in a mode, such as "http structured"; return it as read.

    `content_type` is the header's. In binary mode it is what `datacontenttype` says unless given.
    """
    entrance, how = mode.split()
    if how == "structured":
        body, headers = orjson.dumps(event), list[tuple[str, bytes]]()
        content_type = content_type or b"application/cloudevents+json"
    else:
        body = orjson.dumps(event["data"])
        headers = in_headers(event, "ce-" if entrance == "http" else "ce_")
        said = event.get("datacontenttype")
        content_type = said.encode() if content_type is None and said else content_type
        if entrance == "http":
            headers = [header for header in headers if header[1] is not None]
    if content_type is not None:
        headers = [("content-type", content_type), *headers]
    return from_http(body, headers) if entrance == "http" else from_kafka(body, headers)


MODES = ("http structured", "http binary", "kafka structured", "kafka binary")
