"""Makes access tokens (RFC 9068) with a private key of ours, for sources without an authorization
server. `app.web.tokens` says which are believed.

Commands alone make them: no server is given the private key. A command that asks the view shows the
operator's own token, YUEKANG_TOKEN. Where the private key is at hand, as in development, it makes
one in the name of whoever runs it. `app.sources.operators` says who runs a command.
"""

import base64
import getpass
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry
from msgspec import Struct
from nacl.signing import SigningKey

from app.process.clock import Clock, now
from app.process.settings import Settings, SettingsError, text_of
from app.web.tokens import (
    LIFE_MAX,
    OPERATORS,
    OWN_ALGORITHM,
    OWN_ISSUER,
    Role,
    is_operator,
    is_source,
    public_key,
)
from models.events import SOURCE_LENGTH_MAX

TOKEN_LIFE = timedelta(days=90)
KEY_BYTES = 32
TOKEN_ID_BYTES = 16
COMMAND_LIFE = timedelta(minutes=10)
OPERATOR_LENGTH_MAX = 32


class TokenIssuer:
    """Makes tokens with an Ed25519 key, whose private half (RFC 8032) has 32 bytes."""

    def __init__(self, private_key: bytes, audience: str = "yuekang", now: Clock = now) -> None:
        if len(private_key) != KEY_BYTES:
            raise ValueError(
                f"The private key of tokens has {len(private_key)} bytes; Ed25519 takes "
                f"{KEY_BYTES}. `yuekang token-key` makes one."
            )
        self.public = bytes(SigningKey(private_key).verify_key)
        members = public_key(self.public).as_dict(private=False)
        self._key = OKPKey.import_key({**members, "d": _text(private_key)})
        self.audience = audience
        self._now = now

    def token_for(
        self, source: str, roles: Iterable[Role] = (), life: timedelta = TOKEN_LIFE
    ) -> str:
        """Return a token of `source` that is good from now on.

        Raise `ValueError` if the text cannot name a source, `life` is not between a minute and a
        year, or the roles are another's than an operator's, or none.
        """
        if not is_source(source):
            raise ValueError(
                f"{source!r} is no source; write it as /laboratories/440100-001: lower-case "
                f"letters, digits and hyphens, at most {SOURCE_LENGTH_MAX} characters."
            )
        if not timedelta(minutes=1) <= life <= LIFE_MAX:
            raise ValueError(f"A token is good for a minute to {LIFE_MAX.days} days.")
        roles = sorted(set(roles))
        named = is_operator(source)
        if bool(roles) != named or source.startswith(OPERATORS) != named:
            raise ValueError(
                f"An operator ({OPERATORS}NAME) has one role or more of {', '.join(Role)}; no "
                "other source has any."
            )
        at = int(self._now().timestamp())
        claims = {
            "iss": OWN_ISSUER,
            "aud": self.audience,
            "sub": source,
            "client_id": source,
            "iat": at,
            "exp": at + int(life.total_seconds()),
            "jti": secrets.token_hex(TOKEN_ID_BYTES),  # which no command takes for an option
            **({"roles": roles} if roles else {}),
        }
        header = {"alg": OWN_ALGORITHM, "typ": "at+jwt", "kid": self._key.kid}
        registry = JWSRegistry(algorithms=[OWN_ALGORITHM])
        return jwt.encode(header, claims, self._key, registry=registry)

    def __repr__(self) -> str:
        return "TokenIssuer()"


class _Told(Struct, frozen=True):
    jti: str
    exp: int


def told_by(token: str) -> tuple[str, datetime]:
    """Return the id of a token and its end, unchecked, for whoever keeps it; raise `ValueError` for
    a text that is no JWT with both."""
    try:
        _, payload, _ = token.split(".")
        padded = payload + "=" * (-len(payload) % 4)
        told = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=_Told)
        return told.jti, datetime.fromtimestamp(told.exp, UTC)
    except (ValueError, OverflowError, msgspec.MsgspecError):
        raise ValueError("This is no access token.") from None


TOKENS_KEPT_MAX = 1_024
"""Tokens that a command keeps, of as many sources; for one more it makes one again."""


def issuer_of(settings: Settings) -> TokenIssuer:
    """Return what makes tokens with the private key of the settings; raise `SettingsError`."""
    try:
        return TokenIssuer(settings.token_private_key, settings.token_audience)
    except ValueError as error:
        raise SettingsError(f"YUEKANG_TOKEN_PRIVATE_KEY: {error}") from None


def tokens_by(settings: Settings) -> Callable[[str], str]:
    """Return what gives a source's token, the same each time; it raises `ValueError` for a text
    that cannot name a source. Raise `SettingsError` if the private key cannot be one."""
    return lru_cache(TOKENS_KEPT_MAX)(issuer_of(settings).token_for)


def operator_token(settings: Settings) -> str:
    """Return the token of the operator who runs a command; raise `SettingsError` if none is had."""
    if token := text_of("YUEKANG_TOKEN"):
        return token
    if not settings.token_private_key:
        raise SettingsError(
            f"There is no token. Set YUEKANG_TOKEN to your own ({OPERATORS}NAME), or "
            "YUEKANG_TOKEN_PRIVATE_KEY to the key that makes it."
        )
    return issuer_of(settings).token_for(login_operator(), Role, COMMAND_LIFE)


def login_operator() -> str:
    """Return the operator whom the login's name names, /operators/…, as a source can have it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have none
        name = ""
    short = re.sub(r"[^a-z0-9]+", "-", name.lower())[:OPERATOR_LENGTH_MAX].strip("-")
    return OPERATORS + (short or "operator")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
