"""The OpenAPI document of the gateway: Litestar's, and what Litestar cannot know.

Bodies are read raw (app.gateway.body), so the framework sees neither them nor the headers of binary
mode; nor does it see what is in a stream. They come from the types and the bounds that the code
uses.
"""

import re
from collections.abc import Iterable, Iterator

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from app.gateway import messages
from app.gateway.answers import Missed, ParkedNow, SignOfLife, ToldLetter
from app.gateway.refusals import EVENT_STREAM
from app.topics.schemas import EXTENSION, EXTENSIONS, example
from app.web import openapi
from app.web.openapi import LICENSE, Node, Served
from models import documents, phones
from models.events import EVENT_TYPES, KEYED_BY_PHONE, DocumentType, NatResultReported
from models.phones import MOBILE_PHONE_NUMBER

TOKEN: list[dict[str, list[str]]] = [{"sourceToken": []}]
"""For addresses that take a source's token."""

LET_IN = ("unauthenticated", "register-unread", "source-unregistered", "unsigned")
"""Why a source is not let in."""

READING = (
    *(*LET_IN, "malformed-header", "unsupported-media-type"),
    *("unsupported-encoding", "malformed-encoding", "wrong-digest"),
    *("body-too-large", "too-slow", "busy", "too-many"),
    *("not-json", "not-utf-8", "nul", "too-deep", "duplicate-key", "invalid"),
)
"""Why a body is refused."""

EVENT = (
    *("not-a-cloudevent", "unknown-type", "too-large"),
    *("wrong-source", "no-authority", "person", "document", "phone", "document-number"),
)
"""Why an event is refused whose body can be read."""


def document(app: Litestar) -> Node:
    """Return the document of the gateway as JSON."""
    made = openapi.document_of(app)
    event = example("yuekang.nat-result.reported.v1")
    made["paths"]["/v1/events"]["post"] |= {
        "parameters": list(_headers()),
        "requestBody": {
            "required": True,
            "content": {
                messages.ONE: {"schema": _ref("SubmittedEvent"), "example": event},
                messages.BATCH: {"schema": _ref("SubmittedBatch"), "example": [event]},
                messages.DATA: {"schema": _ref("SubmittedData"), "example": event["data"]},
            },
        },
    }
    made["paths"]["/v1/person-keys"]["post"]["requestBody"] = {
        "required": True,
        "content": {messages.DATA: {"schema": _ref("SubmittedDocuments")}},
    }
    refusals = made["paths"]["/v1/sources/me/refusals"]["get"]
    refusals["responses"]["200"]["content"][EVENT_STREAM] = {"schema": _ref("StreamedData")}
    schemas = made["components"]["schemas"]
    schemas |= {name: {"title": name, **schema} for name, schema in _sent().items()}
    made["components"]["schemas"] = _streamed() | schemas
    return made


def _headers() -> Iterator[Node]:
    """Yield the headers of binary mode: the attributes that every event has."""
    attributes = openapi.schemas_of(NatResultReported)["NatResultReported"]["properties"]
    for name, schema in attributes.items():
        if name in ("data", "datacontenttype"):
            continue
        [text, *_] = schema.get("anyOf", [schema])  # a header is not null
        bounds = {key: text[key] for key in ("pattern", "maxLength") if key in text}
        if "const" in text:
            bounds["enum"] = [*EVENT_TYPES] if name == "type" else [text["const"]]
        yield {
            "name": f"{messages.PREFIX.decode()}{name}",
            "in": "header",
            "description": f"Binary mode: the event's {name}, as percent-encoded UTF-8.",
            "schema": {"type": "string", **bounds},
        }


def _sent() -> Node:
    """Return the schemas of what is sent, by name."""
    made = openapi.schemas_of(*EVENT_TYPES.values())
    named: Node = {}
    for type_, cls in EVENT_TYPES.items():
        whom = "Phone" if type_ in KEYED_BY_PHONE else "Document"
        event = made[cls.__name__]
        data = made[event["properties"]["data"]["$ref"].rpartition("/")[2]]
        # Events of both kinds may share a class of data, such as that of retractions.
        title = f"{data['title']}Of{whom}"
        properties = {**data["properties"], "document": _ref(whom)}
        named[title] = {**data, "title": title, "properties": properties}
        event["properties"]["data"] = _ref(title)
        event["patternProperties"] = {EXTENSION: EXTENSIONS}
        event["required"].remove("partitionkey")
        event["description"] = "Has either partitionkey or data.document."
    events = [cls.__name__ for cls in EVENT_TYPES.values()]
    return {
        # Without the data of events as they are beyond the gateway.
        **{name: schema for name, schema in made.items() if not re.search(r"Data(V\d+)?$", name)},
        **named,
        "SubmittedEvent": {
            "oneOf": [_ref(name) for name in events],
            "discriminator": {
                "propertyName": "type",
                "mapping": {
                    type_: openapi.REFS.format(name=cls.__name__)
                    for type_, cls in EVENT_TYPES.items()
                },
            },
        },
        # In two parts: of a plain array openapi-python-client asks isinstance(body, list[...]), and
        # Python refuses that.
        "SubmittedBatch": {
            "allOf": [
                {"type": "array", "items": _ref("SubmittedEvent")},
                {"maxItems": messages.BATCH_EVENTS_MAX},
            ]
        },
        "SubmittedData": {
            "description": (
                "Binary mode: `data` as the body, attributes in ce- headers. Content-Type may be "
                "left out."
            ),
            "anyOf": [_ref(name) for name in named],
        },
        "Document": _numbered(
            DocumentType, documents.NUMBER, "As issued: no blanks, X as a capital."
        ),
        "Phone": _numbered(
            [MOBILE_PHONE_NUMBER], phones.WRITTEN, "Of the mainland, with +86 or without."
        ),
        "SubmittedDocuments": {
            "type": "object",
            "properties": {
                "documents": {
                    "type": "array",
                    "items": {"oneOf": [_ref("Document"), _ref("Phone")]},
                    "maxItems": messages.DOCUMENTS_MAX,
                }
            },
            "required": ["documents"],
            "additionalProperties": False,
        },
    }


def _streamed() -> Node:
    """Return the schemas of what is in a stream of refusals, by name."""
    events = (ToldLetter, ParkedNow, SignOfLife, Missed)
    return {
        **openapi.schemas_of(*events),
        "StreamedData": {
            "title": "StreamedData",
            "description": "The data of one event of a stream; the event's name says which.",
            "anyOf": [_ref(event.__name__) for event in events],
        },
    }


def _numbered(types: Iterable[str], form: re.Pattern[str], description: str) -> Node:
    return {
        "type": "object",
        "description": "Goes no further than the gateway.",
        "properties": {
            "type": {"type": "string", "enum": [*types]},
            "number": {"type": "string", "pattern": form.pattern, "description": description},
        },
        "required": ["type", "number"],
        "additionalProperties": False,
    }


def _ref(name: str) -> Node:
    return {"$ref": openapi.REFS.format(name=name)}


CONFIG = OpenAPIConfig(
    title="Yuekang gateway",
    version="1",
    license=LICENSE,
    description=(
        "The entrance for agencies. Every event is CloudEvents 1.0 JSON and belongs to its source; "
        "`(source, id)` is its identity, so sending it again is always safe. A document number is "
        "replaced by the person key, a telecom's phone number by the phone key, and goes no "
        "further."
    ),
    use_handler_docstrings=True,
    path="/openapi.json",
    render_plugins=[Served(document)],
    components=Components(
        security_schemes={
            "sourceToken": SecurityScheme(
                type="http",
                scheme="bearer",
                description="A token of one source, made by `yuekang token SOURCE`.",
            )
        }
    ),
)
