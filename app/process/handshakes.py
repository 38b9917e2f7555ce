"""Why a broker and this process have no TLS connection, which aiokafka does not say."""

import socket
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

CONNECT_SECONDS_MAX = 3.0

REFUSES_SECONDS_MAX = 1.0
"""What a server refuses about a client's certificate comes after the handshake (TLS 1.3). One that
takes the client says nothing until it is asked something."""

NAMES_DIFFER = (62, 64)
EXPIRED, NOT_YET_GOOD = 10, 9
"""OpenSSL's numbers of what is wrong with a certificate (X509_V_ERR_…)."""


def refusal(server: str, context: ssl.SSLContext) -> ssl.SSLError | None:
    """Shake hands with a server (host:port); return what either refuses, or None if that is nothing
    or nobody answers. It takes some ms, or the time above."""
    at = urlsplit(f"//{server}")
    host, port = at.hostname or "", at.port or 0
    try:
        with (
            socket.create_connection((host, port), CONNECT_SECONDS_MAX) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            encrypted.settimeout(REFUSES_SECONDS_MAX)
            encrypted.recv(1)
    except ssl.SSLError as error:
        return error
    except OSError:
        pass
    return None


def told(error: ssl.SSLError, certificate: str) -> str:
    """Say what was refused and what to set, in sentences that go on after the broker's name.

    `certificate` is the client's own in PEM, or "".
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"shows a certificate that is not trusted: {why}. {_mend(error)}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "eof" in reason or "wrong version" in reason:
        return "does not speak TLS there. Set YUEKANG_KAFKA_SECURITY to what it speaks."
    if "certificate" not in reason and "unknown ca" not in reason:
        return f"and this process agree on no TLS connection ({reason})."
    if not certificate:
        return (
            "asks for a certificate. Set YUEKANG_KAFKA_CERTIFICATE and YUEKANG_KAFKA_KEY to one "
            "that its authorities vouch for."
        )
    return (
        f"refuses the certificate of YUEKANG_KAFKA_CERTIFICATE ({_described(certificate)}). Set "
        "another, which has not ended and which its authorities vouch for."
    )


def _mend(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in NAMES_DIFFER:
        return "Name the broker in YUEKANG_KAFKA as its certificate does."
    if error.verify_code in (EXPIRED, NOT_YET_GOOD):
        return "The broker needs another, or this machine's clock is wrong."
    return "Set YUEKANG_KAFKA_CA to the authority that vouches for it."


def _described(certificate: str) -> str:
    """Return who a certificate is of, and until when."""
    from cryptography import x509  # which takes 50 ms to load, and is needed nowhere else

    with suppress(ValueError):
        own = x509.load_pem_x509_certificate(certificate.encode())
        return f"{own.subject.rfc4514_string()}, until {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return "which cannot be read"
