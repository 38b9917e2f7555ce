"""What the CloudEvents project itself asks of a reader of HTTP and Kafka, binary and structured.

The cases are those of its conformance features (github.com/cloudevents/conformance, http- and
kafka-protocol-binding.feature). Each is shown twice: with its own event, whose only fault here is
its type; and with one of ours, which is read to the end.
"""

from typing import Any

import msgspec
import orjson
import pytest

from app.gateway import messages
from app.topics.codec import Code, Refusal, from_mapping
from support.entrances import NOW, from_kafka, in_headers, read_in, written

Json = dict[str, Any]

ATTRIBUTES: Json = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "time": "2018-04-05T03:56:24Z",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
}
MESSAGE = {"message": "Hello World!"}
THEIRS: Json = {**ATTRIBUTES, "datacontenttype": "application/json", "data": MESSAGE}

CASES = [
    ("http binary", "application/json"),
    ("http binary", "application/json; charset=utf-8"),
    ("http structured", "application/cloudevents+json"),
    ("http structured", "application/cloudevents+json; charset=utf-8"),
    ("kafka binary", "application/json"),
    ("kafka structured", "application/cloudevents+json"),
    ("kafka structured", "application/cloudevents+json; charset=utf-8"),
]


@pytest.mark.parametrize(("mode", "content_type"), CASES)
def test_an_event_of_theirs_has_no_fault_but_its_type(mode: str, content_type: str) -> None:
    read = over_http if mode.startswith("http") else over_kafka
    with pytest.raises(Refusal) as caught:
        from_mapping(read(mode, content_type), NOW)
    assert caught.value.code is Code.UNKNOWN_TYPE
    assert caught.value.source == ATTRIBUTES["source"]


def over_kafka(mode: str, content_type: str) -> Any:
    """Read a record of their event; raise `Refusal`."""
    binary = mode == "kafka binary"
    headers = [
        ("content-type", content_type.encode()),
        *in_headers(THEIRS if binary else {}, "ce_"),
    ]
    return from_kafka(orjson.dumps(MESSAGE if binary else THEIRS), headers)


def over_http(mode: str, content_type: str) -> Any:
    """Return their event as the gateway finds it in a request."""
    binary = mode == "http binary"
    headers = [(b"content-type", content_type.encode())]
    headers += [(name.encode(), raw) for name, raw in in_headers(THEIRS, "ce-") if binary]
    kind = messages.kind_of(headers)
    assert not messages.is_batch(kind, headers)
    return messages.one(kind, headers, orjson.dumps(MESSAGE if binary else THEIRS))


@pytest.mark.parametrize(("mode", "content_type"), [c for c in CASES if c[0].startswith("http")])
def test_an_event_of_theirs_is_found_whole(mode: str, content_type: str) -> None:
    assert over_http(mode, content_type) == THEIRS


@pytest.mark.parametrize(("mode", "content_type"), CASES)
def test_an_event_of_ours_is_read_whole(mode: str, content_type: str) -> None:
    ours = written(time="2022-03-01T06:00:00Z")
    sent = {**ours, "datacontenttype": content_type} if "binary" in mode else ours
    read = read_in(mode, sent, content_type.encode())
    assert msgspec.to_builtins(read).items() >= {n: ours[n] for n in (*ATTRIBUTES, "data")}.items()
    assert read.datacontenttype == "application/json"
