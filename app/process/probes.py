"""/livez, /readyz and /metrics for a process that serves nothing else over HTTP."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Reasons = Callable[[], list[str]]
"""Says why the process is not ready, or what else an operator should know; nothing if all is
well."""

Answer = Callable[[], bytes]
"""Makes an answer in JSON."""

CLOSE_SECONDS_MAX = 1.0


class StatusServer:
    """Answers from the event loop that does the work, so a loop that hangs does not answer.

    Each of `answers` is the answer to GET on its path. /readyz tells what `remarks` say too; they
    make no process unready.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ready: Reasons,
        remarks: Reasons = list,
        answers: Mapping[str, Answer] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._ready = ready
        self._remarks = remarks
        self._answers = answers or {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raise `OSError` if another process already does."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                *(web.get(path, _answering(answer)) for path, answer in self._answers.items()),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS_MAX)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._ready()
        lines = [*(reasons or ["ready"]), *self._remarks()]
        return web.Response(text="\n".join(lines) + "\n", status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answering(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=answer(), content_type="application/json")

    return handle
