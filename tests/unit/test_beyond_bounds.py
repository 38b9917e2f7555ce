"""Who goes one beyond a bound of the gateway or the view is refused, and /livez still answers.

Connections have tests of their own: `test_connections`, and on the processes as they are run
`integration/test_silent.py`. The declarations of a day are in `integration/test_me.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from litestar import Litestar
from msgspec.structs import replace

from app.gateway import body as gateway_body
from app.gateway.messages import (
    BATCH_EVENTS_MAX,
    DOCUMENTS_BYTES_MAX,
    DOCUMENTS_MAX,
    EVENT_BYTES_MAX,
)
from app.login import guards
from app.topics.catalogue import CATALOGUE
from app.view.changes import Changes
from app.view.limits import VIEW_BODY_BYTES_MAX
from app.view.pages import reference
from app.web import site, strict
from support.asgi import transport_to
from support.gateways import CARD, LABORATORY, NO_REDIS, gateway_alone
from support.tokens import OPERATOR_HEADERS, bearer
from support.views import create_view, now, on_duty, options_over, resident, someone

TERMINAL = bearer("/terminals/440100-001")
EVENTS, KEYS = "/v1/events", "/v1/person-keys"
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
JSON = {"content-type": "application/json"}


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport_to(app), base_url="http://test")


async def lives(http: httpx.AsyncClient) -> None:
    assert (await asyncio.wait_for(http.get("/livez"), 1)).text == "live\n"


def view(**options: Any) -> Litestar:
    return create_view(options_over(NO_REDIS, now, **options))


async def never() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(3_600)


@pytest.mark.parametrize(
    ("path", "kind", "body", "code"),
    [
        (EVENTS, STRUCTURED, b" " * (gateway_body.BODY_BYTES_MAX + 1), "body-too-large"),
        (EVENTS, STRUCTURED, b" " * (EVENT_BYTES_MAX + 1), "too-large"),
        (EVENTS, BATCH, b"[" + b"{}," * BATCH_EVENTS_MAX + b"{}]", "too-many"),
        (KEYS, JSON, b" " * (DOCUMENTS_BYTES_MAX + 1), "body-too-large"),
        (KEYS, JSON, b'{"documents":[' + b"0," * DOCUMENTS_MAX + b"0]}", "too-many"),
    ],
    ids=["body", "event", "events of a batch", "bytes of documents", "documents"],
)
async def test_a_source_that_sends_more_than_the_gateway_takes(
    path: str, kind: dict[str, str], body: bytes, code: str
) -> None:
    async with client(gateway_alone()) as http:
        headers = bearer("/identity-providers/gd" if path == KEYS else LABORATORY)
        answer = await http.post(path, content=body, headers={**headers, **kind})
        assert (answer.status_code, answer.json()["code"]) == (413, code)
        await lives(http)


async def test_a_source_that_asks_for_more_person_keys_than_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = "/identity-providers/gd"
    limit = CATALOGUE.key_limit(source)
    assert limit is not None
    small = replace(limit, minute=1)
    monkeypatch.setattr(type(CATALOGUE), "key_limit", lambda *_: small)
    async with client(gateway_alone()) as http:
        for status in (200, 429):
            headers = bearer(source)
            answer = await http.post(KEYS, json={"documents": [CARD]}, headers=headers)
            assert answer.status_code == status
        await lives(http)


@pytest.mark.parametrize("face", ["gateway", "view"])
async def test_a_body_that_does_not_come(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "BODY_SECONDS_MAX", 0.05)
    monkeypatch.setattr(gateway_body.Bodies.__init__, "__defaults__", (10, 0.05, 10))
    app = gateway_alone() if face == "gateway" else view()
    path, headers = (EVENTS, bearer(LABORATORY)) if face == "gateway" else ("/v1/scans", TERMINAL)
    async with client(app) as http:
        answer = await http.post(path, content=never(), headers={**headers, **STRUCTURED})
        assert (answer.status_code, answer.json()["code"]) == (408, "too-slow")
        await lives(http)


async def test_a_terminal_that_sends_more_than_the_view_takes() -> None:
    async with client(view()) as http:
        body = b" " * (VIEW_BODY_BYTES_MAX + 1)
        answer = await http.post("/v1/scans", content=body, headers={**TERMINAL, **JSON})
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
        await lives(http)


async def test_a_client_of_changes_for_whom_there_is_no_place() -> None:
    async with client(view(clients_max=0)) as http:
        answer = await http.get("/v1/changes", headers=OPERATOR_HEADERS)
        assert (answer.status_code, answer.json()["code"]) == (503, "too-many-clients")
        await lives(http)


async def test_a_client_of_changes_that_listens_for_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Changes.__init__, "__defaults__", (10, 10, 0.01, 0.05))
    async with client(view(heartbeat_seconds=0.01)) as http:
        answer = await asyncio.wait_for(http.get("/v1/changes", headers=OPERATOR_HEADERS), 5)
        assert answer.text.startswith("retry: ")
        await lives(http)


@pytest.mark.parametrize("size", ["", "wide", "narrow", "9" * 1_000])
async def test_a_picture_of_any_size(size: str) -> None:
    async with client(view()) as http:
        answer = await http.get(f"/dashboard/chart.svg?size={size}", headers=on_duty())
        assert answer.headers["content-type"].startswith("image/svg+xml"), (
            "it says that none is there"
        )
        await lives(http)


async def test_a_resident_who_asks_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "RESIDENT_MAX", RateLimitItemPerMinute(5))
    monkeypatch.setattr("app.login.ended.Ended.is_over", lambda *_: False)
    person, other = someone(), someone()
    async with client(view()) as http:
        for _ in range(5):
            assert (await http.get("/declare", headers=resident(person))).status_code == 200
        answer = await http.get("/declare", headers=resident(person))
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
        assert (await http.get("/declare", headers=resident(other))).status_code == 200
        await lives(http)


async def test_searches_beyond_those_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "SEARCHES_MAX", RateLimitItemPerSecond(1, 60))
    async with client(view()) as http:
        assert (await http.get("/api/events?q=nat")).status_code == 200
        assert (await http.get("/api/events?q=nat")).status_code == 503
        await lives(http)


@pytest.mark.parametrize(
    "path", ["/api", "/api/events", "/openapi.json", "/api/openapi.json", "/api/asyncapi.json"]
)
async def test_pages_that_anybody_may_ask_for_are_made_once(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(view()) as http:
        first = await http.get(path)

        def make(*_: object, **__: object) -> Any:
            pytest.fail("it was made again")

        monkeypatch.setattr(site, "render", make)
        monkeypatch.setattr("app.web.openapi.document_of", make)
        for _ in range(20):
            assert (await http.get(path)).content == first.content
        await lives(http)
