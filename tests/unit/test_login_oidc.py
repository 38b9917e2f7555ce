"""The relying party against a provider that does wrong: what it believes, and what it does not."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from app.login import oidc
from app.login.failures import Failed
from app.login.oidc import LOGIN, LoginState, RelyingParty
from app.web.transport import ANSWER_BYTES_MAX
from support.logins import (
    CARD,
    CLIENT,
    CLIENT_SECRET,
    ISSUER,
    VIEW,
    Clock,
    Json,
    Provider,
    unsigned,
)

CALLBACK = f"{VIEW}/login/callback"
WANTED = frozenset({"document_number", "name"})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def party(provider: Provider, clock: Clock) -> RelyingParty:
    return party_of(provider, clock)


def party_of(provider: Provider, clock: Clock, secret: str = CLIENT_SECRET) -> RelyingParty:
    of = oidc.Provider(issuer=ISSUER, client_id=CLIENT, client_secret=secret)
    return RelyingParty(of, CALLBACK, clock, provider.transport())


async def login(party: RelyingParty, provider: Provider, **answer: str) -> Json:
    """Log in; `answer` replaces parts of what the browser brings back."""
    address, state = await party.begin("/code", "zh-Hans-CN")
    return await party.finish(state, {**provider.authorize(address), **answer}, WANTED)


async def fails(party: RelyingParty, provider: Provider, **answer: str) -> str:
    with pytest.raises(Failed) as caught:
        await login(party, provider, **answer)
    assert CARD not in str(caught.value)
    return caught.value.why


# As it should be


async def test_claims_of_the_id_token_and_of_userinfo_are_one(
    party: RelyingParty, provider: Provider
) -> None:
    provider.claims = {"name": "陈小明", "city": "440300"}
    provider.more = {"document_number": CARD, "name": "someone else"}
    claims = await login(party, provider)
    assert claims["document_number"] == CARD
    assert (claims["name"], claims["city"]) == ("陈小明", "440300"), "what is signed comes first"


async def test_userinfo_is_not_asked_for_what_is_known(
    party: RelyingParty, provider: Provider
) -> None:
    provider.claims = {"name": "陈小明", "document_number": CARD}
    await login(party, provider)
    assert "/userinfo" not in provider.asked


async def test_the_request_has_state_nonce_and_pkce(
    party: RelyingParty, provider: Provider
) -> None:
    address, state = await party.begin("/code", "zh-Hans-CN", hint="red")
    assert address.startswith(f"{ISSUER}/authorize?")
    query = dict(parse_qsl(urlsplit(address).query))
    digest = hashlib.sha256(state.verifier.encode()).digest()
    assert query == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": CALLBACK,
        "scope": "openid profile",
        "state": state.state,
        "nonce": state.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "ui_locales": "zh-Hans-CN",
        "login_hint": "red",
    }
    assert len({state.state, state.nonce, state.verifier}) == 3
    assert all(len(secret) >= 43 for secret in (state.state, state.nonce, state.verifier))


async def test_two_logins_share_no_secret(party: RelyingParty) -> None:
    (_, one), (_, other) = await party.begin("/", "en"), await party.begin("/", "en")
    assert not {one.state, one.nonce, one.verifier} & {other.state, other.nonce, other.verifier}


@pytest.mark.parametrize(
    ("secret", "methods", "basic", "in_body"),
    [
        (CLIENT_SECRET, None, True, False),
        (CLIENT_SECRET, ["client_secret_post"], False, True),
        (CLIENT_SECRET, ["client_secret_post", "client_secret_basic"], True, False),
        ("", None, False, False),
    ],
)
async def test_the_client_shows_its_secret_as_the_provider_wants_it(
    clock: Clock, secret: str, methods: list[str] | None, basic: bool, in_body: bool
) -> None:
    provider = Provider()
    provider.metadata = {"token_endpoint_auth_methods_supported": methods}
    shown: list[str] = []

    def token(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers.get("authorization", ""))
        return provider._token(request)

    provider.answers["/token"] = token
    await login(party_of(provider, clock, secret), provider)
    [form] = provider.token_requests
    assert shown[0].startswith("Basic ") is basic
    if basic:
        name, _, encoded = base64.b64decode(shown[0].removeprefix("Basic ")).decode().partition(":")
        assert (name, unquote_plus(encoded)) == (CLIENT, secret)
        assert encoded != secret, "encoded, as RFC 6749 has it"
    assert (form.get("client_secret") == secret) is in_body
    assert "code_verifier" in form, "PKCE goes with each"
    if not secret:
        assert form["client_id"] == CLIENT


# An answer to another question


async def test_a_wrong_state_is_refused_before_the_provider_is_asked(
    party: RelyingParty, provider: Provider
) -> None:
    for state in ("", "x", "é"):
        assert await fails(party, provider, state=state) == "expired"
    assert "/token" not in provider.asked


async def test_an_answer_to_another_browsers_login_is_refused(
    party: RelyingParty, provider: Provider
) -> None:
    """Login CSRF: the attacker's own answer, in the victim's browser."""
    attackers, _ = await party.begin("/", "en")
    _, victims = await party.begin("/", "en")
    with pytest.raises(Failed) as caught:
        await party.finish(victims, provider.authorize(attackers), WANTED)
    assert caught.value.why == "expired"


async def test_a_code_of_another_login_is_refused_by_its_nonce(
    party: RelyingParty, provider: Provider
) -> None:
    """As above, with the victim's state: a stolen code, injected into another's login."""
    attackers, _ = await party.begin("/", "en")
    assert await fails(party, provider, code=provider.authorize(attackers)["code"]) == "provider"


async def test_a_code_is_good_once(party: RelyingParty, provider: Provider) -> None:
    address, state = await party.begin("/", "en")
    answer = provider.authorize(address)
    await party.finish(state, answer, WANTED)
    with pytest.raises(Failed) as caught:
        await party.finish(state, answer, WANTED)
    assert caught.value.why == "expired"


@pytest.mark.parametrize("ahead", [LOGIN + timedelta(seconds=1), timedelta(minutes=-5)])
async def test_a_login_that_took_too_long_is_refused(
    party: RelyingParty, provider: Provider, clock: Clock, ahead: timedelta
) -> None:
    address, state = await party.begin("/", "en")
    clock.ahead = ahead
    with pytest.raises(Failed) as caught:
        await party.finish(state, provider.authorize(address), WANTED)
    assert caught.value.why == "expired"


@pytest.mark.parametrize("iss", ["https://evil.example", ISSUER + "/", ""])
async def test_an_answer_of_another_issuer_is_refused(
    party: RelyingParty, provider: Provider, iss: str
) -> None:
    assert await fails(party, provider, iss=iss) == "provider"
    assert "/token" not in provider.asked, "the code would go to the wrong one (mix-up)"


async def test_an_answer_without_issuer_is_refused_where_there_is_to_be_one(
    party: RelyingParty, provider: Provider
) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    assert await fails(party, provider) == "provider"
    await login(party, provider, iss=ISSUER)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("access_denied", "denied"),
        ("login_required", "denied"),
        ("temporarily_unavailable", "provider-away"),
        ("server_error", "provider-away"),
        ("invalid_scope", "provider"),
        ("<script>alert(1)</script>", "provider"),
    ],
)
async def test_an_error_of_the_provider_is_told(
    party: RelyingParty, provider: Provider, error: str, why: str
) -> None:
    _, state = await party.begin("/", "en")
    answer = {"state": state.state, "error": error, "error_description": "<b>" + CARD}
    with pytest.raises(Failed) as caught:
        await party.finish(state, answer, WANTED)
    assert caught.value.why == why
    assert "<" not in str(caught.value)
    assert CARD not in str(caught.value)


async def test_an_answer_without_a_code_is_refused(party: RelyingParty, provider: Provider) -> None:
    assert await fails(party, provider, code="") == "provider"


# An id_token that is not to be believed


class InSeconds:
    """An instant counted from when the token is made."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def __call__(self) -> int:
        return int(time.time()) + self._seconds

    def __str__(self) -> str:
        return f"in {self._seconds} s"

    __repr__ = __str__


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": []},
        {"aud": None},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"exp": InSeconds(-120)},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": InSeconds(3_600)},
        {"iat": None},
        {"nbf": InSeconds(3_600)},
        {"sub": None},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=str,
)
async def test_claims_that_are_not_for_this_login_are_refused(
    party: RelyingParty, provider: Provider, claims: Json
) -> None:
    provider.claims = claims
    assert await fails(party, provider) == "provider"
    assert "/userinfo" not in provider.asked


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "another"], "azp": CLIENT},
        {"exp": InSeconds(86_400)},
        {"exp": InSeconds(-10), "iat": InSeconds(-300)},
    ],
    ids=str,
)
async def test_claims_in_other_forms_are_believed(
    party: RelyingParty, provider: Provider, claims: Json
) -> None:
    provider.claims = claims
    assert (await login(party, provider))["sub"] == "someone"


def of_another_key(claims: Json) -> str:
    forger = Provider()
    forger.key = RSAKey.generate_key(2048, {"kid": "one"})
    return forger.sign(claims)


def with_changed_claims(provider: Provider) -> Callable[[Json], str]:
    def sign(claims: Json) -> str:
        head, _, signature = provider._sign(claims).split(".")
        body = json.dumps({**claims, "sub": "other"}).encode()
        return f"{head}.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.{signature}"

    return sign


async def test_a_signature_of_another_is_refused(party: RelyingParty, provider: Provider) -> None:
    for sign in (
        of_another_key,
        unsigned,
        provider.sign_with_its_public_key,
        with_changed_claims(provider),
        lambda claims: provider._sign(claims).rpartition(".")[0] + ".",
        lambda claims: "x.y.z",
        lambda claims: "garbage",
        lambda claims: "",
    ):
        provider.sign = sign
        assert await fails(party, provider) == "provider"


@pytest.mark.parametrize("listed", [["none"], ["HS256"], ["RS256", "none", "HS256"], ["ES256"]])
async def test_the_provider_cannot_talk_us_into_a_weak_signature(
    party: RelyingParty, provider: Provider, listed: list[str]
) -> None:
    provider.metadata = {"id_token_signing_alg_values_supported": listed}
    for sign in (unsigned, provider.sign_with_its_public_key):
        provider.sign = sign
        assert await fails(party, provider) == "provider"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "RS512"])
async def test_a_signature_of_a_kind_that_the_provider_lists_is_believed(
    clock: Clock, alg: str
) -> None:
    provider = Provider()
    provider.key = RSAKey.generate_key(2048, {"kid": "one"})
    provider.published = [provider.key]
    provider.header["alg"] = alg
    provider.metadata = {"id_token_signing_alg_values_supported": ["RS256", alg]}
    provider.claims = {"name": "陈小明", "document_number": CARD}
    claims = await login(party_of(provider, clock), provider)
    assert (claims["sub"], claims["name"]) == ("someone", "陈小明")
    assert claims["document_number"] == CARD


async def test_a_new_key_is_looked_for_once_in_a_while(
    party: RelyingParty, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await login(party, provider)
    provider.key = RSAKey.generate_key(2048, {"kid": "two"})
    provider.published = [provider.key]
    provider.header["kid"] = "two"
    # Just now looked: a forger with made-up names of keys makes no work for the provider.
    assert await fails(party, provider) == "provider"
    assert provider.asked.count("/jwks") == 1
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    await login(party, provider)
    assert provider.asked.count("/jwks") == 2


SM2 = {"kty": "EC", "crv": "SM2", "x": "AA", "y": "AA", "kid": "sm2"}


@pytest.mark.parametrize(
    "key",
    [
        SM2,
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "RSA", "e": "AQAB"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "n": 5, "e": "AQAB", "kid": 7},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "x5c": "no list", "kid": "one"},
        {"kty": ["RSA"]},
        {"kty": 7},
        {"kty": "EC"},
        {},
        [],
        None,
        "key",
    ],
    ids=str,
)
async def test_a_key_that_cannot_be_read_is_passed_over(
    party: RelyingParty, provider: Provider, key: Any
) -> None:
    provider.unreadable = [key]
    assert (await login(party, provider))["sub"] == "someone"


async def test_a_member_of_a_key_that_is_null_says_nothing(
    party: RelyingParty, provider: Provider
) -> None:
    own = provider.key.as_dict(private=False)
    provider.published = []
    provider.unreadable = [{**own, "x5c": None, "x5t": None, "key_ops": None}]
    assert (await login(party, provider))["sub"] == "someone"


async def test_without_a_key_that_can_be_read_nobody_logs_in(
    party: RelyingParty, provider: Provider
) -> None:
    provider.published, provider.unreadable = [], [SM2]
    assert await fails(party, provider) == "provider"
    provider.published = [provider.key]
    assert (await login(party, provider))["sub"] == "someone", "and it is looked for again"


@pytest.mark.parametrize("spelt", ["application/jwt", "Application/JWT; charset=UTF-8"])
async def test_userinfo_may_be_signed(party: RelyingParty, provider: Provider, spelt: str) -> None:
    provider.signs_userinfo, provider.signed_type = True, spelt
    claims = await login(party, provider)
    assert (claims["document_number"], claims["name"]) == (CARD, "陈小明")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": "other"},
        {"sub": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": None},
        {"exp": 1},
        {"nbf": 9_999_999_999},
    ],
    ids=str,
)
async def test_signed_userinfo_for_another_is_refused(
    party: RelyingParty, provider: Provider, wrong: Json
) -> None:
    provider.signs_userinfo = True
    provider.more |= wrong
    assert await fails(party, provider) == "provider"
    assert "/userinfo" in provider.asked


@pytest.mark.parametrize(
    "sign",
    [
        lambda _: of_another_key,
        lambda _: unsigned,
        lambda provider: provider.sign_with_its_public_key,
        with_changed_claims,
        lambda _: lambda claims: "x.y.z",
        lambda _: lambda claims: "",
        lambda _: json.dumps,
    ],
)
async def test_userinfo_that_another_signed_is_refused(
    party: RelyingParty, provider: Provider, sign: Callable[[Provider], Callable[[Json], str]]
) -> None:
    provider.signs_userinfo = True
    wrong, right = sign(provider), provider.sign
    provider.sign = lambda claims: wrong(claims) if "name" in claims else right(claims)
    assert await fails(party, provider) == "provider"
    assert provider.asked[-1] == "/userinfo"


async def test_a_signature_of_userinfo_is_of_a_kind_that_the_provider_lists(
    party: RelyingParty, provider: Provider
) -> None:
    provider.signs_userinfo = True
    provider.metadata = {"userinfo_signing_alg_values_supported": ["ES256", "none", "HS256"]}
    assert await fails(party, provider) == "provider"


async def test_userinfo_of_another_subject_is_refused(
    party: RelyingParty, provider: Provider
) -> None:
    provider.more["sub"] = "other"
    assert await fails(party, provider) == "provider"


# A provider that is away, or answers with anything


async def test_the_discovery_document_is_kept_for_a_while(
    party: RelyingParty, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await party.begin("/", "en")
    assert provider.asked == ["/.well-known/openid-configuration"]
    monkeypatch.setattr(oidc, "METADATA_SECONDS", -1.0)
    await party.begin("/", "en")
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": ISSUER + "/"},
        {"issuer": None},
        {"token_endpoint": "http://id.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"end_session_endpoint": "//evil.example"},
        {"code_challenge_methods_supported": ["plain"]},
        {"id_token_signing_alg_values_supported": "RS256"},
    ],
    ids=str,
)
async def test_a_discovery_document_that_cannot_be_right_is_refused(
    party: RelyingParty, provider: Provider, metadata: Json
) -> None:
    provider.metadata = metadata
    with pytest.raises(Failed) as caught:
        await party.begin("/", "en")
    assert caught.value.why == "provider"


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"]
)
@pytest.mark.parametrize(
    ("content", "status", "why"),
    [
        (b"", 200, "provider"),
        (b"<html>", 200, "provider"),
        (b"[]", 200, "provider"),
        (b"null", 200, "provider"),
        (b"{}", 200, "provider"),
        (b"\xff\xfe", 200, "provider"),
        (b'{"keys": [1]}', 200, "provider"),
        (b"[" * 10_000, 200, "provider"),
        (b"x" * (ANSWER_BYTES_MAX + 1), 200, "provider-away"),
        (b"", 302, "provider"),
        (b"", 404, "provider"),
        (b'{"error": "invalid_client"}', 401, "provider"),
        (b"", 500, "provider-away"),
        (b"", 503, "provider-away"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_whatever_it_answers_is_a_failure_that_is_told(
    clock: Clock, path: str, content: bytes, status: int, why: str
) -> None:
    provider = Provider()
    provider.answers[path] = lambda _: httpx.Response(status, content=content)
    assert await fails(party_of(provider, clock), provider) == why


async def test_a_packed_answer_is_not_unpacked(party: RelyingParty, provider: Provider) -> None:
    packed = httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"x")
    provider.answers["/jwks"] = lambda _: packed
    assert await fails(party, provider) == "provider-away"


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
)
async def test_a_provider_that_is_away_is_told_and_comes_back(
    party: RelyingParty, provider: Provider, error: type[httpx.TransportError]
) -> None:
    path = "/.well-known/openid-configuration"

    def away(request: httpx.Request) -> httpx.Response:
        raise error("away", request=request)

    provider.answers[path] = away
    assert await fails(party, provider) == "provider-away"
    del provider.answers[path]
    await login(party, provider)


async def test_a_provider_that_never_ends_its_answer_is_given_up(
    party: RelyingParty, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    monkeypatch.setattr(oidc, "ALL_SECONDS_MAX", 0.2)
    provider.answers["/jwks"] = lambda _: httpx.Response(200, stream=Slow())
    assert await fails(party, provider) == "provider-away"


# Logging out there


async def test_the_providers_logout_gets_no_token(party: RelyingParty) -> None:
    address = await party.logout_address(f"{VIEW}/logged-out")
    assert address is not None
    parts = urlsplit(address)
    assert address.startswith(f"{ISSUER}/end?")
    assert dict(parse_qsl(parts.query)) == {
        "kind": "rp",
        "client_id": CLIENT,
        "post_logout_redirect_uri": f"{VIEW}/logged-out",
    }


async def test_a_provider_without_a_logout_has_none(
    party: RelyingParty, provider: Provider
) -> None:
    provider.metadata = {"end_session_endpoint": None}
    assert await party.logout_address(f"{VIEW}/logged-out") is None


def test_nothing_secret_is_in_what_a_log_would_show() -> None:
    of = oidc.Provider(issuer=ISSUER, client_id=CLIENT, client_secret=CLIENT_SECRET)
    assert CLIENT_SECRET not in repr(of)


def test_a_login_state_fits_its_cookie(clock: Clock) -> None:
    from app.login.guards import PATH_LENGTH_MAX
    from app.login.seal import Seal
    from support.logins import SESSION_KEY

    state = LoginState("s" * 43, "n" * 43, "v" * 43, "/" + "x" * (PATH_LENGTH_MAX - 1), clock())
    assert len(Seal(SESSION_KEY, b"yuekang login", LoginState).close(state)) < 1_200
