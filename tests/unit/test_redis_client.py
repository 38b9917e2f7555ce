"""How Redis is asked when connections to it do not last (app.process.redis_client)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.exceptions import ConnectionError, RedisError
from uvloop import new_event_loop

from app.process.redis_client import REDIS_CONNECTIONS_MAX, redis_at

LOOPS = {"uvloop": new_event_loop, "asyncio": asyncio.new_event_loop}
"""Faces run on the first, everything else on the second."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that ends a connection by a reset, as what stands between may do after a silence."""


class Between:
    """Stands between a client and Redis."""

    def __init__(self, url: str) -> None:
        self._redis = urlsplit(url)
        self._clients: list[asyncio.StreamWriter] = []
        self.taken = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        async with server:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
            self.close(abruptly=False)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self._clients.append(writer)
        host, port = self._redis.hostname, self._redis.port
        from_redis, to_redis = await asyncio.open_connection(host, port)

        async def pass_on(of: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while said := await of.read(1 << 16):
                to.write(said)

        await asyncio.wait(
            [
                asyncio.create_task(pass_on(*way))
                for way in ((reader, to_redis), (from_redis, writer))
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        to_redis.close()

    def close(self, *, abruptly: bool) -> None:
        """Close what is open; `abruptly` by a reset."""
        for writer in self._clients:
            if abruptly:
                of: socket.socket = writer.get_extra_info("socket")
                of.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            else:
                writer.close()
        self._clients.clear()


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("abruptly", [True, False])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_ended_while_nobody_used_it_is_not_used(
    redis_url: str, loop: str, abruptly: bool, again: bool
) -> None:
    async def ask() -> None:
        between = Between(redis_url)
        async with between.running() as url, redis_at(url, 1.0, again=again) as client:
            await client.ping()
            between.close(abruptly=abruptly)
            await asyncio.sleep(0.05)
            if not again:
                with pytest.raises(ConnectionError, match="while nobody used it"):
                    await client.ping()
            await client.ping()
            assert between.taken == 2

    make: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(ask())


async def test_whoever_finds_no_free_connection_is_told_so_in_time(redis_url: str) -> None:
    async with redis_at(redis_url, 0.2, again=True) as client:
        asking: Any = client
        waiting = [asking.blpop(["nothing"], timeout=1) for _ in range(REDIS_CONNECTIONS_MAX + 1)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, RedisError) for each in found)
