"""The relying party of OpenID Connect: code flow with PKCE, state and nonce, by discovery.

A provider of any maker will do. Only its issuer must be known. The rest is read from its discovery
document when the first person logs in, so a provider that is away stops logins and nothing else.
Its answers are believed only after the checks of OpenID Connect Core 3.1.3.7 and RFC 9207.

Raises `Failed`: "provider-away" if the provider does not answer in time, "provider" if its answer
cannot be believed, "denied" and "expired" as in app.login.failures.
"""

import asyncio
import base64
import hmac
import re
import secrets
import time
import warnings
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from authlib.deprecate import AuthlibDeprecationWarning
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from msgspec import Meta, Struct

from app.login.failures import Failed
from app.process.clock import Clock
from app.process.setting_types import SAFE_URL
from app.process.tls import tls_context
from app.web.jwks import ALGORITHMS, readable_keys
from app.web.transport import Bounded

with warnings.catch_warnings():
    # Authlib prefers httpx2, which nothing else here uses; httpx does the same.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from authlib.oidc.core import CodeIDToken

LOGIN = timedelta(minutes=10)
"""Between leaving for the provider and coming back: time to find a phone and a password."""

CONNECT_SECONDS_MAX = 3.0
ANSWER_SECONDS_MAX = 5.0
ALL_SECONDS_MAX = 15.0
"""For all requests to the provider together, while a person waits."""

METADATA_SECONDS = 3_600.0
"""The discovery document and the keys are read again when older than this. Providers announce new
keys a day before they sign with them. Keys are also read again if a signature names an unknown
one."""

KEYS_AGAIN_SECONDS = 5.0
"""They are not read more often than this, or each forged token would cost a request."""

LEEWAY_SECONDS = 60
"""How far the provider's clock may be from ours."""

SIGNED = "application/jwt"
"""The media type of claims that are signed."""

SECRET_BYTES = 32
"""Length of state, nonce and verifier: 43 letters when written, as PKCE wants (RFC 7636, 4.1)."""

T = TypeVar("T")


class Provider(Struct, frozen=True, kw_only=True):
    """The provider, and who this client is to it. A client without a secret has PKCE alone."""

    issuer: str
    client_id: str
    client_secret: str = ""
    scope: str = "openid profile"

    def __repr__(self) -> str:
        return f"Provider({self.issuer!r}, {self.client_id!r})"


class Metadata(Struct, frozen=True):
    """The fields of a discovery document that are used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    userinfo_signing_alg_values_supported: tuple[str, ...] = tuple(ALGORITHMS)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False


class LoginState(Struct, frozen=True, array_like=True):
    """What the browser keeps, sealed, until it comes back from the provider."""

    state: str
    nonce: str
    verifier: str
    return_to: str
    begun_at: Annotated[datetime, Meta(tz=True)]


class RelyingParty:
    """Sends browsers to one provider and checks what they bring back. Belongs to one event loop.

    `redirect_uri` is where the provider sends browsers back; `now` gives the instant, with its
    zone.
    """

    def __init__(
        self,
        provider: Provider,
        redirect_uri: str,
        now: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._provider = provider
        self._redirect_uri = redirect_uri
        self._now = now
        self._pool = transport or httpx.AsyncHTTPTransport(verify=tls_context())
        self._metadata: Metadata | None = None
        self._metadata_at = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0
        self._reading = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def begin(self, return_to: str, language: str, hint: str = "") -> tuple[str, LoginState]:
        """Return where to send the browser, and what it has to bring back.

        `language` is a BCP 47 tag; `hint` tells the provider who is likely to log in.
        """
        metadata = await self.metadata()
        login = LoginState(_secret(), _secret(), _secret(), return_to, self._now())
        more = {"login_hint": hint} if hint else {}
        async with self._client(metadata) as client:
            address, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=login.state,
                code_verifier=login.verifier,
                nonce=login.nonce,
                ui_locales=language,
                **more,
            )
        return str(address), login

    async def finish(
        self, login: LoginState, answer: Mapping[str, str], wanted: frozenset[str]
    ) -> dict[str, Any]:
        """Return the claims about the person, from the id_token.

        If it lacks any of `wanted`, the provider's userinfo is asked too. `answer` is the query
        with which the browser came back.
        """
        self._check_answer(login, answer)
        async with self._in_time():
            metadata = await self.metadata()
            self._check_issuer(metadata, answer)
            _check_error(answer)
            async with self._client(metadata) as client:
                token = await client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=answer.get("code", ""),
                    code_verifier=login.verifier,
                    redirect_uri=self._redirect_uri,
                )
                claims = await self._believed(metadata, token, login.nonce)
                if metadata.userinfo_endpoint and not wanted <= claims.keys():
                    more = await self._userinfo(metadata, client, metadata.userinfo_endpoint)
                    if more.get("sub") != claims["sub"]:
                        raise Failed("provider", "userinfo is of another subject")
                    claims = {**more, **claims}
        return claims

    async def logout_address(self, after: str) -> str | None:
        """Return where the provider ends its own session, if it offers that.

        `after` is where it sends the browser then. No id_token is in the address: a token may hold
        a document number, and addresses are written down in many places. The provider asks instead.
        """
        async with self._in_time():
            end = (await self.metadata()).end_session_endpoint
        if end is None:
            return None
        query = {"client_id": self._provider.client_id, "post_logout_redirect_uri": after}
        return str(httpx.URL(end).copy_merge_params(query))

    async def metadata(self) -> Metadata:
        """Return the discovery document, at most `METADATA_SECONDS` old."""
        async with self._in_time(), self._reading:
            if self._metadata is None or _age(self._metadata_at) > METADATA_SECONDS:
                base = self._provider.issuer.rstrip("/")
                content = await self._get(f"{base}/.well-known/openid-configuration")
                self._metadata = self._checked(_decoded(content, Metadata))
                self._metadata_at = time.monotonic()
            return self._metadata

    def _checked(self, metadata: Metadata) -> Metadata:
        # With another issuer's document, that issuer could answer in this one's name (mix-up).
        if metadata.issuer != self._provider.issuer:
            raise Failed("provider", "the discovery document is of another issuer")
        endpoints = (
            metadata.authorization_endpoint,
            metadata.token_endpoint,
            metadata.jwks_uri,
            metadata.userinfo_endpoint,
            metadata.end_session_endpoint,
        )
        if not all(re.fullmatch(SAFE_URL, one.partition("?")[0]) for one in endpoints if one):
            raise Failed("provider", "an endpoint is neither on https nor on this machine")
        methods = metadata.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            raise Failed("provider", "it has no PKCE with S256")
        return metadata

    def _check_answer(self, login: LoginState, answer: Mapping[str, str]) -> None:
        state = answer.get("state", "").encode()
        if not hmac.compare_digest(login.state.encode(), state):
            raise Failed("expired", "the state is of another login")
        if not timedelta(0) <= self._now() - login.begun_at <= LOGIN:
            raise Failed("expired", "the login took too long")

    def _check_issuer(self, metadata: Metadata, answer: Mapping[str, str]) -> None:
        """RFC 9207: check `iss` in the answer if the provider announces that it sends one."""
        issuer = answer.get("iss")
        if issuer is None and not metadata.authorization_response_iss_parameter_supported:
            return
        if issuer != self._provider.issuer:
            raise Failed("provider", "the answer is of another issuer")

    async def _believed(
        self, metadata: Metadata, token: Mapping[str, Any], nonce: str
    ) -> dict[str, Any]:
        """Return the claims of the id_token if the provider made it, for us, and it is in time."""
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise Failed("provider", "there is no id_token")
        algorithms = metadata.id_token_signing_alg_values_supported
        read = await self._verified(metadata, id_token, algorithms)
        options = {
            "iss": {"essential": True, "value": metadata.issuer},
            "aud": {"essential": True, "value": self._provider.client_id},
        }
        parameters = {
            "nonce": nonce,
            "client_id": self._provider.client_id,
            "access_token": token.get("access_token"),
        }
        claims = CodeIDToken(read.claims, read.header, options, parameters)
        claims.validate(now=int(self._now().timestamp()), leeway=LEEWAY_SECONDS)
        return dict(claims)

    async def _verified(
        self, metadata: Metadata, token: str, algorithms: Iterable[str]
    ) -> jwt.Token:
        """Return a token that the provider has signed with one of `algorithms`."""
        allowed = sorted(ALGORITHMS.intersection(algorithms))
        registry = JWSRegistry(algorithms=allowed, strict_check_header=False)
        try:
            return jwt.decode(token, await self._keys_for(metadata), registry=registry)
        except InvalidKeyIdError:
            keys = await self._keys_for(metadata, older_than=KEYS_AGAIN_SECONDS)
            return jwt.decode(token, keys, registry=registry)

    async def _keys_for(self, metadata: Metadata, older_than: float = METADATA_SECONDS) -> KeySet:
        async with self._reading:
            if self._keys is None or _age(self._keys_at) > older_than:
                content = _decoded(await self._get(metadata.jwks_uri), dict[str, Any])
                self._keys = readable_keys(content["keys"])
                self._keys_at = time.monotonic()
            return self._keys

    async def _userinfo(self, metadata: Metadata, client: Any, address: str) -> dict[str, Any]:
        """Return what userinfo says, as JSON or signed (OpenID Connect Core, 5.3.2)."""
        response = await client.get(address, headers={"accept": f"application/json, {SIGNED}"})
        response.raise_for_status()
        if not response.headers.get("content-type", "").lower().startswith(SIGNED):
            return _decoded(response.content, dict[str, Any])
        algorithms = metadata.userinfo_signing_alg_values_supported
        read = await self._verified(metadata, response.text, algorithms)
        jwt.JWTClaimsRegistry(
            now=int(self._now().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": metadata.issuer},
            aud={"essential": True, "value": self._provider.client_id},
        ).validate(read.claims)
        return read.claims

    async def _get(self, address: str) -> bytes:
        async with httpx.AsyncClient(**self._options()) as client:
            response = await client.get(address, headers={"accept": "application/json"})
        response.raise_for_status()
        return response.content

    def _client(self, metadata: Metadata) -> Any:
        """Return a client for one login: it holds that login's token."""
        methods = metadata.token_endpoint_auth_methods_supported
        basic = "client_secret_basic" in methods or "client_secret_post" not in methods
        with_secret = "client_secret_basic" if basic else "client_secret_post"
        client = AsyncOAuth2Client(
            self._provider.client_id,
            self._provider.client_secret or None,
            token_endpoint_auth_method=with_secret if self._provider.client_secret else "none",
            scope=self._provider.scope,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            leeway=0,  # it is taken off a token's life, which may be no longer
            **self._options(),
        )
        client.register_client_auth_method(("client_secret_basic", _basic))
        return client

    def _options(self) -> dict[str, Any]:
        return {
            "transport": Bounded(self._pool),
            "timeout": httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            "trust_env": False,
            "follow_redirects": False,
        }

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Turn whatever a provider can do wrong into `Failed`."""
        try:
            async with asyncio.timeout(ALL_SECONDS_MAX):
                yield
        except (TimeoutError, httpx.TransportError) as error:
            raise Failed("provider-away", type(error).__name__) from None
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise Failed(
                "provider-away" if status >= 500 else "provider", f"it answers {status}"
            ) from None
        except AuthlibBaseError as error:
            # The code was used, or is too old, or was made for another browser.
            raise Failed(
                "expired" if error.error == "invalid_grant" else "provider", _word(error.error)
            ) from None
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            # The message may repeat what was sent, so only the kind of error is kept.
            raise Failed("provider", type(error).__name__) from None


def _check_error(answer: Mapping[str, str]) -> None:
    """Raise `Failed` if the provider sent an error instead of a code (RFC 6749, 4.1.2.1)."""
    error = answer.get("error")
    if error in ("access_denied", "interaction_required", "login_required", "consent_required"):
        raise Failed("denied", error)
    if error in ("temporarily_unavailable", "server_error"):
        raise Failed("provider-away", error)
    if error is not None:
        raise Failed("provider", _word(error))
    if not answer.get("code"):
        raise Failed("provider", "there is neither a code nor an error")


def _basic(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """Show the secret as RFC 6749 (2.3.1) has it: encoded first, or a + in it becomes a blank.

    Authlib does not encode it, and Keycloak then refuses it. A blank is written as %20, which
    everyone decodes, not as +.
    """
    text = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
    headers["Authorization"] = f"Basic {base64.b64encode(text.encode()).decode()}"
    return uri, headers, body


def _secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _age(since: float) -> float:
    return time.monotonic() - since


def _decoded(content: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(content, type=kind)


def _word(error: object) -> str:
    """Return an error's code for the log. Only well-formed codes are logged; anything else could
    carry user input."""
    text = str(error)
    return text if re.fullmatch(r"[a-z_]{1,40}", text) else "an error of its own"
