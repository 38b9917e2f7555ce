"""The process `yuekang gateway`, and what it needs of the settings."""

from litestar import Litestar

from app.gateway.routes import GatewayOptions, create_gateway
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.settings import Settings
from app.sources.follow import RegisterFollower
from app.topics.catalogue import IDENTITY_PROVIDERS, PORTAL
from app.web.serve import serve

REQUESTS_AT_ONCE_MAX = 512
KILL_SECONDS = 5
"""Streams never end by themselves, and their clients come back. A request that still waits for
Kafka then is cut off; sending it again is safe."""

GATEWAY_SECRETS = ("person_key_secret", "token_key")


def make() -> Litestar:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = Settings.from_environment(*GATEWAY_SECRETS)
    configure(settings.log_level)
    app = create_gateway(gateway_options_of(settings))
    look_seldom()
    return app


def gateway_options_of(settings: Settings) -> GatewayOptions:
    """Return what the gateway needs of the settings."""
    return GatewayOptions(
        kafka=settings.kafka,
        rows_redis_url=settings.rows_redis_url,
        person_key_secret=settings.person_key_secret,
        person_key_version=settings.person_key_version,
        token_key=settings.token_key,
        view_url=settings.view_url,
        followed=RegisterFollower(settings.kafka),
        registered_only=settings.environment == "production",
        views_sources=frozenset({PORTAL, IDENTITY_PROVIDERS + settings.oidc_name}),
    )


def gateway() -> None:
    """Serve the entrance over HTTP until a signal ends it."""
    settings = Settings.from_environment(*GATEWAY_SECRETS)
    serve(
        "app.gateway.server:make",
        "gateway",
        settings.gateway_host,
        settings.gateway_port,
        "YUEKANG_GATEWAY_PORT",
        requests_at_once_max=REQUESTS_AT_ONCE_MAX,
        kill_seconds=KILL_SECONDS,
    )
