"""How the system schedules a process: what gives way, and what keeps to one CPU.

Linux alone lets a process say where it runs; elsewhere the system decides.
"""

import os
import sys
from contextlib import suppress

import structlog

NICENESS = 10
"""Of processes that give way: one gets a tenth of a core that another wants too."""

log = structlog.get_logger()


def cpus() -> frozenset[int]:
    """Return the CPUs on which this thread may run; none where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset()


CPUS_GIVEN = cpus()
"""The CPUs that this process was given when it began."""


def give_way() -> None:
    """Let this process have what others leave of the cores."""
    os.nice(NICENESS)


def keep_to(cpu: int | None) -> None:
    """Run this thread, and those that it starts, on one CPU, and let none of them interrupt what
    runs there (decision 41); None runs them anywhere. Where the system refuses, say so and go on
    as before."""
    if cpu is not None and sys.platform == "linux":
        try:
            os.sched_setaffinity(0, {cpu})
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError as error:
            log.warning("cpu_not_kept_to", cpu=cpu, error=str(error))


def free(process: int) -> None:
    """Let a process that was just started run as this one did before `keep_to`."""
    if sys.platform == "linux":
        with suppress(OSError):  # it has ended, or this process was not let itself
            os.sched_setaffinity(process, CPUS_GIVEN)
            os.sched_setscheduler(process, os.SCHED_OTHER, os.sched_param(0))
