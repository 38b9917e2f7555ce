"""Requests whose length two readers may tell differently, at both faces as they are run: what one
takes for a body is never answered as a request. And paths that lead elsewhere."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from support.servers import Servers, running_servers

INNER = b"GET /livez HTTP/1.1\r\nHost: inner\r\n\r\n"
"""What lies in the body, and would be answered with `live`."""

CHUNKED = b"0\r\n\r\n" + INNER
"""Nothing, by chunks; the inner request is behind it."""

LENGTH = b"Content-Length: %d\r\n" % len(CHUNKED)
NONE = b"Content-Length: 0\r\n"

WAYS = {
    "a length and chunks": LENGTH + b"Transfer-Encoding: chunked\r\n",
    "chunks and a length": b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "two lengths, the shorter first": NONE + LENGTH,
    "two lengths, the shorter last": LENGTH + NONE,
    "two lengths in one": b"Content-Length: 0, %d\r\n" % len(CHUNKED),
    "a length with a sign": b"Content-Length: +0\r\n" + LENGTH,
    "a length with an underscore": b"Content-Length: 0_0\r\n" + LENGTH,
    "a length in hexadecimal": b"Content-Length: 0x0\r\n" + LENGTH,
    "a negative length": b"Content-Length: -1\r\n" + LENGTH,
    "a blank before the colon": b"Content-Length : 0\r\n" + LENGTH,
    "a name after a blank": b" Content-Length: 0\r\n" + LENGTH,
    "a folded length": b"Content-Length:\r\n 0\r\n" + LENGTH,
    "a coding that nobody knows": LENGTH + b"Transfer-Encoding: xchunked\r\n",
    "a coding beside chunks": LENGTH + b"Transfer-Encoding: chunked, identity\r\n",
    "chunks twice": LENGTH + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunks and a NUL": LENGTH + b"Transfer-Encoding: chunked\0\r\n",
    "chunks after a tab": LENGTH + b"Transfer-Encoding:\tchunked\r\n",
    "chunks in quotes": LENGTH + b'Transfer-Encoding: "chunked"\r\n',
    "a folded coding": LENGTH + b"Transfer-Encoding:\r\n chunked\r\n",
    "a line that ends bare": LENGTH + b"X: y\nTransfer-Encoding: chunked\r\n",
    "a name with a NUL": LENGTH + b"Transfer\0-Encoding: chunked\r\n",
}
PATHS = {"gateway": "/v1/events", "view": "/v1/scans"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running_servers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


def answers(servers: Servers, face: str, sent: bytes) -> bytes:
    """All that is answered to `sent` until the other side ends it, or says no more."""
    at = urlsplit(getattr(servers, face))
    found = b""
    with socket.create_connection((at.hostname, at.port), timeout=1) as connection:
        try:
            connection.sendall(sent)
            while part := connection.recv(65_536):
                found += part
        except (TimeoutError, ConnectionResetError):
            pass
    return found


def request(face: str, fields: bytes, body: bytes) -> bytes:
    head = f"POST {PATHS[face]} HTTP/1.1\r\nHost: outer\r\nContent-Type: application/json\r\n"
    return head.encode() + fields + b"\r\n" + body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("face", PATHS)
def test_what_may_be_a_body_is_never_a_request(servers: Servers, face: str, way: str) -> None:
    found = answers(servers, face, request(face, WAYS[way], CHUNKED))
    assert found.count(b"HTTP/1.1 ") <= 1, found
    assert b"live" not in found
    assert servers.lives()


@pytest.mark.parametrize("face", PATHS)
def test_two_requests_on_one_connection_are_both_answered(servers: Servers, face: str) -> None:
    """Else the cases above could not fail."""
    found = answers(servers, face, request(face, NONE, INNER))
    assert found.count(b"HTTP/1.1 ") == 2
    assert found.endswith(b"live\n")


OUTSIDE = [
    "/static/../settings.py",
    "/static/..%2f..%2fsettings.py",
    "/static/%2e%2e/%2e%2e/cli.py",
    "/static/....//....//cli.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/..\\..\\cli.py",
    "/static/style.css/../../../cli.py",
    "/static/style.css%00.py",
    "/static",
    "/static/",
    "/static/.",
    f"/static/{'a' * 5_000}",
    f"/static/{'a/' * 3_000}",
]


@pytest.mark.parametrize("path", OUTSIDE, ids=[path[:40] for path in OUTSIDE])
def test_no_path_leads_out_of_what_is_served_nor_lists_it(servers: Servers, path: str) -> None:
    sent = f"GET {path} HTTP/1.1\r\nHost: outer\r\nConnection: close\r\n\r\n".encode()
    found = answers(servers, "view", sent)
    assert found.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), found[:200]
    assert not any(word in found for word in (b"import ", b"root:", b".css"))
