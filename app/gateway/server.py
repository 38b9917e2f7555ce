"""The process `yuekang gateway`: Granian with one worker.

One worker, since the limit of person keys and the metrics are counted in the process; a second
would halve the one and hide half of the other.
"""

import socket

from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server
from litestar import Litestar

from app.gateway.routes import Options, create_app
from app.process.logs import configure
from app.process.settings import Settings
from app.topics.catalogue import IDENTITY_PROVIDERS, PORTAL

HEADER_READ_MS_MAX = 10_000
REQUESTS_AT_ONCE_MAX = 512


def make() -> Litestar:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = Settings.from_environment("person_key_secret", "token_key")
    configure(settings.log_level)
    return create_app(options_of(settings))


def options_of(settings: Settings) -> Options:
    """Return what the gateway needs of the settings."""
    return Options(
        kafka=settings.kafka,
        person_key_secret=settings.person_key_secret,
        person_key_version=settings.person_key_version,
        token_key=settings.token_key,
        views_sources=frozenset({PORTAL, IDENTITY_PROVIDERS + settings.oidc_name}),
    )


class PortTaken(Exception):
    """Another process listens there; says where, and what to do."""


def check_port(host: str, port: int) -> None:
    """Raise `PortTaken` if another process listens there.

    Granian shares a port with whoever shares it too, so a second gateway would start in silence
    and take half of the requests.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"The gateway cannot listen on {host}:{port} ({error.strerror}). End what does, "
                "or set YUEKANG_GATEWAY_PORT."
            ) from None


def serve(settings: Settings) -> None:
    """Serve until a signal ends it; raise `PortTaken` if it cannot."""
    check_port(settings.gateway_host, settings.gateway_port)
    Server(
        "app.gateway.server:make",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.gateway_host,
        port=settings.gateway_port,
        workers=1,
        loop=Loops.uvloop,
        websockets=False,
        backpressure=REQUESTS_AT_ONCE_MAX,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS_MAX),
        log_access=False,
    ).serve()
