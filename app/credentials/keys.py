"""The issuer's key: what signs credentials and status lists, and what verifies them.

A message names its key by two bytes (`kid`). That is a hint at which key to try, and proves
nothing. Former keys verify what they signed for as long as they are listed; a credential lives for
a day.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence

from msgspec import Struct
from nacl.signing import SigningKey, VerifyKey

from app.credentials.cose import KID, Forged, Signed, read_sign1, sign1

KID_BYTES = 2


class KeyAnswer(Struct, frozen=True):
    """A public key as a JWK (RFC 8037, 2). `kid` is that of COSE, in base64url."""

    kty: str
    crv: str
    kid: str
    x: str


class KeysAnswer(Struct, frozen=True):
    """The issuer's public keys as a JWK Set (RFC 7517, 5), the one in use first."""

    keys: Sequence[KeyAnswer]


class IssuerKeys:
    """Signs with the key of `secret`; verifies with that and with `former` public keys."""

    def __init__(self, secret: bytes, former: Sequence[bytes] = ()) -> None:
        # The label keeps this use of the secret apart from any other.
        seed = hashlib.blake2b(secret, digest_size=32, person=b"yuekang issuer").digest()
        self._key = SigningKey(seed)
        self._tags = hashlib.blake2b(secret, digest_size=32, person=b"yuekang holder").digest()
        known = [self._key.verify_key, *(VerifyKey(public) for public in former)]
        self._public = {_kid(key): key for key in reversed(known)}
        self._kid = _kid(self._key.verify_key)

    def sign(self, payload: bytes, headers: Mapping[int, object]) -> bytes:
        """Return `payload` in a COSE_Sign1."""
        return sign1(self._key, {KID: self._kid, **headers}, payload)

    def verified(self, raw: bytes) -> Signed:
        """Return the message in `raw`; raise `Forged` unless one of the keys signed it."""
        signed = read_sign1(raw)
        kid = signed.headers.get(KID)
        key = self._public.get(kid) if isinstance(kid, bytes) else None
        if key is None:
            raise Forged
        signed.verify(key)
        return signed

    def answer(self) -> KeysAnswer:
        """Return the public keys."""
        return KeysAnswer(
            [
                KeyAnswer("OKP", "Ed25519", _text(kid), _text(bytes(key)))
                for kid, key in reversed(self._public.items())
            ]
        )

    def tag_of(self, person: str) -> str:
        """Return a name by which a browser tells a person's credential from another's. It tells
        nobody who that is."""
        return hashlib.blake2b(person.encode(), digest_size=8, key=self._tags).hexdigest()

    def __repr__(self) -> str:
        return "IssuerKeys()"


def _kid(key: VerifyKey) -> bytes:
    return hashlib.blake2b(bytes(key), digest_size=KID_BYTES).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
