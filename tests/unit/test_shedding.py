"""In a rush what can wait is refused first, and a colour last."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from litestar.types import Receive, Scope, Send

from app.view import shedding
from app.view.queues import ADMITTED_MAX, SLOT_SECONDS_MAX, Priority
from app.view.shedding import Shedding, priority_of
from support.asgi import transport_to
from support.views import create_view, now, options_over

URL = "https://code.example"

KINDS = {
    **dict.fromkeys(("/v1/me/display", "/v1/me/code", "/v1/me/token"), Priority.COLOUR),
    **dict.fromkeys(("/v1/scans", "/v1/s", "/v1/s/0f", "/v1/credential-keys"), Priority.COLOUR),
    **dict.fromkeys(("/v1/me/code.svg", "/v1/me/information", "/v1/me/export"), Priority.DRAWN),
    **dict.fromkeys(("/v1/me/information/nat", "/me", "/me/everything", "/me/nat"), Priority.DRAWN),
    **dict.fromkeys(("/check", "/counts"), Priority.DRAWN),
    **dict.fromkeys(
        ("/", "/code", "/declare", "/travel-card", "/gate", "/dashboard"), Priority.PAGE
    ),
    **dict.fromkeys(("/v1/counts", "/v1/session", "/v1/people/x/code"), Priority.JSON),
    **dict.fromkeys(("/v1/me/declarations", "/v1/me/credential"), Priority.JSON),
    **dict.fromkeys(("/livez", "/readyz", "/metrics", "/v1/changes", "/problems/busy"), None),
    **dict.fromkeys(("/static/code.js", "/login", "/login/callback", "/logout"), None),
    **dict.fromkeys(("/duty/login", "/duty/logout", "/me/devices", "/me/devices/end"), None),
    **dict.fromkeys(
        ("/loginX", "/logoutX", "/logout/x", "/duty/logins", "/nowhere"), Priority.PAGE
    ),
    "/me/devicesX": Priority.DRAWN,
}


class Hot:
    """Stands in for the hot path: what it answers at once."""

    def __init__(self) -> None:
        self.knows = False
        self.asked = 0

    async def answers(self, _: Scope, send: Send) -> bool:
        self.asked += 1
        if self.knows:
            await send({"type": "http.response.start", "status": 299, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        return self.knows


@pytest.fixture
def hot() -> Hot:
    return Hot()


@pytest.fixture
async def http(hot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(shedding, "WAIT_SECONDS_MIN", 0.05)
    monkeypatch.setattr(shedding, "WAIT_SECONDS_MORE", 0.0)

    async def behind(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    app: Any = Shedding(hot, behind, URL, now)
    async with httpx.AsyncClient(transport=transport_to(app), base_url=URL) as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


async def test_what_can_wait_is_refused_first_and_a_colour_last(http: Any) -> None:
    for taken in (0, *ADMITTED_MAX.values()):
        http.app._slots._in = taken
        for path, kind in KINDS.items():
            assert priority_of(path) is kind, path
            answer = await http.get(path)
            refused = kind is not None and taken >= ADMITTED_MAX[kind]
            assert answer.status_code == (503 if refused else 200), (path, taken)


@pytest.mark.parametrize("path", [path for path, kind in KINDS.items() if kind])
async def test_a_refusal_says_so_and_when_to_come_again(http: Any, path: str) -> None:
    http.app._slots._in = 1_000
    began = time.monotonic()
    answer = await http.get(path, headers={"accept-language": "en"})
    assert time.monotonic() - began >= 0.05, "it waited"
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src" in answer.headers["content-security-policy"]
    assert answer.headers["strict-transport-security"]
    assert "亮码失败" in answer.text
    if path.startswith("/v1/"):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "code-unavailable"
    else:
        assert answer.headers["content-language"] == "en-GB"
        assert answer.text.startswith("<!doctype html>")
        again = await http.get(f"{path}?lang=zh-CN", headers={"accept-language": "en"})
        assert again.headers["content-language"] == "zh-Hans-CN", "as the page itself would"


async def test_what_is_known_here_takes_no_slot(http: Any, hot: Hot) -> None:
    """However many wait in the framework, for Kafka or a carrier."""
    hot.knows, http.app._slots._in = True, 1_000
    for path, kind in KINDS.items():
        assert (await http.get(path)).status_code == (299 if kind else 200), path
    hot.knows, http.app._slots._in = False, 0
    for path, kind in KINDS.items():
        hot.asked = 0
        answer = await http.get(path)
        assert (answer.status_code, hot.asked) == (200, 1 if kind else 0), "it counts who asks"
    assert http.app._slots._in == 0


async def test_no_more_begin_in_a_turn_than_it_has_room_for(http: Any) -> None:
    began = list[str]()

    async def behind(scope: Any, _: Any, send: Any) -> None:
        began.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(_: Any) -> None:
        pass

    http.app._app = behind
    paths = ["/check", "/code", "/v1/counts", "/v1/me/code", "/login"] * 100
    scopes = [{"type": "http", "path": path, "headers": [], "query_string": b""} for path in paths]
    asking = [asyncio.create_task(http.app(scope, None, send)) for scope in scopes]
    await asyncio.sleep(0)
    before = 0
    while len(began) < len(paths):
        new = [priority_of(path) for path in began[before:]]
        assert len(new) <= ADMITTED_MAX[Priority.COLOUR]
        assert new.count(Priority.DRAWN) <= ADMITTED_MAX[Priority.DRAWN]
        before = len(began)
        await asyncio.sleep(0)
    await asyncio.wait(asking)
    drawn = [priority_of(path) for path in began].index(
        Priority.DRAWN, ADMITTED_MAX[Priority.DRAWN]
    )
    for path in ("/v1/me/code", "/login"):
        assert began[:drawn].count(path) == 100, "the rest of what can wait comes last"


async def test_whoever_fails_gives_the_slot_back(http: Any) -> None:
    async def fails(*_: Any) -> None:
        raise ZeroDivisionError

    http.app._app = fails
    with pytest.raises(ZeroDivisionError):
        await http.get("/code")
    assert http.app._slots._in == 0


async def test_who_sends_slowly_keeps_nobody_out(http: Any) -> None:
    async def waits(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await asyncio.sleep(3 * SLOT_SECONDS_MAX)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    http.app._app = waits
    slow = [
        asyncio.create_task(http.post("/v1/scans")) for _ in range(ADMITTED_MAX[Priority.COLOUR])
    ]
    await asyncio.sleep(0.2)
    assert (await http.get("/v1/scans")).status_code == 503
    await asyncio.sleep(SLOT_SECONDS_MAX)
    assert (await http.get("/v1/scans")).status_code == 200
    assert {(await task).status_code for task in slow} == {200}
    assert http.app._slots._in == 0


def test_each_address_of_the_view_has_a_kind_on_purpose() -> None:
    """Whoever adds an address decides how long it can wait; most can as long as a page."""
    paths = {route.path for route in create_view(options_over("redis://nobody", now)).routes}
    waits = {path for path in paths if priority_of(path) in (Priority.COLOUR, None)}
    assert waits == {
        *("/livez", "/readyz", "/metrics", "/static/{file_path:path}"),
        *("/v1/changes", "/problems/{code:str}", "/v1/s", "/v1/s/{chunk:str}"),
        *("/v1/me/display", "/v1/me/code", "/v1/me/token", "/v1/scans", "/v1/credential-keys"),
        *("/login", "/login/callback", "/login/failed/{why:str}", "/login/device"),
        *("/login/again", "/logout", "/duty/login", "/duty/logout"),
        *("/me/devices", "/me/devices/end"),
    }
