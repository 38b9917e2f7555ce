"""Users of the tests' Redis. A test itself may do anything there; a process what it may."""

import redis

from app.access.redis_users import USERS, users_file

_WITH_USERS = set[str]()
"""The servers that know them."""


def give_users(url: str) -> None:
    """Let a server that lets everybody do anything know each process, too."""
    _, *lines = users_file({user: user for user in USERS}).splitlines()
    with redis.Redis.from_url(url) as client:
        for line in lines:
            client.execute_command("ACL", "SETUSER", *line.split()[1:])
    _WITH_USERS.add(_server(url))


def as_user(user: str, url: str) -> str:
    """Return the address for a process, where the server knows it."""
    return url.replace("://", f"://{user}:{user}@") if _server(url) in _WITH_USERS else url


def _server(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]
