"""The processes `yuekang worker`, `submissions-worker` and `lists-worker`: a Faust app with its
agents, and its status server.

Codes come from the first. The second checks what agencies write to Kafka themselves, the third is
for all that bears on no code. Both give way to the first if they run on one machine, so that no
flood there can delay a colour.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import structlog
import typer
from aiokafka.errors import KafkaError
from mode import Service

import agents.lifts
import agents.lists
import agents.people
import agents.poison
import agents.quotas
import agents.releases
import agents.scans
import agents.submissions
from agents.dead_letters import DeadLetters
from app.engine.halts import PARTITIONS_PATH
from app.engine.waits import Worker
from app.process.kafka import UNAUTHORISED, Brokers
from app.process.logs import configure
from app.process.probes import StatusServer
from app.process.scheduling import give_way, keep_to
from app.process.settings import Settings
from app.topics.admin import cluster_id_of, differences
from app.topics.clock import BrokerClock, ClockWrong
from app.topics.letters import PARKED_PATH
from app.topology import (
    ListsApp,
    SubmissionsApp,
    TableApp,
    YuekangApp,
    create_app,
    create_lists_app,
    create_submissions_app,
)
from app.worker.lag import EndLostError, WorkerLag
from app.worker.partitions import held_partitions, parked_sources, remarks_on

log = structlog.get_logger()

BROKER_SECONDS_MAX = 30.0
"""How long a worker that starts waits for its broker."""


CHECK_SECONDS = 1.0
"""How often it is looked at what the worker cannot live with; the broker is asked of its clock less
often."""

ClockAgrees: TypeAlias = Callable[[], bool]
"""Says whether this machine's clock agrees with the broker's."""

MakeApp: TypeAlias = Callable[[Settings, str, ClockAgrees], TableApp]


def worker() -> None:
    """Run the stream processor that codes come from, until a signal ends it.

    Exits with 1 where Kafka does not answer, where its topics are not those of topics.yaml, or
    after a fault that only a new start can mend.
    """
    settings = Settings.from_environment("dead_letter_public_key", "mac_key")
    _run(settings, settings.worker_status_port, make_app, settings.cpu("worker_cpu"))


def submissions_worker() -> None:
    """Run the stream processor that checks what agencies write to Kafka themselves.

    What is taken it copies to its input. Exits with 1 as `worker` does.
    """
    give_way()
    settings = Settings.from_environment("dead_letter_public_key", "mac_key")
    _run(settings, settings.submissions_status_port, make_submissions_app)


def lists_worker() -> None:
    """Run the stream processor of what bears on no code, until a signal ends it.

    It fills the lists of health information. Exits with 1 as `worker` does.
    """
    give_way()
    settings = Settings.from_environment("dead_letter_public_key", "mac_key")
    _run(settings, settings.lists_status_port, make_lists_app)


def _run(settings: Settings, status_port: int, make: MakeApp, cpu: int | None = None) -> None:
    configure(settings.log_level)
    keep_to(cpu)
    clock = BrokerClock(settings.brokers)
    try:
        cluster, found = asyncio.run(_look_at(settings.brokers, clock))
        clock.check()
    except (KafkaError, TimeoutError, OSError) as error:
        typer.echo(settings.brokers.trouble(error), err=True)
        raise typer.Exit(1) from None
    except ClockWrong as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if found:
        typer.echo("The topics on the broker are not those of topics.yaml:", err=True)
        for line in found:
            typer.echo(f"  {line}", err=True)
        raise typer.Exit(1)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        app = make(settings, cluster, clock.agrees)
    except RuntimeError as error:  # another Faust, or another worker in this folder
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    faust_worker = Worker(
        app,
        WorkerStatus(app, settings, status_port, clock),
        loop=loop,
        override_logging=False,  # app.process.logs has configured it
        redirect_stdouts=False,
        quiet=True,
    )
    faust_worker.spinner = None
    faust_worker.execute_from_commandline()


def make_app(settings: Settings, cluster: str, clock_agrees: ClockAgrees) -> YuekangApp:
    """Make the app with all its agents; once per event loop.

    While the clock does not agree with the broker's, nothing is told that time alone brings about.
    """
    app = create_app(settings, cluster)
    dead_letters = DeadLetters(settings.dead_letter_public_key)
    agents.people.register(app, dead_letters, app.keys)
    agents.scans.register(app, dead_letters, app.keys)
    agents.quotas.register(app, dead_letters, app.keys)
    agents.releases.register(app, dead_letters, app.keys)
    agents.lifts.register(app, dead_letters, clock_agrees)
    agents.poison.register(app)
    return app


def make_submissions_app(
    settings: Settings, cluster: str, clock_agrees: ClockAgrees
) -> SubmissionsApp:
    """Make the app that checks submissions, in the same way. Nothing in it is due at a time."""
    app = create_submissions_app(settings, cluster)
    dead_letters = DeadLetters(settings.dead_letter_public_key)
    agents.submissions.register(app, dead_letters, app.keys)
    agents.releases.register(app, None, app.keys)
    agents.poison.register(app)
    return app


def make_lists_app(settings: Settings, cluster: str, clock_agrees: ClockAgrees) -> ListsApp:
    """Make the app for what bears on no code, in the same way."""
    app = create_lists_app(settings, cluster)
    dead_letters = DeadLetters(settings.dead_letter_public_key)
    agents.lists.register(app, dead_letters, app.keys, clock_agrees)
    agents.releases.register(app, None, app.keys)
    agents.poison.register(app)
    return app


class WorkerStatus(Service):
    """Tells over HTTP how the worker is: alive, ready, in numbers."""

    def __init__(
        self,
        app: TableApp,
        settings: Settings,
        status_port: int,
        clock: BrokerClock,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._clock = clock
        self._lag = WorkerLag(app, settings.brokers)
        self._server = StatusServer(
            settings.status_host,
            status_port,
            self._reasons,
            partial(remarks_on, app),
            {
                PARTITIONS_PATH: partial(held_partitions, app),
                PARKED_PATH: partial(parked_sources, app),
            },
        )

    async def on_start(self) -> None:
        """Listen before the app starts, so that a long catch-up can be watched."""
        await self._server.start()
        self.add_future(self._lag.watch())
        self.add_future(self._clock.run())
        self.add_future(self._check())

    async def on_stop(self) -> None:
        """Stop listening, after the app."""
        await self._server.stop()
        try:
            self._clock.check()
        except ClockWrong as error:
            # The broker may have refused what was written by it first, without a word of a clock.
            log.error("the worker ends", why=str(error))

    def _reasons(self) -> list[str]:
        return [*self._clock.reasons(), *self._lag.reasons()]

    async def _check(self) -> None:
        """End the worker when its clock is wrong beyond use, or an input has lost its end."""
        while True:
            try:
                self._clock.check()
                self._lag.check()
            except (ClockWrong, EndLostError) as error:
                self.add_future(self._app.crash(error))
                return
            await asyncio.sleep(CHECK_SECONDS)


async def _look_at(brokers: Brokers, clock: BrokerClock) -> tuple[str, list[str]]:
    """Return the cluster's id, and how its topics differ from the catalogue. Compare the clocks if
    they do not differ."""
    async with asyncio.timeout(BROKER_SECONDS_MAX):
        while True:
            try:
                cluster, found = await cluster_id_of(brokers), await differences(brokers)
                if not found:
                    await clock.ask_once()
                return cluster, found
            except UNAUTHORISED:  # no waiting mends that
                raise
            except (KafkaError, OSError) as error:
                if await asyncio.to_thread(brokers.refused, error):  # nor that
                    raise
                log.info("broker_does_not_answer", error=str(error))
                await asyncio.sleep(0.5)
