"""COSE_Sign1 (RFC 9052, 4.2) with Ed25519, and nothing else of COSE.

There is one algorithm (EdDSA), one tag (18), and no header that is not signed. So there is nothing
to negotiate, and nothing to mistake.
"""

from collections.abc import Mapping
from typing import Any

from cbor2 import CBORTag
from msgspec import Struct
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from app.credentials.cbor import NotCbor, pack, unpack

TAG = 18
ALG, KID, TYP = 1, 4, 16
"""Labels of headers (RFC 9052, 3.1; RFC 9596)."""

EDDSA = -8
SIGNATURE_BYTES = 64


class Forged(Exception):
    """Nobody of ours signed this, or it was changed since."""


class Signed(Struct, frozen=True):
    """A message whose form is right. Nothing says yet that its signature is."""

    protected: bytes
    headers: Mapping[int, Any]
    payload: bytes
    signature: bytes

    def verify(self, key: VerifyKey) -> None:
        """Raise `Forged` unless `key` signed it."""
        try:
            key.verify(_to_be_signed(self.protected, self.payload), self.signature)
        except BadSignatureError:
            raise Forged from None


def sign1(key: SigningKey, headers: Mapping[int, object], payload: bytes) -> bytes:
    """Return `payload` with its signature. `headers` are those beside the algorithm."""
    protected = pack({ALG: EDDSA, **headers})
    signature = key.sign(_to_be_signed(protected, payload)).signature
    return pack(CBORTag(TAG, [protected, {}, payload, signature]))


def read_sign1(raw: bytes) -> Signed:
    """Return the parts of a message; raise `Forged` if it has another form."""
    try:
        match unpack(raw):
            case CBORTag(
                tag=18, value=[bytes() as protected, {} as open, bytes() as payload, bytes() as sig]
            ) if not open and len(sig) == SIGNATURE_BYTES:
                headers = unpack(protected)
            case _:
                raise Forged
    except NotCbor:
        raise Forged from None
    if not isinstance(headers, dict) or headers.get(ALG) != EDDSA:
        raise Forged
    return Signed(protected, headers, payload, sig)


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """The Sig_structure (RFC 9052, 4.4)."""
    return pack(["Signature1", protected, b"", payload])
