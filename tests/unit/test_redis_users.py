"""What each process may do on Redis, on a server that has its file of users."""

from collections.abc import Iterator

import pytest
import redis

from app.access.redis_users import USERS, users_file
from app.access.rights import PROCESSES
from app.development.secrets import KAFKA_USERS, REDIS_USERS
from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port

PASSWORDS = {name: f"password of {name}" for name in (*USERS, "admin")}


def test_the_secrets_of_development_know_every_user() -> None:
    assert USERS.keys() == REDIS_USERS
    assert PROCESSES.keys() == KAFKA_USERS


def test_the_file_has_no_password() -> None:
    for password in PASSWORDS.values():
        assert password not in users_file(PASSWORDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port(), passwords=PASSWORDS)
    with server.running():
        yield server


def as_user(server: RedisServer, user: str) -> "redis.Redis":
    return redis.Redis.from_url(server.url, username=user, password=PASSWORDS[user])


def test_a_stranger_gets_nothing(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()
    wrong = redis.Redis.from_url(server.url, username="view", password="guessed")
    with wrong, pytest.raises(redis.AuthenticationError):
        wrong.ping()


WRITES = {
    "projection": {"yk:code:p1-a", "yk:counts", "yk:state"},
    "rows": {
        *("yk:row:people:p1-a", "yk:letters:/cdc/1:0", "yk:sources", "yk:cut", "yk:state"),
        *("yk:held:p1-a", "yk:chunk:0f"),
    },
    "gateway": set[str](),
    "view": {
        "yk:held:p1-a",
        "yk:chunk:0f",
        "session:ended",
        "session:devices:p1-a",
        "travel:code:x",
        "declared:p1-a:1",
        "declared-as:p1-a:r",
        "declarations:x",
    },
}
KEYS = {key for keys in WRITES.values() for key in keys} | {"other"}


@pytest.mark.parametrize("user", USERS)
def test_a_process_writes_its_own_keys_alone(server: RedisServer, user: str) -> None:
    with as_user(server, user) as client:
        written = set()
        for key in KEYS:
            try:
                client.set(key, "x")
                written.add(key)
            except redis.exceptions.NoPermissionError:
                pass
        assert written == WRITES[user]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "command",
    [
        "KEYS *",
        "CONFIG GET maxmemory",
        "ACL LIST",
        "FLUSHALL",
        "SHUTDOWN",
        "CLIENT LIST",
        "MONITOR",
    ],
)
def test_nobody_sets_the_server_up_or_looks_through_all(
    server: RedisServer, user: str, command: str
) -> None:
    with as_user(server, user) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_a_script_lets_nobody_do_more(server: RedisServer) -> None:
    with (
        as_user(server, "view") as view,
        pytest.raises(redis.ResponseError, match="can't access"),
    ):
        view.eval("return redis.call('SET', 'yk:code:p1-a', 'green')", 0)
    with as_user(server, "view") as view, pytest.raises(redis.exceptions.NoPermissionError):
        view.flushdb()
