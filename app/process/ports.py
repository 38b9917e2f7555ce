"""Ports of this machine: whether one is free, who has it, and free ones for what tests start."""

import os
import random
import socket
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice
from pathlib import Path

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_GIVEN = 10_000
"""The first port that is given out: what has a well-known one is mostly below."""

LISTENS = "0A"
"""State of a listening socket in /proc/net/tcp."""


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections that just ended do not count; neither do they for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on, and that is given to nobody
    else while this process lives."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return this many such ports, no two the same.

    They lie outside the range from which the system takes a port for each connection that is
    opened, so none of those can have one by the time that a server wants it; unless that range
    leaves too few. A server may end and start again: its port stays this process's.
    """
    lowest, highest = (int(end) for end in EPHEMERAL.read_text().split())
    outside = [port for port in range(FIRST_GIVEN, 1 << 16) if not lowest <= port <= highest]
    free = filter(partial(is_free, "127.0.0.1"), random.sample(outside, len(outside)))
    found = list(islice(filter(_claim, free), count))
    with ExitStack() as held:
        while len(found) < count:  # the range leaves too little: any that is free now
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            if _claim(port := int(probe.getsockname()[1])):
                found.append(port)
    return found


def _claim(port: int) -> bool:
    """Say whether no process has been given this port, and is this one's from now on.

    The name is an abstract one: the system gives it to one socket alone, in one namespace of the
    network, and takes it back when the process ends.
    """
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0yuekang-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # open for as long as this process is
    return True


def holder(port: int) -> str | None:
    """Name the process that listens on a port; None if that cannot be read."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and any(
                os.readlink(fd) in sockets for fd in (process / "fd").iterdir()
            ):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found
