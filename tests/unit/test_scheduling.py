"""What gives way, and what keeps to one CPU. Each is tried in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from app.process.scheduling import CPUS_GIVEN, NICENESS
from app.process.settings import SettingsError
from app.view.server import view_settings
from app.worker.process import worker

CODE = """
import os, subprocess, sys, threading
from app.process.scheduling import *
{does}
thread = threading.Thread(target=lambda: print({says}))
thread.start()
thread.join()
"""

CPU = min(CPUS_GIVEN)
WHERE = "os.sched_getaffinity(0), os.sched_getscheduler(0)"


def thread_of_one_that(does: str, says: str) -> str:
    """Return what a thread says that a process starts once it has done something."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(does=does, says=says)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("cpu", sorted(CPUS_GIVEN))
def test_threads_keep_to_a_cpu_and_interrupt_nobody(cpu: int) -> None:
    assert thread_of_one_that(f"keep_to({cpu})", WHERE) == f"{{{cpu}}} {os.SCHED_BATCH}"


def test_a_cpu_that_went_away_is_no_reason_to_end() -> None:
    assert thread_of_one_that("keep_to(8191)", WHERE) == f"{set(CPUS_GIVEN)} {os.SCHED_OTHER}"


def test_what_it_starts_is_free_again() -> None:
    does = f"""
keep_to({CPU})
child = subprocess.Popen(["sleep", "30"])
free(child.pid)
said = os.sched_getaffinity(child.pid), os.sched_getscheduler(child.pid)
child.kill()
child.wait()
free(child.pid)  # it has ended
"""
    assert thread_of_one_that(does, "*said") == f"{set(CPUS_GIVEN)} {os.SCHED_OTHER}"


def test_a_process_gives_way() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    now = int(thread_of_one_that("give_way()", "os.getpriority(os.PRIO_PROCESS, 0)"))
    assert now == min(19, before + NICENESS)


VIEW_SECRETS = [
    *(f"YUEKANG_{name}_KEY" for name in ("DISPLAY", "SESSION", "CREDENTIAL")),
    *(f"YUEKANG_{name}_MAC_KEY" for name in ("PORTAL", "TERMINAL", "REGISTER")),
]
WORKER_SECRETS = ["YUEKANG_DEAD_LETTER_PUBLIC_KEY", "YUEKANG_MAC_KEY"]
TOKENS = [f"YUEKANG_{name}_TOKEN" for name in ("PORTAL", "IDENTITY_PROVIDER")]


@pytest.mark.parametrize(("variable", "begin"), [("VIEW", view_settings), ("WORKER", worker)])
def test_a_cpu_that_is_not_there_is_told(
    variable: str, begin: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = max(CPUS_GIVEN) + 1
    monkeypatch.setenv(f"YUEKANG_{variable}_CPU", str(beyond))
    for secret in (*VIEW_SECRETS, *WORKER_SECRETS):
        monkeypatch.setenv(secret, "ab" * 32)
    for token in TOKENS:
        monkeypatch.setenv(token, "a.b.c")
    with pytest.raises(SettingsError, match=f"_{variable}_CPU is {beyond}; to be had: {CPU}"):
        begin()
