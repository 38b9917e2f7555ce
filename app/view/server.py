"""The process `yuekang view`: Granian with one worker; more processes are how it grows."""

from functools import partial
from pathlib import Path

import typer
from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from litestar.types import ASGIApp

from app.development.sample.publish import FILE as SAMPLE
from app.login.options import options_of as login_options_of
from app.process.logs import configure
from app.process.ports import holder, is_free
from app.process.settings import Settings
from app.travel.assembly import travel_cards
from app.view.routes import Options, create_app

HEADER_READ_MS_MAX = 10_000
REQUESTS_AT_ONCE_MAX = 4_096
KILL_SECONDS = 2
"""Every answer is given within a second; only streams go on, and their clients come back."""

SECRETS = ("token_key", "display_key", "session_key")


def make() -> ASGIApp:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = Settings.from_environment(*SECRETS)
    configure(settings.log_level)
    return behind_proxies(create_app(options_of(settings)), settings.trusted_proxies)


def behind_proxies(app: ASGIApp, trusted: str) -> ASGIApp:
    """Return `app` with the address that a trusted proxy names, in place of the proxy's own."""
    if not trusted:
        return app
    wrapped: ASGIApp = wrap_asgi_with_proxy_headers(app, trusted.split(","))
    return wrapped


def options_of(settings: Settings) -> Options:
    """Return what the view needs of the settings."""
    in_development = settings.environment == "development"
    return Options(
        kafka=settings.kafka,
        redis_url=settings.redis_url,
        rows_redis_url=settings.rows_redis_url,
        token_key=settings.token_key,
        display_key=settings.display_key,
        samples_path=Path(settings.data_dir) / SAMPLE if in_development else None,
        gateway_docs_url=f"{settings.gateway_url}/openapi.json",
        login=login_options_of(settings),
        sessions_redis_url=settings.sessions_redis_url,
        make_cards=partial(travel_cards, settings),
    )


def view() -> None:
    """Serve codes, the dashboard and the API pages until a signal ends it."""
    settings = Settings.from_environment(*SECRETS)
    # Granian shares a port with whoever shares it too: a second view would take half in silence.
    if not is_free(settings.view_host, settings.view_port):
        by = holder(settings.view_port) or "another process"
        typer.echo(
            f"The view cannot listen on {settings.view_host}:{settings.view_port}: {by} does. End "
            "that, or set YUEKANG_VIEW_PORT.",
            err=True,
        )
        raise typer.Exit(1)
    Server(
        "app.view.server:make",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.view_host,
        port=settings.view_port,
        workers=1,
        loop=Loops.uvloop,
        websockets=False,
        backpressure=REQUESTS_AT_ONCE_MAX,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS_MAX),
        workers_kill_timeout=KILL_SECONDS,
        log_access=False,
    ).serve()
