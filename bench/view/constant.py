"""The same answer to everybody, from the same server with the same settings: as fast as a view on
this software could be. `python -m bench.view.constant PORT`.

The file that `BENCH_CONSTANT` names is an `Answer` in JSON; `BENCH_CONSTANT_CPU` is the CPU that it
keeps to, if any.
"""

import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from app.development.stack.processes import HttpProcess, StackError
from app.view.server import CONNECTIONS_MAX
from app.web.serve import serve
from bench.sides import OWN_PYTHON

FILE = "BENCH_CONSTANT"
CPU = "BENCH_CONSTANT_CPU"
SECONDS_MAX = 60.0
BY_SERVER = frozenset({"date", "server", "transfer-encoding", "connection"})
"""Headers that the server writes itself."""


class Answer(Struct, frozen=True):
    """An answer of the view's, to be given again."""

    headers: list[tuple[str, str]]
    body: bytes


def answer_of(url: str, headers: dict[str, str], cookie: str) -> Answer:
    """Return what the view answers to one, once it is a 200; raise `StackError` if it never is."""
    asked = {**headers, "cookie": cookie}
    until = time.monotonic() + SECONDS_MAX
    while True:
        with (
            httpx.Client(trust_env=False, timeout=10.0) as client,
            client.stream("GET", url, headers=asked) as got,
        ):
            body = b"".join(got.iter_raw())
        if got.is_success:
            told = [(k, v) for k, v in got.headers.multi_items() if k not in BY_SERVER]
            return Answer(told, body)
        if time.monotonic() > until:
            raise StackError(f"{url} answers {got.status_code}, and no 200.")
        time.sleep(1.0)


class Constant:
    """Answers everything with one answer, by ASGI and by RSGI."""

    def __init__(self, answer: Answer) -> None:
        self._body = answer.body
        self._text = answer.headers
        self._headers = [(name.encode(), value.encode()) for name, value in answer.headers]

    async def __call__(
        self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer by ASGI."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})

    async def __rsgi__(self, _: Any, protocol: Any) -> None:
        """Answer by RSGI."""
        protocol.response_bytes(200, self._text, self._body)


def make() -> Constant:
    """Make the application; Granian calls this in the worker."""
    if cpu := os.environ.get(CPU):
        from app.process.scheduling import keep_to  # an older release has none

        keep_to(int(cpu))
    return Constant(msgspec.json.decode(Path(os.environ[FILE]).read_bytes(), type=Answer))


class ConstantServer(HttpProcess):
    """The constant answer on a port of its own, in `directory`."""

    def __init__(self, answer: Answer, port: int, directory: Path, name: str, cpu: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{name}.json"
        path.write_bytes(msgspec.json.encode(answer))
        self._port = port
        command = [str(OWN_PYTHON), "-m", "bench.view.constant", str(port)]
        environment = {**os.environ, FILE: str(path.absolute()), CPU: cpu}
        super().__init__(name, command, directory, environment, f"http://127.0.0.1:{port}")

    def ready(self) -> bool:
        """Say whether it listens."""
        try:
            socket.create_connection(("127.0.0.1", self._port), 1.0).close()
        except OSError:
            return False
        return True


if __name__ == "__main__":
    serve(
        "bench.view.constant:make",
        "constant answer",
        "127.0.0.1",
        int(sys.argv[1]),
        "its port",
        connections_max=CONNECTIONS_MAX,
        check=lambda: None,
    )
