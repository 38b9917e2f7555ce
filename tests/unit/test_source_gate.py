"""Who the gateway lets in, by the register of sources, and how much each may send."""

from collections.abc import Callable

import pytest
from litestar.testing import TestClient

from app.gateway.key_limits import KeyLimits
from app.gateway.routes import GatewayOptions, create_gateway
from app.gateway.sources import SourceGate
from app.sources.changes import change
from app.sources.follow import RegisterFollower
from app.sources.register import Register
from app.topics.catalogue import CATALOGUE, KeyLimit
from app.web.issuing import told_by
from app.web.problems import KINDS, Refused
from models.register import (
    ClosedData,
    OfficialNames,
    RegisteredSource,
    SourceLimits,
    TakenBackData,
)
from support.brokers import NO_BROKERS
from support.gateways import CARD, NO_REDIS, SECRET, gateway_document
from support.macs import KEYS
from support.tokens import OPERATOR, TOKENS, TRUST

ONE, OTHER, PORTAL = "/laboratories/440100-001", "/laboratories/440100-002", "/portal"
NAMES = OfficialNames("一", "One")


def known(*closed: str, **limits: int) -> Register:
    """A register with one source in it, which has been read."""
    register = Register()
    register.take(
        change(RegisteredSource(ONE, NAMES, "440100", limits=SourceLimits(**limits)), OPERATOR)
    )
    for source in closed:
        register.take(change(ClosedData(source, "It was stolen."), OPERATOR))
    register.complete = True
    return register


def read(register: Register) -> Register:
    register.complete = True
    return register


ALL: tuple[Callable[[], Register], ...] = (
    Register,
    lambda: read(Register()),
    known,
)
"""Not read yet; empty; with one in it."""

UNREAD, UNKNOWN = "register-unread", "source-unregistered"
CLOSED = "unauthenticated"
LET_IN = None
GATE = (UNREAD, CLOSED, UNKNOWN)

SAID = [
    # source, in production: what each of `ALL` says; in development
    (ONE, (UNREAD, LET_IN, LET_IN), (UNREAD, LET_IN, LET_IN)),
    (OTHER, (UNREAD, LET_IN, UNKNOWN), (UNREAD, LET_IN, LET_IN)),
    (PORTAL, (UNREAD, LET_IN, LET_IN), (UNREAD, LET_IN, LET_IN)),
    ("/identity-providers/gd", (UNREAD, LET_IN, LET_IN), (UNREAD, LET_IN, LET_IN)),
    (OPERATOR, (UNREAD, LET_IN, LET_IN), (UNREAD, LET_IN, LET_IN)),
]


def gateway_options() -> GatewayOptions:
    """A gateway in production, without Kafka; its register is not read."""
    return GatewayOptions(
        brokers=NO_BROKERS,
        rows_redis_url=NO_REDIS,
        person_key_secret=SECRET,
        person_key_version=1,
        trust=TRUST,
        mac_keys=KEYS,
        followed=RegisterFollower(NO_BROKERS, KEYS),
        registered_only=True,
    )


def answer(gate: SourceGate, source: str) -> str | None:
    try:
        gate.check(source)
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize(("source", "production", "development"), SAID)
def test_who_is_let_in(
    source: str, production: tuple[str | None, ...], development: tuple[str | None, ...]
) -> None:
    for registered_only, said in ((True, production), (False, development)):
        gates = [SourceGate(make(), registered_only) for make in ALL]
        assert tuple(answer(gate, source) for gate in gates) == said
    assert answer(SourceGate(None, True), source) is None


async def test_a_source_has_its_own_limits_and_no_other_is_held_up_by_them() -> None:
    gate = SourceGate(known(events_per_minute=3))
    await gate.spend_events(ONE, 3)
    with pytest.raises(Refused, match="3 events a minute, by the register") as refused:
        await gate.spend_events(ONE, 1)
    assert int(refused.value.headers["Retry-After"]) >= 1
    for _ in range(2):
        await gate.spend_events(OTHER, 1_000)
    with pytest.raises(Refused, match="Ask with at most 3 at once"):
        await gate.spend_events(ONE, 4)


async def test_a_source_gets_no_more_person_keys_a_day_than_the_register_gives() -> None:
    gate, limits = SourceGate(known(person_keys_per_day=5)), KeyLimits()
    await limits.spend(ONE, 4, gate.keys_a_day(ONE))
    with pytest.raises(Refused, match="5 person keys a day; 1 are left for now"):
        await limits.spend(ONE, 2, gate.keys_a_day(ONE))
    with pytest.raises(Refused, match="Ask for at most 5 at once"):
        await limits.spend(ONE, 6, gate.keys_a_day(ONE))
    await limits.spend(OTHER, 6, gate.keys_a_day(OTHER))


def test_what_is_above_the_minute_costs_nothing_of_the_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = KeyLimit("document", minute=1, day=100)
    monkeypatch.setattr(type(CATALOGUE), "key_limit", lambda *_: small)
    options = gateway_options()
    assert options.followed is not None
    options.followed.register.become(known(person_keys_per_day=2))
    headers = {"authorization": f"Bearer {TOKENS.token_for(ONE)}"}
    with TestClient(create_gateway(options)) as http:
        for count, status in ((2, 429), (2, 429), (1, 200)):
            body = {"documents": [CARD] * count}
            assert http.post("/v1/person-keys", json=body, headers=headers).status_code == status


def test_every_entrance_is_shut_and_says_why() -> None:
    """No Kafka is there: each is shut before anything is written."""
    options = gateway_options()
    followed = options.followed
    assert followed is not None
    token = TOKENS.token_for(ONE)
    token_id, ends = told_by(token)
    taken_back = known()
    taken_back.take(change(TakenBackData(token_id, ends, "Lost."), OPERATOR))
    headers = {"authorization": f"Bearer {token}"}
    steps = ((None, UNREAD), (known(ONE), CLOSED), (taken_back, CLOSED), (known(), LET_IN))
    with TestClient(create_gateway(options)) as http:
        for register, code in steps:
            if register is not None:
                followed.register.become(register)
            answers = [
                http.post("/v1/events", json={}, headers=headers),
                http.post("/v1/person-keys", json={"documents": [CARD]}, headers=headers),
                http.get("/v1/sources/me/refusals", headers=headers),
            ]
            for each in answers:
                said = each.json().get("code")
                assert said == code or (code is None and said not in GATE)
                if code is not None:
                    assert each.status_code == KINDS[code].status
                    path, method = each.request.url.path, each.request.method.lower()
                    told = gateway_document()["paths"][path][method]["responses"]
                    assert code in told[str(each.status_code)]["description"]
        assert answers[1].status_code == 200
