"""How the system schedules a process: what gives way, and what keeps to one CPU.

Linux alone; elsewhere the system decides.
"""

import os
import sys
from collections.abc import Set as AbstractSet

NICENESS = 10
"""Of processes that give way: one gets a tenth of a core that another wants too."""


CPUS_GIVEN = frozenset(os.sched_getaffinity(0) if sys.platform == "linux" else ())
"""The CPUs that this process might use when it began; none where the system does not say."""


def give_way() -> None:
    """Let this process have what others leave of the cores."""
    os.nice(NICENESS)


def run_on(allowed: AbstractSet[int]) -> None:
    """Run this thread, and those that it starts, on these CPUs of `CPUS_GIVEN`; on any if there are
    none."""
    if allowed and sys.platform == "linux":
        os.sched_setaffinity(0, allowed)


def finish_what_is_begun() -> None:
    """Let threads of this process that wake wait until the one that runs has done its part.

    They take turns on the interpreter's lock: whoever is woken interrupts the one that has it, and
    then waits for it.
    """
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
