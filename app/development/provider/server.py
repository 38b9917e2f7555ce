"""Authlib's provider with one client, everything in memory: a restart forgets codes and keys.

Beyond Authlib's own rules it demands of every client PKCE with S256, and a nonce.
"""

import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Payload,
    OAuth2Request,
    ResourceProtector,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.rpinitiated import EndSessionEndpoint
from joserfc.jwk import KeySet, RSAKey
from msgspec import Struct

from app.development.provider.people import ProviderPerson
from app.login.claims import ClaimNames

ALGORITHM = "RS256"
KEY_BITS = 2_048
CODE_SECONDS = 60
TOKEN_SECONDS = 300
KEPT_MAX = 1_000
"""Codes or tokens kept at one time; the oldest is forgotten first."""

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
SCOPES = ["openid", "profile"]

V = TypeVar("V")

__all__ = ["Asked", "OAuth2Error", "ProviderAnswer", "ProviderOptions", "Server"]


class ProviderOptions(Struct, frozen=True, kw_only=True):
    """What the provider is, and which client it serves: the view at `view_url`."""

    issuer: str
    view_url: str
    client_id: str
    client_secret: str = ""
    claim_names: ClaimNames = ClaimNames()

    def __repr__(self) -> str:
        return f"ProviderOptions({self.issuer!r})"


class ProviderAnswer(Struct):
    """What Authlib wants answered, before it becomes an answer of the framework."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @location.setter
    def location(self, address: str) -> None:
        self.headers["Location"] = address


class Asked(OAuth2Request):  # type: ignore[misc]
    """A request in the form that Authlib wants."""

    def __init__(
        self,
        method: str,
        uri: str,
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]],
        form: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(method, uri, headers=headers)
        self._query, self._form = dict(query), dict(form)
        self.payload = _Payload([*query, *form])

    @property
    def args(self) -> dict[str, str]:
        return self._query

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Payload(OAuth2Payload):  # type: ignore[misc]
    def __init__(self, items: Sequence[tuple[str, str]]) -> None:
        self._data = dict(items)
        self._lists: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in items:
            self._lists[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return self._lists


class Client(ClientMixin):  # type: ignore[misc]
    """The view: a confidential client if it has a secret, else a public one."""

    def __init__(self, options: ProviderOptions) -> None:
        self._options = options
        view = options.view_url.rstrip("/")
        self._redirect_uri = f"{view}/login/callback"
        self.client_id = options.client_id
        self.client_metadata = {"post_logout_redirect_uris": [f"{view}/logged-out"]}

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self._redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(one for one in (scope or "").split() if one in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self._redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        expected = self._options.client_secret
        return bool(expected) and secrets.compare_digest(expected.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method == "none") == (not self._options.client_secret)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class AuthorizationCode(Struct, frozen=True):
    """An authorization code's meaning."""

    person: ProviderPerson
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    auth_time: int

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Token(Struct, frozen=True):
    """An access token's meaning."""

    person: ProviderPerson
    scope: str

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False  # an expired one is forgotten

    def is_revoked(self) -> bool:
        return False


class Kept(Generic[V]):
    """Values by a secret. Each is kept for a while, and never too many."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def put(self, secret: str, value: V) -> None:
        """Keep a value."""
        self._values[secret] = time.monotonic() + self._seconds, value
        if len(self._values) > KEPT_MAX:
            self._values.popitem(last=False)

    def get(self, secret: str) -> V | None:
        """Return a value that is still kept."""
        until, value = self._values.get(secret, (0.0, None))
        return value if time.monotonic() < until else None

    def take(self, secret: str) -> V | None:
        """Return a value and forget it, so that it is returned once."""
        value = self.get(secret)
        self._values.pop(secret, None)
        return value


class Server(AuthorizationServer):  # type: ignore[misc]
    """The provider's protocol. It answers `ProviderAnswer`s and raises Authlib's `OAuth2Error`s."""

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__(scopes_supported=SCOPES)
        self.options = options
        self.key = RSAKey.generate_key(KEY_BITS, {"alg": ALGORITHM, "use": "sig"})
        self.key.ensure_kid()
        self.codes: Kept[AuthorizationCode] = Kept(CODE_SECONDS)
        self.tokens: Kept[Token] = Kept(TOKEN_SECONDS)
        self._client = Client(options)
        self._subject_key = secrets.token_bytes(32)
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                lambda **_: secrets.token_urlsafe(32), expires_generator=lambda *_: TOKEN_SECONDS
            ),
        )
        self.register_grant(CodeGrant, [_OpenId(self), _Challenge(required=True)])
        self.register_endpoint(_EndSession(self))
        self.register_extension(_Issuer)
        self._protector = ResourceProtector()
        self._protector.register_token_validator(_Bearer(self.tokens))

    def metadata(self) -> dict[str, Any]:
        """Return the discovery document."""
        issuer = self.options.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "end_session_endpoint": f"{issuer}/end-session",
            "jwks_uri": f"{issuer}/jwks",
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        """Return the keys with which signatures are checked."""
        return dict(KeySet([self.key]).as_dict())

    def claims(self, person: ProviderPerson) -> dict[str, Any]:
        """Return all claims about a person."""
        return person.claims(self.options.claim_names, self._subject_key)

    def userinfo(self, asked: Asked) -> dict[str, Any]:
        """Return the claims about a token's person, or raise `OAuth2Error`."""
        token: Token = self._protector.validate_request(["openid"], asked)
        return self.claims(token.person)

    # What Authlib asks of a framework

    def query_client(self, client_id: str) -> Client | None:
        return self._client if client_id == self._client.client_id else None

    def save_token(self, token: dict[str, Any], request: Asked) -> None:
        self.tokens.put(token["access_token"], Token(request.user, token.get("scope", "")))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def create_oauth2_request(self, request: Asked) -> Asked:
        return request

    def handle_response(self, status: int, body: Any, headers: Sequence[Any]) -> ProviderAnswer:
        return ProviderAnswer(status, body, dict(headers))


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """The one way to get a token here."""

    TOKEN_ENDPOINT_AUTH_METHODS: Sequence[str] = AUTH_METHODS

    def save_authorization_code(self, code: str, request: Asked) -> None:
        data = request.payload.data
        self.server.codes.put(
            code,
            AuthorizationCode(
                person=request.user,
                redirect_uri=data.get("redirect_uri", ""),
                scope=request.scope,
                nonce=data.get("nonce"),
                code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
                auth_time=int(time.time()),
            ),
        )

    def query_authorization_code(self, code: str, client: Client) -> AuthorizationCode | None:
        # A code is used up by the first try, whatever comes of it.
        found: AuthorizationCode | None = self.server.codes.take(code)
        return found

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        pass

    def authenticate_user(self, authorization_code: AuthorizationCode) -> ProviderPerson:
        return authorization_code.person


class _Challenge(CodeChallenge):  # type: ignore[misc]
    SUPPORTED_CODE_CHALLENGE_METHOD: Sequence[str] = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        # Authlib asks for it only of public clients, and only at the end.
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with S256 is required.")
        super().validate_code_challenge(grant, redirect_uri)


class _OpenId(OpenIDCode):  # type: ignore[misc]
    def __init__(self, server: Server) -> None:
        super().__init__(require_nonce=True)
        self._server = server

    def exists_nonce(self, nonce: str, request: Asked) -> bool:
        return False  # a code is good only once, so a repeated nonce does no harm

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return self._server.key

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self._server.options.issuer, "iat": now, "exp": now + TOKEN_SECONDS}

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": ALGORITHM, "kid": self._server.key.kid}

    def generate_user_info(self, user: ProviderPerson, scope: str) -> dict[str, Any]:
        # The rest is for userinfo: an id_token is passed around more than userinfo's answer.
        return {"sub": self._server.claims(user)["sub"]}


class _Issuer(IssuerParameter):  # type: ignore[misc]
    def __init__(self, server: Server) -> None:
        self._issuer = server.options.issuer
        self(server)

    def get_issuer(self) -> str:
        return self._issuer


class _EndSession(EndSessionEndpoint):  # type: ignore[misc]
    def get_server_jwks(self) -> dict[str, Any]:
        keys: dict[str, Any] = self.server.jwks()
        return keys

    def is_post_logout_redirect_uri_legitimate(self, *_: Any) -> bool:
        return True  # there is one client, and no session here to end

    def end_session(self, end_session_request: Any) -> None:
        pass  # no browser is remembered: each login asks again who the person is


class _Bearer(BearerTokenValidator):  # type: ignore[misc]
    def __init__(self, tokens: Kept[Token]) -> None:
        super().__init__()
        self._tokens = tokens

    def authenticate_token(self, token_string: str) -> Token | None:
        return self._tokens.get(token_string)
