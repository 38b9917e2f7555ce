"""/livez, /readyz and /metrics of a process that serves nothing else over HTTP."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class StatusServer:
    """Answers on `host` and `port`; `reasons` says why the process is not ready, [] if it is."""

    def __init__(self, host: str, port: int, reasons: Callable[[], list[str]]) -> None:
        self._host = host
        self._port = port
        self._reasons = reasons
        app = web.Application()
        app.router.add_get("/livez", _livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", _metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen; raise `OSError` where the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._reasons()
        text = "".join(f"{reason}\n" for reason in reasons) or "ready\n"
        return web.Response(text=text, status=503 if reasons else 200)


async def _livez(_: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _metrics(_: web.Request) -> web.Response:
    body = await asyncio.to_thread(generate_latest)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
