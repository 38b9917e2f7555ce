"""What one client may take: each bound is passed by one, and /livez still answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from limits import RateLimitItemPerMinute
from litestar import Litestar, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody
from redis.asyncio import Redis

from app.development.stack.up import _held
from app.login import guards
from app.view.changes import ChangeFilter, Changes, StreamPlace
from app.view.pages import reference
from app.view.pages.chart import chart
from app.view.reading import ChangesOfMinute
from app.view.terminals import terminal_routes
from app.web import strict
from app.web.headers import hardened
from app.web.language import CHINESE, LANGUAGES
from app.web.probes import probes
from app.web.problems import Refused, on_failure, on_http_exception, on_refused
from app.web.site import said_in
from app.web.strict import StrictRequest
from support.asgi import transport_to
from support.gateways import NO_REDIS

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def _ready() -> list[str]:
    return []


def application(*handlers: Any, address: str = "https://code.example") -> Litestar:
    return Litestar(
        route_handlers=[*handlers, *probes(lambda: None, _ready)],
        exception_handlers={
            Refused: on_refused,
            HTTPException: on_http_exception,
            Exception: on_failure,
        },
        before_send=[hardened(address)],
        request_class=StrictRequest,
        openapi_config=None,
        logging_config=None,
    )


async def lives(app: Litestar) -> None:
    async with httpx.AsyncClient(transport=transport_to(app), base_url="http://test") as http:
        assert (await http.get("/livez")).text == "live\n"


async def send(app: Any, path: str, receive: Receive, **headers: str) -> int:
    """Send a request whose body comes from `receive`; return the status."""
    sent: list[dict[str, Any]] = []

    async def take(message: dict[str, Any]) -> None:
        sent.append(message)

    kept = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), *kept],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, take)
    return int(sent[0]["status"])


@post("/read", status_code=200)
async def read(data: JSONBody[dict[str, int]]) -> dict[str, int]:
    return data


async def never() -> dict[str, Any]:
    await asyncio.sleep(3_600)
    return {}


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "BODY_SECONDS_MAX", 0.05)
    app = application(read)
    assert await send(app, "/read", never) == 408
    await lives(app)


async def test_a_client_that_hangs_up_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.problems.log.error", lambda *_, **__: pytest.fail("a fault"))
    assert await send(application(read), "/read", gone) == 400


async def test_a_terminals_token_is_looked_at_before_its_body() -> None:
    class Scans:
        async def terminal_of(self, _: Any) -> str:
            raise Refused("unauthenticated", "no token")

    class View:
        scans = Scans()

    view: Any = View()

    async def body() -> dict[str, Any]:
        pytest.fail("the body was read")

    assert await send(application(*terminal_routes(view)), "/v1/scans", body) == 401


@pytest.mark.parametrize("address", ["https://code.example", "http://127.0.0.1:8080"])
async def test_every_answer_has_the_headers(address: str) -> None:
    @get("/picture", media_type="image/svg+xml")
    async def picture() -> Response[bytes]:
        return Response(b"<svg/>", headers={"content-security-policy": "default-src 'self'"})

    @get("/broken")
    async def broken() -> None:
        raise ValueError

    app = application(picture, broken, address=address)
    async with httpx.AsyncClient(transport=transport_to(app), base_url="http://test") as http:
        for path in ("/livez", "/picture", "/missing", "/broken"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            hsts = "strict-transport-security" in headers
            assert hsts is address.startswith("https"), path
            own = path == "/picture"
            assert headers["content-security-policy"].startswith(
                "default-src 'self'" if own else "default-src 'none'"
            ), path


async def test_a_resident_who_asks_too_often_is_told_so_and_no_other_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guards, "RESIDENT_MAX", RateLimitItemPerMinute(5))
    nothing: Any = None
    guard = guards.Guard(nothing, nothing, "https://code.example")

    class Someone:
        def __init__(self, person: str) -> None:
            self.person = person

    one: Any = Someone("a")
    other: Any = Someone("b")
    for _ in range(5):
        await guard.spend(one)
    with pytest.raises(Refused, match="resident-too-often"):
        await guard.spend(one)
    await guard.spend(other)


async def test_a_stream_of_changes_ends_and_goes_on_where_it_was() -> None:
    nothing: Any = None
    changes = Changes(nothing, nothing, heartbeat_seconds=0.01, stream_seconds_max=0.05)
    changes._place = StreamPlace("0" * 8, 7)

    async def all_of(stream: AsyncIterator[bytes]) -> bytes:
        return b"".join([part async for part in stream])

    told = await asyncio.wait_for(all_of(changes.stream(None, ChangeFilter())), 5)
    assert told.startswith(b"retry: ")
    assert b"id: 00000000-7\n" in told
    assert changes.clients == 0


@pytest.mark.parametrize("place", [None, StreamPlace("0" * 8, 3)], ids=["no model", "no Redis"])
async def test_a_stream_for_which_nothing_can_be_read_is_alive_and_ends(
    place: StreamPlace | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.view.changes.AGAIN_SECONDS", 0.01)
    redis = Redis.from_url(NO_REDIS)
    changes = Changes(redis, redis, heartbeat_seconds=0.01, stream_seconds_max=0.1)
    changes._place = place and StreamPlace("0" * 8, 7)

    async def all_of(stream: AsyncIterator[bytes]) -> bytes:
        return b"".join([part async for part in stream])

    told = await asyncio.wait_for(all_of(changes.stream(place, ChangeFilter())), 5)
    assert b": alive\n\n" in told
    assert changes.clients == 0
    await redis.aclose()


def test_the_same_figures_are_drawn_once() -> None:
    start = datetime(2022, 4, 20, tzinfo=UTC)
    minutes = [ChangesOfMinute(start + timedelta(minutes=n), n, 2) for n in range(60)]
    first = chart(minutes, LANGUAGES[0])
    assert chart(list(minutes), LANGUAGES[0]) is first
    assert chart(minutes, LANGUAGES[0], "any size that anybody names") is first
    assert chart(minutes, LANGUAGES[1]) is not first


def test_searches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "page", lambda *_: "found")
    monkeypatch.setattr(reference, "language_of", lambda _: LANGUAGES[0])

    class Request:
        def __init__(self) -> None:
            self.query_params = {"q": "x"}

    request: Any = Request()
    answers: list[Any] = []
    for _ in range(20):
        try:
            answers.append(reference.events_page(request, {"channels": {}}))
        except Refused as refused:
            answers.append(refused.code)
    assert answers[0] == "found"
    assert answers[-1] == "busy"


@pytest.mark.parametrize(
    "unseen", ["\u202e", "\u2066", "\u200b", "\u2028", "\u2029", "\x85", "\x1b", "\r"]
)
def test_a_name_cannot_turn_the_words_beside_it_around(unseen: str) -> None:
    assert said_in(f"第一{unseen}医院\n", CHINESE) == "第一医院\n"
    assert said_in(f"No. 1{unseen} Hospital", CHINESE) == "No. 1 Hospital"


def test_the_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new"):
        folder.mkdir(mode=0o755, exist_ok=True)
        with _held(folder):
            assert folder.stat().st_mode & 0o777 == 0o700
