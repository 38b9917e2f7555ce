"""The closed loop: wrk asks again as soon as it is answered, so it finds the most answers a second.

Its latencies are of a server that is always busy, and say nothing of one that is not (`paced`).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from app.development.stack.processes import StackError
from app.login.sessions import COOKIE
from bench.view.stage import run_quietly

SCRIPT = Path(__file__).with_name("requests.lua")
SECONDS_OVER = 60.0
"""What wrk may take beyond its time: to write the requests, and for the last answers."""


class Closed(Struct, frozen=True):
    """What wrk found. `not_200` counts answers of 400 and above; the rest are errors of sockets."""

    seconds: float
    answers: int
    bytes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    not_200: int
    connect: int
    read: int
    write: int
    timeout: int

    @property
    def rate(self) -> float:
        """Answers a second that were good."""
        return (self.answers - self.not_200) / self.seconds


def missing() -> str | None:
    """Say what to install if wrk is missing; None if it is there."""
    if shutil.which("wrk"):
        return None
    return "There is no wrk. As root: `apt-get install wrk` (Debian has it); then run this again."


def ask(
    url: str,
    headers: Mapping[str, str],
    cookies: Path,
    connections: int,
    seconds: int,
) -> Closed:
    """Ask `url` for so many seconds, from one thread; raise `StackError` where nothing came."""
    told = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                              *told, "-s", str(SCRIPT), url, "--", str(cookies),
                              COOKIE]  # fmt: skip
    said = run_quietly(command, seconds + SECONDS_OVER)
    found = msgspec.json.decode(said.splitlines()[-1], type=Closed)
    if not found.answers:
        raise StackError(f"{url} gave no answer to wrk.\n{said}")
    return found
