"""Certificates for servers and clients of tests, by authorities of their own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ORGANISATION = "yuekang"
DAY = timedelta(days=1)
HERE = "127.0.0.1"


class Pair(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: str
    key: str


class Authority:
    """Vouches for servers and clients; `certificate` is its own, in PEM."""

    def __init__(self, name: str = "authority") -> None:
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._unsigned(self._name, self._key, DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        signed = own.sign(self._key, hashes.SHA256())
        self.certificate = signed.public_bytes(serialization.Encoding.PEM).decode()

    def pair(self, name: str, addresses: Sequence[str] = (), until: timedelta = DAY) -> Pair:
        """Return a certificate of `name`, good for the addresses, until this long from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        unsigned = self._unsigned(_named(name), key, until)
        if addresses:
            also = [x509.IPAddress(ip_address(each)) for each in addresses]
            unsigned = unsigned.add_extension(x509.SubjectAlternativeName(also), critical=False)
        signed = unsigned.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Pair(signed.public_bytes(serialization.Encoding.PEM).decode(), private.decode())

    def _unsigned(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, until: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(self._name, name, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + until)
        )


def _named(name: str) -> x509.Name:
    parts = {NameOID.COMMON_NAME: name, NameOID.ORGANIZATION_NAME: ORGANISATION}
    # As RFC 4514 writes them, and Kafka after it, the last stands first.
    return x509.Name([x509.NameAttribute(oid, of) for oid, of in reversed(parts.items())])
