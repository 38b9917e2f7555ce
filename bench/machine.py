"""What everything ran on."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.sides import OWN_PYTHON, PEER, kafka_version

LOOK_SECONDS = 1.0

LOAD_MAX = 0.5
"""More than so much load before a part begins, and it measures what others do as well."""

PACE_STEPS, PACE_TIMES = 1_000_000, 21

PACE_IS = (
    "The pace is how many ms of CPU a fixed piece of Python took just before and at the end: the "
    "longer, the slower a core was."
)

BROKER_WARM_SECONDS = 150
"""Once events flow Java's compiler is at work on the broker, which is no cost of theirs: with 500
changes of codes a second it took 0.66 cores after half a minute, and 0.35 after three."""


def load() -> float:
    """Return how many CPUs are busy: what else the machine has to do.

    Looked at for `LOOK_SECONDS`. The kernel's load average still tells of what the benchmark
    itself did in the minute before.
    """
    idle, total = _ticks()
    time.sleep(LOOK_SECONDS)
    idle_after, total_after = _ticks()
    share = 1 - (idle_after - idle) / max(1, total_after - total)
    return round(share * (os.cpu_count() or 1), 2)


def pace() -> float:
    """Return how many ms of CPU a fixed piece of Python takes: how fast a core is just now.

    It is the median of `PACE_TIMES`. A virtual machine's cores are at times several times slower
    than at others, and its load tells nothing of that.
    """
    return round(median(_piece() for _ in range(PACE_TIMES)) * 1e3, 1)


def pace_text(before_and_after: Sequence[float]) -> str:
    """Return paces as a report has them."""
    return ", ".join(f"{each:.0f}" for each in before_and_after) or "not measured"


def _piece() -> float:
    begun = time.thread_time()
    sum(number * number for number in range(PACE_STEPS))
    return time.thread_time() - begun


def _ticks() -> tuple[int, int]:
    """Return the idle and all ticks of all CPUs since the machine began."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def hardware() -> dict[str, str]:
    """Describe the machine itself, and the Python that measures."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory is not None
    return {
        "CPU": f"{os.cpu_count()} x {cpu[1] if cpu else platform.processor()}",
        "memory": f"{int(memory[1]) / 2**20:.1f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
    }


def described() -> dict[str, str]:
    """Describe the machine and the versions of everything that is measured."""
    return {
        **hardware(),
        "Java": _java(),
        "Kafka (broker and Streams)": kafka_version(),
        "Yuekang": commit(),
        "faust-streaming": _own("faust-streaming"),
        "aiokafka": _own("aiokafka"),
        "rocksdict": _own("rocksdict"),
        "quixstreams": version("quixstreams"),
        "confluent-kafka (in Quix)": version("confluent-kafka"),
        "rocksdbjni (in Streams)": _jar("rocksdbjni"),
    }


def kept_command(module: str, arguments: Sequence[str]) -> str:
    """Return a command as it is kept: without `--out`, a folder of this machine alone."""
    kept, skip = [f"python -m {module}"], False
    for argument in arguments:
        if not skip and argument != "--out" and not argument.startswith("--out="):
            kept.append(argument)
        skip = argument == "--out"
    return " ".join(kept)


def said(*command: str) -> str:
    """Return what a command prints, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = re.search(r'version "(.*)"', said(f"{home}/bin/java" if home else "java", "-version"))
    return found[1] if found else "unknown"


def commit() -> str:
    """Return the commit that is measured, and whether files differ from it."""
    changed = " with changes" if said("git", "status", "--porcelain", "-uno") else ""
    return said("git", "rev-parse", "--short", "HEAD") + changed


def _own(package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return said(str(OWN_PYTHON), "-c", code)


def _jar(name: str) -> str:
    [path] = (PEER / "target" / "libs").glob(f"{name}-*.jar")
    return path.stem.removeprefix(f"{name}-")
