"""The process `yuekang gateway`, and what it needs of the settings."""

from litestar import Litestar

from app.gateway.routes import GatewayOptions, create_gateway
from app.gateway.signatures import Signers, signing_keys
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.settings import Settings
from app.sources.follow import RegisterFollower
from app.topics.authentic import source_keys
from app.web.serve import serve
from app.web.tokens import trust_of

CONNECTIONS_MAX = 512
KILL_SECONDS = 5
"""Streams never end by themselves, and their clients come back. A request that still waits for
Kafka then is cut off; sending it again is safe."""

GATEWAY_SECRETS = ("person_key_secret", "mac_key")


def make() -> Litestar:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = _settings()
    configure(settings.log_level)
    app = create_gateway(gateway_options_of(settings))
    look_seldom()
    return app


def gateway_options_of(settings: Settings) -> GatewayOptions:
    """Return what the gateway needs of the settings."""
    mac_keys = source_keys(settings)
    return GatewayOptions(
        brokers=settings.brokers,
        rows_redis_url=settings.rows_redis_url,
        person_key_secret=settings.person_key_secret,
        person_key_version=settings.person_key_version,
        trust=trust_of(settings),
        mac_keys=mac_keys,
        signers=Signers(
            signing_keys(settings.signing_keys), required=settings.environment == "production"
        ),
        gateway_url=settings.gateway_url,
        view_url=settings.view_url,
        security_txt=settings.security_txt,
        followed=RegisterFollower(settings.brokers, mac_keys),
        registered_only=settings.environment == "production",
    )


def _settings() -> Settings:
    settings = Settings.from_environment(*GATEWAY_SECRETS)
    trust_of(settings)
    return settings


def gateway() -> None:
    """Serve the entrance over HTTP until a signal ends it."""
    settings = _settings()
    serve(
        "app.gateway.server:make",
        "gateway",
        settings.gateway_host,
        settings.gateway_port,
        "YUEKANG_GATEWAY_PORT",
        connections_max=CONNECTIONS_MAX,
        kill_seconds=KILL_SECONDS,
        check=_settings,
    )
