"""The process `yuekang worker`: the Faust app with its agents, and its status server."""

import asyncio
from typing import Any

import faust
import structlog
import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from mode import Service

import agents.lifts
import agents.people
import agents.poison
import agents.releases
import agents.scans
from agents.dead_letters import DeadLetters
from app.catalogue import differences
from app.lag import Lag
from app.logs import configure
from app.settings import Settings
from app.status_server import StatusServer
from app.topology import YuekangApp, create_app

log = structlog.get_logger()

BROKER_SECONDS_MAX = 30.0
"""How long a worker that starts waits for its broker."""


def worker() -> None:
    """Run the stream processor until a signal ends it.

    Exits with 1 where Kafka does not answer, where its topics are not those of topics.yaml, or
    after a fault that only a new start can mend.
    """
    settings = Settings.from_environment("dead_letter_public_key")
    configure(settings.log_level)
    try:
        cluster, found = asyncio.run(_look_at(settings.kafka))
    except (KafkaError, TimeoutError, OSError) as error:
        typer.echo(
            f"Kafka at {settings.kafka} does not answer ({error}). Start it, or set YUEKANG_KAFKA.",
            err=True,
        )
        raise typer.Exit(1) from None
    if found:
        typer.echo("The topics on the broker are not those of topics.yaml:", err=True)
        for line in found:
            typer.echo(f"  {line}", err=True)
        raise typer.Exit(1)
    run(settings, cluster)


def run(settings: Settings, cluster: str) -> None:
    """Run the worker on an event loop of its own; raises `SystemExit`."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(settings, cluster)
    faust_worker = faust.Worker(
        app,
        Status(app, settings),
        loop=loop,
        override_logging=False,  # app.logs has configured it
        redirect_stdouts=False,
        quiet=True,
    )
    faust_worker.spinner = None
    faust_worker.execute_from_commandline()


def make_app(settings: Settings, cluster: str) -> YuekangApp:
    """Make the app with all its agents; once per event loop."""
    app = create_app(settings, cluster)
    dead_letters = DeadLetters(settings.dead_letter_public_key)
    unreadable = agents.poison.unreadable_limit(settings)
    agents.people.register(app, dead_letters, unreadable)
    agents.scans.register(app, dead_letters, unreadable)
    agents.releases.register(app, dead_letters)
    agents.lifts.register(app, dead_letters)
    agents.poison.register(app)
    return app


class Status(Service):
    """Tells over HTTP how the worker is: alive, ready, in numbers."""

    def __init__(self, app: YuekangApp, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lag = Lag(app, settings.kafka)
        self._server = StatusServer(
            settings.status_host, settings.worker_status_port, self._lag.reasons
        )

    async def on_start(self) -> None:
        """Listen before the app starts, so that a long catch-up can be watched."""
        await self._server.start()
        self.add_future(self._lag.watch())

    async def on_stop(self) -> None:
        """Stop listening, after the app."""
        await self._server.stop()


async def _look_at(bootstrap: str) -> tuple[str, list[str]]:
    """Return the cluster's id, and how its topics differ from the catalogue."""
    async with asyncio.timeout(BROKER_SECONDS_MAX):
        while True:
            try:
                return await _cluster_id(bootstrap), await differences(bootstrap)
            except (KafkaError, OSError) as error:
                log.info("broker_does_not_answer", error=str(error))
                await asyncio.sleep(0.5)


async def _cluster_id(bootstrap: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described: dict[str, Any] = await admin.describe_cluster()
        return str(described["cluster_id"])
    finally:
        await admin.close()
