"""/livez, /readyz and /metrics of an HTTP face; app.process.probes has them for other processes."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response, get
from litestar.exceptions import NotFoundException
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.web.requests import AnyRequest

FORWARDED = ("forwarded", "x-forwarded-for", "via")
"""Headers of what came through a proxy, which is from outside."""


def probes(check: Callable[[], None], unready: Callable[[], Awaitable[list[str]]]) -> list[Any]:
    """Return the three, for the application's `route_handlers`.

    `check` raises if something that runs beside the requests has failed. `unready` returns why the
    face is not ready, or an empty list if it is. It may raise `Refused` if there is a problem to
    tell.
    """

    @get("/livez", media_type="text/plain", include_in_schema=False)
    async def livez() -> str:
        """The process answers, and what runs beside the requests goes on."""
        check()
        return "live\n"

    @get("/readyz", media_type="text/plain", include_in_schema=False)
    async def readyz() -> Response[str]:
        """What the face needs answers now."""
        reasons = await unready()
        return Response("\n".join(reasons or ["ready"]) + "\n", status_code=503 if reasons else 200)

    @get("/metrics", include_in_schema=False)
    async def scrape(request: AnyRequest) -> Response[bytes]:
        """Prometheus metrics of this process, for who asks it without a proxy between.

        They count each scan and event as it comes, so they are no public figures.
        """
        if any(header in request.headers for header in FORWARDED):
            raise NotFoundException
        # A header, since Litestar adds a charset to a media type that is text.
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [livez, readyz, scrape]
