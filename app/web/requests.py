"""The type of request that the handlers of every face are given."""

from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection

AnyRequest: TypeAlias = Request[Any, Any, Any]
"""A request from anybody, with anything that the application keeps with it."""

AnyConnection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
"""The same as a guard gets it."""
