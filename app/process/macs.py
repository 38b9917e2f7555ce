"""The keyed hash that tells who made a record: a message authentication code, in a header.

    yk_mac: <version of the master key> <source> <HMAC-SHA-256, in hexadecimal>

Hashed are, in this order, the topic's name on the broker, the record's key, name and value of each
header `content-type`, `ce_…` and `yk_follows` as they follow one another, and the record's value.
Each is written as a netstring, `<length>:<bytes>,`, and one that is missing as `-,`.
"""

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

MAC = "yk_mac"

FOLLOWS = "yk_follows"
"""Header of a changelog's record: the offset that its transaction follows. So a row that was played
again is known, which no key can tell from the first."""


class MacKey:
    """The key of `source`, from version `version` of the master key."""

    __slots__ = ("_inner", "_outer", "head", "source")

    def __init__(self, key: bytes, source: str, version: int) -> None:
        self.source = source
        self.head = b"%d %b" % (version, source.encode())
        # The first blocks are hashed once (RFC 2104): that is half of the work.
        padded = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def header(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> tuple[str, bytes]:
        """Return the header for a record of `topic` that has these `headers` already."""
        return MAC, b"%b %b" % (self.head, self._mac(message(topic, key, value, headers)))

    def fits(self, mac: bytes, message: bytes) -> bool:
        """Say whether this key has made `mac`, in hexadecimal, of a message; in constant time."""
        return hmac.compare_digest(mac, self._mac(message))

    def _mac(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest().encode()


def message(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
) -> bytes:
    """Return what is hashed of a record."""
    hashed = b""
    for name, raw in headers:
        if name != MAC and _is_hashed(name):
            hashed += _text(name) + _netstring(raw)
    if key is None or value is None:
        return b"".join((_text(topic), _netstring(key), hashed, _netstring(value)))
    return b"%b%d:%b,%b%d:%b," % (_text(topic), len(key), key, hashed, len(value), value)


def _netstring(field: bytes | None) -> bytes:
    return b"-," if field is None else b"%d:%b," % (len(field), field)


@lru_cache(maxsize=256)
def _text(text: str) -> bytes:
    return _netstring(text.encode())


@lru_cache(maxsize=256)
def _is_hashed(name: str) -> bool:
    return name.startswith("ce_") or name == FOLLOWS or name.lower() == "content-type"
