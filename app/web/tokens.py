"""Bearer tokens for the entrance over HTTP: each belongs to one source, and speaks for it alone.

A token is `yk<version>.<source>.<mac>`, such as `yk1./laboratories/440100-001.k3j…`. It says whose
it is, and only the holder of the token key can make one. Nothing is stored, so a single token
cannot be taken back: a new key (and version) takes all back at once.
"""

import base64
import hashlib
import hmac
import re

from app.process.settings import SECRET_BYTES_MIN
from models.events import SOURCE, SOURCE_LENGTH_MAX

TOKEN_LENGTH_MAX = 160

_TOKEN = re.compile(r"yk(?P<version>[1-9][0-9]{0,3})\.(?P<source>/[a-z0-9/-]+)\.[a-z2-7]{52}")


class InvalidToken(Exception):
    """The text is not a token that this key made."""


class Tokens:
    """Makes and checks tokens with one key."""

    def __init__(self, key: bytes, version: int = 1) -> None:
        if len(key) < SECRET_BYTES_MIN:
            raise ValueError(
                f"The token key has {len(key)} bytes; {SECRET_BYTES_MIN} is the least."
            )
        self._key = key
        self._version = version

    def token_for(self, source: str) -> str:
        """Return the token of `source`; raise `ValueError` if that cannot name a source."""
        if len(source) > SOURCE_LENGTH_MAX or not SOURCE.fullmatch(source):
            raise ValueError(
                f"{source!r} is no source; write it as /laboratories/440100-001: lower-case "
                f"letters, digits and hyphens, at most {SOURCE_LENGTH_MAX} characters."
            )
        # The first words keep this use of the key apart from any other.
        message = f"yuekang source token {self._version}:{source}".encode()
        mac = base64.b32encode(hmac.digest(self._key, message, hashlib.sha256)).decode()
        return f"yk{self._version}.{source}.{mac.rstrip('=').lower()}"

    def source_in(self, authorization: str) -> str:
        """Return the source whose token the header carries, or raise `InvalidToken`."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken
        return self.source_of(token.strip())

    def source_of(self, token: str) -> str:
        """Return the source whose token this is, or raise `InvalidToken`.

        The comparison takes the same time for every wrong token of a source.
        """
        match = _TOKEN.fullmatch(token) if len(token) <= TOKEN_LENGTH_MAX else None
        if match is None:
            raise InvalidToken
        source = match["source"]
        try:
            expected = self.token_for(source)
        except ValueError:
            raise InvalidToken from None
        if not hmac.compare_digest(expected, token):
            raise InvalidToken
        return source
