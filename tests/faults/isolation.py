"""Network and mount namespaces: addresses, links and file systems that are this run's alone.

The suite starts itself again in namespaces of its own, as root or in a user namespace; each worker
has a network namespace in it, joined by a pair of links that can be taken down. All of it is gone
with the last process. Where the machine allows none of it, faults that need it are left out.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

VARIABLE = "FAULTS_ISOLATED"

BROKERS = "10.99.0"
"""Brokers are at .1, .2 and .3 of it."""

MEBIBYTE = 1024 * 1024

UNSHARE = ["unshare", "--net", "--mount"]


def isolated() -> bool:
    """Say whether this process runs in namespaces of its own."""
    return VARIABLE in os.environ


def enter(module: str) -> None:
    """Start this program again in namespaces of its own; return where the machine allows none."""
    if isolated():
        _set_up()
        return
    own = [*UNSHARE] if os.geteuid() == 0 else [*UNSHARE, "--user", "--map-root-user"]
    trial = "ip link set lo up && mount -t tmpfs none /run && ip link add va type veth peer name vb"
    done = subprocess.run([*own, "sh", "-c", trial], capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            "Faults of the network and of a full disk are left out: namespaces cannot be made here "
            f"({done.stderr.strip()}). Run as root.",
            file=sys.stderr,
        )
        return
    os.environ[VARIABLE] = "1"
    os.execvp(own[0], [*own, sys.executable, "-m", module, *sys.argv[1:]])


def _set_up() -> None:
    _run("ip", "link", "set", "lo", "up")
    _run("mount", "-t", "tmpfs", "none", "/run")
    Path("/run/netns").mkdir()
    for number in (1, 2, 3):
        _run("ip", "address", "add", f"{BROKERS}.{number}/32", "dev", "lo")


class Link:
    """A network namespace for one worker, and its link to everything else."""

    def __init__(self, number: int) -> None:
        self.namespace = f"worker-{number}"
        self.address = f"10.99.{number}.2"
        self._outer = f"outer{number}"
        here, inner = f"10.99.{number}.1", f"inner{number}"
        _run("ip", "netns", "add", self.namespace)
        _run("ip", "link", "add", self._outer, "type", "veth", "peer", "name", inner)
        _run("ip", "link", "set", inner, "netns", self.namespace)
        _run("ip", "address", "add", f"{here}/30", "dev", self._outer)
        _run("ip", "link", "set", self._outer, "up")
        self._inside("address", "add", f"{self.address}/30", "dev", inner)
        self._inside("link", "set", inner, "up")
        self._inside("link", "set", "lo", "up")
        self._inside("route", "add", "default", "via", here)

    def cut(self) -> None:
        """Lose every packet."""
        _run("ip", "link", "set", self._outer, "down")

    def join(self) -> None:
        """Lose none."""
        _run("ip", "link", "set", self._outer, "up")
        for number in (1, 2, 3):
            self._inside("route", "del", "blackhole", f"{BROKERS}.{number}", missing_ok=True)

    def cut_broker(self, number: int) -> None:
        """Lose every packet to one broker."""
        self._inside("route", "add", "blackhole", f"{BROKERS}.{number}")

    def _inside(self, *words: str, missing_ok: bool = False) -> None:
        _run("ip", "-n", self.namespace, *words, missing_ok=missing_ok)


class SmallDisk:
    """A file system in memory that can be filled up."""

    SIZE = "512m"

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "none", str(path))
        self._filler = path / "filler"

    def fill(self, left: int) -> None:
        """Leave about `left` bytes."""
        with self._filler.open("wb", buffering=0) as file:
            with suppress(OSError):  # no space is left
                while file.write(bytes(MEBIBYTE)):
                    pass
            os.truncate(file.fileno(), max(0, file.tell() - left))

    def empty(self) -> None:
        """Leave all that was free before."""
        self._filler.unlink(missing_ok=True)


def _run(*command: str, missing_ok: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not missing_ok:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
