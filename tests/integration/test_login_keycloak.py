"""Keycloak, which nobody here wrote: as the provider of logins, and as the authorization server of
sources, each found by its metadata."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.gateway.routes import GatewayOptions, create_gateway
from app.login import oidc
from app.login.claims import ClaimNames
from app.login.sessions import COOKIE
from app.web.tokens import InvalidToken, Role, Tokens, Trust
from support.asgi import transport_to
from support.brokers import NO_BROKERS
from support.gateways import NO_REDIS
from support.keycloak import PASSWORD, Keycloak, audience, claim, form_of, realm, service
from support.logins import CARD, CLIENT, CLIENT_SECRET, PERMIT, VIEW, Browser, Site, person_of
from support.macs import KEYS
from support.tokens import OTHER_TOKENS, TOKENS, TRUST

USERS: list[dict[str, Any]] = [
    {
        "username": "chen",
        "firstName": "Xiaoming",
        "lastName": "Chen",
        "email": "chen@example.invalid",
        "attributes": {"document_number": [CARD], "legal_name": ["陈小明"]},
    },
    {
        "username": "chan",
        "firstName": "Tai Man",
        "lastName": "Chan",
        "email": "chan@example.invalid",
        "attributes": {
            "document_number": [PERMIT],
            "legal_name": ["CHAN Tai Man"],
            "birthdate": ["2010-06-15"],
        },
    },
    {
        "username": "nobody",
        "firstName": "No",
        "lastName": "Document",
        "email": "nobody@example.invalid",
    },
]
NAMES = ClaimNames(name="legal_name")
ROLES = claim("roles", '["read", "explain"]', "JSON")
LABORATORY = claim("source", "/laboratories/440100-001")
SERVICES = [
    service("laboratory", LABORATORY, audience("yuekang")),
    service("li", claim("source", "/operators/li"), ROLES, audience("yuekang")),
    service("nobody", audience("yuekang")),
    service("elsewhere", LABORATORY, audience("another")),
    service("no-audience", LABORATORY),
    service("plain-jwt", LABORATORY, audience("yuekang"), header="false"),
]


@pytest.fixture(scope="module", params=[CLIENT_SECRET, ""], ids=["confidential", "public"])
def secret(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    clients: list[dict[str, Any]] = [
        {"clientId": CLIENT, "secret": CLIENT_SECRET, "publicClient": False},
        {"clientId": f"{CLIENT}-public", "publicClient": True},
        *SERVICES,
    ]
    server = Keycloak(tmp_path_factory.mktemp("keycloak"), realm(VIEW, clients, USERS))
    with server.running():
        yield server


@pytest.fixture
async def site(keycloak: Keycloak, redis_url: str, secret: str) -> AsyncIterator[Site]:
    provider = oidc.Provider(
        issuer=keycloak.issuer,
        client_id=CLIENT if secret else f"{CLIENT}-public",
        client_secret=secret,
    )
    async with Redis.from_url(redis_url.replace("/0", "/3")) as redis:
        site = Site(redis, provider, claim_names=NAMES)
        yield site
        await site.login.close()


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[Browser]:
    async with site.browser() as browser:
        yield browser


async def log_in(browser: Browser, name: str, password: str = PASSWORD) -> httpx.Response:
    page = await browser.get("/login")
    assert "kc-form-login" in page.text, page.text
    address, hidden = form_of(page)
    return await browser.post(address, data={**hidden, "username": name, "password": password})


@pytest.mark.parametrize(
    ("name", "number", "shown", "adult"),
    [("chen", CARD, "陈*明", True), ("chan", PERMIT, "C*** T** M**", False)],
)
async def test_both_documents_log_in(
    site: Site, browser: Browser, name: str, number: str, shown: str, adult: bool
) -> None:
    page = await log_in(browser, name)
    assert page.text == f"code of {person_of(number)}, {shown}"
    [event] = site.gateway.events
    assert event["data"]["document"]["number"] == number
    assert (await browser.get("/v1/session")).json()["adult"] is adult


async def test_a_wrong_password_is_not_logged_in(site: Site, browser: Browser) -> None:
    page = await log_in(browser, "chen", "wrong")
    assert "kc-form-login" in page.text
    assert COOKIE not in browser.cookies
    assert site.gateway.asked == 0


async def test_who_has_no_document_is_told(site: Site, browser: Browser) -> None:
    page = await log_in(browser, "nobody")
    assert (page.url.path, page.status_code) == ("/login/failed/document", 422)
    assert site.gateway.asked == 0


async def test_a_code_is_good_once(site: Site, browser: Browser) -> None:
    page = await log_in(browser, "chen")
    [callback] = [answer.url for answer in page.history if answer.url.path == "/login/callback"]
    async with site.browser() as thief:
        again = await thief.get(str(callback))
        assert again.url.path == "/login/failed/expired"


async def test_a_key_that_came_after_the_first_login_is_found(
    site: Site, browser: Browser, keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log_in(browser, "chen")
    keycloak.admin(
        "POST",
        "/admin/realms/gd/components",
        {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["1000"], "enabled": ["true"], "active": ["true"]},
        },
    )
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    async with site.browser() as other:
        assert (await log_in(other, "chan")).url.path == "/code"


async def test_logging_out_there_too(site: Site, browser: Browser) -> None:
    await log_in(browser, "chen")
    again = await browser.get("/login")
    assert again.url.path == "/code", "Keycloak still knows who it is"
    await browser.post("/logout")
    address = await site.login.provider_logout()
    assert address is not None
    asked = await browser.get(address)
    action, hidden = form_of(asked)
    back = await browser.post(
        str(asked.url.join(action)), data={**hidden, "confirmLogout": "Logout"}
    )
    assert str(back.url) == f"{VIEW}/logged-out"
    assert "kc-form-login" in (await browser.get("/login")).text


def test_a_realm_without_pkce_for_us_would_be_noticed(keycloak: Keycloak) -> None:
    """The realm demands S256; who asks without it is sent back with an error."""
    query = {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": f"{VIEW}/login/callback",
        "scope": "openid",
        "state": "x",
    }
    answer = httpx.get(f"{keycloak.issuer}/protocol/openid-connect/auth", params=query, timeout=60)
    assert "error=invalid_request" in answer.headers["location"]


# Access tokens


async def test_a_client_speaks_for_the_source_that_keycloak_says(keycloak: Keycloak) -> None:
    tokens = Tokens(Trust(issuer=keycloak.issuer))
    access = await tokens.access_of(keycloak.access_token("laboratory"))
    assert (access.source, access.roles) == ("/laboratories/440100-001", frozenset())
    assert access.token_id
    assert access.until - datetime.now(UTC) < timedelta(minutes=6), "Keycloak's default is 5 min"
    operator = await tokens.access_of(keycloak.access_token("li"))
    assert operator.source == "/operators/li"
    assert operator.roles == frozenset({Role.READ, Role.EXPLAIN})


@pytest.mark.parametrize(
    ("client", "why"),
    [
        ("nobody", "names no source"),
        ("elsewhere", "aud"),
        ("no-audience", "aud"),
        ("plain-jwt", "typ"),
    ],
)
async def test_what_keycloak_gives_for_another_use_is_refused(
    keycloak: Keycloak, client: str, why: str
) -> None:
    with pytest.raises(InvalidToken, match=why):
        await Tokens(Trust(issuer=keycloak.issuer)).access_of(keycloak.access_token(client))


async def test_the_gateway_takes_keycloaks_tokens_and_our_own(keycloak: Keycloak) -> None:
    options = GatewayOptions(
        brokers=NO_BROKERS,
        rows_redis_url=NO_REDIS,
        person_key_secret=bytes(32),
        person_key_version=1,
        trust=Trust(issuer=keycloak.issuer, keys=TRUST.keys),
        mac_keys=KEYS,
    )
    transport = transport_to(create_gateway(options))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        for token, status in (
            (keycloak.access_token("laboratory"), 503),
            (TOKENS.token_for("/laboratories/440100-001"), 503),
            (keycloak.access_token("elsewhere"), 401),
            (OTHER_TOKENS.token_for("/laboratories/440100-001"), 401),
        ):
            headers = {"authorization": f"Bearer {token}"}
            answer = await http.get("/v1/sources/me/refusals", headers=headers)
            assert answer.status_code == status, answer.text
