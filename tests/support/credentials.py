"""A phone and its key, in the place of a browser: it shows a credential as static/wallet.js
does."""

import base64
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from app.credentials.cbor import pack
from app.credentials.claims import Claims, PhoneKey, encode_claims
from app.credentials.keys import IssuerKeys
from app.credentials.proofs import ALPHABET, PROOF_PREFIX, proof_message
from app.projection.holdings import Place
from models.codes import Colour

NOON = datetime(2022, 3, 4, 4, tzinfo=UTC)


def base45(raw: bytes) -> str:
    """RFC 9285: two bytes are three characters, one byte two; the lowest first."""
    out = ""
    for at in range(0, len(raw), 2):
        pair = raw[at : at + 2]
        number = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            number, value = divmod(number, 45)
            out += ALPHABET[value]
    return out


def text_of(credential: bytes, second: int, signature: bytes) -> str:
    """What a QR holds."""
    return PROOF_PREFIX + base45(pack([credential, second, signature]))


class Phone:
    """A key of P-256; the same one for the same number."""

    def __init__(self, number: int | None = None) -> None:
        curve = SECP256R1()
        self._key = (
            generate_private_key(curve) if number is None else derive_private_key(number, curve)
        )

    @property
    def jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": _coordinate(numbers.x),
            "y": _coordinate(numbers.y),
        }

    @property
    def key(self) -> PhoneKey:
        jwk: Any = self.jwk
        return PhoneKey(**jwk)

    def sign(self, message: bytes) -> bytes:
        """Sign as ES256 does: r and s, 32 bytes each."""
        r, s = decode_dss_signature(self._key.sign(message, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def show(self, credential: bytes, at: datetime) -> str:
        """Return what its QR holds at `at`."""
        second = int(at.timestamp())
        return text_of(credential, second, self.sign(proof_message(credential, second)))


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("=")


def claims(phone: Phone, **changed: Any) -> Claims:
    """What a credential of `phone` says, until an hour after noon."""
    x, y_odd = phone.key.point()
    fields: dict[str, Any] = {
        "until": NOON.replace(hour=5),
        "x": x,
        "y_odd": y_odd,
        "place": Place("00ff1a", 70_000),
        "colour": Colour.GREEN,
        "name": "样*甲",
        "ending": "123X",
    }
    return Claims(**{**fields, **changed})


def credential(keys: IssuerKeys, phone: Phone, **changed: Any) -> bytes:
    """A credential of `phone`."""
    return keys.sign(encode_claims(claims(phone, **changed)), {})
