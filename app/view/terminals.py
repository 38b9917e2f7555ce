"""What a scanning terminal asks over HTTP."""

from typing import Any

from litestar import post
from litestar.datastructures import ResponseHeader
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody

from app.view.scans import ScanAnswer, ScanRequest
from app.view.services import Services
from app.web.refusals import refusals
from app.web.requests import AnyConnection, AnyRequest

_SOURCE = "yuekang_terminal"


def terminal_routes(view: Services) -> list[Any]:
    """Return the handlers; each asks for a terminal's token."""

    async def with_token(connection: AnyConnection, _: BaseRouteHandler) -> None:
        """Refuse whoever has no token, before a byte of the body is read."""
        connection.scope["state"][_SOURCE] = await view.scans.terminal_of(connection)

    @post(
        "/v1/scans",
        guards=[with_token],
        status_code=200,
        operation_id="scan",
        summary="Record a scan and get its outcome",
        response_description="The outcome, whose code it is, and whether the scan is recorded.",
        security=[{"terminalToken": []}],
        responses=refusals(
            "bad-request",
            "too-deep",
            "invalid",
            "unauthenticated",
            "no-terminal",
            "too-slow",
            "body-too-large",
            "code-unavailable",
        ),
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
    async def scan(request: AnyRequest, data: JSONBody[ScanRequest]) -> ScanAnswer:
        """A code that is not good is an outcome too, and no error of the request.

        It is always safe to send the same again. Do so where the answer says `again`, and after a
        503.
        """
        return await view.scans.scan(request.scope["state"][_SOURCE], data)

    return [scan]
