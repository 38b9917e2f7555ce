"""The processes `yuekang worker` and `yuekang lists-worker`: a Faust app with its agents, and its
status server.

Codes come from the first. The second is for all that bears on no code. It gives way to the first if
both run on one machine, so that no flood of it can delay a colour.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import faust
import structlog
import typer
from aiokafka.errors import KafkaError
from mode import Service

import agents.lifts
import agents.lists
import agents.people
import agents.poison
import agents.releases
import agents.scans
from agents.dead_letters import DeadLetters
from app.process.logs import configure
from app.process.probes import StatusServer
from app.process.settings import Settings
from app.topics.admin import cluster_id_of, differences
from app.topology import ListsApp, TableApp, YuekangApp, create_app, create_lists_app
from app.worker.lag import WorkerLag

log = structlog.get_logger()

BROKER_SECONDS_MAX = 30.0
"""How long a worker that starts waits for its broker."""


NICENESS = 10
"""Of the process for what bears on no code: it gets a tenth of a core that the other wants too."""


def worker() -> None:
    """Run the stream processor that codes come from, until a signal ends it.

    Exits with 1 where Kafka does not answer, where its topics are not those of topics.yaml, or
    after a fault that only a new start can mend.
    """
    settings = Settings.from_environment("dead_letter_public_key")
    _run(settings, settings.worker_status_port, make_app)


def lists_worker() -> None:
    """Run the stream processor of what bears on no code, until a signal ends it.

    It fills the lists of health information. Exits with 1 as `worker` does.
    """
    os.nice(NICENESS)
    settings = Settings.from_environment("dead_letter_public_key")
    _run(settings, settings.lists_status_port, make_lists_app)


def _run(settings: Settings, status_port: int, make: Callable[[Settings, str], TableApp]) -> None:
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
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make(settings, cluster)
    faust_worker = faust.Worker(
        app,
        WorkerStatus(app, settings, status_port),
        loop=loop,
        override_logging=False,  # app.process.logs has configured it
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


def make_lists_app(settings: Settings, cluster: str) -> ListsApp:
    """Make the app for what bears on no code, in the same way."""
    app = create_lists_app(settings, cluster)
    dead_letters = DeadLetters(settings.dead_letter_public_key)
    unreadable = agents.poison.unreadable_limit(settings)
    agents.lists.register(app, dead_letters, unreadable)
    agents.releases.register(app, None)
    agents.poison.register(app)
    return app


class WorkerStatus(Service):
    """Tells over HTTP how the worker is: alive, ready, in numbers."""

    def __init__(self, app: TableApp, settings: Settings, status_port: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lag = WorkerLag(app, settings.kafka)
        self._server = StatusServer(settings.status_host, status_port, self._lag.reasons)

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
                return await cluster_id_of(bootstrap), await differences(bootstrap)
            except (KafkaError, OSError) as error:
                log.info("broker_does_not_answer", error=str(error))
                await asyncio.sleep(0.5)
