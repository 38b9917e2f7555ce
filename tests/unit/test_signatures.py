"""Signed requests: what a province has to sign, and what another cannot send in its name."""

import base64
import gzip
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, get, post
from nacl.signing import SigningKey
from typer.testing import CliRunner

from app.cli import app as cli
from app.gateway.body import Bodies
from app.gateway.client import ONCE, GatewayClient
from app.gateway.signatures import RequestSigner, Signers, key_id_of, signing_keys
from app.gateway.sources import SourceGate
from app.process.settings import Settings
from app.sources.changes import change
from app.sources.register import Register
from app.web.problems import Refused, on_refused
from models.register import OfficialNames, RegisteredSource, SourceKey
from support.asgi import transport_to
from support.tokens import OPERATOR

PROVINCE, URL = "/provinces/43", "https://gateway.gd.example"
KEY, OTHER_KEY = bytes(range(40, 72)), bytes(range(41, 73))
SIGNER, OTHER = RequestSigner(KEY), RequestSigner(OTHER_KEY)
TOKEN = {"authorization": "Bearer a.b.c", "content-type": "application/json"}
BODY = b'{"some": "event"}'
KEYS = {PROVINCE: [SIGNER.public]}


def client(signers: Signers, source: str = PROVINCE) -> httpx.AsyncClient:
    """A gateway as far as signatures go: it answers with the content that it believed."""

    @post("/v1/events", status_code=202)
    async def events(request: Request[Any, Any, Any]) -> bytes:
        async with Bodies().of(request, signers.check(source, request)) as body:
            return body

    @get("/v1/refusals")
    async def refusals(request: Request[Any, Any, Any]) -> str:
        return str(signers.check(source, request))

    app = Litestar([events, refusals], exception_handlers={Refused: on_refused})
    return httpx.AsyncClient(transport=transport_to(app), base_url=URL)


async def sent(
    headers: dict[str, str], body: bytes = BODY, signers: Signers | None = None, **to: Any
) -> tuple[int, str]:
    """The status of the answer, and the code of the problem or the content."""
    async with client(signers or Signers(KEYS)) as http:
        answer = await http.post(to.get("url", f"{URL}/v1/events"), content=body, headers=headers)
    told = answer.text if answer.is_success else answer.json()["code"]
    return answer.status_code, told


def signed(body: bytes = BODY, signer: RequestSigner = SIGNER, **to: Any) -> dict[str, str]:
    method, url = to.get("method", "POST"), to.get("url", f"{URL}/v1/events")
    return signer.signed(method, url, {**TOKEN, **to.get("more", {})}, body)


async def test_a_signed_request_is_believed() -> None:
    assert await sent(signed()) == (202, BODY.decode())
    assert await sent(signed(b""), b"") == (202, "")


async def test_packed_content_is_signed_as_it_is_sent() -> None:
    packed = gzip.compress(BODY)
    more = {"content-encoding": "gzip"}
    assert await sent(signed(packed, more=more), packed) == (202, BODY.decode())
    assert await sent(signed(BODY, more=more), packed) == (400, "wrong-digest")


async def test_who_has_the_token_alone_is_refused() -> None:
    forged = {
        "not signed": TOKEN,
        "with another key": signed(signer=OTHER),
        "another method": signed(method="PUT"),
        "another address": signed(url=f"{URL}/v1/person-keys"),
        "another host": signed(url="https://gateway.hn.example/v1/events"),
        "another query": signed(url=f"{URL}/v1/events?x=1"),
        "another token": {**signed(), "authorization": "Bearer x.y.z"},
        "another digest": {**signed(), "content-digest": signed(b"x")["content-digest"]},
        "no digest": {k: v for k, v in signed().items() if k != "content-digest"},
        "the digest is not signed": SIGNER.signed("POST", f"{URL}/v1/events", TOKEN, None),
        "no input": {k: v for k, v in signed().items() if k.lower() != "signature-input"},
        "no signature": {k: v for k, v in signed().items() if k.lower() != "signature"},
        "nonsense": {**TOKEN, "signature": "x", "signature-input": "\x7f("},
    }
    for what, headers in forged.items():
        assert await sent(headers) == (401, "unsigned"), what
    assert await sent(signed(), b'{"another": "event"}') == (400, "wrong-digest")


def by_hand(created: object, covered: str = "", **more: str) -> dict[str, str]:
    """A signature made without the library, by the letters of RFC 9421 (2.5, 3.1)."""
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    fields = {
        '"@method"': "POST",
        '"@target-uri"': f"{URL}/v1/events",
        '"authorization"': TOKEN["authorization"],
        '"content-digest"': f"sha-256=:{digest}:",
    }
    names = covered or " ".join(fields)
    signing_key = SigningKey(KEY)
    key_id = key_id_of(bytes(signing_key.verify_key))
    params = {"created": f"{created}", "keyid": f'"{key_id}"', "alg": '"ed25519"', **more}
    said = f"({names})" + "".join(f";{name}={value}" for name, value in params.items() if value)
    base = "".join(f"{name}: {fields[name]}\n" for name in names.split())
    base += f'"@signature-params": {said}'
    signature = base64.b64encode(signing_key.sign(base.encode()).signature).decode()
    return {
        **TOKEN,
        "content-digest": f"sha-256=:{digest}:",
        "signature-input": f"sig={said}",
        "signature": f"sig=:{signature}:",
    }


async def test_a_signature_of_another_maker_is_believed_for_five_minutes() -> None:
    now = int(time.time())
    for created, status in ((now, 202), (now - 290, 202), (now + 50, 202)):
        assert (await sent(by_hand(created)))[0] == status, created - now
    assert (await sent(by_hand(now, alg="")))[0] == 202, "the algorithm may be left out"
    for wrong in (now - 310, now + 70, "", "1.5"):
        assert await sent(by_hand(wrong)) == (401, "unsigned"), wrong
    for more in ({"keyid": ""}, {"keyid": '"x"'}, {"alg": '"hmac-sha256"'}, {"expires": "1"}):
        assert await sent(by_hand(now, **more)) == (401, "unsigned"), more
    for left_out in ("@method", "@target-uri", "authorization", "content-digest"):
        names = ("@method", "@target-uri", "authorization", "content-digest")
        covered = " ".join(f'"{name}"' for name in names if name != left_out)
        assert await sent(by_hand(now, covered)) == (401, "unsigned"), left_out


async def test_behind_a_proxy_the_address_is_the_one_that_was_signed() -> None:
    headers = {**signed(), "host": "gateway.gd.example"}
    assert (await sent(headers, url="http://127.0.0.1/v1/events"))[0] == 202


async def test_two_keys_of_a_source_are_taken_while_it_changes_its_own() -> None:
    both = Signers({PROVINCE: [SIGNER.public, OTHER.public]})
    for signer in (SIGNER, OTHER):
        assert (await sent(signed(signer=signer), signers=both))[0] == 202


def test_a_key_signs_in_its_time_where_the_register_names_any() -> None:
    at = datetime(2022, 4, 20, tzinfo=UTC)
    for keys, taken in (
        ((), (True, True)),
        ((SourceKey("a", at),), (True, False)),
        ((SourceKey("a", at - timedelta(2), at), SourceKey("b", at)), (False, True)),
        ((SourceKey("a", at + timedelta(1)),), (False, False)),
    ):
        register = Register()
        entry = RegisteredSource(PROVINCE, OfficialNames("湘", "Hunan"), "430000", keys=keys)
        register.take(change(entry, OPERATOR))
        gate = SourceGate(register, now=lambda: at)
        assert tuple(gate.takes_key(PROVINCE, key) for key in "ab") == taken
        assert gate.takes_key("/provinces/44", "a"), "of whom the register says nothing"


async def test_a_signature_by_a_key_that_is_not_valid_now_is_refused() -> None:
    @post("/v1/events", status_code=202)
    async def events(request: Request[Any, Any, Any]) -> bytes:
        return Signers(KEYS).check(PROVINCE, request, is_good) or b""

    def is_good(key_id: str) -> bool:
        asked.append(key_id)
        return False

    asked: list[str] = []
    app = Litestar([events], exception_handlers={Refused: on_refused})
    async with httpx.AsyncClient(transport=transport_to(app), base_url=URL) as http:
        answer = await http.post("/v1/events", content=BODY, headers=signed())
    assert (answer.status_code, answer.json()["code"]) == (401, "unsigned")
    assert "By the register of sources its key is not valid now." in answer.json()["detail"]
    assert asked == [key_id_of(SIGNER.public)]


async def test_who_has_to_sign() -> None:
    for source, keys, required, status in (
        (PROVINCE, {}, True, 401),
        (PROVINCE, {}, False, 202),
        (PROVINCE, KEYS, False, 401),
        ("/provinces/44", KEYS, True, 401),
        ("/cdc/440100", KEYS, True, 202),
        ("/cdc/440100", {"/cdc/440100": [SIGNER.public]}, False, 401),
    ):
        async with client(Signers(keys, required), source) as http:
            answer = await http.post("/v1/events", content=BODY, headers=TOKEN)
        assert answer.status_code == status, (source, required)


async def test_what_has_no_content_is_signed_without_a_digest() -> None:
    url = f"{URL}/v1/refusals?after=x"
    async with client(Signers(KEYS)) as http:
        good = await http.get(url, headers=SIGNER.signed("GET", url, TOKEN, None))
        other = await http.get(f"{url}y", headers=SIGNER.signed("GET", url, TOKEN, None))
    assert (good.status_code, other.status_code) == (200, 401)


async def test_the_client_signs_what_it_sends() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        gateway = GatewayClient(URL, ONCE, http, SIGNER)
        await gateway.post("/v1/events", BODY, "a.b.c", "application/json")
    [request] = seen
    assert await sent(dict(request.headers)) == (202, BODY.decode())


def test_the_command_makes_a_key_and_tells_the_gateway_its_other_half() -> None:
    made = CliRunner().invoke(cli, ["signing-key", PROVINCE]).stdout
    private, public = (line.partition("=")[2] for line in made.split())
    signer = RequestSigner(bytes.fromhex(private))
    assert signing_keys(public) == {PROVINCE: [signer.public]}
    environ = {"YUEKANG_SIGNING_KEYS": f"{public},{public}"}
    settings = Settings.from_environment(environ=environ)
    assert signing_keys(settings.signing_keys) == {PROVINCE: [signer.public] * 2}
    assert CliRunner().invoke(cli, ["signing-key", "hunan"]).exit_code == 2


@pytest.mark.parametrize("text", ["x", "/provinces/43", "/provinces/43=ab", "=" + "0f" * 32])
def test_keys_that_cannot_be_read_are_told(text: str) -> None:
    with pytest.raises(Exception, match="source=public key"):
        Settings.from_environment(environ={"YUEKANG_SIGNING_KEYS": text})
