"""An answer that is sent without the framework, as ASGI has it."""

from collections.abc import Mapping
from typing import TypeAlias

from litestar.types import Send

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
"""Names in small letters, with their values."""


def as_bytes(headers: Mapping[str, str]) -> RawHeaders:
    """Return headers as ASGI has them."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def send_whole(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    """Send an answer that is all there."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
