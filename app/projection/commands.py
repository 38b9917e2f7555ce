"""The processes `yuekang projection`, `replica` and `rows`: what each follows, and how it is run.

The first projects codes and changes. The second has the codes alone, on each machine that shows
them, and needs no Redis. The third projects rows: what people see and ask of beside their code, and
what sources are told. And it turns off credentials that tell a code of before. It has databases of
its own and gives way to the first, so that nothing of it ever delays a colour.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from app.engine.records import install
from app.process.gather import UNHURRIED_SECONDS
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.probes import StatusServer
from app.process.scheduling import give_way
from app.process.settings import Settings
from app.projection.codes import QUOTAS_CHANGELOG, CodeBatch, CodeWriter, take_told
from app.projection.corrections import MeasuredCodeWriter
from app.projection.follow import Model, ModelStore, Projection, Unfit
from app.projection.freshness import LISTS, PEOPLE, QUOTAS, SCANS, SUBMISSIONS_GROUP
from app.projection.holdings import HoldingsWriter
from app.projection.redis_store import RedisStore
from app.projection.replica_store import ReplicaStore, take_code
from app.projection.rows import (
    LISTS_CHANGELOG,
    PEOPLE_CHANGELOG,
    SCANS_CHANGELOG,
    SUBMISSIONS_CHANGELOG,
    RowBatch,
    RowWriter,
    take_row,
)
from app.topics.authentic import source_keys
from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES

CODES = Model(
    topics=(HEALTH_CODES, STATUS_CHANGES, QUOTAS_CHANGELOG),
    groups={HEALTH_CODES: (PEOPLE,), STATUS_CHANGES: (PEOPLE,), QUOTAS_CHANGELOG: (QUOTAS,)},
    new_batch=CodeBatch,
    take=take_told,
)


ROWS = Model(
    topics=(
        *(PEOPLE_CHANGELOG, LISTS_CHANGELOG, SCANS_CHANGELOG, SUBMISSIONS_CHANGELOG),
        DEAD_LETTERS,
    ),
    groups={
        PEOPLE_CHANGELOG: (PEOPLE,),
        LISTS_CHANGELOG: (LISTS,),
        SCANS_CHANGELOG: (SCANS,),
        SUBMISSIONS_CHANGELOG: (SUBMISSIONS_GROUP,),
        DEAD_LETTERS: (PEOPLE, SCANS, SUBMISSIONS_GROUP, LISTS),
    },
    new_batch=RowBatch,
    take=take_row,
    gather_seconds=UNHURRIED_SECONDS,
)


CREDENTIALS = Model(
    topics=(HEALTH_CODES,),
    groups={HEALTH_CODES: (PEOPLE,)},
    new_batch=CodeBatch,
    take=take_told,
)


REPLICA = Model(
    topics=(HEALTH_CODES,),
    groups={HEALTH_CODES: (PEOPLE,)},
    new_batch=CodeBatch,
    take=take_code,
)


def projection() -> None:
    """Keep the codes in Redis up to date with the log until a signal ends it.

    Waits for Kafka and Redis where they are away. Exits with 1 where the topics are not those of
    topics.yaml, or where the Redis database holds keys of others.
    """
    settings = Settings.from_environment("yuekang_mac_key")
    _run(settings, settings.projection_status_port, (codes_store(settings.redis_url), CODES))


def codes_store(url: str) -> RedisStore:
    """Return the database of codes at an address."""
    return RedisStore(url, "YUEKANG_REDIS_URL", lambda *of: MeasuredCodeWriter(CodeWriter(*of)))


def replica() -> None:
    """Keep this machine's replica of the codes up to date with the log until a signal ends it.

    Exits with 1 where the topics are not those of topics.yaml, or where another process writes in
    the folder.
    """
    settings = Settings.from_environment("yuekang_mac_key", "replica")
    store = ReplicaStore(Path(settings.replica), settings.replica_bytes)
    _run(settings, settings.replica_status_port, (store, REPLICA))


def rows() -> None:
    """Keep the rows in Redis up to date with the log, and credentials turned off that tell another
    code, until a signal ends it; as `projection`."""
    give_way()
    settings = Settings.from_environment("yuekang_mac_key")
    of_rows = RedisStore(settings.rows_redis_url, "YUEKANG_ROWS_REDIS_URL", RowWriter)
    of_credentials = RedisStore(
        settings.credentials_redis_url, "YUEKANG_CREDENTIALS_REDIS_URL", HoldingsWriter
    )
    followed = (of_rows, ROWS), (of_credentials, CREDENTIALS)
    _run(settings, settings.rows_status_port, *followed)


def _run(settings: Settings, status_port: int, *followed: tuple[ModelStore, Model]) -> None:
    configure(settings.log_level)
    install()  # app.projection.freshness reads the input too
    look_seldom()
    is_ours = source_keys(settings).is_ours
    running = [Projection(settings.brokers, store, model, is_ours) for store, model in followed]
    status = StatusServer(
        settings.status_host,
        status_port,
        lambda: [why for each in running for why in each.reasons()],
    )
    try:
        asyncio.run(_serve(running, status))
    except Unfit as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _serve(running: Sequence[Projection], status: StatusServer) -> None:
    await status.start()
    tasks = [asyncio.create_task(each.run()) for each in running]

    def stop() -> None:
        for each in running:
            each.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            with suppress(asyncio.CancelledError):
                task.result()
    finally:
        await status.stop()
