"""Where the view's CPU time goes, by stage: samples of its stacks while wrk asks.

As in `bench.stages`: py-spy looks at the worker of the view 200 times a second, each sample counts
for one stage, and the samples of Python share out the CPU time that the kernel has counted for that
thread. The server's own threads (Granian, Tokio) have no stacks of Python; the kernel's count for
each is shown by its name.
"""

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from app.development.stack.broker import ROOT
from app.development.stack.processes import StackError
from app.development.stack.stack import Say
from bench.cpu import TICKS
from bench.stacks import SAMPLES_A_SECOND, short
from bench.view import closed
from bench.view.rounds import CONNECTIONS, Address, addresses
from bench.view.stage import Stage

SPY = ROOT / ".run" / "bench" / "venv" / "bin" / "py-spy"
SECONDS = 15

BEGUN: Sequence[tuple[str, str]] = (
    ("was the session ended", r"\bis_over \(|\(app/login/(ended|over)"),
    ("limits", r"\bspend \(|\(limits/"),
    ("recording displays", r"\(app/view/(recorder|display_writer)"),
)
"""What counts for a stage with everything that it calls, as the way into Redis."""

STAGES: Sequence[tuple[str, str]] = (
    ("writing to Kafka", r"\((app/topics/(writer|authentic)|aiokafka/)"),
    ("metrics", r"\((prometheus_client|app/process/metrics)"),
    ("the token", r"\(app/view/displays"),
    ("opening the session", r"\(app/login/(sessions|seal)|\(http/cookies|nacl/"),
    ("reading from Redis", r"\(redis/|\b_fetch \(app/view/codes"),
    ("reading the replica", r"\((app/projection/replica|lmdb/)"),
    ("judging", r"\((models/)"),
    ("writing the page", r"\((jinja2|markupsafe|app/web/(blanks|site|language)|"
                         r"app/view/pages|gettext)|\btemplates/|<template>"),
    ("writing the answer", r"\bcode_answer \(|\breason_answer \(|\((gzip|zlib)|"
                           r"\(litestar/(response|serialization)"),
    ("reading the code", r"\(app/view/codes"),
    ("the hot path, rest", r"\(app/view/(hot_path|showing)"),
    ("shedding", r"\(app/view/(shedding|queues)"),
    ("the view, rest", r"\(app/view/"),
    ("login's guard, rest", r"\(app/login/"),
    ("the framework", r"\((litestar|multidict|anyio)/"),
    ("the server's Python", r"\(granian/"),
    ("other work of the project", r"\(app/"),
)  # fmt: skip
"""Stage and what names it. Of all other stacks, the frame nearest to its leaf that names one
counts."""

OTHER = "event loop, rest"


class Profile(Struct, frozen=True):
    """CPU us an answer by stage; together they are `cost_us`. `unnamed` are the leaves of what no
    stage names, with their samples."""

    name: str
    answers: int
    rate: float
    cost_us: float
    stages: dict[str, float]
    samples: int
    unnamed: dict[str, int]


def measure(stage: Stage, display: str, cookies: Path, say: Say) -> list[Profile]:
    """Profile the stack's own view for each address; raise `StackError` where py-spy cannot."""
    found = []
    for address in addresses(display):
        found.append(_of(stage, address, cookies))
        say(f"{address.name}: {found[-1].cost_us:.1f} us in the view, by {found[-1].stages}")
    return found


def _of(stage: Stage, address: Address, cookies: Path) -> Profile:
    pid = worker_of(stage.stack.view.pid or 0)
    url, raw = address.url(stage.view_port), stage.folder / f"{address.name}-stacks.txt"
    # All whom the profile meets are known by then: nobody looks at them meanwhile, so it is more.
    closed.ask(url, address.headers, cookies, CONNECTIONS[1], SECONDS)
    with subprocess.Popen(
        [str(SPY), "record", "--pid", str(pid), "--format", "raw", "--output", str(raw), "--rate",
         str(SAMPLES_A_SECOND), "--duration", "100000", "--full-filenames", "--threads",
         "--nonblocking"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as spy:  # fmt: skip
        before = _threads(pid)
        asked = closed.ask(url, address.headers, cookies, CONNECTIONS[1], SECONDS)
        after = _threads(pid)
        spy.send_signal(signal.SIGINT)
        _, said = spy.communicate(timeout=60)
    if spy.returncode or not raw.exists():
        raise StackError(f"py-spy cannot look at the view; it needs ptrace.\n{said.decode()}")
    used = {tid: (name, s - before.get(tid, ("", 0.0))[1]) for tid, (name, s) in after.items()}
    stages, unnamed = staged(raw.read_text(), pid)
    to_us = 1e6 / asked.answers
    # The main thread of the worker runs the event loop.
    python = used.pop(pid)[1] if sum(stages.values()) else 0.0
    share = python * to_us / max(1, sum(stages.values()))
    costs = {name: round(count * share, 2) for name, count in stages.items() if count}
    native: Counter[str] = Counter()
    for name, seconds in used.values():
        native[f"thread {re.sub(r'[-_ ]?[0-9]+$', '', name)}"] += seconds * to_us  # type: ignore[assignment]
    costs |= {name: round(cost, 2) for name, cost in native.items() if cost >= 0.05}
    return Profile(
        name=address.name,
        answers=asked.answers,
        rate=round(asked.rate, 1),
        cost_us=round(sum(costs.values()), 2),
        stages=costs,
        samples=sum(stages.values()),
        unnamed=dict(unnamed.most_common(20)),
    )


def worker_of(group: int) -> int:
    """Return the process of a group that has used most CPU time: of Granian's two, the worker."""
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    used[int(entry.name)] = int(fields[11]) + int(fields[12])
    if not used:
        raise StackError("The view does not run.")
    return max(used, key=lambda pid: used[pid])


def _threads(pid: int) -> dict[int, tuple[str, float]]:
    """Return name and CPU seconds of each thread, by its id."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            head, _, tail = (task / "stat").read_text().rpartition(")")
            fields = tail.split()
            seconds = (int(fields[11]) + int(fields[12])) / TICKS
            found[int(task.name)] = head.partition("(")[2], seconds
    return found


def staged(stacks: str, pid: int) -> tuple[Counter[str], Counter[str]]:
    """Count the samples of a process's main thread by stage, and the leaves of those that no stage
    names."""
    stages: Counter[str] = Counter()
    unnamed: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = [short(frame) for frame in stack.split(";")]
        if f"({pid})" not in thread:
            continue
        name = _first(frames, BEGUN) or _first(frames[::-1], STAGES)
        if name is None or not frames:
            name = OTHER
            unnamed[frames[-1] if frames else thread] += int(count)
        stages[name] += int(count)
    return stages, unnamed


def _first(frames: Sequence[str], stages: Sequence[tuple[str, str]]) -> str | None:
    """Return the stage of the first frame that one names."""
    for frame in frames:
        for name, pattern in stages:
            if re.search(pattern, frame):
                return name
    return None
