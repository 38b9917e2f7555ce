"""What the QR of a phone holds: a credential, and the second that the phone signed for it.

    YK1:<base45 of the CBOR array [credential, second since 1970, signature]>

The signature is ES256 (RFC 7518, 3.4) by the phone's key over the words `yuekang proof`, the
SHA-256 of the credential and the second in eight bytes. A QR holds base45 (RFC 9285) in 5.5 bits a
character. The page draws it (static/wallet.js), and a terminal without a network verifies the same
(static/credential.js).
"""

import hashlib
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

from app.credentials.bounds import PROOF_CLOCK_SECONDS, PROOF_SECONDS, TEXT_LENGTH_MAX
from app.credentials.cbor import NotCbor, unpack
from app.credentials.claims import Claims, read_claims
from app.credentials.cose import Forged
from app.credentials.keys import IssuerKeys
from app.projection.holdings import Holdings

PROOF_PREFIX = "YK1:"
LABEL = b"yuekang proof"
SECOND_BYTES = 8
SECOND_MAX = 253_402_300_800
"""The first second of the year 10000, which is no date of Python's."""

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


class Proof(Struct, frozen=True):
    """A credential that its own phone showed at `shown_at`."""

    claims: Claims
    shown_at: datetime

    @property
    def good_seconds(self) -> float:
        """For how long after `shown_at` it is good; never beyond the credential's own end."""
        left = (self.claims.until - self.shown_at).total_seconds()
        return min(PROOF_SECONDS + PROOF_CLOCK_SECONDS, left)


class Holders:
    """Says who shows a credential, to us alone: to nobody else does it name anyone."""

    def __init__(self, keys: IssuerKeys, holdings: Holdings) -> None:
        self._keys = keys
        self._holdings = holdings

    async def read(self, text: str) -> tuple[Proof, str | None]:
        """Return what a QR holds and whose it is; raise `Forged`, and what Redis raises.

        Whether it is turned off is not asked, since who asks us is told the code itself. It is
        nobody's (None) if what is kept of credentials was begun again since.
        """
        proof = read_proof(text, self._keys)
        return proof, await self._holdings.holder(proof.claims.place)


def read_proof(text: str, keys: IssuerKeys) -> Proof:
    """Return what a QR holds, however old it is; raise `Forged` unless both signatures are good."""
    if len(text) > TEXT_LENGTH_MAX or not text.startswith(PROOF_PREFIX):
        raise Forged
    try:
        value = unpack(_from_base45(text.removeprefix(PROOF_PREFIX)))
    except (NotCbor, ValueError):
        raise Forged from None
    match value:
        case [bytes() as credential, int() as second, bytes() as signature] if (
            not isinstance(second, bool) and 0 <= second < SECOND_MAX
        ):
            claims = read_claims(keys.verified(credential))
            _verify(claims, proof_message(credential, second), signature)
            return Proof(claims, datetime.fromtimestamp(second, UTC))
    raise Forged


def proof_message(credential: bytes, second: int) -> bytes:
    """Return what the phone signs."""
    digest = hashlib.sha256(credential).digest()
    return LABEL + digest + second.to_bytes(SECOND_BYTES, "big")


def _verify(claims: Claims, message: bytes, signature: bytes) -> None:
    if len(signature) != 64:
        raise Forged
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        claims.phone_key.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
    except InvalidSignature:
        raise Forged from None


def _from_base45(text: str) -> bytes:
    """Return the bytes of a text (RFC 9285); raise `ValueError`."""
    out = bytearray()
    for at in range(0, len(text), 3):
        digits = [_VALUES.get(character) for character in text[at : at + 3]]
        number = sum((digit or 0) * 45**place for place, digit in enumerate(digits))
        size = len(digits) - 1  # three characters are two bytes, two are one
        if None in digits or not size or number >= 1 << 8 * size:
            raise ValueError("this is no base45")
        out += number.to_bytes(size, "big")
    return bytes(out)
