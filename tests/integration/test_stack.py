"""`yuekang up` as a person runs it: what it serves, what it survives, what it says."""

import os
import re
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
import redis

from app.development.sample.logins import LOGINS
from app.development.stack.processes import left_behind
from models.events import ProvincialColour
from support.up import Up, answers, listens

PEOPLE = 200


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack with a small sample. The tests of this file follow one another on it."""
    stack = Up(tmp_path_factory.mktemp("up"))
    stack.start("--people", str(PEOPLE))
    yield stack
    if stack.process.poll() is None:
        stack.end()
    assert left_behind(stack.data) == []


def test_up_prints_addresses_that_answer(up: Up) -> None:
    for what in (*(login.en for login in LOGINS), "the dashboard", "the API of the view"):
        match = re.search(rf"{what} +(http\S+)", up.output())
        assert match, up.output()
        up.wait(partial(answers, match[1]))
    up.wait(up.serves_both_colours)


def test_a_full_redis_of_the_rows_stops_no_code(up: Up) -> None:
    person = up.people()["green"]
    with redis.Redis.from_url(up.rows_redis_url) as rows:
        room = rows.config_get("maxmemory")["maxmemory"]
        rows.config_set("maxmemory", 1)
        try:
            up.report("43", person, ProvincialColour.RED)
            up.wait(lambda: up.colour(person) == "red")
            up.wait(lambda: not answers(f"{up.status['rows']}/readyz"))
            up.report("43", person, ProvincialColour.GREEN)
            up.wait(lambda: up.colour(person) == "green")
        finally:
            rows.config_set("maxmemory", room)
    up.wait(up.all_ready)


def test_a_source_is_told_what_became_of_its_events(up: Up) -> None:
    path = f"{up.status['gateway']}/v1/sources/me/refusals"
    up.wait(lambda: httpx.get(path, headers=up.bearer("/provinces/43")).status_code == 200)
    answer = httpx.get(path, headers=up.bearer("/provinces/43")).json()
    assert answer["parked"] == []


def test_secrets_are_their_owners_alone(up: Up) -> None:
    assert stat.S_IMODE((up.data / "secrets.env").stat().st_mode) == 0o600


def test_the_stack_takes_at_most_2_gib(up: Up) -> None:
    resident_kib = 0
    for pid in left_behind(up.data):
        status = Path(f"/proc/{pid}/smaps_rollup").read_text()
        match = re.search(r"^Pss: +(\d+) kB", status, re.MULTILINE)
        resident_kib += int(match[1]) if match else 0
    assert 100 * 1024 < resident_kib < 2 * 1024 * 1024


def test_a_second_up_on_the_same_data_is_refused(up: Up) -> None:
    done = up.another()
    assert done.returncode == 1
    assert f"Another `yuekang up` (pid {up.process.pid}) runs on" in done.stdout
    assert up.all_ready()


def test_taken_ports_are_named_with_who_has_them_and_what_to_set(up: Up, tmp_path: Path) -> None:
    done = up.another(YUEKANG_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    view, kafka = up.ports[5], up.ports[0]
    assert re.search(rf"Port {kafka} is taken by java \(pid \d+\); Kafka needs it", done.stdout)
    assert re.search(rf"Port {view} is taken by .*set\s+YUEKANG_VIEW_PORT", done.stdout)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "names",
    [("projection", "worker", "gateway", "view", "identity-provider"), ("redis",), ("kafka",)],
)
def test_what_is_killed_comes_right_again(up: Up, names: tuple[str, ...]) -> None:
    for name in names:
        killed = up.pids(name)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    up.wait(lambda: all(up.output().count(f"{name} is started again") >= 1 for name in names))
    up.wait(lambda: up.all_ready() and up.serves_both_colours())


def test_ctrl_c_ends_everything_and_the_next_start_goes_on(up: Up) -> None:
    secrets = (up.data / "secrets.env").read_bytes()
    assert up.end(signal.SIGINT) == 0, up.output()
    assert left_behind(up.data) == []
    assert not any(listens(port) for port in up.ports)
    up.start("--no-sample")
    up.wait(up.serves_both_colours)
    assert (up.data / "secrets.env").read_bytes() == secrets


def test_killing_up_itself_leaves_nothing_that_the_next_start_cannot_end(up: Up) -> None:
    before = set(left_behind(up.data))
    up.end(signal.SIGKILL)
    up.start("--no-sample")
    up.wait(up.serves_both_colours)
    assert not before & set(left_behind(up.data))


def test_killing_everything_at_once_leaves_a_stack_that_starts(up: Up) -> None:
    for pid in [up.process.pid, *left_behind(up.data)]:
        with suppress(ProcessLookupError):  # one may have ended with another
            os.kill(pid, signal.SIGKILL)
    up.process.wait()
    up.start("--no-sample")
    up.wait(up.serves_both_colours)


def test_sigterm_ends_everything_and_a_part_that_cannot_start_is_told_with_its_log(
    up: Up, tmp_path: Path
) -> None:
    assert up.end(signal.SIGTERM) == 0, up.output()
    assert left_behind(up.data) == []
    fake = tmp_path / "redis-server"
    fake.write_text("#!/bin/sh\necho 'Fatal error, cannot go on'\nexit 1\n")
    fake.chmod(0o755)
    done = up.another(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "redis ended with exit code 1" in done.stdout
    assert "Fatal error, cannot go on" in done.stdout
    assert left_behind(up.data) == []
