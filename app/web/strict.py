"""Bodies that are taken as the OpenAPI document says, and in no other way."""

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException

from app.web.problems import Refused


class StrictRequest(Request[Any, Any, Any]):
    """For an application's `request_class`.

    Litestar alone would take "36.5" for a number, 0 for false, and a number for an instant.
    """

    async def json(self) -> Any:
        """Return the body; raise `Refused` or `ValidationException` if it is not as it must be."""
        try:
            body = await super().json()
        except RecursionError:
            raise Refused("too-deep", "The body lies too deep in itself.") from None
        data = self.route_handler.parsed_fn_signature.parameters["data"]
        try:
            msgspec.convert(body, data.annotation)
        except msgspec.ValidationError as error:
            said, _, at = str(error).partition(" - at `$.")
            fault = {"message": said, "key": at.rstrip("`") or "data"}
            raise ValidationException(extra=[fault]) from None
        return body
