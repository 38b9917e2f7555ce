"""Where a worker's CPU time goes, by stage: samples of its stacks on the real fold.

py-spy looks at the worker 200 times a second and notes the stack of each thread that runs. Each
sample counts for one stage, so nothing counts twice, and what no stage names is shown as the rest.
The samples share out the CPU time that the kernel has counted for the process, less that of
RocksDB's own threads, which have no stacks of Python.
"""

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench import compare
from bench.broker import running_broker
from bench.cpu import cpu_seconds, thread_cpu_seconds
from bench.sides import SIDES
from bench.stacks import SAMPLES_A_SECOND, short
from bench.terminal import Terminal

STAGES: Sequence[tuple[str, str]] = (
    ("author", r"\bauthor \(app/topics/authentic"),
    ("decode", r"\bdecode \(app/topics/codec|\binstant \(agents/instants"),
    (
        "read",
        r"\b(_row|read|get|get_many|applied_offset) \("
        r"(agents/people|app/engine/(transaction|table|store))",
    ),
    ("judge", r"\((models/(person|reasons|codes|policy))"),
    ("encode", r"\b(write|_take) \(agents/people|\(agents/dead_letters"),
    ("store", r"\(app/engine/store"),
    ("commit", r"\b(begin|commit)_transaction \(|(txn|transaction)[^ ]* \(aiokafka/producer|"
               r"\(aiokafka/producer/transaction_manager|\bcommit \((faust|aiokafka/consumer)"),
    ("changelog", r"\b(_send|_submit|by_place) \(app/engine/(partition|transaction)|"
                  r"\(aiokafka/producer/(message_accumulator|producer)"),
    ("fetch", r"\((aiokafka/(consumer|record)|faust/transport|app/engine/(chunks|records))"),
)  # fmt: skip
"""Stage and what names it. Of a stack, the frame nearest to its root that names one counts."""

REST: Sequence[tuple[str, str]] = (
    ("changelog", r"\bcommit \(app/engine/partition|\(aiokafka/producer"),
    ("fold loop", r"\((agents/people|app/engine/(table|transaction))"),
    ("fetch", r"\((faust|mode)/"),
)
"""The same for stacks in which none of those is."""

RUN = "Handle._run ("
"""The frame of the event loop below which a task or a callback begins."""

OTHER = "event loop, rest"
NATIVE = "RocksDB's threads"


class Profile(Struct, frozen=True):
    """CPU seconds by stage, which add up to `cpu_seconds`; `unnamed` are frames of the rest."""

    events: int
    seconds: float
    cpu_seconds: float
    samples: int
    stages: dict[str, float]
    unnamed: dict[str, int]


def measure(directory: Path, events: int, seed: int, terminal: Terminal) -> Profile:
    """Profile one worker on the real fold."""
    raw = directory.parent / "stacks.txt"
    with running_broker(directory) as broker:
        with terminal.bar("Fill the real topic", events) as tick:
            backlog = compare.fill(broker.brokers.servers, "real", events, 0, seed, False, tick)
        with compare.started(broker, backlog, SIDES["us"], directory) as (observer, processes):
            observer.wait_stable(1, compare.JOIN_SECONDS_MAX)
            pid = processes[0].pid or 0
            spy = subprocess.Popen(
                [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid),
                 "--format", "raw", "--output", str(raw), "--rate", str(SAMPLES_A_SECOND),
                 "--duration", "100000", "--full-filenames", "--threads"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            before, threads_before = cpu_seconds(pid), thread_cpu_seconds(pid)
            samples = observer.wait_done(compare.RUN_SECONDS_MAX, lambda: cpu_seconds(pid))
            used, threads = cpu_seconds(pid) - before, thread_cpu_seconds(pid)
            spy.send_signal(signal.SIGINT)
            if spy.wait(60):
                raise RuntimeError("py-spy cannot look at the worker; it needs ptrace")
    python = {name for name in threads if not name.startswith(("rocksdb", "rdk"))}
    native = sum(threads[n] - threads_before.get(n, 0.0) for n in threads.keys() - python)
    stages, unnamed = staged(raw.read_text())
    total = sum(stages.values())
    share = (used - native) / total
    return Profile(
        events=backlog.records,
        seconds=samples[-1].seconds,
        cpu_seconds=round(used, 2),
        samples=total,
        stages={
            **{name: round(count * share, 3) for name, count in stages.items()},
            NATIVE: round(native, 3),
        },
        unnamed=dict(unnamed.most_common(20)),
    )


def staged(stacks: str) -> tuple[Counter[str], Counter[str]]:
    """Count samples by stage, and the leaves of those that no stage names."""
    stages: Counter[str] = Counter({name: 0 for name, _ in (*STAGES, *REST)})
    unnamed: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [short(frame) for frame in stack.partition(RUN)[2].split(";")]
        name = _named(frames, STAGES) or _named(frames, REST)
        if name is None:
            name = OTHER
            unnamed[short(stack.rpartition(";")[2])] += int(count)
        stages[name] += int(count)
    return stages, unnamed


def _named(frames: Sequence[str], stages: Sequence[tuple[str, str]]) -> str | None:
    for frame in frames:
        for name, pattern in stages:
            if re.search(pattern, frame):
                return name
    return None
