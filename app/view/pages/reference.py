"""`GET /api` and `GET /api/events…`: the OpenAPI and AsyncAPI documents, readable.

The documents are data. The pages say what the documents say, and each part has an address.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from litestar import Response
from msgspec import Struct

from app.web.language import Text, as_is
from app.web.language import gettext as _
from app.web.problems import Refused, retry_later
from app.web.requests import AnyRequest
from app.web.site import anchor, cached_page, digest_of, language_of, page

Node = Mapping[str, Any]

DEPTH_MAX = 6
"""How deep inline objects are opened; deeper ones can be read in the document itself."""

SEARCH_LENGTH_MAX = 64

STOCK = {status.description for status in HTTPStatus}
"""The phrases of Python's library, which a document has where nobody wrote anything."""

STATUSES: Mapping[str, Text] = {
    "2": _("成功。"),
    "3": _("请到另一个地址。"),
    "4": _("请求有误，回答写明哪里不对。"),
    "5": _("现在不能回答，请稍后再试。"),
}
"""What a status means by its first digit, in place of such a phrase."""

_METHODS = ("get", "post", "put", "patch", "delete")
_LIMITS = {
    "pattern": as_is("{limit}"),
    "minimum": as_is("≥ {limit}"),
    "maximum": as_is("≤ {limit}"),
    "exclusiveMinimum": as_is("> {limit}"),
    "exclusiveMaximum": as_is("< {limit}"),
    "minLength": _("长度 ≥ {limit}"),
    "maxLength": _("长度 ≤ {limit}"),
    "minItems": _("项数 ≥ {limit}"),
    "maxItems": _("项数 ≤ {limit}"),
    "default": _("默认 {limit}"),
}


class ValueKind(Struct, frozen=True):
    """A type in words, and the schema that the words name, if any."""

    words: str | Text
    schema: str | None = None


class Field(Struct, frozen=True):
    """One line of a schema's table. `name` is a dotted path from the schema's root."""

    name: str
    required: bool
    kinds: tuple[ValueKind, ...]
    values: tuple[str, ...]
    limits: tuple[Text, ...]
    meaning: str


class Schema(Struct, frozen=True):
    """A schema: its own fields, or its alternatives."""

    anchor: str
    name: str
    meaning: str
    fields: tuple[Field, ...]
    one_of: tuple[ValueKind, ...]


class Parameter(Struct, frozen=True):
    """A value in the address or the headers."""

    name: str
    where: str
    required: bool
    kinds: tuple[ValueKind, ...]
    limits: tuple[Text, ...]
    meaning: str


class Body(Struct, frozen=True):
    """What one media type of a request or an answer holds."""

    status: str
    media_type: str
    meaning: str
    kinds: tuple[ValueKind, ...]
    says: Text | None = None
    """What the status means, where the document has only the standard's phrase for it."""


class Operation(Struct, frozen=True):
    """One method of one path."""

    anchor: str
    method: str
    path: str
    summary: str
    meaning: str
    parameters: tuple[Parameter, ...]
    requests: tuple[Body, ...]
    answers: tuple[Body, ...]
    security: tuple[str, ...]
    """Which scheme opens it, one of these; nothing if it is open to everybody."""


class EventMessage(Struct, frozen=True):
    """One message of a channel: its payload as a schema, and examples as JSON."""

    anchor: str
    title: str
    meaning: str
    payload: Schema
    examples: tuple[str, ...]


class Channel(Struct, frozen=True):
    """One topic: its address, what it holds, its settings, and its messages."""

    anchor: str
    address: str
    meaning: str
    settings: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, str], ...]


SEARCHES_MAX = RateLimitItemPerSecond(4)
"""Searches of all readers together. One takes up to 50 ms of the process that answers at the
gates."""

_searches = FixedWindowRateLimiter(MemoryStorage())


def api_page(request: AnyRequest, document: Node, gateway_url: str | None) -> Response[bytes]:
    """Render an OpenAPI 3.1 document."""

    def context() -> Node:
        return {
            "info": document.get("info", {}),
            "gateway_url": gateway_url,
            "operations": list(operations(document)),
            "schemes": document.get("components", {}).get("securitySchemes", {}),
            "schemas": list(schemas(document)),
        }

    return cached_page(request, "api.html", digest_of(document, gateway_url), context)


def events_page(request: AnyRequest, document: Node) -> Response[Any]:
    """Render the list of an AsyncAPI 3 document's messages by channel; `?q=` searches in it."""
    asked = request.query_params.get("q", "")[:SEARCH_LENGTH_MAX]

    def context() -> Node:
        by_address = {message.anchor: message for message in messages(document)}
        found = [
            (channel, [by_address[address] for address, _title in channel.messages])
            for channel in channels(document)
        ]
        words = asked.lower().strip()
        chosen = [
            (channel, [message for message in events if words in _words(message)])
            for channel, events in found
        ]
        return {
            "info": document.get("info", {}),
            "asked": asked,
            "channels": [(channel, events) for channel, events in chosen if events],
        }

    if asked:  # anybody can ask for anything, so it is not kept
        if not _searches.hit(SEARCHES_MAX):
            raise retry_later("busy", "Too many search at this moment.", 1)
        return page("events.html", language_of(request), context())
    return cached_page(request, "events.html", digest_of(document), context)


def _words(message: EventMessage) -> str:
    return f"{message.title} {message.meaning or message.payload.meaning}".lower()


def event_page(request: AnyRequest, document: Node, title: str) -> Response[bytes]:
    """Render one message of an AsyncAPI 3 document by its title; raise `Refused` (404)."""
    [*found] = (message for message in messages(document) if message.title == title)
    if not found:
        raise Refused("not-found", f"There is no event {title}; /api/events lists all.")

    def context() -> Node:
        told = {one.name: one for one in schemas(document)}
        return {
            "m": found[0],
            "channels": [
                channel
                for channel in channels(document)
                if any(address == found[0].anchor for address, _title in channel.messages)
            ],
            "schemas": list(_needed(found[0].payload, told)),
        }

    return cached_page(request, "event.html", digest_of(document, title), context)


def _needed(payload: Schema, told: Mapping[str, Schema]) -> Iterator[Schema]:
    """The schemas that a payload names, and those that these name, each once."""
    seen, waiting = {payload.name}, [payload]
    for one in waiting:
        kinds = (*one.one_of, *(kind for field in one.fields for kind in field.kinds))
        named = {kind.schema for kind in kinds if kind.schema}
        for other in told.values():
            if other.anchor in named and other.name not in seen:
                seen.add(other.name)
                waiting.append(other)
                yield other


def resolve(document: Node, node: Any) -> Any:
    """Follow a local `$ref` (RFC 6901) as far as it leads; return any other node as it is."""
    for _turn in range(DEPTH_MAX):
        if not (isinstance(node, Mapping) and str(node.get("$ref", "")).startswith("#/")):
            break
        target: Any = document
        for part in node["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def schemas(document: Node) -> Iterator[Schema]:
    """The schemas that a document names, by name."""
    named = document.get("components", {}).get("schemas", {})
    for name in sorted(named):
        yield schema(name, named[name])


def schema(name: str, node: Node) -> Schema:
    """Read a JSON Schema (2020-12) as a table."""
    alternatives = node.get("oneOf") or node.get("anyOf") or ()
    own = tuple(_fields(node, ""))
    if not own and not alternatives:
        own = (_field("", node, required=True),)
    return Schema(
        anchor=anchor("schema", name),
        name=name,
        meaning=str(node.get("description", "")),
        fields=own,
        one_of=tuple(kind for n in alternatives for kind in _kinds(n)),
    )


def _fields(node: Node, prefix: str, depth: int = 0) -> Iterator[Field]:
    required = set(node.get("required", ()))
    for name, inner in node.get("properties", {}).items():
        yield _field(prefix + name, inner, required=name in required)
        if depth < DEPTH_MAX:
            yield from _fields(inner, f"{prefix}{name}.", depth + 1)
            items = inner.get("items")
            if isinstance(items, Mapping):
                yield from _fields(items, f"{prefix}{name}[].", depth + 1)


def _field(name: str, node: Node, *, required: bool) -> Field:
    values = node.get("enum") or ([node["const"]] if "const" in node else [])
    return Field(
        name=name,
        required=required,
        kinds=tuple(_kinds(node)),
        values=tuple(str(value) for value in values),
        limits=tuple(_limits(node)),
        meaning=str(node.get("description") or node.get("title") or ""),
    )


def _kinds(node: Any) -> Iterator[ValueKind]:
    if not isinstance(node, Mapping):
        return
    if "$ref" in node:
        name = str(node["$ref"]).rsplit("/", 1)[-1]
        yield ValueKind(name, anchor("schema", name))
        return
    for alternative in (*node.get("oneOf", ()), *node.get("anyOf", ()), *node.get("allOf", ())):
        yield from _kinds(alternative)
    types = node.get("type", ())
    for kind in [types] if isinstance(types, str) else types:
        if kind == "array" and isinstance(node.get("items"), Mapping):
            for inner in _kinds(node["items"]):
                yield ValueKind(_("{items} 的数组").filled(items=inner.words), inner.schema)
        else:
            yield ValueKind(f"{kind} ({node['format']})" if "format" in node else str(kind))


def _limits(node: Node) -> Iterator[Text]:
    for key, words in _LIMITS.items():
        if key in node:
            limit = "—" if node[key] is None else str(node[key])
            yield words.filled(limit=limit)


def operations(document: Node) -> Iterator[Operation]:
    """The operations of an OpenAPI document, in its order."""
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method not in item:
                continue
            node = item[method]
            request = resolve(document, node.get("requestBody", {}))
            yield Operation(
                anchor=anchor(method, path),
                method=method.upper(),
                path=path,
                summary=str(node.get("summary", "")),
                meaning=str(node.get("description", "")),
                parameters=tuple(
                    _parameter(resolve(document, p))
                    for p in (*item.get("parameters", ()), *node.get("parameters", ()))
                ),
                requests=tuple(_bodies("", request)) if request else (),
                answers=tuple(
                    body
                    for status, answer in node.get("responses", {}).items()
                    for body in _bodies(str(status), resolve(document, answer))
                ),
                security=tuple(scheme for each in node.get("security", ()) for scheme in each),
            )


def _parameter(node: Node) -> Parameter:
    inner = node.get("schema", {})
    return Parameter(
        name=str(node.get("name", "")),
        where=str(node.get("in", "")),
        required=bool(node.get("required")),
        kinds=tuple(_kinds(inner)),
        limits=tuple(_limits(inner)),
        meaning=str(node.get("description") or inner.get("description") or ""),
    )


def _bodies(status: str, node: Node) -> Iterator[Body]:
    meaning, says = str(node.get("description", "")), None
    if meaning in STOCK:
        meaning, says = "", STATUSES.get(status[:1])
    content = node.get("content", {})
    for media_type, inner in content.items():
        yield Body(status, media_type, meaning, tuple(_kinds(inner.get("schema", {}))), says)
    if not content:
        yield Body(status, "", meaning, (), says)


def channels(document: Node) -> Iterator[Channel]:
    """The channels of an AsyncAPI 3 document, in its order."""
    for name, node in document.get("channels", {}).items():
        bound = node.get("bindings", {}).get("kafka", {})
        settings = {**bound, **bound.get("topicConfiguration", {})}
        settings.pop("topicConfiguration", None)
        settings.pop("bindingVersion", None)
        yield Channel(
            anchor=anchor("channel", name),
            address=str(node.get("address") or name),
            meaning=str(node.get("description") or node.get("summary") or ""),
            settings=tuple((key, _plain(value)) for key, value in settings.items()),
            messages=tuple(
                (_message_anchor(key, inner), _message_title(document, key, inner))
                for key, inner in node.get("messages", {}).items()
            ),
        )


def messages(document: Node) -> Iterator[EventMessage]:
    """Every message of an AsyncAPI 3 document once: the named ones, then those of channels."""
    seen: set[str] = set()
    named = document.get("components", {}).get("messages", {})
    of_channels = [
        pair
        for c in document.get("channels", {}).values()
        for pair in c.get("messages", {}).items()
    ]
    for key, node in (*named.items(), *of_channels):
        address = _message_anchor(key, node)
        if address in seen:
            continue
        seen.add(address)
        message = resolve(document, node)
        yield EventMessage(
            anchor=address,
            title=_message_title(document, key, node),
            meaning=str(message.get("description") or message.get("summary") or ""),
            payload=_payload(document, message.get("payload", {})),
            examples=tuple(
                orjson.dumps(e.get("payload", e), option=orjson.OPT_INDENT_2).decode()
                for e in message.get("examples", ())
            ),
        )


def _payload(document: Node, node: Any) -> Schema:
    """A payload as a table; a Multi Format Schema Object holds it one level deeper."""
    if "schemaFormat" in resolve(document, node):
        node = resolve(document, node).get("schema", {})
    return schema(str(node.get("$ref", "")).rsplit("/", 1)[-1], resolve(document, node))


def _message_anchor(key: str, node: Node) -> str:
    reference = str(node.get("$ref", ""))
    return anchor("message", reference.rsplit("/", 1)[-1] if reference else key)


def _message_title(document: Node, key: str, node: Node) -> str:
    message = resolve(document, node)
    return str(message.get("title") or message.get("name") or key)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return value if isinstance(value, str) else orjson.dumps(value).decode()
