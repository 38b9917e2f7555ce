"""What gives way, and what keeps to one CPU. Each is tried in a process of its own."""

import os
import subprocess
import sys

import pytest

from app.process.scheduling import CPUS_GIVEN, NICENESS
from app.process.settings import SettingsError
from app.view.server import view_settings

CODE = """
import os, threading
from app.process.scheduling import *
{does}
thread = threading.Thread(target=lambda: print({says}))
thread.start()
thread.join()
"""


def thread_of_one_that(does: str, says: str) -> str:
    """Return what a thread says that a process starts once it has done something."""
    code = CODE.format(does=does, says=says)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("cpu", sorted(CPUS_GIVEN))
def test_threads_share_a_cpu(cpu: int) -> None:
    assert thread_of_one_that(f"run_on({{{cpu}}})", "os.sched_getaffinity(0)") == f"{{{cpu}}}"


def test_a_process_goes_back_to_all_that_it_was_given() -> None:
    cpu = min(CPUS_GIVEN)
    does = f"run_on({{{cpu}}}); run_on(CPUS_GIVEN)"
    assert thread_of_one_that(does, "sorted(os.sched_getaffinity(0))") == str(sorted(CPUS_GIVEN))


def test_threads_do_not_interrupt_each_other() -> None:
    policy = thread_of_one_that("finish_what_is_begun()", "os.sched_getscheduler(0)")
    assert policy == str(os.SCHED_BATCH)


def test_a_process_gives_way() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    now = int(thread_of_one_that("give_way()", "os.getpriority(os.PRIO_PROCESS, 0)"))
    assert now == min(19, before + NICENESS)


def test_a_cpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = max(CPUS_GIVEN) + 1
    monkeypatch.setenv("YUEKANG_VIEW_CPU", str(beyond))
    for secret in (
        "DISPLAY",
        "SESSION",
        "CREDENTIAL",
        "PORTAL_MAC",
        "TERMINAL_MAC",
        "REGISTER_MAC",
    ):
        monkeypatch.setenv(f"YUEKANG_{secret}_KEY", "ab" * 32)
    for token in ("PORTAL", "IDENTITY_PROVIDER"):
        monkeypatch.setenv(f"YUEKANG_{token}_TOKEN", "a.b.c")
    with pytest.raises(SettingsError, match=f"YUEKANG_VIEW_CPU is {beyond}; to be had: 0"):
        view_settings()
