"""An application's OpenAPI document: what Litestar makes, and what only msgspec knows of bodies.

Litestar does not say which form a text must have that is sent, nor that no other fields may be sent
beside. It leaves out the docstrings of bodies. And to a bad request it promises an answer of its
own, in whose place app.web.problems gives another.
"""

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License
from msgspec import Struct

from app.web.problems import Problem
from app.web.requests import AnyRequest

LICENSE = License(name="Apache-2.0", identifier="Apache-2.0")
REFS = "#/components/schemas/{name}"

Node = dict[str, Any]


class Served(JsonRenderPlugin):
    """Serves what `make` makes of an application, at the path of its `OpenAPIConfig`."""

    def __init__(self, make: Callable[[Litestar], Node]) -> None:
        # Below that path Litestar would serve its own, if this were not there as well.
        super().__init__(path=("/", "/openapi.json"))
        self._make = make
        self._made: dict[int, bytes] = {}

    def render(self, request: AnyRequest, openapi_schema: Node) -> bytes:
        """Return the document, made once for each application."""
        made = self._made.get(id(request.app))
        if made is None:
            made = self._made[id(request.app)] = msgspec.json.encode(self._make(request.app))
        return made


def document_of(app: Litestar) -> Node:
    """Return the document of `app` as JSON."""
    made: Node = msgspec.to_builtins(app.openapi_schema.to_schema())
    for operation in (one for path in made["paths"].values() for one in path.values()):
        operation.setdefault("security", [])  # open to everybody, and says so
        answers = operation["responses"]
        if "application/json" in answers.get("400", {}).get("content", {}):
            del answers["400"]
        operation["responses"] = dict(sorted(answers.items()))
    named = made["components"]["schemas"]
    for handler in _handlers(app):
        for body in _answered(handler):
            if body.__doc__:
                named[body.__name__]["description"] = _sentences(body.__doc__)
        named |= schemas_of(Problem, *_sent(handler))
    return made


def schemas_of(*types: Any) -> Node:
    """Return what msgspec knows of `types` and of all that they refer to, by class name."""
    _, found = msgspec.json.schema_components(types, ref_template=REFS)
    for schema in found.values():
        if "description" in schema:
            schema["description"] = _sentences(schema["description"])
        for value in schema.get("properties", {}).values():
            if len(value.get("enum", ())) == 1:
                [value["const"]] = value.pop("enum")
    return found


def _sentences(docstring: str) -> str:
    return " ".join(docstring.split())


def _handlers(app: Litestar) -> Iterator[HTTPRouteHandler]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.resolve_include_in_schema():
                yield handler


def _sent(handler: HTTPRouteHandler) -> Iterator[Any]:
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is not None:
        yield data.annotation


def _answered(handler: HTTPRouteHandler) -> Iterator[type]:
    yield from _classes(handler.parsed_fn_signature.return_type.raw)
    for answer in (handler.responses or {}).values():
        yield from _classes(answer.data_container)


def _classes(type_: Any) -> Iterator[type]:
    """Yield the structs and dataclasses that `type_` is made of."""
    if isinstance(type_, type) and (issubclass(type_, Struct) or is_dataclass(type_)):
        yield type_
        for field in get_type_hints(type_).values():
            yield from _classes(field)
    for inner in get_args(type_):
        yield from _classes(inner)
