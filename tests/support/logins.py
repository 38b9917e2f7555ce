"""Logins for tests: a provider that does wrong on demand, a gateway that answers, a clock."""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from litestar import Litestar, get, post
from litestar.exceptions import HTTPException
from redis.asyncio import Redis

from app.development.provider.people import ProviderPerson, What
from app.development.provider.routes import create_provider as provider_app
from app.development.provider.server import ProviderOptions
from app.gateway.person_keys import PersonKeys
from app.login import oidc
from app.login.claims import ClaimNames
from app.login.guards import LoggedIn
from app.login.options import LoginOptions
from app.login.routes import Login, exception_handlers, login_routes
from app.web.problems import Refused, on_failure, on_http_exception, on_refused
from models.documents import Document
from models.events import DocumentType
from models.policy import ZONE
from support.asgi import transport_to
from support.tokens import IDENTITY_PROVIDER_TOKEN

Json = dict[str, Any]

ISSUER = "https://id.example"
VIEW = "https://code.example"
CLIENT, CLIENT_SECRET = "yuekang", "s3cret+/=& of theirs"
SESSION_KEY = bytes(range(5, 37))
CARD = "11010519491231002X"
PERMIT = "H12345678"
SECRET = bytes(range(32))


class Clock:
    """The time of a test, which may be moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(ZONE) + self.ahead


def person_of(number: str) -> str:
    """The key that the gateway gives for a number."""
    kind = (
        DocumentType.MAINLAND_TRAVEL_PERMIT
        if number[0] in "HM"
        else DocumentType.RESIDENT_IDENTITY_CARD
    )
    return PersonKeys(SECRET, 1).key(Document(kind, number))


KEY = RSAKey.generate_key(2048, {"alg": "RS256", "use": "sig", "kid": "one"})
"""Every provider's, unless a test gives it another: to make one takes 0.1 s of CPU time."""


class Provider:
    """A provider as a transport: right in all, unless a test changes what it is or does.

    `claims` go into the id_token, `more` into userinfo, `unreadable` among its keys; `answers`
    replace whole answers by path.
    """

    signed_type = "application/jwt"

    def __init__(self) -> None:
        self.key = KEY
        self.published = [self.key]
        self.unreadable: list[Any] = []
        self.signs_userinfo = False
        self.header: Json = {"alg": "RS256", "kid": "one"}
        self.claims: Json = {}
        self.more: Json = {"document_number": CARD, "name": "陈小明"}
        self.metadata: Json = {}
        self.answers: dict[str, Callable[[httpx.Request], httpx.Response]] = {}
        self.asked: list[str] = []
        self.token_requests: list[dict[str, str]] = []
        self.sign: Callable[[Json], str] = self._sign
        self._nonces: dict[str, str] = {}

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def authorize(self, address: str) -> dict[str, str]:
        """What the browser brings back, as if the person had said yes."""
        query = dict(parse_qsl(urlsplit(address).query))
        code = f"code-{len(self._nonces)}"
        self._nonces[code] = query["nonce"]
        return {"code": code, "state": query["state"]}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path](request)
        match path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self._metadata())
            case "/jwks":
                keys = KeySet([*self.published]).as_dict()["keys"]
                return httpx.Response(200, json={"keys": [*self.unreadable, *keys]})
            case "/token":
                return self._token(request)
            case "/userinfo":
                assert request.headers["authorization"] == "Bearer access"
                return self._userinfo()
        return httpx.Response(404)

    def _userinfo(self) -> httpx.Response:
        said = {"sub": "someone", **self.more}
        if not self.signs_userinfo:
            return httpx.Response(200, json=said)
        whole = {"iss": ISSUER, "aud": CLIENT, **said}
        token = self.sign({name: value for name, value in whole.items() if value is not None})
        return httpx.Response(200, headers={"content-type": self.signed_type}, text=token)

    def _metadata(self) -> Json:
        whole = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "end_session_endpoint": f"{ISSUER}/end?kind=rp",
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: value[0] for name, value in parse_qs(request.content.decode()).items()}
        self.token_requests.append(form)
        nonce = self._nonces.pop(form["code"], None)
        if nonce is None:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "someone",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.claims,
        }
        claims = {
            name: value() if callable(value) else value
            for name, value in claims.items()
            if value is not None
        }
        token = {"access_token": "access", "token_type": "Bearer", "expires_in": 60}
        return httpx.Response(200, json={**token, "id_token": self.sign(claims)})

    def _sign(self, claims: Json) -> str:
        return jwt.encode(self.header, claims, self.key, [self.header["alg"]])

    def sign_with_its_public_key(self, claims: Json) -> str:
        """As if the public key were a secret that both have (algorithm confusion)."""
        secret = OctKey.import_key(self.key.as_pem(private=False))
        return jwt.encode({"alg": "HS256", "kid": "one"}, claims, secret)


def unsigned(claims: Json) -> str:
    """A token that says it needs no signature."""
    return jwt.encode({"alg": "none"}, claims, OctKey.generate_key(256), ["none"])


class Gateway:
    """The gateway's two doors as a transport. `fails` are statuses to answer first, 0 for none."""

    def __init__(self) -> None:
        self.fails: list[int] = []
        self.events: list[Json] = []
        self.tokens: set[str] = set()
        self.asked = 0

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.tokens.add(request.headers["authorization"])
        status = self.fails.pop(0) if self.fails else 200
        if status == 0:
            raise httpx.ConnectError("nobody there", request=request)
        if status == 207:
            return httpx.Response(207, json={"results": [{"code": "document"}]})
        if status != 200:
            return httpx.Response(status, json={"detail": "no"})
        body = json.loads(request.content)
        if request.url.path == "/v1/person-keys":
            [document] = body["documents"]
            return httpx.Response(
                200, json={"results": [{"person": person_of(document["number"])}]}
            )
        self.events.append(body)
        return httpx.Response(202, json={})


PEOPLE = [
    ProviderPerson(
        number=CARD,
        name="陈小明",
        city="440300",
        id="red",
        what=What("红码", "A red code"),
    ),
    ProviderPerson(
        number=PERMIT, name="CHAN Tai Man", birthdate="2010-06-15", what=What("未成年", "A minor")
    ),
    ProviderPerson(number="810000199408230021", name="李四"),
]
DEVELOPMENT = "http://127.0.0.1:8082"


class Development(httpx.AsyncBaseTransport):
    """The development provider in this process, which may be away."""

    def __init__(self, people: Path, secret: str = CLIENT_SECRET) -> None:
        self.up = True
        options = ProviderOptions(
            issuer=DEVELOPMENT, view_url=VIEW, client_id=CLIENT, client_secret=secret
        )
        self._app = transport_to(provider_app(options, people))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("nobody there", request=request)
        return await self._app.handle_async_request(request)


def development(secret: str = CLIENT_SECRET) -> oidc.Provider:
    """What the development provider is to the view."""
    return oidc.Provider(issuer=DEVELOPMENT, client_id=CLIENT, client_secret=secret)


class Site:
    """The login in front of a provider, and a browser; the login is in this process.

    `/code` and `/v1/me/name` stand for the pages and the API of a person. Who is known to
    `has_code` is published no more.
    """

    def __init__(
        self,
        redis: Redis,
        provider: oidc.Provider,
        to_provider: httpx.AsyncBaseTransport | None = None,
        known: bool = False,
        claim_names: ClaimNames | None = None,
    ) -> None:
        self.clock = Clock()
        self.gateway = Gateway()
        self._to_provider = to_provider
        self._browsers = 0

        async def has_code(_: str) -> bool:
            return known

        self.login = Login(
            LoginOptions(
                view_url=VIEW,
                gateway_url="https://gateway.example",
                session_key=SESSION_KEY,
                gateway_token=IDENTITY_PROVIDER_TOKEN,
                provider=provider,
                provider_name="gd",
                claim_names=claim_names or ClaimNames(),
            ),
            redis,
            redis,
            has_code,
            self.clock,
            to_provider=to_provider,
            to_gateway=self.gateway.transport(),
        )

        @get("/code", media_type="text/html")
        async def code(session: LoggedIn) -> str:
            return f"code of {session.person}, {session.name}"

        @get("/v1/me/name")
        async def name(session: LoggedIn) -> dict[str, str]:
            return {"person": session.person}

        @post("/me/declarations", media_type="text/html", status_code=200)
        async def declare(session: LoggedIn) -> str:
            return "declared"

        pages = self.login.guard.protect(code, name, declare)
        app = Litestar(
            [*login_routes(self.login), pages],
            exception_handlers={
                **exception_handlers(self.login),
                Refused: on_refused,
                HTTPException: on_http_exception,
                Exception: on_failure,
            },
            openapi_config=None,
        )
        self._view = transport_to(app)

    def browser(self) -> "Browser":
        """A browser with no cookies yet."""
        return Browser(self, self._view, self._to_provider)

    async def opened(self) -> None:
        """The first browser is opened: as when a view starts."""
        self._browsers += 1
        if self._browsers == 1:
            await self.login.start()

    async def closed(self) -> None:
        """The last browser is closed: as when a view ends."""
        self._browsers -= 1
        if self._browsers == 0:
            await self.login.ended.stop()


class Browser(httpx.AsyncClient):
    """Follows redirects, keeps cookies, and says where its requests come from."""

    def __init__(
        self,
        site: Site,
        view: httpx.AsyncBaseTransport,
        provider: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._site = site
        mounts = {f"all://{urlsplit(VIEW).hostname}": view}
        super().__init__(
            base_url=VIEW,
            mounts={**mounts, "all://127.0.0.1": provider} if provider else mounts,
            follow_redirects=True,
            headers={"accept": "text/html", "sec-fetch-site": "same-origin"},
            timeout=60.0,
            event_hooks={"response": [self._trust_loopback]},
        )

    async def __aenter__(self) -> Self:
        await self._site.opened()
        return await super().__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        await super().__aexit__(*raised)
        await self._site.closed()

    async def _trust_loopback(self, _: httpx.Response) -> None:
        """As browsers do, and Python does not: a loopback address is as good as TLS."""
        for cookie in self.cookies.jar:
            cookie.secure = cookie.secure and cookie.domain != "127.0.0.1"

    async def log_in(self, who: str = "red", path: str = "/login") -> httpx.Response:
        """Log in as one of `PEOPLE`; return where that leads."""
        asked = await self.get(path)
        assert str(asked.url).startswith(f"{DEVELOPMENT}/authorize?"), asked.text
        return await self.post(asked.url, data={"who": who})
