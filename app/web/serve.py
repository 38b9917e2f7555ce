"""One way to serve over HTTP: Granian, with one worker.

One worker, since limits and metrics are counted in the process. A second one would halve the first
and hide half of the other. Whoever needs more starts more processes.
"""

import typer
from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server

from app.process.ports import holder, is_free

HEADER_READ_MS_MAX = 10_000
"""A client that takes longer to send its headers is cut off."""


def serve(
    target: str,
    name: str,
    host: str,
    port: int,
    variable: str,
    *,
    requests_at_once_max: int | None = None,
    kill_seconds: int | None = None,
) -> None:
    """Serve the application that `target` (`module:factory`) makes, until a signal ends it.

    Beyond `requests_at_once_max` requests wait in the socket. After a signal the worker has
    `kill_seconds` to end. Print who holds the port and exit with 1 if it is taken: Granian would
    share it in silence, and each of two would get half of the requests. `variable` sets the port.
    """
    if not is_free(host, port):
        by = holder(port) or "another process"
        typer.echo(
            f"The {name} cannot listen on {host}:{port}: {by} does. End that, or set {variable}.",
            err=True,
        )
        raise typer.Exit(1)
    Server(
        target,
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        workers=1,
        loop=Loops.uvloop,
        websockets=False,
        backpressure=requests_at_once_max,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS_MAX),
        workers_kill_timeout=kill_seconds,
        log_access=False,
    ).serve()
