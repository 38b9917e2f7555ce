"""A sealed struct, as a cookie: a browser keeps it for us, and can neither read nor change it.

One secret serves several uses. Each use has a key of its own, derived with a label, so what was
sealed for one use cannot be opened in another. While a secret is changed there are two: the first
seals, and what either sealed can be opened.
"""

import base64
import hashlib
import os
from contextlib import suppress
from typing import Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from nacl.bindings import (
    crypto_secretbox,
    crypto_secretbox_KEYBYTES,
    crypto_secretbox_NONCEBYTES,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError

LABEL_BYTES_MAX = 16  # of blake2b
SEALED_LENGTH_MAX = 3_072
"""A browser keeps 4,096 bytes of name, value and attributes together."""

T = TypeVar("T", bound=Struct)

Secrets: TypeAlias = bytes | tuple[bytes, ...]
"""A secret; or some of them: the first seals, and all open."""


class Broken(Exception):
    """The text was not sealed with this key for this use, or was changed since."""


class Boxes:
    """Seals and opens bytes for one use, as NaCl's SecretBox does: a nonce, then the box.

    Its bindings are called themselves: that halves what a session and a display cost.
    """

    def __init__(self, secrets: Secrets, label: bytes) -> None:
        if len(label) > LABEL_BYTES_MAX:
            raise ValueError(f"The label {label!r} has more than {LABEL_BYTES_MAX} bytes.")
        self._keys = [
            hashlib.blake2b(secret, digest_size=crypto_secretbox_KEYBYTES, person=label).digest()
            for secret in all_of(secrets)
        ]

    def close(self, plain: bytes) -> bytes:
        """Return `plain` sealed with the first secret."""
        nonce = os.urandom(crypto_secretbox_NONCEBYTES)
        return nonce + crypto_secretbox(plain, nonce, self._keys[0])

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed with one of the secrets, or raise `CryptoError`."""
        nonce, box = sealed[:crypto_secretbox_NONCEBYTES], sealed[crypto_secretbox_NONCEBYTES:]
        for key in self._keys[:-1]:
            with suppress(CryptoError):
                return crypto_secretbox_open(box, nonce, key)
        return crypto_secretbox_open(box, nonce, self._keys[-1])


def all_of(secrets: Secrets) -> tuple[bytes, ...]:
    """Return the secrets, the one that seals first."""
    return (secrets,) if isinstance(secrets, bytes) else secrets


class Seal(Generic[T]):
    """Seals and opens structs of one type for one use."""

    def __init__(self, key: Secrets, label: bytes, kind: type[T]) -> None:
        self._boxes = Boxes(key, label)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(kind)

    def close(self, value: T) -> str:
        """Return `value` sealed, in letters that a cookie takes; raise `ValueError` if too long."""
        sealed = base64.urlsafe_b64encode(self._boxes.close(self._encoder.encode(value)))
        text = sealed.decode().rstrip("=")
        if len(text) > SEALED_LENGTH_MAX:
            raise ValueError(f"Sealed it has {len(text)} characters; {SEALED_LENGTH_MAX} go.")
        return text

    def open(self, text: str) -> T:
        """Return what was sealed, or raise `Broken`."""
        if len(text) > SEALED_LENGTH_MAX:
            raise Broken
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            return self._decoder.decode(self._boxes.open(sealed))
        # A struct of an older form counts as broken too.
        except (CryptoError, ValueError, TypeError, msgspec.MsgspecError):
            raise Broken from None
