"""Headers that every answer has, whoever made it: an answer of the API, a picture, a refusal."""

from collections.abc import Awaitable, Callable

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

NOTHING = {
    # What is no page of ours (app.web.site) neither loads anything nor is framed, whatever a
    # browser takes it for.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

HSTS = {"strict-transport-security": "max-age=31536000"}
"""For a year a browser asks over https alone (RFC 6797)."""


def headers_of(address: str) -> dict[str, str]:
    """Return what every answer has, for what browsers find at `address`."""
    return {**NOTHING, **(HSTS if address.startswith("https://") else {})}


def hardened(address: str) -> Callable[[Message, Scope], Awaitable[None]]:
    """Return a hook for `before_send`, for what browsers find at `address`.

    A header that an answer has already stays as it is.
    """
    every = headers_of(address)

    async def harden(message: Message, _: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            for name, value in every.items():
                headers.setdefault(name, value)

    return harden
