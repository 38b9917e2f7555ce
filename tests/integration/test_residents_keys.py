"""Whatever a resident does, nothing of it lies in the Redis of the codes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import AsyncTestClient
from redis.asyncio import Redis

from app.login.sessions import COOKIE
from app.process.settings import Settings
from app.view.routes import ENDLESS
from support.brokers import NO_BROKERS
from support.credentials import Phone
from support.travels import PHONE
from support.views import (
    Http,
    Model,
    create_view,
    health_code,
    now,
    options_over,
    resident,
    someone,
)

DECLARED = {
    "id": "d-1",
    "kind": "personal",
    "city": "440100",
    "celsius": 36.5,
    "contact": False,
    "travelled": False,
}
FORM = {"id": "d-2", "city": "440100", "celsius": "36.5", "contact": "no", "travelled": "no"}
DEVICE = {name: Phone(8).jwk[name] for name in ("x", "y")}
SENT: dict[str, dict[str, Any]] = {
    "/v1/me/declarations": {"json": DECLARED},
    "/v1/me/credential": {"json": {"key": Phone(7).jwk}},
    "/v1/me/travel-card/code": {"json": {"phone": PHONE}},
    "/v1/me/travel-card": {"json": {"phone": PHONE, "code": "123456"}},
    "/login/device": {"json": DEVICE},
    "/login/again": {"json": {"challenge": "x", "signature": "0" * 128}},
    "/travel-card/code": {"data": {"phone": PHONE}},
    "/travel-card": {"data": {"phone": PHONE, "code": "123456"}},
    "/declare/personal": {"data": FORM},
}
LAST = ["/me/devices/end", "/logout"]


@pytest.fixture
async def http(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Http]:
    async def write(*_: object) -> list[object]:
        return []

    monkeypatch.setattr("app.topics.writer.Writer.write", write)  # there is no Kafka here
    app = create_view(options_over(redis_url, now, brokers=NO_BROKERS))
    async with AsyncTestClient(app) as client:
        client.follow_redirects = False
        yield client


async def keys_of(url: str) -> set[bytes]:
    async with Redis.from_url(url) as redis:
        found: Any = await redis.keys("*")
        return set(found)


async def test_whatever_a_resident_does_leaves_no_key_beside_the_codes(
    http: Http, redis_url: str
) -> None:
    settings, person = Settings(redis_url=redis_url), someone()
    async with (
        Redis.from_url(redis_url) as codes,
        Redis.from_url(settings.credentials_redis_url) as credentials,
        Redis.from_url(settings.sessions_redis_url) as sessions,
    ):
        await sessions.flushdb()
        model = Model(codes, credentials=credentials)
        await model.begin()
        await model.put(health_code(person))
    before = await keys_of(redis_url)
    headers = {**resident(person), "origin": "http://127.0.0.1:8080"}
    asked = sorted(
        (route.path in LAST, route.path, method)
        for route in http.app.routes
        if isinstance(route, HTTPRoute) and "{" not in route.path and route.path not in ENDLESS
        for method in {*route.methods} & {"GET", "POST"}
    )
    statuses, made = {}, set[bytes]()
    for _, path, method in asked:
        sent = SENT.get(path, {"json": {}}) if method == "POST" else {}
        answer = await http.request(method, path, headers=headers, **sent)
        statuses[method, path] = answer.status_code
        if path == "/login/device":  # an own phone has another session
            headers["cookie"] = f"{COOKIE}={answer.cookies[COOKIE]}"
        if path == "/v1/me/credential":  # a logout takes it back
            made |= await keys_of(settings.credentials_redis_url)
    assert statuses["POST", "/v1/me/declarations"] == 202
    assert statuses["POST", "/v1/me/credential"] == 200
    assert statuses["GET", "/code"] == 200
    assert statuses["POST", "/logout"] == 303
    assert await keys_of(redis_url) == before
    made |= await keys_of(settings.sessions_redis_url)
    for prefix in (b"session:ended", b"declared:", b"declarations:", b"yk:held:"):
        assert any(key.startswith(prefix) for key in made), prefix
