"""Access tokens: which are believed, for how long, and which command makes them."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from nacl.signing import SigningKey
from typer.testing import CliRunner

from app.cli import app as cli
from app.development.secrets import KEYS_OF
from app.process.settings import Settings, SettingsError
from app.web import authorization
from app.web.issuing import TOKEN_LIFE, TokenIssuer, told_by
from app.web.tokens import (
    LEEWAY,
    LIFE_MAX,
    TOKEN_LENGTH_MAX,
    InvalidToken,
    Role,
    Tokens,
    Trust,
    public_key,
    trust_of,
)
from support.tokens import OPERATOR, OTHER_TOKENS, PRIVATE_KEY, TOKENS, TRUST, operator_token

LABORATORY = "/laboratories/440100-001"
AT = datetime(2022, 3, 1, 8, tzinfo=UTC)
NOW = int(AT.timestamp())
ISSUER = "https://id.example/realms/gd"
ALL = [*JWSRegistry.algorithms]
OURS = OKPKey.import_key(
    {
        **public_key(TOKENS.public).as_dict(private=False),
        "d": base64.urlsafe_b64encode(PRIVATE_KEY).decode().rstrip("="),
    }
)
THEIRS = RSAKey.generate_key(2048, {"kid": "theirs"})
NEWER = ECKey.generate_key("P-256", {"kid": "newer"})


def at(when: datetime) -> Callable[[], datetime]:
    return lambda: when


def tokens(trust: Trust = TRUST, when: datetime = AT, **options: Any) -> Tokens:
    return Tokens(trust, now=at(when), **options)


def made(key: Any = OURS, header: Any = (), **claims: Any) -> str:
    """A token as ours are; None leaves a claim or a field of the header out."""
    whole = {
        "iss": "yuekang",
        "aud": "yuekang",
        "sub": LABORATORY,
        "client_id": LABORATORY,
        "iat": NOW,
        "exp": NOW + 600,
        "jti": "one",
        **claims,
    }
    fields = {"alg": "Ed25519", "typ": "at+jwt", "kid": key.kid, **dict(header)}
    return jwt.encode(
        {name: value for name, value in fields.items() if value is not None},
        {name: value for name, value in whole.items() if value is not None},
        key,
        registry=JWSRegistry(algorithms=ALL, strict_check_header=False),
    )


async def refused(token: str, of: Tokens | None = None) -> str:
    """Why a token is not believed."""
    with pytest.raises(InvalidToken) as caught:
        await (of or tokens()).access_of(token)
    return str(caught.value)


# Ours


async def test_a_token_speaks_for_its_source_until_its_end() -> None:
    issuer = TokenIssuer(PRIVATE_KEY, now=at(AT))
    token = issuer.token_for(LABORATORY)
    access = await tokens().access_in(f"bearer  {token}")
    assert (access.source, access.roles) == (LABORATORY, frozenset())
    assert access.until == AT + TOKEN_LIFE
    assert told_by(token) == (access.token_id, access.until)
    assert token != issuer.token_for(LABORATORY), "each has an id of its own"
    last = AT + TOKEN_LIFE + LEEWAY - timedelta(seconds=1)
    assert (await tokens(when=last).access_of(token)).source == LABORATORY
    assert "expired at 2022-05-30" in await refused(token, tokens(when=AT + TOKEN_LIFE + LEEWAY))


async def test_a_token_that_is_known_ends_all_the_same() -> None:
    clock = [AT]
    held = Tokens(TRUST, now=lambda: clock[0])
    token = TokenIssuer(PRIVATE_KEY, now=at(AT)).token_for(LABORATORY)
    await held.access_of(token)
    clock[0] = AT + TOKEN_LIFE + LEEWAY
    assert "expired" in await refused(token, held)


async def test_an_operator_has_the_roles_of_the_token() -> None:
    token = operator_token(Role.READ, Role.EXPLAIN)
    access = await Tokens(TRUST).access_of(token)
    assert (access.source, access.roles) == (
        OPERATOR,
        frozenset({Role.READ, Role.EXPLAIN}),
    )


async def test_nobody_else_has_roles_whatever_the_token_says() -> None:
    assert (await tokens().access_of(made(roles=["read", "release"]))).roles == frozenset()
    operator = made(sub="/operators/li", roles=["read", "offline_access", "Explain"])
    assert (await tokens().access_of(operator)).roles == {Role.READ}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://id.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": ["another", "third"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 10**30}, "exp"),
        ({"exp": float("inf")}, "claims"),
        ({"exp": float("nan")}, "claims"),
        ({"iat": None}, "iat"),
        ({"iat": NOW + 120, "exp": NOW + 600}, "not valid yet"),
        ({"nbf": NOW + 120}, "not valid yet"),
        ({"exp": NOW + int(LIFE_MAX.total_seconds()) + 1}, "366 days"),
        ({"iat": 0}, "366 days"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": "x" * 300}, "jti"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "laboratories"}, "no source"),
        ({"sub": "/laboratories/../cdc"}, "no source"),
        ({"sub": "/Laboratories/1"}, "no source"),
        ({"sub": "/a" * 60}, "no source"),
        ({"roles": "read"}, "roles"),
    ],
    ids=str,
)
async def test_claims_that_are_wrong_are_refused(claims: dict[str, Any], why: str) -> None:
    assert why in await refused(made(**claims))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"typ": "JWT"}, "typ"),
        ({"typ": None}, "typ"),
        ({"typ": "id+jwt"}, "typ"),
        ({"kid": None}, "names no key"),
        ({"kid": "another"}, "names no key"),
        ({"kid": ""}, "names no key"),
    ],
    ids=str,
)
async def test_headers_that_are_wrong_are_refused(header: dict[str, Any], why: str) -> None:
    assert why in await refused(made(header=header))


async def test_a_header_may_name_the_media_type_in_full() -> None:
    token = made(header={"typ": "application/AT+JWT"})
    assert (await tokens().access_of(token)).source == LABORATORY


async def test_another_key_or_algorithm_makes_no_token() -> None:
    kid = {"kid": OURS.kid}
    public = OctKey.import_key(TOKENS.public)
    forged = {
        "another key of the same name": made(OKPKey.generate_key("Ed25519"), kid),
        "HMAC with the public key": made(public, {**kid, "alg": "HS256"}),
        "RSA": made(THEIRS, {**kid, "alg": "RS256"}),
        "none": _unsigned({"alg": "none", "typ": "at+jwt", **kid}),
        "the signature of another token": made(jti="x").rpartition(".")[0]
        + "."
        + made().rpartition(".")[2],
    }
    for what, token in forged.items():
        assert "signature" in await refused(token), what


async def test_a_header_that_must_be_understood_is_not_passed_over() -> None:
    plain = {"alg": "Ed25519", "typ": "at+jwt", "kid": OURS.kid}
    claims = made().split(".")[1]

    def signed(header: dict[str, Any]) -> str:
        text = f"{_part(header)}.{claims}"
        signature = SigningKey(PRIVATE_KEY).sign(text.encode()).signature
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    assert (await tokens().access_of(signed(plain))).source == LABORATORY
    for crit in (["exp"], ["x"]):
        more = {"crit": crit, "exp": 1, "x": 1}
        assert "signature" in await refused(signed({**plain, **more})), crit


def _unsigned(header: dict[str, Any]) -> str:
    return f"{_part(header)}.{made().split('.')[1]}."


async def test_two_keys_are_trusted_while_one_is_changed() -> None:
    former, new = operator_token(), OTHER_TOKENS.token_for(OPERATOR, Role)
    for keys, good in (
        ((TOKENS.public,), {former}),
        ((TOKENS.public, OTHER_TOKENS.public), {former, new}),
        ((OTHER_TOKENS.public,), {new}),
    ):
        trusting = Tokens(Trust(keys=keys))
        for token in (former, new):
            if token in good:
                assert (await trusting.access_of(token)).source == OPERATOR
            else:
                assert "names no key" in await refused(token, trusting)


async def test_a_token_is_for_one_audience() -> None:
    token = TokenIssuer(PRIVATE_KEY, "staging").token_for(LABORATORY)
    assert "aud" in await refused(token, Tokens(TRUST))
    staging = Tokens(Trust(audience="staging", keys=TRUST.keys))
    assert (await staging.access_of(token)).source == LABORATORY


class TakenBack:
    """A register of sources, as far as tokens are concerned."""

    def __init__(self) -> None:
        self.sources: set[str] = set()
        self.token_ids: set[str] = set()

    def refused(self, source: str, token_id: str) -> str | None:
        if source in self.sources:
            return f"{source} is off."
        return "It was taken back." if token_id in self.token_ids else None


async def test_what_is_taken_back_ends_at_once_also_where_it_is_known() -> None:
    register = TakenBack()
    held = Tokens(TRUST, register)
    one, other = (TOKENS.token_for(LABORATORY) for _ in range(2))
    known = await held.access_of(one)
    await held.access_of(other)
    register.token_ids.add(known.token_id)
    assert "taken back" in await refused(one, held)
    assert (await held.access_of(other)).source == LABORATORY
    register.sources.add(LABORATORY)
    assert "is off" in await refused(other, held)
    register.sources.clear()
    assert (await held.access_of(other)).source == LABORATORY


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic x", "bearer x.y.z"])
async def test_a_header_without_a_token_says_why(header: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        await tokens().access_in(header)
    assert str(caught.value).endswith(".")


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"\A[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\Z"),
        st.dictionaries(
            st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk"]),
            st.none() | st.booleans() | st.text(max_size=9) | st.just("at+jwt") | st.just(OURS.kid),
        ).map(lambda header: f"{_part(header)}.{_part({})}.{_part(0)}"),
    )
)
async def test_no_made_up_token_is_taken(token: str) -> None:
    await refused(token)


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.integers(0, 600), st.characters())
async def test_no_token_with_one_character_changed_is_taken(place: int, other: str) -> None:
    token = made()
    place %= len(token)
    changed = token[:place] + other + token[place + 1 :]
    # The last letter of a signature has bits that nothing counts.
    if changed[:-1] != token[:-1]:
        await refused(changed)


async def test_a_text_that_is_too_long_is_refused_in_a_millisecond() -> None:
    begun = time.perf_counter()
    assert await refused("a" * 10_000_000) == "It is no JWT."
    assert await refused("." * TOKEN_LENGTH_MAX) == "It is no JWT."
    assert time.perf_counter() - begun < 0.5, "10 MB are hashed, and nothing else"


async def test_a_token_that_is_known_costs_microseconds() -> None:
    held = Tokens(TRUST)
    header = f"Bearer {TOKENS.token_for(LABORATORY)}"
    await held.access_in(header)
    begun = time.process_time()
    for _ in range(10_000):
        await held.access_in(header)
    assert (time.process_time() - begun) / 10_000 < 100e-6, "a signature costs more"


# The command


@pytest.mark.parametrize(
    "source", ["", "laboratories", "/A", "/a/", "/a.b", "/" + "a" * 96, "/a\n"]
)
def test_what_is_no_source_gets_no_token(source: str) -> None:
    with pytest.raises(ValueError, match="no source"):
        TOKENS.token_for(source)


@pytest.mark.parametrize(
    ("source", "roles", "life", "says"),
    [
        (LABORATORY, (), timedelta(days=367), "366 days"),
        (LABORATORY, (), timedelta(0), "a minute"),
        (LABORATORY, (Role.READ,), TOKEN_LIFE, "no other source"),
        (OPERATOR, (), TOKEN_LIFE, "one role or more"),
    ],
)
def test_a_token_that_nobody_may_have_is_not_made(
    source: str, roles: tuple[Role, ...], life: timedelta, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        TOKENS.token_for(source, roles, life)


def run(*arguments: str, **environment: str) -> Any:
    given = {"YUEKANG_TOKEN": "", "YUEKANG_TOKEN_PRIVATE_KEY": PRIVATE_KEY.hex()}
    return CliRunner(env={**given, **environment}).invoke(cli, [*arguments])


async def test_the_command_makes_a_token_with_an_end() -> None:
    token = run("token", LABORATORY).stdout.strip()
    access = await Tokens(TRUST).access_of(token)
    left = access.until - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)
    done = run("token", OPERATOR, "--days", "7", "--role", "read", "--role", "approve")
    access = await Tokens(TRUST).access_of(done.stdout.strip())
    assert access.roles == {Role.READ, Role.APPROVE}
    assert access.until - datetime.now(UTC) < timedelta(days=7)
    assert f"id {access.token_id}, good until" in done.stderr
    for wrong in (["--days", "367"], ["--days", "0"], ["--role", "read"]):
        assert run("token", LABORATORY, *wrong).exit_code == 2
    assert run("token", OPERATOR).exit_code == 2


def test_the_command_makes_a_key_and_tells_the_public_half() -> None:
    made = run("token-key", YUEKANG_TOKEN_PRIVATE_KEY="").stdout
    private, public = (line.split("=")[1] for line in made.split())
    assert TokenIssuer(bytes.fromhex(private)).public.hex() == public
    assert run("token-key").stdout == f"YUEKANG_TOKEN_PUBLIC_KEYS={TOKENS.public.hex()}\n"
    done = run("token", LABORATORY, YUEKANG_TOKEN_PRIVATE_KEY="0f" * 33)
    assert "Ed25519 takes 32" in str(done.exception)


def test_no_server_is_given_what_makes_a_token() -> None:
    assert [name for name, own in KEYS_OF.items() if "token_private_key" in own] == []


def test_nobody_is_trusted_by_default() -> None:
    with pytest.raises(SettingsError, match="YUEKANG_TOKEN_PUBLIC_KEYS"):
        trust_of(Settings())


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(TOKENS.public.hex() + "\n")
    named = {"YUEKANG_TOKEN_PUBLIC_KEYS_FILE": str(file)}
    assert trust_of(Settings.from_environment(environ=named)) == TRUST
    for content, says in (("\n", "empty"), ("nonsense", "must be public keys")):
        file.write_text(content)
        with pytest.raises(SettingsError, match=says):
            Settings.from_environment(environ=named)
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.from_environment(environ=named)
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_environment(environ={**named, "YUEKANG_TOKEN_PUBLIC_KEYS": "0f" * 32})


# The authorization server's


class Server:
    """An authorization server that publishes keys, or does not."""

    def __init__(self, *keys: Any) -> None:
        self.keys = keys
        self.metadata: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/certs"}
        self.asked: list[str] = []
        self.away = self.only_openid = False
        self.seconds = 0.0

    def tokens(self, **trust: Any) -> Tokens:
        transport = httpx.MockTransport(self._answer)
        held = tokens(Trust(issuer=ISSUER, **trust), transport=transport)
        assert held._server is not None
        held._server._monotonic = lambda: self.seconds
        return held

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.away:
            raise httpx.ConnectError("away")
        match request.url.path:
            case "/realms/gd/certs":
                return httpx.Response(200, json=KeySet(list(self.keys)).as_dict(private=False))
            case "/.well-known/oauth-authorization-server/realms/gd" if not self.only_openid:
                return httpx.Response(200, json=self.metadata)
            case "/realms/gd/.well-known/openid-configuration":
                return httpx.Response(200, json=self.metadata)
        return httpx.Response(404)


def theirs(key: Any = THEIRS, **claims: Any) -> str:
    alg = "RS256" if isinstance(key, RSAKey) else "ES256"
    of_client = {"iss": ISSUER, "sub": "client-7", "source": LABORATORY, "aud": ["x", "yuekang"]}
    return made(key, {"alg": alg}, **{**of_client, **claims})


async def test_a_token_of_the_server_speaks_for_the_source_in_its_claim() -> None:
    server = Server(THEIRS)
    held = server.tokens()
    assert server.asked == [], "it is asked when its first token comes"
    access = await held.access_of(theirs())
    assert (access.source, access.key_id) == (LABORATORY, "theirs")
    await held.access_of(theirs(jti="two"))
    assert len(server.asked) == 2, "metadata and keys are kept"
    renamed = Server(THEIRS).tokens(source_claim="yk")
    operator = theirs(yk="/operators/li", source=None, roles=["explain"])
    assert (await renamed.access_of(operator)).roles == {Role.EXPLAIN}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"source": None}, "names no source"),
        ({"source": ["/cdc/440100"]}, "names no source"),
        ({"source": "client-7"}, "names no source"),
        ({"iss": "yuekang"}, "iss"),
        ({"iss": f"{ISSUER}/"}, "iss"),
        ({"aud": "account"}, "aud"),
    ],
    ids=str,
)
async def test_a_token_of_the_server_that_is_not_for_us_is_refused(
    claims: dict[str, Any], why: str
) -> None:
    assert why in await refused(theirs(**claims), Server(THEIRS).tokens())


async def test_neither_can_speak_in_the_others_name() -> None:
    both = Server(THEIRS).tokens(keys=(TOKENS.public,))
    assert "iss" in await refused(made(iss=ISSUER, source="/cdc/440100"), both)
    assert "iss" in await refused(theirs(iss="yuekang", sub="/cdc/440100"), both)
    assert (await both.access_of(made())).source == LABORATORY
    assert (await both.access_of(theirs())).source == LABORATORY


async def test_a_servers_key_of_our_keys_name_makes_no_token_of_ours() -> None:
    named_as_ours = RSAKey.generate_key(2048, {"kid": str(OURS.kid)})
    server = Server(THEIRS, named_as_ours)
    assert "signature" in await refused(
        theirs(named_as_ours, iss="yuekang", sub="/cdc/440100"),
        server.tokens(keys=(TOKENS.public,)),
    )


async def test_a_new_key_is_found_and_forged_ones_cost_a_request_a_minute() -> None:
    server = Server(THEIRS)
    held = server.tokens()
    await held.access_of(theirs())
    server.keys = (THEIRS, NEWER)
    server.seconds = authorization.KEYS_AGAIN_SECONDS
    assert (await held.access_of(theirs(NEWER))).key_id == "newer"
    asked = len(server.asked)
    for n in range(50):
        assert "names no key" in await refused(
            theirs(THEIRS) and made(header={"kid": f"{n}"}), held
        )
    assert len(server.asked) == asked, "it was asked within this minute"


async def test_a_key_that_is_gone_makes_no_token_any_more() -> None:
    server = Server(THEIRS, NEWER)
    held = server.tokens()
    token = theirs()
    await held.access_of(token)
    server.keys = (NEWER,)
    server.seconds = authorization.KEYS_SECONDS + 1
    await held.access_of(theirs(NEWER, jti="three"))
    assert "names no key" in await refused(token, held)


async def test_keys_stay_while_the_server_is_away() -> None:
    server = Server(THEIRS)
    server.away = True
    held = server.tokens()
    assert "does not say its keys" in await refused(theirs(), held)
    assert len(server.asked) == 1
    server.away = False
    assert "does not say its keys" in await refused(theirs(), held), "within the minute"
    server.seconds = 61
    assert (await held.access_of(theirs())).source == LABORATORY
    server.away = True
    server.seconds = 10_000
    assert (await held.access_of(theirs(jti="later"))).source == LABORATORY


async def test_a_server_without_the_metadata_of_oauth_has_that_of_openid() -> None:
    server = Server(THEIRS)
    server.only_openid = True
    assert (await server.tokens().access_of(theirs())).source == LABORATORY


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example", "jwks_uri": f"{ISSUER}/certs"},
        {"issuer": ISSUER, "jwks_uri": "http://id.example/certs"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/nothing"},
    ],
    ids=str,
)
async def test_metadata_that_is_not_the_servers_is_not_believed(metadata: dict[str, Any]) -> None:
    server = Server(THEIRS)
    server.metadata = metadata
    assert "does not say its keys" in await refused(theirs(), server.tokens())
