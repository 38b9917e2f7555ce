"""The process `yuekang view`; for more load, more of these processes are started."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from granian.utils.proxies import wrap_asgi_with_proxy_headers
from litestar.types import ASGIApp

from app.login.options import login_options_of
from app.process import metrics
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.scheduling import keep_to
from app.process.settings import Settings, SettingsError
from app.sources.follow import RegisterFollower
from app.topics.authentic import source_keys
from app.topics.catalogue import IDENTITY_PROVIDERS, PORTAL
from app.travel.assembly import travel_cards
from app.view.routes import create_face
from app.view.services import ViewOptions
from app.web.issuing import told_by
from app.web.serve import serve
from app.web.tokens import trust_of

CONNECTIONS_MAX = 4_096
KILL_SECONDS = 2
"""Once it has its turn an answer takes less than a second. Only streams last longer, and their
clients come back."""

VIEW_SECRETS = (
    *("display_key", "session_key", "credential_key"),
    *("portal_token", "identity_provider_token"),
    *("portal_mac_key", "terminal_mac_key", "register_mac_key"),
)


def make() -> ASGIApp:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = view_settings()
    configure(settings.log_level)
    app = behind_proxies(create_face(view_options_of(settings)), settings.trusted_proxies)
    tune(settings)
    return app


def tune(settings: Settings) -> None:
    """Look for cycles seldom, and keep to a CPU if one is given, now that all is made."""
    look_seldom()
    keep_to(settings.view_cpu)


def behind_proxies(app: ASGIApp, trusted: str) -> ASGIApp:
    """Return `app`, which then sees the address that a trusted proxy names, not the proxy's own."""
    if not trusted:
        return app
    wrapped: ASGIApp = wrap_asgi_with_proxy_headers(app, trusted.split(","))
    return wrapped


def view_options_of(settings: Settings) -> ViewOptions:
    """Return what the view needs of the settings."""
    for source, token in _own_tokens(settings):
        if token:
            metrics.VIEW_TOKEN_ENDS.labels(source).set(told_by(token)[1].timestamp())
    mac_keys = source_keys(settings)
    return ViewOptions(
        brokers=settings.brokers,
        redis_url=settings.redis_url,
        rows_redis_url=settings.rows_redis_url,
        trust=trust_of(settings),
        mac_keys=mac_keys,
        display_key=settings.display_keys,
        gateway_docs_url=f"{settings.gateway_url}/openapi.json",
        login=login_options_of(settings),
        sessions_redis_url=settings.sessions_redis_url,
        replica=Path(settings.replica) if settings.replica else None,
        credentials_redis_url=settings.credentials_redis_url,
        watched=settings.watched,
        security_txt=settings.security_txt,
        followed=RegisterFollower(settings.brokers, mac_keys),
        make_cards=partial(travel_cards, settings),
        credential_key=settings.credential_key,
        credential_former_keys=[
            bytes.fromhex(key) for key in settings.credential_former_keys.split(",") if key
        ],
    )


def view() -> None:
    """Serve codes, the dashboard and the API pages until a signal ends it."""
    serve_view("app.view.server:make", view_settings)


def view_settings() -> Settings:
    """Return the settings; raise `SettingsError` if a view cannot be made of them."""
    settings = Settings.from_environment(*VIEW_SECRETS)
    settings.cpu("view_cpu")
    trust_of(settings)
    for source, token in _own_tokens(settings):
        try:
            told_by(token)
        except ValueError as error:
            raise SettingsError(f"The token of {source}: {error}") from None
    return settings


def _own_tokens(settings: Settings) -> list[tuple[str, str]]:
    return [
        (PORTAL, settings.portal_token),
        (IDENTITY_PROVIDERS + settings.oidc_name, settings.identity_provider_token),
    ]


def serve_view(target: str, read: Callable[[], Settings]) -> None:
    """Serve the view that `target` (`module:factory`) makes of the settings that `read` gives."""
    settings = read()
    serve(
        target,
        "view",
        settings.view_host,
        settings.view_port,
        "YUEKANG_VIEW_PORT",
        connections_max=CONNECTIONS_MAX,
        kill_seconds=KILL_SECONDS,
        check=read,
    )
