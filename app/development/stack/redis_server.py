"""A Redis server for the read models."""

from collections.abc import Mapping
from pathlib import Path

import redis

from app.development.secrets import ADMINISTRATOR
from app.development.stack.processes import Process
from app.process.files import write_whole

MEMORY = "512mb"
"""The memory of one server. Beyond it a write fails; nothing is evicted."""


USERS_FILE = "users.acl"


class RedisServer(Process):
    """Redis on the loopback address alone. It keeps nothing on disk, since the log has it all.

    With `passwords`, those of its users and of `admin`, it refuses strangers; else it lets
    everybody do anything.
    """

    ready_seconds_max = 20.0

    def __init__(
        self,
        directory: Path,
        port: int,
        name: str = "redis",
        memory: str = MEMORY,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._passwords = passwords
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
        if passwords:
            settings["aclfile"] = str(self._home / USERS_FILE)
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        super().__init__(name, ["redis-server", *options], directory)

    def start(self) -> None:
        """Start it; raise `StackError` if it is not installed."""
        self._home.mkdir(parents=True, exist_ok=True)
        if self._passwords:
            # To load what knows of keys takes a second, and nobody else needs it.
            from app.access.redis_users import users_file

            users = users_file(self._passwords)
            write_whole(self._home / USERS_FILE, users.encode(), mode=0o600)
        super().start()

    def ready(self) -> bool:
        """Say whether it answers a ping."""
        if self.exited() is not None:
            return False
        try:
            with redis.Redis.from_url(
                self.url,
                username=ADMINISTRATOR if self._passwords else None,
                password=self._passwords[ADMINISTRATOR] if self._passwords else None,
                socket_timeout=2.0,
            ) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
