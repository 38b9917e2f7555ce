"""The process `yuekang view`: Granian with one worker; more processes are how it grows."""

from pathlib import Path

import typer
from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server
from litestar import Litestar

from app.login import routes as login
from app.login.claims import ClaimNames
from app.login.oidc import Provider
from app.logs import configure
from app.sample.publish import FILE as SAMPLE
from app.settings import Settings
from app.stack.ports import holder, is_free
from app.view.routes import Options, create_app

HEADER_READ_MS_MAX = 10_000
REQUESTS_AT_ONCE_MAX = 4_096
KILL_SECONDS = 2
"""Every answer is given within a second; only streams go on, and their clients come back."""

SECRETS = ("token_key", "display_key", "session_key")


def make() -> Litestar:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = Settings.from_environment(*SECRETS)
    configure(settings.log_level)
    return create_app(options_of(settings))


def options_of(settings: Settings) -> Options:
    """Return what the view needs of the settings."""
    in_development = settings.environment == "development"
    return Options(
        kafka=settings.kafka,
        redis_url=settings.redis_url,
        token_key=settings.token_key,
        display_key=settings.display_key,
        samples_path=Path(settings.data_dir) / SAMPLE if in_development else None,
        gateway_docs_url=f"{settings.gateway_url}/openapi.json",
        login=login_of(settings),
        sessions_redis_url=settings.sessions_redis_url,
    )


def login_of(settings: Settings) -> login.Options:
    """Return what the login needs of the settings."""
    provider = Provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        scope=settings.oidc_scope,
    )
    return login.Options(
        view_url=settings.view_url,
        gateway_url=settings.gateway_url,
        session_key=settings.session_key,
        token_key=settings.token_key,
        provider=provider if settings.oidc_issuer else None,
        provider_name=settings.oidc_name,
        claim_names=claim_names_of(settings),
    )


def claim_names_of(settings: Settings) -> ClaimNames:
    """Return which of the provider's claims holds what."""
    return ClaimNames(
        number=settings.oidc_number_claim,
        type=settings.oidc_type_claim,
        name=settings.oidc_name_claim,
        birthday=settings.oidc_birthday_claim,
        city=settings.oidc_city_claim,
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
