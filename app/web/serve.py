"""One way to serve over HTTP: Granian, with one worker.

Limits and metrics are counted in the process, so there is one worker. With two, each would count
half of the requests against a limit, and a scrape would see half of the metrics. Whoever needs more
starts more processes.
"""

from collections.abc import Callable
from functools import partial
from pkgutil import resolve_name
from typing import Any

import typer
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server

from app.process.ports import holder, is_free
from app.process.settings import SettingsError
from app.web.connections import SPARE, bound_connections, room_for

HEADER_READ_MS_MAX = 10_000
"""A client that takes longer to send its headers is cut off."""

HEADERS_BYTES_MAX = 65_536
"""All headers of a request; a session's cookie and a token are 1 KB."""

CONNECTIONS_MAX = 512

NEW_WORKER_SECONDS = 15.0
"""How long the old worker serves on beside a new one, which needs 2 s to begin; 9 s without Kafka
on a machine that has other work."""


def serve(
    target: str,
    name: str,
    host: str,
    port: int,
    variable: str,
    *,
    connections_max: int = CONNECTIONS_MAX,
    kill_seconds: int | None = None,
    check: Callable[[], object],
) -> None:
    """Serve the application that `target` (`module:factory`) makes, until a signal ends it.

    Beyond `connections_max` connections the quietest are closed (app.web.connections). After a
    signal the worker has `kill_seconds` to end. If the port is taken, print who holds it and exit
    with 1: Granian would share it in silence, and each of two processes would get half of the
    requests. `variable` is the setting of the port.

    After SIGHUP a new worker reads the settings again, the files that they name included; it takes
    the place of the old one, and no connection is refused. Before that `check` reads them as a
    worker does. If it raises `SettingsError` the old worker stays, and what is wrong is printed.
    """
    if not is_free(host, port):
        by = holder(port) or "another process"
        typer.echo(
            f"The {name} cannot listen on {host}:{port}: {by} does. End that, or set {variable}.",
            err=True,
        )
        raise typer.Exit(1)
    connections_max = room_for(connections_max)
    server = Server(
        target,
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        workers=1,
        loop=Loops.uvloop,
        http=HTTPModes.http1,  # nobody asked for HTTP/2 in the clear
        websockets=False,
        backpressure=connections_max + SPARE,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_READ_MS_MAX, max_buffer_size=HEADERS_BYTES_MAX
        ),
        workers_kill_timeout=kill_seconds,
        respawn_interval=NEW_WORKER_SECONDS,
        log_access=False,
    )
    reload: Callable[..., None] = server.signal_handler_reload

    def reload_if_it_can(*arguments: Any, **options: Any) -> None:
        try:
            check()
        except SettingsError as error:
            typer.echo(f"{error}\nAll goes on with the settings of before.", err=True)
        else:
            reload(*arguments, **options)

    server.signal_handler_reload = reload_if_it_can  # type: ignore[method-assign]
    server.serve(target_loader=partial(_load, target, port, connections_max), wrap_loader=False)


def _load(target: str, port: int, connections_max: int) -> Any:
    """Make the application, in the worker's process."""
    app = resolve_name(target)()
    bound_connections(port, connections_max)
    return app
