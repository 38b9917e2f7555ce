"""The processes `yuekang projection` and `yuekang rows`: what each follows, and how it is run.

The first projects codes and changes. The second projects rows: what people see and ask of beside
their code, and what sources are told. It has a database of its own and gives way to the first, so
that history never delays a colour.
"""

import asyncio
import os
import signal
from contextlib import suppress

import typer

from app.engine.records import install
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.probes import StatusServer
from app.process.settings import Settings
from app.projection.codes import CodeBatch, CodeWriter, take_told
from app.projection.corrections import MeasuredCodeWriter
from app.projection.follow import Model, Projection, Unfit
from app.projection.freshness import LISTS, PEOPLE, SCANS
from app.projection.rows import (
    LISTS_CHANGELOG,
    PEOPLE_CHANGELOG,
    SCANS_CHANGELOG,
    RowBatch,
    RowWriter,
    take_row,
)
from app.topics.authentic import source_keys
from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES

CODES = Model(
    topics=(HEALTH_CODES, STATUS_CHANGES),
    groups={HEALTH_CODES: (PEOPLE,), STATUS_CHANGES: (PEOPLE,)},
    writer=lambda redis, gate: MeasuredCodeWriter(CodeWriter(redis, gate)),
    new_batch=CodeBatch,
    take=take_told,
    redis_variable="YUEKANG_REDIS_URL",
)


ROWS = Model(
    topics=(PEOPLE_CHANGELOG, LISTS_CHANGELOG, SCANS_CHANGELOG, DEAD_LETTERS),
    groups={
        PEOPLE_CHANGELOG: (PEOPLE,),
        LISTS_CHANGELOG: (LISTS,),
        SCANS_CHANGELOG: (SCANS,),
        DEAD_LETTERS: (PEOPLE, SCANS, LISTS),
    },
    writer=RowWriter,
    new_batch=RowBatch,
    take=take_row,
    redis_variable="YUEKANG_ROWS_REDIS_URL",
)


NICENESS = 10
"""Of the process that projects rows."""


def projection() -> None:
    """Keep the codes in Redis up to date with the log until a signal ends it.

    Waits for Kafka and Redis where they are away. Exits with 1 where the topics are not those of
    topics.yaml, or where the Redis database holds keys of others.
    """
    settings = Settings.from_environment("yuekang_mac_key")
    _run(settings, settings.redis_url, settings.projection_status_port, CODES)


def rows() -> None:
    """Keep the rows in Redis up to date with the log until a signal ends it; as `projection`."""
    os.nice(NICENESS)
    settings = Settings.from_environment("yuekang_mac_key")
    _run(settings, settings.rows_redis_url, settings.rows_status_port, ROWS)


def _run(settings: Settings, redis_url: str, status_port: int, model: Model) -> None:
    configure(settings.log_level)
    install()  # app.projection.freshness reads the input too
    look_seldom()
    running = Projection(settings.brokers, redis_url, model, source_keys(settings).is_ours)
    status = StatusServer(settings.status_host, status_port, running.reasons)
    try:
        asyncio.run(_serve(running, status))
    except Unfit as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _serve(running: Projection, status: StatusServer) -> None:
    await status.start()
    task = asyncio.create_task(running.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.stop)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        await status.stop()
