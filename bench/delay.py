"""Latency: `yuekang latency` against the whole stack, on this machine and ports of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from app.stack.ports import free_port
from app.stack.processes import Process, StackError
from bench.scale import Terminal
from bench.sides import OWN_PYTHON

RATE = 5_000
SECONDS = 30
CHANGING = (10, 100)
"""Per cent of the events that change a code: a day on which everybody is tested, and the worst."""

PORTS = ("GATEWAY_PORT", "VIEW_PORT", "WORKER_STATUS_PORT", "PROJECTION_STATUS_PORT",
         "KAFKA_CONTROLLER_PORT")  # fmt: skip


class StackProcess(Process):
    """`yuekang up`, without the sample day."""

    ready_seconds_max = 120.0
    stop_seconds_max = 60.0

    def ready(self) -> bool:
        """Say whether everything in it is ready: it says so."""
        return self.exited() is None and "Ready after" in self.log.read_text(errors="replace")


def measure(directory: Path, terminal: Terminal) -> list[Any]:
    """Return the report of `yuekang latency` for each of `CHANGING`."""
    return [_measure(directory, terminal, changing) for changing in CHANGING]


def _measure(directory: Path, terminal: Terminal, changing: int) -> Any:
    """Start the stack, measure, end it."""
    directory = directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("YUEKANG_")},
        **{f"YUEKANG_{name}": str(free_port()) for name in PORTS},
        "YUEKANG_KAFKA": f"127.0.0.1:{free_port()}",
        "YUEKANG_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "YUEKANG_DATA_DIR": str(directory / "data"),
    }
    yuekang = str(OWN_PYTHON.with_name("yuekang"))
    stack = StackProcess("stack", [yuekang, "up", "--no-sample"], directory, environment)
    stack.start()
    try:
        stack.wait_ready()
        terminal.say(f"latency at {RATE:,} events/s for {SECONDS} s, {changing}% change a code")
        done = subprocess.run(
            [
                yuekang,
                "latency",
                "--rate",
                str(RATE),
                "--seconds",
                str(SECONDS),
                "--changing",
                str(changing),
                "--json",
            ],
            env=environment,
            capture_output=True,
            check=False,
        )
    finally:
        stack.stop()
        shutil.rmtree(directory / "data", ignore_errors=True)
    sys.stderr.write(done.stderr.decode()[-2_000:])
    if not done.stdout:
        raise StackError(f"yuekang latency measured nothing.\n{done.stderr.decode()}")
    found = msgspec.json.decode(done.stdout)
    if found["visible"]:
        terminal.say(f"p99 {found['visible']['p99_ms']:g} ms at {found['rate_reached']:,} events/s")
    return found
