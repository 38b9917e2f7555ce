"""What the handlers of every face are given."""

from typing import Any, TypeAlias

from litestar import Request

AnyRequest: TypeAlias = Request[Any, Any, Any]
"""A request, whoever sent it and whatever the application keeps with it."""
