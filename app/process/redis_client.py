"""How this project's processes ask Redis: within a bound of time, by a bound of connections."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

REDIS_CONNECTIONS_MAX = 16


class _Pool(BlockingConnectionPool):
    """Connections of one client."""

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Return once it can be used. If it ended while nobody used it, connect again, or raise
        `ConnectionError` where the client is to try nothing again.

        Of one that was reset uvloop tells at the next write alone, by a `RuntimeError`, which
        redis-py does not expect.
        """
        reader, writer = connection._reader, connection._writer
        if (reader is not None and reader.at_eof()) or (writer is not None and writer.is_closing()):
            await connection.disconnect()
            if not connection.retry.get_retries():
                raise ConnectionError("The connection ended while nobody used it.")
        await super().ensure_connection(connection)


def redis_at(url: str, seconds_max: float, *, again: bool) -> Redis:
    """Return a client. It raises redis' `TimeoutError` if an answer, or a free connection, takes
    longer than `seconds_max`.

    `again` says whether it asks once more, on another connection, where one was lost. Whoever goes
    on from what it has read hears of that itself: behind another connection may be another server.
    """
    pool = _Pool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS_MAX,
        timeout=seconds_max,
        socket_timeout=seconds_max,
        socket_connect_timeout=seconds_max,
        retry=Retry(NoBackoff(), int(again)),
    )
    return Redis.from_pool(pool)
