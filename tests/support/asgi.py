"""An application of ours asked in this process, in the event loop of the test."""

from typing import Any

import httpx
from litestar import Litestar


def transport_to(
    app: Litestar, client: tuple[str, int] = ("127.0.0.1", 123)
) -> httpx.ASGITransport:
    """Return what brings requests to `app`, from `client`."""
    application: Any = app  # Litestar's types of ASGI are narrower than httpx's
    return httpx.ASGITransport(application, client=client)
