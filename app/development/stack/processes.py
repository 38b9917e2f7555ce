"""Processes of this machine: run one, or start it, wait until it is ready and end it; find what was
left."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import httpx

LOG_BYTES_MAX = 32 * 1024 * 1024
"""A log longer than this begins again; the old one is kept beside it as `.1`."""

TAIL_LINES = 25
POLL_SECONDS = 0.1

MARK = "STACK_OF_YUEKANG"
"""A variable in the environment of every process; its value is the folder it belongs to."""


class StackError(Exception):
    """The stack cannot run; the message says which part, why, and what to do."""


class Process:
    """One process with its children, in a group of its own.

    It is sent SIGTERM when the thread that started it dies. It belongs to the folder `directory`;
    its output goes to `<directory>/logs/<name>.log`. A subclass says what ready means.
    """

    ready_seconds_max = 60.0
    stop_seconds_max = 15.0

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.directory = directory.resolve()
        self.log = self.directory / "logs" / f"{name}.log"
        self._command = list(command)
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        """Say whether it does its work now."""
        return self.exited() is None

    def start(self) -> None:
        """Start it; raise `StackError` if the machine lacks the program."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        environment = os.environ if self._environment is None else self._environment
        name, *arguments = self._command
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", program(name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**environment, MARK: str(self.directory)},
                process_group=0,
            )

    @property
    def pid(self) -> int | None:
        """Its process id; None before the start."""
        return self._child.pid if self._child else None

    def exited(self) -> int | None:
        """Return its exit code, negative for a signal, or None while it runs.

        The rest of its group is killed first, so that a successor finds its port free.
        """
        if self._child is None:
            raise StackError(f"{self.name} was never started.")
        if self._child.returncode is None and self._is_over(self._child.pid):
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.poll()

    @staticmethod
    def _is_over(pid: int) -> bool:
        # The process is not reaped yet, so neither the pid nor the group can be another's.
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait_ready(self) -> None:
        """Return when it is ready; else raise `StackError` with the end of its log."""
        until = time.monotonic() + self.ready_seconds_max
        while not self.ready():
            code = self.exited()
            if code is not None:
                raise StackError(f"{self.name} ended with {said(code)}.\n{self.tail()}")
            if time.monotonic() > until:
                seconds = round(self.ready_seconds_max)
                raise StackError(f"{self.name} was not ready within {seconds} s.\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def signal_stop(self) -> None:
        """Ask it to end, if it runs."""
        if self._child is not None and self.exited() is None:
            self._child.terminate()

    def stop(self) -> None:
        """End it by SIGTERM; if it is not over in time, send SIGKILL to its group."""
        self.signal_stop()
        until = time.monotonic() + self.stop_seconds_max
        while self._child is not None and self.exited() is None:
            if time.monotonic() > until:
                os.killpg(self._child.pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS / 4)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run it: it is ready within the block, and over after it. Raise `StackError`."""
        self.start()
        try:
            self.wait_ready()
            yield self
        finally:
            self.stop()

    def bound_log(self) -> None:
        """Begin a new log if it is too long. It is open for appending, so no line is torn."""
        if self.log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def tail(self) -> str:
        """Return the end of its log, and where the whole log is."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 64 * 1024))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join([*lines[-TAIL_LINES:], f"(the end of {self.log})"])


class HttpProcess(Process):
    """A process that says by HTTP whether it is ready."""

    ready_seconds_max = 180.0  # a lost store or read model is rebuilt first

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        address: str,
    ) -> None:
        super().__init__(name, command, directory, environment)
        self._readyz = f"{address}/readyz"
        self.answer = ""

    def ready(self) -> bool:
        """Say whether its /readyz answers 200; keep what it says in `answer`."""
        try:
            # It is plain HTTP, and the TLS context that is left out would take 20 ms to make.
            answer = httpx.get(self._readyz, timeout=2.0, trust_env=False, verify=False)
        except httpx.TransportError as error:
            self.answer = str(error)
            return False
        self.answer = answer.text.strip()
        return answer.status_code == httpx.codes.OK


def program(name: str) -> str:
    """Return the path of a program; raise `StackError` if it is missing."""
    path = shutil.which(name)
    if path is None:
        raise StackError(f"{name} is not installed. Run `make setup`, or docker/install.sh.")
    return path


def said(code: int) -> str:
    """Say an exit code in words."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def left_behind(directory: Path) -> list[int]:
    """Return the pids of the processes that belong to `directory`."""
    mark = f"{MARK}={directory.resolve()}".encode()
    return [pid for pid in _pids() if mark in _environment(pid)]


def end_left_behind(directory: Path, seconds_max: float = 20.0) -> int:
    """End every process that belongs to `directory`; return how many there were.

    Only the holder of the folder's lock may call it: then all of them are the caller's.
    """
    found = left_behind(directory)
    _send(found, signal.SIGTERM)
    until = time.monotonic() + seconds_max
    while left := left_behind(directory):
        if time.monotonic() > until:
            _send(left, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return len(found)


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _environment(pid: int) -> list[bytes]:
    # Another user's environment is unreadable; one of a process that ended is gone or empty.
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []
