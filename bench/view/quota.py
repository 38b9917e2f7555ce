"""A bound on the CPU time of a process and all of its children, by a cgroup of the kernel's.

Version 2 has `cpu.max`, version 1 `cpu.cfs_quota_us`. Both take root.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.development.stack.processes import Process, StackError

PERIOD_US = 10_000
"""A process that has used up its share waits at most so long."""

ROOT = Path("/sys/fs/cgroup")


def bounded(cores: float) -> "Bound":
    """Return a new bound; raise `StackError` where this machine lets nobody make one."""
    name = f"yuekang-bench-{os.getpid()}"
    quota = round(cores * PERIOD_US)
    for root, write in (
        (ROOT, ("cpu.max", f"{quota} {PERIOD_US}")),
        (ROOT / "cpu", ("cpu.cfs_quota_us", str(quota))),
    ):
        folder = root / name
        with suppress(OSError):
            folder.mkdir()
            try:
                if not (folder / write[0]).exists():  # mkdir in a folder that is no cgroup
                    raise OSError
                if write[0] != "cpu.max":
                    (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (folder / write[0]).write_text(write[1])
            except OSError:
                folder.rmdir()
                raise
            return Bound(root, folder)
    raise StackError(
        "No process can be bounded here: it takes root, and the kernel's cgroups with the cpu "
        f"controller in {ROOT} (cpu.max) or {ROOT}/cpu (cpu.cfs_quota_us)."
    )


class Bound:
    """A cgroup with a bound."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder

    def take(self, process: Process) -> None:
        """Put a process and its children in; those that it starts later are in too."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[2]) == process.pid:
                        (self._folder / "cgroup.procs").write_text(entry.name)

    def end(self) -> None:
        """Let everything in it go."""
        for pid in (self._folder / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (self._root / "cgroup.procs").write_text(pid)
        self._folder.rmdir()


@contextmanager
def bounding(process: Process, cores: float) -> Iterator[None]:
    """Bound a running process to so many cores meanwhile."""
    bound = bounded(cores)
    try:
        bound.take(process)
        yield
    finally:
        bound.end()
