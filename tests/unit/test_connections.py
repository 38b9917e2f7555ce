"""Connections that say nothing keep nobody out (app.web.connections)."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.process.ports import free_port
from app.web.connections import FIRST_BYTE_SECONDS_MAX, SPARE, Connection, to_close

CONNECTIONS_MAX = 20

CONNECTIONS = st.lists(
    st.builds(
        Connection,
        fd=st.integers(3, 99),
        peer=st.just(("192.0.2.1", 1)),
        received=st.sampled_from([0, 1, 500]),
        quiet_s=st.floats(0, 60),
    ),
    max_size=40,
)


@given(CONNECTIONS, st.integers(0, 40))
def test_no_more_stay_than_may_and_none_that_is_silent_for_long(
    found: list[Connection], connections_max: int
) -> None:
    closed = to_close(found, connections_max)
    stay = list(found)
    for one in closed:
        stay.remove(one)
    assert len(stay) <= connections_max
    assert not [one for one in stay if one.received == 0 and one.quiet_s >= FIRST_BYTE_SECONDS_MAX]
    # Whoever speaks is closed only where there are too many, and never before who is silent.
    if any(one.received for one in closed):
        assert len(stay) == connections_max
        assert all(one.received for one in stay)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    code = f"from tests.support.served import serve_probes; serve_probes({port}, {CONNECTIONS_MAX})"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            for _ in range(200):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/livez").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5)
    assert answer.text == "live\n"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /livez HTTP/1.1\r\nHost: x\r\n"],
    ids=["silent", "answered and kept", "half a head"],
)
def test_one_connection_more_than_there_are_places_shuts_nobody_out(port: int, sent: bytes) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS_MAX + SPARE + 1):
            one = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            one.sendall(sent)
        _answers(port)


def test_no_clear_text_http_2_is_spoken(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        assert one.recv(9)[3:4] != b"\x04"  # a SETTINGS frame
