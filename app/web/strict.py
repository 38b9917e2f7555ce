"""Bodies that are taken as the OpenAPI document says, and in no other way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import FormMultiDict
from litestar.exceptions import (
    ClientException,
    InternalServerException,
    ValidationException,
)

from app.web.problems import Refused

BODY_SECONDS_MAX = 15.0
"""From the head of a request to the end of its body, as at the gateway; here it has 4 KB."""


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            yield
    except TimeoutError:
        raise Refused(
            "too-slow",
            f"The body was not complete after {BODY_SECONDS_MAX:g} s; send it in one go.",
            headers={"Connection": "close"},
        ) from None
    except InternalServerException:  # so Litestar says that the client left, which is no fault
        raise ClientException("the client left before its body was whole") from None


class StrictRequest(Request[Any, Any, Any]):
    """For an application's `request_class`.

    Litestar alone would take "36.5" for a number, 0 for false, and a number for an instant.
    """

    async def body(self) -> bytes:
        """Return the bytes; raise `Refused` (408) after `BODY_SECONDS_MAX`."""
        async with _in_time():
            return await super().body()

    async def form(self) -> FormMultiDict:
        """Return the fields of a form; raise `Refused`: 408 after `BODY_SECONDS_MAX`, 400 for a
        field that cannot be read in the encoding it is said to have."""
        async with _in_time():
            try:
                return await super().form()
            except (UnicodeDecodeError, LookupError):
                raise Refused("bad-request", "A field of the form is not UTF-8.") from None

    async def json(self) -> Any:
        """Return the body; raise `Refused` or `ValidationException` if it is not as it must be."""
        try:
            body = await super().json()
        except RecursionError:
            raise Refused("too-deep", "The body lies too deep in itself.") from None
        except UnicodeDecodeError:
            raise Refused("bad-request", "The body is not UTF-8.") from None
        data = self.route_handler.parsed_fn_signature.parameters["data"]
        try:
            msgspec.convert(body, data.annotation)
        except msgspec.ValidationError as error:
            said, _, at = str(error).partition(" - at `$.")
            fault = {"message": said, "key": at.rstrip("`") or "data"}
            raise ValidationException(extra=[fault]) from None
        return body
