"""Connections that say nothing, as many as once shut the gateway and the view as they are run."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.web.connections import FIRST_BYTE_SECONDS_MAX
from support.servers import Servers, running_servers

OPEN_FILES = 6_000
SILENT = {"gateway": 520, "view": 4_150}
"""More than Granian has places by default for each; both were shut by so many."""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < OPEN_FILES:
        pytest.skip(f"a process may open {most} files here, and this opens {OPEN_FILES}")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, most))  # with which most systems begin
        with running_servers(tmp_path) as servers:
            resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, most))
            yield servers
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_silent_connections_shut_neither_face(servers: Servers) -> None:
    with ExitStack() as held:
        silent: list[socket.socket] = []
        for face, count in SILENT.items():
            at = urlsplit(getattr(servers, face))
            for _ in range(count):
                one = socket.create_connection((at.hostname, at.port), timeout=5)
                silent.append(held.enter_context(one))
            assert servers.lives()
        until = time.monotonic() + FIRST_BYTE_SECONDS_MAX + 10
        while open_of(silent):
            assert servers.lives()
            assert time.monotonic() < until
            time.sleep(0.5)


def open_of(connections: list[socket.socket]) -> int:
    """How many of them the other side has not closed."""
    count = 0
    for one in connections:
        one.setblocking(False)
        try:
            count += one.recv(1) != b""
        except BlockingIOError:
            count += 1
        except ConnectionResetError:
            continue
    return count
