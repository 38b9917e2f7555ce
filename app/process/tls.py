"""What the HTTP clients of a process check certificates with."""

import ssl
from functools import cache

import httpx


@cache
def tls_context() -> ssl.SSLContext:
    """Return the one context of this process; SSL_CERT_FILE names other authorities.

    Each client would make one of its own, and reading the authorities takes 20 ms of CPU time.
    """
    return httpx.create_ssl_context()
