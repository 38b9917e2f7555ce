"""The OpenAPI documents of both faces: what a generator and a reader rely on."""

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest

from app.gateway.client import REFUSALS, STREAM_EVENTS
from app.gateway.messages import BATCH, DATA, ONE
from app.gateway.refusals import EVENT_STREAM
from app.topics.schemas import EXTENSION, EXTENSIONS
from app.web.openapi import document_of
from app.web.problems import KINDS, MEDIA_TYPE
from models.events import EVENT_TYPES, Envelope
from support.gateways import Json, gateway_document
from support.views import create_view, now, options_over

UNBOUND = {
    "ce-time": "openapi-python-client makes no operation with an instant in a header",
    "Last-Event-ID": "whatever is no place of ours is answered with a gap",
}
BOUNDS = {"pattern", "maxLength", "format", "enum", "const"}


@pytest.fixture(scope="module", params=["gateway", "view"])
def document(request: pytest.FixtureRequest) -> Json:
    if request.param == "gateway":
        return gateway_document()
    return document_of(create_view(options_over("redis://nobody", now)))


def operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def texts(document: Json, schema: Json, where: str) -> Iterator[tuple[str, Json]]:
    """Where in a schema texts may stand, and what is said of each."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
        where = name
    if schema.get("type") == "string":
        yield where, schema
    for name, value in schema.get("properties", {}).items():
        yield from texts(document, value, f"{where}.{name}")
    if "items" in schema:
        yield from texts(document, schema["items"], where)
    bounds = {name: schema[name] for name in BOUNDS & schema.keys()}  # they hold for all of these
    for key in ("oneOf", "anyOf", "allOf"):
        for value in schema.get(key, ()):
            yield from texts(document, {**bounds, **value}, where)


def test_each_schema_has_a_title_of_its_own(document: Json) -> None:
    titles = Counter(schema["title"] for schema in document["components"]["schemas"].values())
    assert set(titles.values()) == {1}


def test_each_text_that_is_sent_says_its_bound(document: Json) -> None:
    sent = [
        (place["schema"], place.get("name", operation["operationId"]))
        for operation in operations(document)
        for place in (
            *operation.get("parameters", ()),
            *operation.get("requestBody", {}).get("content", {}).values(),
        )
    ]
    found = {where: said for schema, of in sent for where, said in texts(document, schema, of)}
    assert {where for where, said in found.items() if not BOUNDS & said.keys()} <= UNBOUND.keys()


def test_each_answer_has_a_sentence_of_ours(document: Json) -> None:
    theirs = {status.description for status in HTTPStatus}
    for operation in operations(document):
        assert operation["summary"]
        for answer in operation["responses"].values():
            assert answer["description"].endswith(".")
            assert answer["description"] not in theirs


def test_each_refusal_names_problems_of_its_status(document: Json) -> None:
    for operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                assert list(answer["content"]) == [MEDIA_TYPE]
                told = f" {answer['description']}"
                named = [code for code in KINDS if f" {code}: " in told]
                assert named
                assert {KINDS[code].status for code in named} == {int(status)}


def test_binary_mode_has_a_header_for_each_attribute() -> None:
    publish = gateway_document()["paths"]["/v1/events"]["post"]
    assert list(publish["requestBody"]["content"]) == [ONE, BATCH, DATA]
    headers: dict[str, Any] = {one["name"]: one["schema"] for one in publish["parameters"]}
    attributes = {*Envelope.__struct_fields__, "type"} - {"datacontenttype"}
    assert headers.keys() == {f"ce-{name}" for name in attributes}
    assert headers["ce-type"]["enum"] == list(EVENT_TYPES)


def test_events_may_have_extensions() -> None:
    schemas = gateway_document()["components"]["schemas"]
    for cls in EVENT_TYPES.values():
        assert schemas[cls.__name__]["patternProperties"] == {EXTENSION: EXTENSIONS}


def test_a_stream_of_refusals_has_a_schema_for_each_event() -> None:
    document = gateway_document()
    answer = document["paths"][REFUSALS]["get"]["responses"]["200"]["content"]
    assert list(answer) == [DATA, EVENT_STREAM]
    name = answer[EVENT_STREAM]["schema"]["$ref"].rpartition("/")[2]
    schemas = document["components"]["schemas"]
    named = {one["$ref"].rpartition("/")[2] for one in schemas[name]["anyOf"]}
    assert named == {cls.__name__ for cls in STREAM_EVENTS.values()}
    assert named <= schemas.keys()
