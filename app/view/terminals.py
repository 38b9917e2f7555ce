"""What a scanning terminal asks over HTTP."""

from typing import Any

from litestar import post
from litestar.datastructures import ResponseHeader
from litestar.params import JSONBody

from app.view.scans import ScanAnswer, ScanRequest
from app.view.services import Services
from app.web.refusals import refusals
from app.web.requests import AnyRequest


def terminal_routes(view: Services) -> list[Any]:
    """Return the handlers; each asks for a terminal's token."""

    @post(
        "/v1/scans",
        status_code=200,
        operation_id="scan",
        summary="Record a scan and get the colour",
        response_description="The colour, and whether the scan is recorded.",
        security=[{"terminalToken": []}],
        responses=refusals(
            "bad-request",
            "too-deep",
            "invalid",
            "unauthenticated",
            "no-terminal",
            "body-too-large",
            "no-display",
            "code-unavailable",
        ),
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
    async def scan(request: AnyRequest, data: JSONBody[ScanRequest]) -> ScanAnswer:
        """It is always safe to send the same again. Do so after `recorded` false or a 503."""
        return await view.scans.scan(view.scans.terminal_of(request), data)

    return [scan]
