"""From a document to a person key: what is asked of the gateway, and what if it is away."""

from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from msgspec import structs

from app.login import registration
from app.login.claims import ClaimNames, Identity, identity_of
from app.login.failures import Failed
from app.login.registration import Registration
from app.topics.codec import from_mapping
from support.logins import CARD, PERMIT, Gateway, person_of
from support.tokens import IDENTITY_PROVIDER_TOKEN as TOKEN

SOURCE = "/identity-providers/gd"
AT = datetime(2022, 3, 1, 4, 0, 0, 123_456, UTC)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = structs.replace(registration.PATIENCE, first_wait_seconds=0.0)
    monkeypatch.setattr(registration, "PATIENCE", patience)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def registration_of(gateway: Gateway, known: bool = False) -> Registration:
    async def has_code(person: str) -> bool:
        assert person.startswith("p1-")
        return known

    return Registration("https://gateway.example", "gd", TOKEN, has_code, gateway.transport())


def identity(number: str = CARD) -> Identity:
    claims = {"document_number": number, "city": "440300", "name": "陈小明"}
    return identity_of(claims, ClaimNames(), date(2022, 3, 1))


@pytest.mark.parametrize("number", [CARD, PERMIT])
async def test_a_first_login_is_published_with_the_document(gateway: Gateway, number: str) -> None:
    person = await registration_of(gateway).register(identity(number), "login", AT)
    assert person == person_of(number)
    [event] = gateway.events
    assert event["type"] == "yuekang.identity.verified.v1"
    assert event["source"] == SOURCE
    assert event["data"]["document"]["number"] == number
    assert event["data"]["city"] == "440300"
    assert "name" not in event["data"]
    assert gateway.tokens == {f"Bearer {TOKEN}"}


async def test_the_event_is_one_that_the_worker_takes(gateway: Gateway) -> None:
    await registration_of(gateway).register(identity(), "login", AT)
    [event] = gateway.events
    del event["data"]["document"]
    decoded = from_mapping({**event, "partitionkey": person_of(CARD)}, AT)
    assert decoded.time == AT


async def test_the_same_login_is_the_same_event_and_another_is_another(gateway: Gateway) -> None:
    client = registration_of(gateway)
    for login in ("one", "one", "other"):
        await client.register(identity(), login, AT)
    one, again, other = gateway.events
    assert one == again
    assert one["id"] != other["id"]
    assert "one" not in one["id"], "the state of a login is a secret"


async def test_who_has_a_code_is_not_published_again(gateway: Gateway) -> None:
    await registration_of(gateway, known=True).register(identity(), "login", AT)
    assert gateway.events == []


@pytest.mark.parametrize("status", [0, 429, 503, 504])
async def test_a_gateway_that_is_away_for_a_moment_is_asked_again(
    gateway: Gateway, status: int
) -> None:
    gateway.fails = [status, 200, status]
    assert await registration_of(gateway).register(identity(), "login", AT) == person_of(CARD)
    assert len(gateway.events) == 1


@pytest.mark.parametrize("fails", [[0, 0], [503, 503], [200, 0, 0], [200, 503, 503], [401], [500]])
async def test_a_gateway_that_stays_away_is_told(gateway: Gateway, fails: list[int]) -> None:
    gateway.fails = fails
    with pytest.raises(Failed) as caught:
        await registration_of(gateway).register(identity(), "login", AT)
    assert caught.value.why == "gateway"
    assert CARD not in str(caught.value)


async def test_a_document_that_the_gateway_refuses_is_told(gateway: Gateway) -> None:
    gateway.fails = [207]
    with pytest.raises(Failed) as caught:
        await registration_of(gateway).register(identity(), "login", AT)
    assert caught.value.why == "document"


@pytest.mark.parametrize(
    "answer",
    [{}, [], {"results": []}, {"results": [{}]}, {"results": [{"person": CARD}]}, {"results": [1]}],
    ids=str,
)
async def test_what_is_no_person_key_is_never_a_person(answer: Any) -> None:
    async def has_code(_: str) -> bool:
        raise AssertionError

    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    client = Registration("https://g.example", "gd", TOKEN, has_code, transport)
    with pytest.raises(Failed) as caught:
        await client.register(identity(), "login", AT)
    assert caught.value.why == "gateway"
