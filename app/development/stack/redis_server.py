"""A Redis server for the read models."""

from pathlib import Path

import redis

from app.development.stack.processes import Process

MEMORY = "512mb"
"""The memory of one server. Beyond it a write fails; nothing is evicted."""


class RedisServer(Process):
    """Redis on the loopback address alone. It keeps nothing on disk, since the log has it all."""

    ready_seconds_max = 20.0

    def __init__(
        self, directory: Path, port: int, name: str = "redis", memory: str = MEMORY
    ) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._home = directory.resolve() / name
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(self._home),
            "save": "",
            "appendonly": "no",
            "maxmemory": memory,
            "maxmemory-policy": "noeviction",
            # If Redis set its title, it would overwrite the environment by which it is found.
            "set-proc-title": "no",
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        super().__init__(name, ["redis-server", *options], directory)

    def start(self) -> None:
        """Start it; raise `StackError` if it is not installed."""
        self._home.mkdir(parents=True, exist_ok=True)
        super().start()

    def ready(self) -> bool:
        """Say whether it answers a ping."""
        if self.exited() is not None:
            return False
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2.0) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
