"""Each process has its own secrets and no other's, on one machine and in containers."""

import stat
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.access.redis_users import USERS
from app.development.secrets import (
    KEYS_OF,
    development_secrets,
    process_secrets,
    server_secrets,
)
from app.development.stack.broker import ROOT
from app.development.stack.stack import own_environment
from app.process.settings import KEYS, Settings, variable_of
from app.topics.authentic import OURS, REGISTER, SourceKeys, source_keys
from app.topics.records import Record

OF_SERVERS = {"kafka": "admin", "redis": "redis", "rows-redis": "redis"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def passwords(variables: dict[str, str]) -> set[str]:
    return {text for name, text in variables.items() if name.endswith("_PASSWORD")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    server_secrets(tmp_path)
    return tmp_path


def test_no_two_have_a_password_in_common(folder: Path) -> None:
    everybody = [*process_secrets(folder).values(), development_secrets(folder)]
    every = [password for each in everybody for password in passwords(each)]
    assert len(every) == len({*every}) > len(USERS)


def test_they_are_made_once_and_are_their_owners_alone(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.env")}
    server_secrets(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.env")} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in before} == {0o600}


@pytest.mark.parametrize("name", KEYS_OF)
def test_a_process_is_given_its_own_secrets_alone(folder: Path, name: str) -> None:
    operator, own = development_secrets(folder), process_secrets(folder)
    given = own_environment({**operator, "PATH": "/bin"}, name, own[name])
    # A key that is in use for a while alone, while another is changed, need not be there.
    wanted = {key for key in KEYS_OF[name] & KEYS if not key.startswith("former_")}
    wanted -= {key for key in wanted if key.endswith("_other_key")}
    assert {key for key in KEYS if variable_of(key) in given} == wanted
    others = {p for other in own if other != name for p in passwords(own[other])}
    assert not (others | passwords(operator)) & {*given.values()}
    assert passwords(own[name]) <= {*given.values()}
    assert given["PATH"] == "/bin"
    Settings.from_environment(environ=given)


def test_redis_is_told_hashes_alone(folder: Path) -> None:
    name, _, text = (folder / "secrets" / "redis.env").read_text().strip().partition("=")
    told = b64decode(text).decode()
    assert name == "REDIS_USERS"
    assert "user default off" in told
    for of in process_secrets(folder).values():
        for password in passwords(of):
            assert password not in told


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_a_container_has_the_file_of_what_runs_in_it(folder: Path, service: str) -> None:
    files = COMPOSE["services"][service]["env_file"]
    names = [Path(each).name for each in ([files] if isinstance(files, str) else files)]
    if service == "topics":
        assert names == ["admin.env", "kafka-users.env"]
    else:
        assert names == [f"{OF_SERVERS.get(service, service)}.env"]
    assert all((folder / "secrets" / each).exists() for each in names)


def test_while_the_master_key_is_changed_each_has_what_derives_from_both(folder: Path) -> None:
    path = folder / "secrets.env"
    made = path.read_text()
    former = next(line for line in made.splitlines() if line.startswith("YUEKANG_MAC_KEY="))
    changed = f"{former.replace('MAC_KEY', 'FORMER_MAC_KEY')}\nYUEKANG_MAC_KEY_VERSION=2\n"
    path.write_text(made.replace(former, "YUEKANG_MAC_KEY=" + "ab" * 32) + changed)
    given = process_secrets(folder)
    assert {name for name, own in given.items() if "YUEKANG_MAC_KEY_VERSION" in own} == {
        *("worker", "submissions-worker", "lists-worker", "projection", "replica", "rows"),
        *("gateway", "view"),
    }
    code = Record("health-codes", b"p", b"{}", ())
    old = SourceKeys.of_master(bytes.fromhex(former.partition("=")[2].strip("'\"")))
    for name in ("worker", "projection", "replica", "rows"):
        keys = source_keys(Settings.from_environment(environ=given[name]))
        assert keys.is_ours(old.signed(code, OURS))
        assert keys.of(OURS).head == b"2 /yuekang"
    view = source_keys(Settings.from_environment(environ=given["view"]))
    assert view.author(old.signed(Record("sources", b"k", b"{}", ()), REGISTER)) == REGISTER
