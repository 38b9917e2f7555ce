"""What reads inputs from outside, and all that each may answer."""

import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
from joserfc import jws

from agents.releases import _release_in
from app.audit.checkpoints import CheckpointError, read_checkpoint
from app.audit.entries import Act, audit_entry, audit_record, entry_in
from app.credentials.cose import Forged
from app.credentials.keys import IssuerKeys
from app.credentials.proofs import read_proof
from app.gateway.signatures import RequestSigner, Signers
from app.login.duty import DUTY_COOKIE, Duty
from app.login.seal import Broken, Seal
from app.login.sessions import NoSession, Session, Sessions
from app.process.macs import MAC
from app.sources.changes import change
from app.sources.register import Register
from app.topics.authentic import NotAuthentic
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER, SOURCE_RELEASES
from app.topics.codec import Code, Refusal, decode
from app.topics.records import Record
from app.view.displays import Displays, InvalidDisplay
from app.view.proofs import Paper
from app.web.issuing import told_by
from app.web.problems import Refused
from app.web.tokens import InvalidToken, Tokens, public_key
from fuzz.faces import Gateway, View
from fuzz.inputs import EVENTS, NOW, Crash
from fuzz.mutator import TOKENS as PIECES
from fuzz.mutator import mutated, mutated_json, written
from models.events import DocumentType
from models.register import ClosedData, OfficialNames, RegisteredSource, key_of
from support.audits import SIGNER
from support.credentials import Phone, credential
from support.gateways import LABORATORY, PROVINCE, PROVINCE_KEY
from support.macs import KEYS, author_of
from support.tokens import OPERATOR, PRIVATE_KEY, TOKENS, TRUST, bearer
from support.views import (
    CREDENTIAL_KEY,
    DISPLAY_KEY,
    SESSION_KEY,
    duty_cookie,
    now,
    someone,
)

Once = Callable[[Random], Awaitable[str]]

SIGNED = RequestSigner(PROVINCE_KEY)


def targets() -> Iterator[tuple[str, float, Once]]:
    """Yield each target: its name, its share of all inputs, and what reads one."""
    yield from (
        ("codec: structured", 26, codec_structured),
        ("codec: binary", 12, codec_binary),
        ("codec: bytes", 12, codec_bytes),
        ("MAC headers", 8, mac_header),
        ("tokens: bytes", 6, _Tokens().by_bytes),
        ("tokens: claims, rightly signed", 4, _Tokens().by_claims),
        ("signed requests", 5, signature),
        ("cookies: session, duty", 6, _Cookies().once),
        ("QR: display, credential, paper", 8, _Codes().once),
        ("audit lines and checkpoints", 3, audit_line),
        ("register and releases", 4, register),
        ("gateway", 6, Gateway().once),
        ("view: bodies, forms and addresses", 3, View().once),
    )


def _event(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = random.choice(EVENTS)
    return found


def _decoded(value: bytes | None, key: bytes | None, headers: Any, topic: str) -> str:
    try:
        decode(value, key, headers, CATALOGUE.topics[topic], NOW)
    except Refusal as refusal:
        return str(Code(refusal.code))
    return "taken"


def _topic(event: dict[str, Any]) -> str:
    return CATALOGUE.topic_of(event["type"]).name


async def codec_structured(random: Random) -> str:
    event = _event(random)
    value = written(mutated_json(event, random), random)
    if random.random() < 0.2:
        value = mutated(value, random)
    return _decoded(value, event["partitionkey"].encode(), (), _topic(event))


async def codec_binary(random: Random) -> str:
    event = _event(random)
    headers = [(f"ce_{name}", str(each).encode()) for name, each in event.items() if name != "data"]
    headers.append(("content-type", b"application/json"))
    at = random.randrange(len(headers))
    name, raw = headers[at]
    match random.randrange(5):
        case 0:
            headers[at] = name, mutated(raw, random)
        case 1:
            headers[at] = name + random.choice(("", "X", "é", "_", " ")), random.choice(PIECES)
        case 2:
            headers.append((name, mutated(raw, random)))
        case 3:
            del headers[at]
        case _:
            headers[at] = name, None  # type: ignore[assignment]
    value = written(mutated_json(event["data"], random), random)
    return _decoded(value, event["partitionkey"].encode(), tuple(headers), _topic(event))


async def codec_bytes(random: Random) -> str:
    event, other = _event(random), _event(random)
    value = mutated(json.dumps(event).encode(), random, (json.dumps(other).encode(),))
    key = random.choice((event["partitionkey"].encode(), None, b"", random.choice(PIECES)))
    given = random.choice((value, value, value, None, random.randbytes(random.randrange(80))))
    return _decoded(given, key, (("content-type", random.choice(PIECES)),), _topic(event))


def _honest(random: Random) -> Record:
    event = _event(random)
    value = json.dumps(event).encode()
    topic = _topic(event)
    key = event["partitionkey"].encode()
    return KEYS.signed(Record(topic, key, value), author_of(topic, value, ()))


async def mac_header(random: Random) -> str:
    honest = _honest(random)
    raw = dict(honest.headers)[MAC]
    others = (
        b"1 /cdc/440100 ",
        b"-1 /yuekang ",
        "１ /portal ".encode(),
        b"1" * 5_000 + b" /portal ",
    )
    header = mutated(raw, random, others)
    try:
        KEYS.author(Record(honest.topic, honest.key, honest.value, ((MAC, header),)))
    except NotAuthentic:
        return "not-authentic"
    if header != raw:
        raise Crash("another MAC was taken")
    return "unchanged"


class _Tokens:
    """Reads access tokens; nothing of the register, and no server."""

    def __init__(self) -> None:
        self._tokens = Tokens(TRUST)
        self._good = TOKENS.token_for(LABORATORY)
        self._other = bearer(OPERATOR)["authorization"].encode()
        self._own = public_key(TOKENS.public)
        self._private = self._signer()

    def _signer(self) -> Any:
        members = self._own.as_dict(private=False)
        secret = base64.urlsafe_b64encode(PRIVATE_KEY).decode().rstrip("=")
        return type(self._own).import_key({**members, "d": secret})

    async def _read(self, header: str) -> str:
        try:
            await self._tokens.access_in(header)
        except InvalidToken:
            return "invalid"
        return "valid"

    async def by_bytes(self, random: Random) -> str:
        whole = f"Bearer {self._good}".encode()
        text = mutated(whole, random, (self._other,)).decode("latin-1")
        if random.random() < 0.1:
            try:
                told_by(text.removeprefix("Bearer "))
            except ValueError:
                return "no token, as a command reads it"
            return "told, as a command reads it"
        return await self._read(text)

    async def by_claims(self, random: Random) -> str:
        at = int(time.time())
        claims = {
            "iss": "yuekang",
            "aud": "yuekang",
            "sub": LABORATORY,
            "iat": at,
            "exp": at + 600,
            "jti": "j",
            "roles": ["read"],
            "nbf": at,
        }
        head: Any = {"alg": "Ed25519", "typ": "at+jwt", "kid": str(self._own.kid)}
        if random.random() < 0.2:
            return await self._read(f"Bearer {self._with_head(mutated_json(head, random), random)}")
        payload = written(mutated_json(claims, random), random)
        if random.random() < 0.2:
            payload = mutated(payload, random)
        registry = jws.JWSRegistry(algorithms=["Ed25519"])
        token = jws.serialize_compact(head, payload, self._private, registry=registry)
        return await self._read(f"Bearer {token}")

    def _with_head(self, head: Any, random: Random) -> str:
        first = base64.urlsafe_b64encode(written(head, random)).decode().rstrip("=")
        return f"{first}.{self._good.partition('.')[2]}"


_SIGNED_HEADERS = SIGNED.signed("POST", "http://127.0.0.1/v1/events", bearer(PROVINCE), b"{}")
_SIGNERS = Signers({PROVINCE: [SIGNED.public]})


async def signature(random: Random) -> str:
    """A signed request, asked about as the gateway asks."""
    headers = {name.lower(): value for name, value in _SIGNED_HEADERS.items()}
    name = random.choice(("signature", "signature-input", "content-digest", "authorization"))
    headers[name] = mutated(headers[name].encode(), random).decode("latin-1")
    if random.random() < 0.1:
        del headers[random.choice(list(headers))]
    raw = [(n.encode(), v.encode("latin-1")) for n, v in headers.items()]
    scope = {
        "headers": [*raw, (b"host", b"127.0.0.1")],
        "query_string": b"",
        "raw_path": b"/v1/events",
    }
    known = {"host": "127.0.0.1", **headers}
    request: Any = SimpleNamespace(method="POST", scope=scope, headers=known)
    try:
        _SIGNERS.check(PROVINCE, request)
    except Refused as refused:
        return refused.code
    return "signed"


class _Cookies:
    """Opens cookies: changed, and with other things in them under the right key."""

    def __init__(self) -> None:
        self._sessions = Sessions(SESSION_KEY, now)
        self._duty = Duty(SESSION_KEY, Tokens(TRUST), "http://127.0.0.1", now)
        kind = DocumentType.RESIDENT_IDENTITY_CARD
        self._session = self._sessions.cookie(
            self._sessions.begin(someone(), "样*甲", None, kind, "1234")
        ).value
        self._on_duty = duty_cookie().value
        self._seal = Seal(SESSION_KEY, b"fuzz", Session)
        self._plain = self._seal._encoder.encode(self._sessions.read(self._session))

    async def once(self, random: Random) -> str:
        match random.randrange(3):
            case 0:
                text = mutated(str(self._session).encode(), random).decode("latin-1")
                try:
                    self._sessions.read(text)
                except NoSession:
                    return "no session"
                return "session"
            case 1:
                text = mutated(str(self._on_duty).encode(), random).decode("latin-1")
                asked: Any = SimpleNamespace(cookies={DUTY_COOKIE: text})
                return "not on duty" if self._duty.officer_of(asked) is None else "on duty"
            case _:
                inner = self._seal._boxes.close(mutated(self._plain, random))
                try:
                    self._seal.open(base64.urlsafe_b64encode(inner).decode())
                except Broken:
                    return "broken within"
                return "opened"


class _Codes:
    """Reads what a QR holds: a display, a credential, a paper."""

    def __init__(self) -> None:
        self._displays = Displays(DISPLAY_KEY, now)
        self._display = self._displays.token(someone(), "样*甲", "1234").encode()
        self._keys = IssuerKeys(CREDENTIAL_KEY, ())
        self._papers = Seal(DISPLAY_KEY, b"yuekang proof", Paper)
        phone = Phone(7)
        self._proof = phone.show(credential(self._keys, phone), now()).encode()

    async def once(self, random: Random) -> str:
        others = (self._display, self._proof)
        which = random.randrange(3)
        text = mutated(others[which % 2], random, others).decode("latin-1")
        try:
            if which == 0:
                self._displays.read(text)
            elif which == 1:
                read_proof(text, self._keys)
            else:
                self._papers.open(text)
        except (InvalidDisplay, Forged, Broken) as error:
            return type(error).__name__
        return "read"


_LINE = audit_record(audit_entry(now(), OPERATOR, Act.CODE_READ, someone(), "", {"token": "t"}))
_NOTE = SIGNER.sign(7, bytes(range(32)))


async def audit_line(random: Random) -> str:
    if random.random() < 0.5:
        try:
            read_checkpoint(mutated(_NOTE, random), [SIGNER.verifier])
        except CheckpointError:
            return "no checkpoint"
        return "checkpoint"
    value = _LINE.value or b""
    raw = written(mutated_json(json.loads(value), random), random)
    return "no line" if entry_in(mutated(raw, random)) is None else "line"


_CHANGES = [
    change(RegisteredSource(LABORATORY, OfficialNames("一", "One"), "440100"), OPERATOR),
    change(ClosedData(LABORATORY, "Stolen."), OPERATOR),
]
_RELEASE = {
    "specversion": "1.0",
    "type": "yuekang.source.released.v1",
    "id": "r-1",
    "source": OPERATOR,
    "time": "2022-03-01T08:00:00Z",
    "data": {"source": LABORATORY},
}


async def register(random: Random) -> str:
    """Changes and releases that whoever may write them has written wrongly."""
    if random.random() < 0.5:
        raw = written(mutated_json(_RELEASE, random), random)
        record = KEYS.signed(Record(SOURCE_RELEASES, b"k", mutated(raw, random)), OPERATOR)
        found: Any = SimpleNamespace(**{n: getattr(record, n) for n in record.__struct_fields__})
        try:
            _release_in(found, KEYS)
        except Refusal as refusal:
            return str(Code(refusal.code))
        return "release"
    said = random.choice(_CHANGES)
    raw = written(mutated_json(msgspec.to_builtins(said), random), random)
    key = random.choice((key_of(said).encode(), random.choice(PIECES), None))
    value = random.choice((raw, mutated(raw, random), None))
    held = Register()
    held.apply(KEYS.signed(Record(SOURCE_REGISTER, key, value), "/register"), KEYS)
    return "change" if len(held) or held.refused(LABORATORY, "") else "no change"
