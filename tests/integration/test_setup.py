"""What sets a machine up: what it tells a person that is missing, and what it refuses."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.development.stack.broker import LIBS, ROOT
from support.up import SECONDS_MAX

TOOLS = ("sh", "java", "mvn", "redis-server", "setpriv", "apt-get", "sed", "awk", "df", "id")


def tools(directory: Path, *left_out: str, python: str = "3.11") -> str:
    """A PATH with what docker/install.sh calls, without those left out, and a Python so old."""
    for name in set(TOOLS) - set(left_out):
        (directory / name).symlink_to(os.path.realpath(shutil.which(name) or "/bin/true"))
    old = int(tuple(map(int, python.split("."))) < (3, 11))
    fake = directory / "python3"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *print*) echo {python} ;; *) exit {old} ;; esac\n')
    fake.chmod(0o755)
    return str(directory)


@pytest.fixture
def machine() -> Iterator[Path]:
    """A folder that anyone may read, with the script in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        shutil.copy(ROOT / "docker" / "install.sh", directory)
        (directory / "bin").mkdir()
        yield directory


def install(machine: Path, *prefix: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, "sh", str(machine / "install.sh")],
        cwd=machine,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def test_an_old_python_is_told_with_its_version(machine: Path) -> None:
    done = install(machine, PATH=tools(machine / "bin", python="3.9"))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed, and python3 is 3.9." in done.stderr
    assert "make run PYTHON=python3.11" in done.stderr


def test_without_the_right_to_install_the_exact_command_is_told(machine: Path) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    prefix = nobody if os.geteuid() == 0 else []
    path = tools(machine / "bin", "mvn", "redis-server")
    done = install(machine, *prefix, PATH=path)
    assert done.returncode == 1
    command = r"sudo apt-get update && sudo apt-get install -y .*\bmaven redis-server\b"
    assert re.search(command, done.stderr), done.stderr


def test_too_little_disk_for_setting_up_is_told(machine: Path) -> None:
    done = install(machine, PATH=tools(machine / "bin"), FREE_MIB_MIN=str(2**40))
    assert done.returncode == 1
    assert re.search(rf"has \d+ MiB free; setting up needs {2**40}", done.stderr)


def test_a_jar_of_another_content_is_refused(tmp_path: Path) -> None:
    fake = tmp_path / "mvn"
    fake.write_text(
        '#!/bin/sh\nfor word; do case "$word" in -DoutputDirectory=*) to=${word#*=} ;; esac; done\n'
        f'cp "{LIBS}"/*.jar "$to"\necho more >> "$to/kafka_2.13-4.4.0.jar"\n: > "$to/extra.jar"\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "docker" / "kafka" / "jars.sh"), str(tmp_path / "libs")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "kafka_2.13-4.4.0.jar: FAILED" in done.stdout + done.stderr
    assert "extra.jar: not listed" in done.stderr
