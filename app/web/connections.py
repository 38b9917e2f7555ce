"""Bounds the connections of an HTTP face, so that who says nothing keeps nobody else out.

Granian counts connections and begins to count time with the first byte, so those that never send
one would hold every place for ever. A thread looks at the process's own sockets once a second.
The kernel knows of each what it received, and when it last heard of the other side (TCP_INFO). It
closes whoever has sent nothing for `FIRST_BYTE_SECONDS_MAX`. Where there are more connections than
there may be, it also closes the quietest: first those that have sent nothing, then those that were
not heard of for the longest time. A stream's client is heard of whenever it takes something.

Linux alone says this (TCP_INFO, /proc); elsewhere nothing is bounded beyond what Granian bounds.
"""

import os
import resource
import socket
import stat
import struct
import sys
import threading
from collections.abc import Iterator, Sequence

import structlog
from msgspec import Struct

from app.process import metrics

FIRST_BYTE_SECONDS_MAX = 10.0
"""As long as for all headers (app.web.serve). A browser that opens a connection ahead of its need
opens it again."""

LOOK_SECONDS = 1.0
"""4,000 connections take some 60 ms of CPU to look at, 100 take 1.5 ms."""

SPARE = 256
"""Places in the server above the bound. So many can come between two looks without a wait."""

FILES_BESIDE = 256
"""Files and sockets that a face has open beside its connections: Redis, Kafka, logs."""

ESTABLISHED = 1

_INFO = struct.Struct("=B51xII68xQ")
"""Of struct tcp_info (linux/tcp.h): state, last_data_recv and last_ack_recv (ms ago), and
bytes_received."""

log = structlog.get_logger()


class Connection(Struct, frozen=True):
    """A connection as the kernel sees it; `quiet_s` is how long nothing was heard of it."""

    fd: int
    peer: tuple[str, int]
    received: int
    quiet_s: float


def room_for(connections_max: int) -> int:
    """Open as many files as this process may, and return how many connections that leaves room for.

    Most systems begin with 1,024. A server that can open no more accepts nobody, whoever is quiet.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return connections_max
    return max(1, min(connections_max, most - SPARE - FILES_BESIDE))


def to_close(found: Sequence[Connection], connections_max: int) -> list[Connection]:
    """Return which connections are to be closed: the silent, and the quietest of too many."""
    order = sorted(found, key=lambda one: (one.received > 0, -one.quiet_s))
    silent = sum(one.received == 0 and one.quiet_s >= FIRST_BYTE_SECONDS_MAX for one in order)
    return order[: max(silent, len(order) - connections_max)]


def connections_to(port: int) -> Iterator[Connection]:
    """Yield this process's established connections to `port`."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found = _connection(int(name), port)
                if found is not None:
                    yield found
        except OSError:
            continue  # it was closed since, or is no TCP


def _connection(fd: int, port: int) -> Connection | None:
    # Python asks the system for whatever of these it is not told. What is no TCP has no TCP_INFO.
    seen = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        raw = seen.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        state, data_ms, ack_ms, received = _INFO.unpack(raw)
        if state != ESTABLISHED or seen.getsockname()[1] != port:
            return None
        return Connection(fd, seen.getpeername()[:2], received, min(data_ms, ack_ms) / 1_000)
    finally:
        seen.detach()  # the server owns it


def _close(connection: Connection, port: int) -> bool:
    """Shut a connection down, unless its number is another's by now; the server then closes it."""
    own = os.dup(connection.fd)
    try:
        now = _connection(own, port)
        if now is None or now.peer != connection.peer or now.received != connection.received:
            return False
        seen = socket.socket(fileno=own)
        try:
            seen.shutdown(socket.SHUT_RDWR)
        finally:
            seen.detach()
        return True
    finally:
        os.close(own)


def look(port: int, connections_max: int) -> int:
    """Look once, close what is to be closed, and return how many were."""
    closed = 0
    for connection in to_close([*connections_to(port)], connections_max):
        try:
            closed += _close(connection, port)
        except OSError:
            continue  # it ended by itself
    if closed:
        metrics.HTTP_CONNECTIONS_CLOSED.inc(closed)
        log.info("connections_closed", port=port, closed=closed)
    return closed


def bound_connections(port: int, connections_max: int) -> None:
    """Keep the connections of this process to `port` bounded, as long as it lives."""
    if sys.platform != "linux":
        return

    def keep_looking() -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_SECONDS):
            look(port, connections_max)

    threading.Thread(target=keep_looking, name="connections", daemon=True).start()
