"""`yuekang up`: everything on this machine, until Ctrl-C."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.development.sample.day import PEOPLE_MAX, PEOPLE_MIN
from app.development.sample.logins import LOGINS
from app.development.sample.publish import SAMPLE_FILE, load
from app.development.secrets import SECRETS_FILE, development_secrets
from app.development.stack.processes import MARK, POLL_SECONDS, StackError, end_left_behind
from app.development.stack.stack import Stack
from app.process.settings import Settings

FREE_MIB_MIN = 1024
"""Room for Kafka's first segments and indexes, a sample day, and full logs: some 600 MiB."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    sample: Annotated[bool, typer.Option(help="Publish the sample day when all is ready.")] = True,
    people: Annotated[
        int, typer.Option(min=PEOPLE_MIN, max=PEOPLE_MAX, help="People in the sample's city.")
    ] = 10_000,
    free_mib_min: Annotated[
        int, typer.Option(min=1, help="Do not start with less free on the disk, in MiB.")
    ] = FREE_MIB_MIN,
) -> None:
    """Start Kafka, Redis and all processes, publish the sample day, and stay up until Ctrl-C.

    A process that ends is started again. If it keeps ending, everything ends with exit code 1.
    All data stay in the data folder, and the next start goes on from there.
    """
    console = Console(highlight=False, soft_wrap=True)
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        run(console, people if sample else None, free_mib_min)
    except StackError as error:
        console.print("[red]The stack cannot run.[/red]")
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        # The signal came before anything was started.
        raise typer.Exit(0) from None


def run(console: Console, people: int | None, free_mib_min: int) -> None:
    """Run the stack until a signal; raise `StackError` if it cannot run.

    `people` is the size of the sample's city; None means no sample.
    """
    begun = time.monotonic()
    directory = Path(Settings.from_environment().data_dir).resolve()
    with _held(directory):
        if ended := end_left_behind(directory):
            console.print(f"Ended what an earlier run left behind ({ended}).")
        _check_disk(directory, free_mib_min)
        environment = {**development_secrets(directory), **os.environ}
        settings = Settings.from_environment(environ=environment)
        stack = Stack(settings, environment, directory, partial(_tell, console))
        stack.check_ports()
        try:
            with console.status("Starting ...") as status:
                stack.start(lambda names: status.update(f"Waiting for {names} ..."))
            console.print(f"Ready after {time.monotonic() - begun:.1f} s.")
            if people is not None:
                _publish_sample(stack, environment, people, console)
            _print_addresses(settings, directory, console)
            while True:
                stack.watch()
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            _tell(console, "Ending everything; nothing is lost ...")
        finally:
            for number in SIGNALS:
                signal.signal(number, lambda *_: _tell(console, "Already ending ..."))
            stack.stop()
        _tell(console, "Ended. All data are kept in " + str(directory))


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold the folder, so that no second stack writes to the same data."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)  # the log, and in development the sample's secrets, lie here
        lock = (directory / "up.lock").open("a+")
    except OSError as error:
        raise StackError(f"The data folder cannot be used: {error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"Another `yuekang up` (pid {lock.read().strip() or 'unknown'}) runs on "
                f"{directory}. End that, or set YUEKANG_DATA_DIR to another folder (and the "
                "ports)."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _check_disk(directory: Path, free_mib_min: int) -> None:
    free_mib = shutil.disk_usage(directory).free // 2**20
    if free_mib < free_mib_min:
        raise StackError(
            f"The disk of {directory} is full: {free_mib} MiB are free, at least {free_mib_min} "
            "are needed. Free some, or set YUEKANG_DATA_DIR to a folder on another disk."
        )


def _publish_sample(
    stack: Stack, environment: Mapping[str, str], people: int, console: Console
) -> None:
    """Publish the sample while the stack is watched. If it fails, the stack goes on without it."""
    command = [str(Path(sys.executable).with_name("yuekang")), "sample", "--people", str(people)]
    directory = str(stack.directory)
    marked = {**environment, "YUEKANG_DATA_DIR": directory, MARK: directory}
    with subprocess.Popen(command, env=marked) as publisher:
        try:
            while publisher.poll() is None:
                stack.watch()
                time.sleep(POLL_SECONDS)
        except BaseException:
            publisher.terminate()
            raise
    if publisher.returncode:
        console.print("[red]The sample was not published whole;[/red] all else goes on.")


def _print_addresses(settings: Settings, directory: Path, console: Console) -> None:
    view, gateway = settings.view_url, settings.gateway_url
    day = load(directory / SAMPLE_FILE)
    lines = [
        *((login.en, day and f"{view}/login?hint={login.id}") for login in LOGINS),
        ("the dashboard", f"{view}/dashboard"),
        ("the API of the view", f"{view}/api"),
        ("the events", f"{view}/api/events"),
        ("the gateway's OpenAPI", f"{gateway}/openapi.json"),
        ("secrets, for commands", str(directory / SECRETS_FILE)),
        ("logs", str(directory / "logs")),
    ]
    for what, address in lines:
        if address:
            console.print(f"  {what:<42}{address}")
    console.print("Ctrl-C ends it.")


def _tell(console: Console, text: str) -> None:
    # The terminal may be gone; the stack still has to end in order.
    with suppress(OSError):
        console.print(text, markup=False)
