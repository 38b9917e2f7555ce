"""An application of ours asked in this process, in the event loop of the test."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx
from litestar import Litestar


def transport_to(
    app: Litestar, client: tuple[str, int] = ("127.0.0.1", 123)
) -> httpx.ASGITransport:
    """Return what brings requests to `app`, from `client`."""
    application: Any = app  # Litestar's types of ASGI are narrower than httpx's
    return httpx.ASGITransport(application, client=client)


class Answer(NamedTuple):
    """How an answer begins."""

    status: int
    headers: dict[str, str]

    @property
    def location(self) -> str:
        """Where it leads to, or nothing."""
        return self.headers.get("location", "")


async def answer_to(
    app: Litestar,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Ask `app` and return how its answer begins: a stream has no end."""
    started: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    whole = {"host": "127.0.0.1", **(headers or {})}
    raw_path, _, query = path.partition("?")
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in whole.items()],
        "client": ("127.0.0.1", 123),
        "server": ("127.0.0.1", 80),
    }
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if given:
            return given.pop()
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and not started.done():
            told = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            started.set_result(Answer(message["status"], told))

    asking = asyncio.create_task(app(scope, receive, send))
    both: list[asyncio.Future[Any]] = [asking, started]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        asking.result()
        raise AssertionError(f"{method} {path} has no answer")
    asking.cancel()
    await asyncio.wait([asking])
    return started.result()
