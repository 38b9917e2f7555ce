"""CPU time of processes, from /proc."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from app.development.stack.processes import left_behind

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(group: int) -> float:
    """Return the CPU time, own and kernel's, of all living processes of a process group."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # After the name in brackets, which may hold anything.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time, own and kernel's, of one process; raise `OSError` if it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_of_stack(directory: Path) -> dict[str, float]:
    """Return the CPU time of the living processes of the stack in a folder, by their names."""
    return _of_stack(directory, cpu_seconds_of)


def memory_of_stack(directory: Path) -> dict[str, float]:
    """Return the largest resident sizes so far of the living processes of the stack in a folder,
    in MiB, by their names."""
    return _of_stack(directory, lambda pid: round(_peak_kib(pid) / 1024, 1))


def _of_stack(directory: Path, figure: Callable[[int], float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for pid in left_behind(directory):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            name = _name_of(command)
            found[name] = found.get(name, 0.0) + figure(pid)
    return found


def _name_of(command: Sequence[str]) -> str:
    """Return what a process of the stack is called: a subcommand of yuekang, or a server."""
    for program, argument in pairwise(command):
        if program.endswith("/yuekang"):
            return argument
    if "kafka.Kafka" in command:
        return "kafka"
    return Path(command[0].partition(" ")[0]).name


def peak_memory_mib(group: int) -> float:
    """Return the sum of the largest resident sizes so far of a process group's processes."""
    kib = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    kib += _peak_kib(int(entry.name))
    return kib / 1024


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def thread_cpu_seconds(pid: int) -> dict[str, float]:
    """Return the CPU time of a process's threads, summed by their names."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            head, _, tail = (task / "stat").read_text().rpartition(")")
            fields = tail.split()
            name = head.partition("(")[2]
            found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
    return found


def children(named: str) -> list[int]:
    """Return the processes that this one has started and whose command line holds `named`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_text()
                if int(fields[1]) == os.getpid() and named in command:
                    found.append(int(entry.name))
    return found
