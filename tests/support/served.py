"""An application of nothing but probes, served as every face is: `make` is what Granian calls."""

from litestar import Litestar

from app.web.probes import probes
from app.web.serve import serve


def make() -> Litestar:
    """Return the application."""

    async def ready() -> list[str]:
        return []

    return Litestar(route_handlers=probes(lambda: None, ready), logging_config=None)


def serve_probes(port: int, connections_max: int) -> None:
    """Serve it until a signal ends it."""
    serve(
        "tests.support.served:make",
        "probes",
        "127.0.0.1",
        port,
        "PORT",
        connections_max=connections_max,
        kill_seconds=1,
        check=make,
    )
