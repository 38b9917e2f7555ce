"""Which access tokens are believed: the gateway and the view are OAuth 2 resource servers.

An access token is a JWT of the profile of RFC 9068. It says whose it is, and speaks for that source
alone. It was signed by one of our own keys (`app.web.issuing` makes such tokens). Only their public
halves are here; two are trusted while one is changed. Or it was signed by an authorization server
that is named in the settings, whose keys are read from it. What it says is believed only if

- its header says `at+jwt`, so that no other JWT of the same key passes for one;
- `iss` is who holds the key, and `aud` is us;
- it is in time: `exp`, `iat` and `nbf`, with a minute of leeway, and a life of a year at most;
- nobody has taken it back, or its source.

The source is `sub` in a token of ours. In one of the authorization server's it is the claim that
the settings name, since `sub` is there the server's own name of a client or a user.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Protocol

import httpx
import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from msgspec import Meta, Struct

from app.process.clock import Clock, now
from app.process.settings import Settings, SettingsError
from app.web.authorization import AuthorizationServer
from app.web.jwks import ALGORITHMS, UNREADABLE
from models.events import SOURCE, SOURCE_LENGTH_MAX
from models.operators import OPERATOR

OWN_ISSUER = "yuekang"
OWN_ALGORITHM = "Ed25519"  # RFC 9864; "EdDSA" said no more than the family
TYPES = frozenset({"at+jwt", "application/at+jwt"})
LEEWAY = timedelta(seconds=60)
LIFE_MAX = timedelta(days=366)
"""No token is good for longer, so what was taken back need not be remembered for longer."""

TOKEN_LENGTH_MAX = 4_096
"""Tokens of ours have some 400 characters, those of Keycloak some 1,200."""

CACHED_MAX = 50_000
"""Tokens whose signature need not be looked at again, 20 MB. For one more the oldest is forgotten;
it costs 0.1 ms when it comes again."""

OPERATORS = "/operators/"
"""What the sources of operators begin with; their name follows."""


class Role(StrEnum):
    """What an operator may do."""

    READ = "read"
    EXPLAIN = "explain"
    RELEASE = "release"
    REGISTER = "register"
    APPROVE = "approve"


class Access(Struct, frozen=True):
    """What a valid token says: for which source it speaks, as what, until when.

    `roles` has what an operator may do, and is empty for any other source. `token_id` is the name
    by which the token can be taken back; `key_id` that of the key which signed it. `subject` is
    its `sub`, by which its issuer knows its holder: in a token of ours the source.
    """

    source: str
    subject: str
    roles: frozenset[Role]
    token_id: str
    key_id: str
    until: datetime

    def __repr__(self) -> str:
        return f"Access({self.source!r}, {self.token_id!r})"


class InvalidToken(Exception):
    """The text is no token that is valid here; the message says why, for whoever sent it."""


class Revocations(Protocol):
    """What was taken back. Who follows the register of sources gives it."""

    def refused(self, source: str, token_id: str) -> str | None:
        """Return why a token, or its source, is not taken any more; None if it is."""


class NothingTakenBack:
    """Revocations where there is no register."""

    def refused(self, source: str, token_id: str) -> str | None:
        """Return None: nothing was taken back."""
        return None


class Trust(Struct, frozen=True, kw_only=True):
    """Whose tokens are believed. `keys` are public keys of ours, of 32 bytes each.

    `issuer` is the authorization server's name of itself, or empty; `source_claim` the claim of its
    tokens that has the source.
    """

    audience: str = "yuekang"
    keys: tuple[bytes, ...] = ()
    issuer: str = ""
    source_claim: str = "source"


def trust_of(settings: Settings) -> Trust:
    """Return whom the settings trust; raise `SettingsError` if that is nobody."""
    if not (settings.token_public_keys or settings.oauth_issuer):
        raise SettingsError(
            "No token would be believed. Set YUEKANG_TOKEN_PUBLIC_KEYS (`yuekang token-key` makes "
            "a key) or YUEKANG_OAUTH_ISSUER."
        )
    return Trust(
        audience=settings.token_audience,
        keys=tuple(bytes.fromhex(key) for key in settings.token_public_keys.split(",") if key),
        issuer=settings.oauth_issuer,
        source_claim=settings.oauth_source_claim,
    )


def public_key(raw: bytes) -> OKPKey:
    """Return an Ed25519 key of 32 bytes by its thumbprint (RFC 7638)."""
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})
    key.ensure_kid()
    return key


Short = Annotated[str, Meta(min_length=1, max_length=256)]
Seconds = Annotated[float, Meta(ge=0, le=10**11)]


class _Claims(Struct, frozen=True):
    iss: Short
    sub: Short
    aud: Short | list[Short]
    exp: Seconds
    iat: Seconds
    jti: Short
    nbf: Seconds = 0
    roles: tuple[str, ...] = ()


class Tokens:
    """Says what a token says. Belongs to one event loop. `now` gives the instant."""

    def __init__(
        self,
        trust: Trust,
        revocations: Revocations | None = None,
        now: Clock = now,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._trust = trust
        # An empty register has no length, and is one all the same.
        self._revocations = NothingTakenBack() if revocations is None else revocations
        self._now = now
        own = [public_key(key) for key in trust.keys]
        self._own_ids = frozenset(key.kid for key in own)
        self._own = KeySet(list(own))
        self._server = AuthorizationServer(trust.issuer, transport) if trust.issuer else None
        self._cached: dict[bytes, Access] = {}

    async def access_in(self, authorization: str) -> Access:
        """Return what the token in the header says, or raise `InvalidToken`."""
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            raise InvalidToken("The request has no token.")
        if scheme.lower() != "bearer":
            raise InvalidToken("The header does not begin with Bearer.")
        return await self.access_of(token.strip())

    async def access_of(self, token: str) -> Access:
        """Return what the token says, or raise `InvalidToken`."""
        digest = hashlib.blake2b(token.encode(errors="replace"), digest_size=16).digest()
        access = self._cached.get(digest)
        if access is None or not self.trusts(access.key_id):
            access = await self._read(token)
            if len(self._cached) >= CACHED_MAX:
                del self._cached[next(iter(self._cached))]
            self._cached[digest] = access
        if access.until + LEEWAY <= self._now():
            del self._cached[digest]
            raise InvalidToken(f"It expired at {access.until:%Y-%m-%dT%H:%M:%SZ}.")
        self.check(access.source, access.token_id)
        return access

    def is_own(self, key_id: str) -> bool:
        """Say whether a key is one of ours that are trusted now."""
        return key_id in self._own_ids

    def trusts(self, key_id: str) -> bool:
        """Say whether a key is one of those that are trusted now."""
        return key_id in self._own_ids or (self._server is not None and self._server.knows(key_id))

    def check(self, source: str, token_id: str) -> None:
        """Raise `InvalidToken` if the token was taken back, or its source."""
        if why := self._revocations.refused(source, token_id):
            raise InvalidToken(why)

    async def _read(self, token: str) -> Access:
        key_id = _key_id(token)
        if key_id in self._own_ids:
            return self._believed(token, key_id, self._own, OWN_ISSUER, [OWN_ALGORITHM])
        if self._server is not None:
            if key_id and (keys := await self._server.keys(key_id)) is not None:
                issuer = self._server.issuer
                return self._believed(token, key_id, keys, issuer, sorted(ALGORITHMS))
            if self._server.is_away:
                raise InvalidToken(
                    "Its key is not known, and the authorization server does not say its keys."
                )
        raise InvalidToken("It names no key that is trusted here.")

    def _believed(
        self, token: str, key_id: str, keys: KeySet, issuer: str, algorithms: Sequence[str]
    ) -> Access:
        """Return what a token says that `issuer` signed with one of its keys."""
        registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
        try:
            payload = jws.deserialize_compact(token, keys, registry=registry).payload or b""
        except UNREADABLE:
            raise InvalidToken("Its signature is not right.") from None
        try:
            claims = msgspec.json.decode(payload, type=_Claims)
            source: object = claims.sub
            if issuer != OWN_ISSUER:
                named = msgspec.json.decode(payload, type=dict[str, Any])
                source = named.get(self._trust.source_claim)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidToken(f"Its claims are not those of an access token: {error}.") from None
        self._check_claims(claims, issuer)
        return _access_of(claims, source, key_id)

    def _check_claims(self, claims: _Claims, issuer: str) -> None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        at, leeway = self._now().timestamp(), LEEWAY.total_seconds()
        if claims.iss != issuer:
            raise InvalidToken("Its iss is not who holds the key.")
        if self._trust.audience not in audiences:
            raise InvalidToken(f"Its aud is not {self._trust.audience}.")
        if max(claims.iat, claims.nbf) > at + leeway:
            raise InvalidToken("It is not valid yet; or a clock is wrong.")
        if claims.exp - claims.iat > LIFE_MAX.total_seconds():
            raise InvalidToken(f"Its life is longer than {LIFE_MAX.days} days.")


def is_source(text: object) -> bool:
    """Say whether a text can name a source."""
    return isinstance(text, str) and len(text) <= SOURCE_LENGTH_MAX and bool(SOURCE.fullmatch(text))


def is_operator(source: str) -> bool:
    """Say whether a source is an operator by name, in the one spelling that their events bear."""
    return len(source) <= SOURCE_LENGTH_MAX and bool(OPERATOR.fullmatch(source))


def _key_id(token: str) -> str:
    """Return the key that the token names; raise `InvalidToken` unless it is an access token."""
    try:
        if len(token) > TOKEN_LENGTH_MAX:
            raise ValueError
        header = jws.extract_compact(token.encode("ascii")).headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        raise InvalidToken("It is no JWT.") from None
    if str(header.get("typ")).lower() not in TYPES:
        raise InvalidToken("Its header has no typ at+jwt, so it is no access token.")
    return str(header.get("kid", ""))


def _access_of(claims: _Claims, source: object, key_id: str) -> Access:
    if not isinstance(source, str) or not is_source(source):
        raise InvalidToken("It names no source, such as /laboratories/440100-001.")
    roles = frozenset(role for role in Role if role in claims.roles)
    return Access(
        source,
        claims.sub,
        roles if is_operator(source) else frozenset(),
        claims.jti,
        key_id,
        datetime.fromtimestamp(claims.exp, UTC),
    )
