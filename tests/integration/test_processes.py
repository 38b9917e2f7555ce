"""One process of a stack: what is told where it does not come up, and how it is ended."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from app.development.stack.broker import Broker
from app.development.stack.processes import MARK, Process, StackError, left_behind
from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port


def test_a_broker_that_does_not_come_up_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    meta = tmp_path / "kafka" / "log" / "meta.properties"
    meta.parent.mkdir(parents=True)
    meta.write_text("version=1\nnode.id=7\ncluster.id=another\n")
    broker = Broker(tmp_path, free_port(), free_port())
    broker.start()
    with pytest.raises(
        StackError, match=r"(?s)kafka ended with exit code 1.*node id 7 doesn't match"
    ):
        broker.wait_ready()


def test_redis_that_does_not_come_up_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        server = RedisServer(tmp_path, holder.getsockname()[1])
        server.start()
        with pytest.raises(StackError, match=r"(?s)redis ended with .*Address already in use"):
            server.wait_ready()


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no-such-program is not installed\. Run `make setup`"):
        Process("nothing", ["no-such-program"], tmp_path).start()


def test_a_process_runs_for_as_long_as_it_is_wanted(tmp_path: Path) -> None:
    process = Process("wanted", ["sleep", "600"], tmp_path)
    with process.running() as same:
        assert (same, process.exited()) == (process, None)
    assert process.exited() == -signal.SIGTERM


def test_a_process_that_does_not_get_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process("late", ["sleep", "600"], tmp_path)
    process.ready_seconds_max = 0.2
    monkeypatch.setattr(process, "ready", lambda: False)
    with pytest.raises(StackError, match="late was not ready within 0 s"), process.running():
        pytest.fail("nobody works with what is not ready")
    assert process.exited() == -signal.SIGTERM


def test_a_process_that_ignores_its_end_is_killed_with_its_children(tmp_path: Path) -> None:
    process = Process("deaf", ["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"], tmp_path)
    process.stop_seconds_max = 0.5
    process.start()
    until = time.monotonic() + 10
    while len(left_behind(tmp_path)) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    process.stop()
    assert process.exited() == -signal.SIGKILL
    assert left_behind(tmp_path) == []


def test_a_log_is_bounded_and_none_of_it_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.development.stack.processes.LOG_BYTES_MAX", 1000)
    loop = "while :; do echo 0123456789; sleep 0.001; done"
    process = Process("chatty", ["sh", "-c", loop], tmp_path)
    process.start()
    until = time.monotonic() + 10
    while not process.log.with_suffix(".log.1").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
        process.bound_log()
    time.sleep(0.1)
    process.stop()
    assert set(process.log.read_text().splitlines()) == {"0123456789"}


def test_the_mark_is_what_finds_a_process(tmp_path: Path) -> None:
    marked = {**os.environ, MARK: str(tmp_path)}
    with subprocess.Popen(["sleep", "600"], env=marked) as process:
        try:
            until = time.monotonic() + 10
            # Popen returns before the kernel shows the environment of what it started.
            while not (found := left_behind(tmp_path)) and time.monotonic() < until:
                time.sleep(0.01)
            assert found == [process.pid]
            assert left_behind(tmp_path / "other") == []
        finally:
            process.kill()
