"""The OpenAPI 3.1 document of the gateway.

The framework cannot write it, since bodies are read raw (app.gateway.body). Events, answers and
problems come from the types that the code uses; a test compares the paths with the routes.
"""

from functools import cache
from typing import Any

import msgspec

from app.gateway import messages
from app.gateway.answers import (
    Accepted,
    Missed,
    ParkedNow,
    PersonKeyOf,
    RefusalsAnswer,
    SignOfLife,
    ToldLetter,
)
from app.gateway.body import BODY_BYTES_MAX
from app.gateway.refusals import ALIVE_SECONDS, EVENT_STREAM, PAGE_DEFAULT, PAGE_MAX
from app.topics.schemas import EXTENSION, EXTENSIONS
from app.web.problems import KINDS, MEDIA_TYPE, Problem
from models import documents, phones
from models.events import EVENT_TYPES, KEYED_BY_PHONE, DocumentType
from models.phones import MOBILE_PHONE_NUMBER

VERSION = "1"
REFS = "#/components/schemas/{name}"

Node = dict[str, Any]


@cache
def openapi() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document())


def document() -> Node:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Yuekang gateway",
            "version": VERSION,
            "description": (
                "The entrance for agencies. Every event is CloudEvents 1.0 JSON and belongs to "
                "its source; `(source, id)` is its identity, so sending it again is always safe. "
                "A document number is replaced by the person key, a telecom's phone number by the "
                "phone key, and goes no further."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"sourceToken": []}],
        "paths": {
            "/v1/events": {"post": _publish()},
            "/v1/person-keys": {"post": _person_keys()},
            "/v1/sources/me/refusals": {"get": _refusals_of_source()},
            "/problems/{code}": {"get": _explanation()},
            "/livez": {"get": _probe("The process answers.", "live")},
            "/readyz": {"get": _probe("Kafka answers and has every input topic.", "ready")},
            "/metrics": {"get": _probe("Prometheus metrics.", "")},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "sourceToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of one source, made by `yuekang token SOURCE`.",
                }
            },
        },
    }


def _publish() -> Node:
    binary = {"description": "Binary mode: attributes in ce- headers, `data` as the body."}
    return {
        "operationId": "publishEvents",
        "summary": "Publish one event or a batch",
        "description": (
            f"One event, or up to {messages.BATCH_EVENTS_MAX} in a batch; at most "
            f"{BODY_BYTES_MAX} bytes, also once decompressed (Content-Encoding: gzip). The "
            "answer comes when Kafka has confirmed the write. 503 says when to send the same "
            "again; part of it may have been written, which does no harm."
        ),
        "requestBody": {
            "required": True,
            "content": {
                messages.ONE: {"schema": _ref("SubmittedEvent")},
                messages.BATCH: {
                    "schema": {
                        "type": "array",
                        "items": _ref("SubmittedEvent"),
                        "maxItems": messages.BATCH_EVENTS_MAX,
                    }
                },
                messages.DATA: {"schema": {"type": "object", **binary}},
            },
        },
        "responses": {
            "202": {
                "description": "Every event is written.",
                "content": {"application/json": {"schema": _either("Accepted", "Results")}},
            },
            "207": {
                "description": "Some events of the batch were refused: an answer for each.",
                "content": {"application/json": {"schema": _ref("Results")}},
            },
            **_refusals(400, 401, 403, 408, 413, 415, 422, 503),
        },
    }


def _person_keys() -> Node:
    return {
        "operationId": "personKeys",
        "summary": "Get the person keys of documents, and the keys of phones",
        "description": (
            "For a source that writes to Kafka itself. An answer for each document or phone, in "
            "order; the key of a phone stands under `person` as well. "
            "Limited per source, and recorded: who asked for how many, never for whom."
        ),
        "requestBody": {
            "required": True,
            "content": {messages.DATA: {"schema": _ref("Documents")}},
        },
        "responses": {
            "200": {
                "description": "A key for every document.",
                "content": {"application/json": {"schema": _ref("PersonKeyResults")}},
            },
            "207": {
                "description": "Some cannot exist: an answer for each.",
                "content": {"application/json": {"schema": _ref("PersonKeyResults")}},
            },
            **_refusals(400, 401, 408, 413, 415, 422, 429),
        },
    }


def _refusals_of_source() -> Node:
    cursor = {"type": "string", "maxLength": 1024}
    return {
        "operationId": "refusalsOfSource",
        "summary": "See what became of what the source sent",
        "description": (
            "What was refused after it was accepted or written to Kafka, what had no effect, and "
            "where the source is parked: the token's source sees its own alone. Newest first, a "
            "page at a time: `older` of a page, as `before`, is the next. `cursor` of a page or of "
            "a letter, as `after`, gives what came since; it misses and repeats nothing, also when "
            f"the list was built again. With Accept: {EVENT_STREAM} it is a stream from `after` or "
            "Last-Event-ID on, oldest first, else from now. Its events: `refusal` (ToldLetter), "
            "`parked` (ParkedNow) at the beginning if the source is parked and whenever that "
            "changes, `gap` (Missed) if letters are no longer kept, and every "
            f"{ALIVE_SECONDS:g} s `alive` (SignOfLife)."
        ),
        "parameters": [
            _parameter("after", "query", "The place to go on from.", cursor),
            _parameter("before", "query", "The place that the page ends before.", cursor),
            _parameter(
                "limit",
                "query",
                "Letters on a page.",
                {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
            ),
            _parameter("Last-Event-ID", "header", "The place where a stream goes on.", cursor),
        ],
        "responses": {
            "200": {
                "description": "A page, or the stream.",
                "content": {
                    "application/json": {"schema": _ref("RefusalsAnswer")},
                    EVENT_STREAM: {"schema": {"type": "string"}},
                },
            },
            **_refusals(400, 401, 403, 422, 503),
        },
    }


def _parameter(name: str, place: str, description: str, schema: Node) -> Node:
    return {"name": name, "in": place, "description": description, "schema": schema}


def _explanation() -> Node:
    return {
        "operationId": "explainProblem",
        "summary": "Say what a problem's type means",
        "security": [],
        "parameters": [
            {
                "name": "code",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": sorted(KINDS)},
            }
        ],
        "responses": {
            "200": {
                "description": "Type, title and status.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_refusals(404),
        },
    }


def _probe(summary: str, body: str) -> Node:
    schema: Node = {"type": "string", **({"const": f"{body}\n"} if body else {})}
    return {
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": "Yes.", "content": {"text/plain": {"schema": schema}}},
            **_refusals(503),
        },
    }


def _refusals(*statuses: int) -> Node:
    return {
        str(status): {
            "description": "; ".join(
                sorted(kind.title for kind in KINDS.values() if kind.status == status)
            ),
            "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
        }
        for status in statuses
    }


def _schemas() -> Node:
    classes = tuple(EVENT_TYPES.values())
    answers = (Accepted, PersonKeyOf, RefusalsAnswer, Problem)
    streamed = (ToldLetter, ParkedNow, SignOfLife, Missed)
    _, schemas = msgspec.json.schema_components((*classes, *answers, *streamed), ref_template=REFS)
    by_phone = {EVENT_TYPES[name].__name__ for name in KEYED_BY_PHONE}
    for cls in classes:
        named = "Phone" if cls.__name__ in by_phone else "Document"
        _submitted(schemas, schemas[cls.__name__], named)
    schemas["Document"] = _numbered(
        [*DocumentType], documents.NUMBER_LENGTH_MAX, "As issued: no blanks, X as a capital."
    )
    schemas["Phone"] = _numbered(
        [MOBILE_PHONE_NUMBER], phones.PHONE_LENGTH_MAX, "Of the mainland, with +86 or without."
    )
    schemas["Documents"] = _list_of("documents", _either("Document", "Phone"))
    # msgspec does not describe a union that it cannot read back; these two are only written.
    schemas["Results"] = _list_of("results", _either("Accepted", "Problem"))
    schemas["PersonKeyResults"] = _list_of("results", _either("PersonKeyOf", "Problem"))
    schemas["SubmittedEvent"] = {
        "oneOf": [_ref(cls.__name__) for cls in classes],
        "discriminator": {
            "propertyName": "type",
            "mapping": {name: REFS.format(name=cls.__name__) for name, cls in EVENT_TYPES.items()},
        },
    }
    return schemas


def _submitted(schemas: Node, event: Node, named: str) -> None:
    """Turn an event's schema into what the gateway takes.

    A document may stand for the person; in an event about a phone, the number may stand for the
    key.
    """
    event["required"].remove("partitionkey")
    event["patternProperties"] = {EXTENSION: EXTENSIONS}
    event["description"] = "Has either partitionkey or data.document."
    data = event["properties"]["data"]["$ref"].rsplit("/", 1)[-1]
    # Events of both kinds may share a class of data, such as that of retractions.
    event["properties"]["data"] = _ref(submitted := f"{data}Of{named}")
    schemas[submitted] = {
        **schemas[data],
        "properties": {**schemas[data]["properties"], "document": _ref(named)},
    }


def _numbered(types: list[str], length_max: int, description: str) -> Node:
    return {
        "type": "object",
        "description": "Goes no further than the gateway.",
        "properties": {
            "type": {"enum": types},
            "number": {"type": "string", "maxLength": length_max, "description": description},
        },
        "required": ["type", "number"],
        "additionalProperties": False,
    }


def _list_of(name: str, items: Node) -> Node:
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": items}},
        "required": [name],
        "additionalProperties": False,
    }


def _either(*names: str) -> Node:
    return {"oneOf": [_ref(name) for name in names]}


def _ref(name: str) -> Node:
    return {"$ref": REFS.format(name=name)}
