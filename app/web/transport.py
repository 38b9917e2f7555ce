"""A connection pool that bounds every answer, whoever gives it."""

from collections.abc import AsyncIterator

import httpx

ANSWER_BYTES_MAX = 256 * 1024
"""Discovery documents have some 6 KiB, key sets 10, id_tokens 2."""


class TooLarge(httpx.TransportError):
    """The answer is larger than the bound."""


class Bounded(httpx.AsyncBaseTransport):
    """Lends `pool` to a client; the pool stays open when the client closes."""

    def __init__(self, pool: httpx.AsyncBaseTransport, bytes_max: int = ANSWER_BYTES_MAX) -> None:
        self._pool = pool
        self._bytes_max = bytes_max

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and count the bytes of the answer."""
        # A small compressed answer may be a large one once it is decompressed.
        request.headers["accept-encoding"] = "identity"
        response = await self._pool.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise TooLarge("The answer is packed, though that was not asked for.")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Counted(response.stream, self._bytes_max),
            extensions=response.extensions,
        )


class _Counted(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._left = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._left -= len(part)
            if self._left < 0:
                raise TooLarge("The answer is larger than is read.")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
