"""Public keys as others publish them (RFC 7517), and the signatures that are believed with them."""

from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
    | {"Ed25519"}
)
"""Signatures by a private key. Neither `none` nor one with a secret that we would know too."""

UNREADABLE = (JoseError, ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm)
"""What joserfc and cryptography raise for a key that they cannot read."""


def readable_keys(written: Iterable[Any]) -> KeySet:
    """Return the keys that can be read; raise `ValueError` if none can.

    The others are for others: a key that is not understood is ignored (RFC 7517, 5). A member that
    is null says nothing.
    """
    keys = []
    for key in written:
        try:
            said = {name: value for name, value in key.items() if value is not None}
            keys.append(JWKRegistry.import_key(said))
        except UNREADABLE:
            continue
    if not keys:
        raise ValueError("none of the keys can be read")
    return KeySet(keys)
