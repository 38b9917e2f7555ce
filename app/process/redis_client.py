"""How this project's processes ask Redis: within a bound of time, by a bound of connections."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

REDIS_CONNECTIONS_MAX = 16


class _Pool(BlockingConnectionPool):
    """Connections of one client."""

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Return once it can be used. It may have ended while it lay here, which redis-py finds out
        when it asks; and of one that was reset uvloop tells by a `RuntimeError`, which it does not
        expect."""
        reader, writer = connection._reader, connection._writer
        if (reader is not None and reader.at_eof()) or (writer is not None and writer.is_closing()):
            await connection.disconnect()
        await super().ensure_connection(connection)


def redis_at(url: str, seconds_max: float, tries: int = 1) -> Redis:
    """Return a client. It raises redis' `TimeoutError` if an answer, or a free connection, takes
    longer than `seconds_max`, and tries what fails so many times."""
    pool = _Pool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS_MAX,
        timeout=seconds_max,
        socket_timeout=seconds_max,
        socket_connect_timeout=seconds_max,
        retry=Retry(NoBackoff(), tries - 1),
    )
    return Redis.from_pool(pool)
