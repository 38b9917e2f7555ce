"""The process `yuekang view`; for more load, more of these processes are started."""

from functools import partial

from granian.utils.proxies import wrap_asgi_with_proxy_headers
from litestar.types import ASGIApp

from app.login.options import login_options_of
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.settings import Settings
from app.sources.follow import RegisterFollower
from app.travel.assembly import travel_cards
from app.view.routes import create_view
from app.view.services import ViewOptions
from app.web.serve import serve

REQUESTS_AT_ONCE_MAX = 4_096
KILL_SECONDS = 2
"""Every answer takes less than a second. Only streams last longer, and their clients come back."""

VIEW_SECRETS = ("token_key", "display_key", "session_key", "credential_key")


def make() -> ASGIApp:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = Settings.from_environment(*VIEW_SECRETS)
    configure(settings.log_level)
    app = behind_proxies(create_view(view_options_of(settings)), settings.trusted_proxies)
    look_seldom()
    return app


def behind_proxies(app: ASGIApp, trusted: str) -> ASGIApp:
    """Return `app`, which then sees the address that a trusted proxy names, not the proxy's own."""
    if not trusted:
        return app
    wrapped: ASGIApp = wrap_asgi_with_proxy_headers(app, trusted.split(","))
    return wrapped


def view_options_of(settings: Settings) -> ViewOptions:
    """Return what the view needs of the settings."""
    return ViewOptions(
        kafka=settings.kafka,
        redis_url=settings.redis_url,
        rows_redis_url=settings.rows_redis_url,
        token_key=settings.token_key,
        display_key=settings.display_key,
        gateway_docs_url=f"{settings.gateway_url}/openapi.json",
        login=login_options_of(settings),
        sessions_redis_url=settings.sessions_redis_url,
        watched=settings.watched,
        followed=RegisterFollower(settings.kafka),
        make_cards=partial(travel_cards, settings),
        credential_key=settings.credential_key,
        credential_former_keys=[
            bytes.fromhex(key) for key in settings.credential_former_keys.split(",") if key
        ],
    )


def view() -> None:
    """Serve codes, the dashboard and the API pages until a signal ends it."""
    serve_view("app.view.server:make")


def serve_view(target: str) -> None:
    """Serve the view that `target` (`module:factory`) makes, at the address in the settings."""
    settings = Settings.from_environment(*VIEW_SECRETS)
    serve(
        target,
        "view",
        settings.view_host,
        settings.view_port,
        "YUEKANG_VIEW_PORT",
        requests_at_once_max=REQUESTS_AT_ONCE_MAX,
        kill_seconds=KILL_SECONDS,
    )
