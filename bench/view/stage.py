"""The whole stack under the bench's own hands: each process can be named, stopped and started, and
its CPU time read. People have their codes, and changes flow."""

import asyncio
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count as count_up
from pathlib import Path

import httpx
from aiokafka.errors import KafkaError

from app.development.secrets import development_secrets, known_by
from app.development.stack.processes import HttpProcess, Process, StackError, end_left_behind
from app.development.stack.stack import Say, Stack
from app.process.ports import free_port
from app.process.settings import Settings
from app.web.issuing import operator_token
from bench.cpu import TICKS
from bench.sides import OWN_PYTHON
from bench.stack import environment_of
from bench.view import people

CHANGES_A_SECOND = 500
REDIS_MEMORY = "1gb"
CODES_SECONDS_MAX = 600.0
POLL_SECONDS = 0.25
VIEW_CPU = "YUEKANG_VIEW_CPU"
CPUS = sorted(os.sched_getaffinity(0))


class Stage:
    """A running stack of `count` people."""

    def __init__(self, stack: Stack, settings: Settings, count: int) -> None:
        self.stack = stack
        self.settings = settings
        self.count = count
        self._headers = {"authorization": f"Bearer {operator_token(settings)}"}
        self._changing: threading.Thread | None = None
        self._changes = count_up()
        self.folder = stack.directory.parent
        """For files of whoever measures."""
        self.more: list[Process] = []
        """Processes that were started beside the stack's own, to be counted and ended with it."""

    @property
    def view_port(self) -> int:
        """Where the stack's own view listens."""
        return self.settings.view_port

    @property
    def view_cpu(self) -> str:
        """The CPU that the stack's own view keeps to; "" if this release binds it to none."""
        return self._view_environment().get(VIEW_CPU, "")

    def _view_environment(self) -> dict[str, str]:
        given = Path(f"/proc/{self.stack.view.pid}/environ").read_bytes().decode().split("\0")
        return dict(each.split("=", 1) for each in given if "=" in each)

    def process(self, name: str) -> Process | None:
        """Return a process of the stack by its name; None if this release has none such."""
        return next((each for each in self.stack.processes if each.name == name), None)

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that each process has used, with its children."""
        ticks: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    group = int(fields[2])
                    # With those of its children that have ended.
                    ticks[group] = ticks.get(group, 0) + sum(map(int, fields[11:15]))
        processes = [*self.stack.processes, *self.more]
        return {each.name: ticks.get(each.pid or 0, 0) / TICKS for each in processes}

    # Codes and changes

    def give_codes(self, say: Say) -> None:
        """Return once everybody has a code; raise `StackError` if that takes too long."""
        say(f"codes for {self.count:,} people")
        asyncio.run(people.publish(self.settings.brokers, people.codes(self.count)))
        until = time.monotonic() + CODES_SECONDS_MAX
        last = self.count - self.count % 100
        reds = [last - 100 + place for place in people.RED]
        asked = [*range(0, self.count, self.count // 50), *reds]
        with httpx.Client(headers=self._headers, trust_env=False, timeout=10.0) as client:
            for number in asked:
                while not self._has_code(client, number):
                    if time.monotonic() > until:
                        raise StackError(
                            f"Person {number} has no code.\n{self.stack.worker.tail()}"
                        )
                    time.sleep(POLL_SECONDS)

    def _has_code(self, client: httpx.Client, number: int) -> bool:
        url = f"{self.settings.view_url}/v1/people/{people.person(number)}/code"
        with suppress(httpx.TransportError):
            answer = client.get(url)
            if answer.is_success:
                shown = answer.json()["colour"]
                return shown in ("red", "green") and people.colour(number) in (None, shown)
            if answer.status_code not in (429, 503):
                raise StackError(f"The view answers {answer.status_code}: {answer.text}")
        return False

    def begin_changes(self, rate: int = CHANGES_A_SECOND) -> None:
        """Let changes of codes flow until `end_changes`; where Kafka is away, again once it is
        back."""
        self._rate = rate

        async def flow() -> None:
            while True:
                with suppress(KafkaError):
                    await people.publish(
                        self.settings.brokers, people.changes(self.count, rate, self._changes)
                    )
                await asyncio.sleep(1.0)

        def run() -> None:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._flowing)

        self._loop = asyncio.new_event_loop()
        self._flowing = self._loop.create_task(flow())
        self._changing = threading.Thread(target=run, name="changes", daemon=True)
        self._changing.start()

    @contextmanager
    def no_changes(self) -> Iterator[None]:
        """Let no changes flow meanwhile, and as many as before afterwards."""
        self.end_changes()
        try:
            yield
        finally:
            self.begin_changes(self._rate)

    def end_changes(self) -> None:
        """Let no more changes flow."""
        if self._changing is not None:
            self._loop.call_soon_threadsafe(self._flowing.cancel)
            self._changing.join()
            self._changing = None

    # Views

    @contextmanager
    def views(self, number: int) -> Iterator[list[tuple[HttpProcess, int]]]:
        """Run so many views, the stack's own among them; yield each with its port."""
        more = [self._view_on(free_port(), n) for n in range(2, number + 1)]
        self.more += [each for each, _ in more]
        try:
            for each, _ in more:
                each.start()
            for each, port in more:
                _wait_begun(each, port)
            yield [(self.stack.view, self.view_port), *more]
        finally:
            for each, _ in more:
                each.stop()
                self.more.remove(each)

    def _view_on(self, port: int, number: int) -> tuple[HttpProcess, int]:
        # As the stack's own view was started, whatever this release gives one.
        environment = {**self._view_environment(), "YUEKANG_VIEW_PORT": str(port)}
        if self.view_cpu:
            place = CPUS.index(int(self.view_cpu)) + number - 1
            environment[VIEW_CPU] = str(CPUS[place % len(CPUS)])
        command = [str(OWN_PYTHON.with_name("yuekang")), "development-view"]
        address = f"http://127.0.0.1:{port}"
        return HttpProcess(
            f"view-{number}", command, self.stack.directory, environment, address
        ), port

    def restart_view(self) -> None:
        """Return when the stack's own view has begun again, and remembers nothing. Raise
        `StackError` if it does not."""
        self.stack.view.stop()
        self.stack.view.start()
        _wait_begun(self.stack.view, self.view_port)


def _wait_begun(view: HttpProcess, port: int) -> None:
    """Return when a view answers. It may not call itself ready, where what it shows is old; that is
    measured, not awaited."""
    until = time.monotonic() + view.ready_seconds_max
    while True:
        with suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{port}/livez"
            if httpx.get(url, trust_env=False, verify=False, timeout=2.0).is_success:
                return
        if view.exited() is not None or time.monotonic() > until:
            raise StackError(f"{view.name} does not begin.\n{view.tail()}")
        time.sleep(POLL_SECONDS)


def signal_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process and all of its children; none if it is over already."""
    if process.pid is not None and process.exited() is None:
        os.killpg(process.pid, number)


@contextmanager
def running(directory: Path, count: int, say: Say) -> Iterator[Stage]:
    """Run a stack in `directory`, which is emptied first, until everybody has a code."""
    directory = directory.absolute()
    data = directory / "data"
    end_left_behind(data)  # of a run that was killed
    shutil.rmtree(directory, ignore_errors=True)
    data.mkdir(parents=True)
    bare = dict(environment_of(data))
    if "view_cpu" in Settings.__struct_fields__:  # an older release has none
        bare[VIEW_CPU] = str(CPUS[-1])
    secrets = {**development_secrets(data), **bare}
    environment = {**secrets, **known_by(secrets)}
    # What the caller's bench has as its master key is the stack's as well.
    settings = Settings.from_environment(environ=environment)
    stack = Stack(settings, environment, data, say, REDIS_MEMORY)
    stage = Stage(stack, settings, count)
    try:
        stack.start(lambda _: None)
        stage.give_codes(say)
        yield stage
    finally:
        stage.end_changes()
        for process in [*stack.processes, *stage.more]:
            with suppress(ProcessLookupError, StackError):
                signal_group(process, signal.SIGCONT)
        for process in stage.more:
            process.stop()
        stack.stop()
        end_left_behind(data)
        shutil.rmtree(directory / "data", ignore_errors=True)


def run_quietly(command: list[str], seconds_max: float) -> str:
    """Return what a command prints; raise `StackError` with what it says if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds_max, check=False)
    if done.returncode:
        raise StackError(
            f"{command[0]} failed with {done.returncode}:\n{done.stderr or done.stdout}"
        )
    return done.stdout
