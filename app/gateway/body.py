"""A request's body, bounded in size (as sent and as decompressed), in time, and in memory over all
requests.

A body that is announced as too large is refused before it is read. A body that turns out too large
is refused as soon as it passes the bound, and nothing after that is read.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar.exceptions import ClientException

from app.gateway.signatures import Digesting
from app.web.problems import Refused, retry_later
from app.web.requests import AnyRequest

BODY_BYTES_MAX = 4 * 1024 * 1024
"""The size as sent, and as decompressed: 500 events of 8 KiB each; most are under 1 KiB."""

BODY_SECONDS_MAX = 15.0
"""From the head of the request to the end of its body: 280 KB/s for the largest one."""

HELD_BYTES_MAX = 64 * 1024 * 1024
"""The size of all bodies in memory, over all requests. Only holders of a token can fill it."""

GZIP = 16 + zlib.MAX_WBITS

_HINT = "Send fewer events in one request."


class Bodies:
    """Reads bodies, and counts the bytes that all requests hold at one time."""

    def __init__(
        self,
        bytes_max: int = BODY_BYTES_MAX,
        seconds_max: float = BODY_SECONDS_MAX,
        held_bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._held_bytes_max = held_bytes_max
        self._held_bytes = 0

    @asynccontextmanager
    async def of(self, request: AnyRequest, digest: bytes | None = None) -> AsyncIterator[bytes]:
        """Read the whole body, decompressed. Its bytes count as held until the context ends.

        As it is sent it has to have the SHA-256 `digest`, if that is given.

        Raise `Refused`: 413 above the bound, 408 after the deadline, 415 for an encoding other
        than gzip, 400 for a gzip that cannot be read or
        another digest, 503 while too much is held already.
        """
        held = _Held(self)
        try:
            yield await self._read_in_time(request, held, digest)
        finally:
            self._held_bytes -= held.bytes

    async def _read_in_time(
        self, request: AnyRequest, held: "_Held", digest: bytes | None
    ) -> bytes:
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._read(request, held, digest)
        except TimeoutError:
            raise Refused(
                "too-slow",
                f"The body was not complete after {self._seconds_max:g} s; send it in one go.",
                headers={"Connection": "close"},
            ) from None

    async def _read(self, request: AnyRequest, held: "_Held", digest: bytes | None) -> bytes:
        inflate = _inflater(request.headers.get("content-encoding", "identity"), self._bytes_max)
        if (request.content_length or 0) > self._bytes_max:
            raise self._too_large()
        digesting = None if digest is None else Digesting(digest)
        parts: list[bytes] = []
        sent = size = 0
        async for chunk in _chunks(request):
            sent += len(chunk)
            if digesting:
                digesting.add(chunk)
            part = inflate(chunk) if inflate else chunk
            size += len(part)
            if max(sent, size) > self._bytes_max:
                raise self._too_large()
            held.add(len(part))
            parts.append(part)
        if digesting:
            digesting.check()
        if inflate:
            inflate.check_ended()
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(
            "body-too-large",
            f"The bound is {self._bytes_max} bytes, decompressed too. {_HINT}",
            headers={"Connection": "close"},
        )

    def take(self, count: int) -> None:
        """Count `count` more bytes as held, or raise `Refused`."""
        if self._held_bytes + count > self._held_bytes_max:
            raise retry_later("busy", "Too many large requests at once.", 1)
        self._held_bytes += count


class _Held:
    """What one request holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.bytes = 0

    def add(self, count: int) -> None:
        self._bodies.take(count)
        self.bytes += count


class _Inflater:
    """Decompresses gzip (RFC 1952), to one byte beyond the bound at most.

    It takes a single member: a body of very many empty ones would cost time and give nothing.
    """

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max
        self._member = zlib.decompressobj(GZIP)

    def __call__(self, chunk: bytes) -> bytes:
        if self._left < 0:
            return b""
        try:
            # One byte more than allowed, so that a body that is too large is seen to be.
            part = self._member.decompress(chunk, self._left + 1)
        except zlib.error:
            raise _malformed() from None
        if self._member.unused_data:
            raise _malformed()
        self._left -= len(part)
        return part

    def check_ended(self) -> None:
        """Raise `Refused` if the end is missing."""
        if not self._member.eof:
            raise _malformed()


def _inflater(encoding: str, bytes_max: int) -> _Inflater | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Inflater(bytes_max)
        case _:
            raise Refused(
                "unsupported-encoding",
                "Content-Encoding may be gzip or left out; nothing else is read, and gzip once.",
                headers={"Accept-Encoding": "gzip"},
            )


def _malformed() -> Refused:
    return Refused(
        "malformed-encoding",
        "The body is not one whole gzip member; compress it again, or send it as it is.",
    )


async def _chunks(request: AnyRequest) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. If the client leaves, raise `ClientException`.

    Litestar's own `stream` would report that as a failure of the server.
    """
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientException("the client left before its body was whole")
        assert message["type"] == "http.request"
        if message["body"]:
            yield message["body"]
        more = message["more_body"]
