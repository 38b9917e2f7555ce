"""The graph of the stream processor, in one place.

    identities          ─┐
    laboratory-results  ─┤
    case-reports        ─┤                     ┌─> health-codes   (compacted)
    contact-listings    ─┼─> agents/people ────┼─> status-changes
    quarantine-orders   ─┤     people table    ├─> dead-letters
    provincial-codes    ─┘     + due rows      └─> parked
                               (agents/lifts)
    scans               ───> agents/scans ───────> dead-letters, parked
                               scans table
    source-releases     ───> agents/releases
                               both tables

Each input topic has an agent of its own; all that fold into one table take turns per partition
(app.engine.table), so no two ever interleave on the same person. All input topics are keyed by
person, but for source-releases, of which each partition has every record. All
have the same number of partitions, so one worker holds the same partition of all of them.
"""

import asyncio
from pathlib import Path
from typing import Any

from faust.types import TP
from mode import CrashingSupervisor

from app.catalogue import CATALOGUE, EVERY_TABLE, Topic
from app.engine import check_versions, records
from app.engine.chunks import CHUNK_RECORDS_MAX, ChunkApp
from app.engine.table import Table, TableSettings
from app.settings import Settings

HEALTH_CODES = "health-codes"
STATUS_CHANGES = "status-changes"
DEAD_LETTERS = "dead-letters"
PARKED = "parked"
SOURCE_RELEASES = "source-releases"

CHUNKS_WAITING_MAX = 8
"""Chunks that wait before an agent. At four fifths of it the partitions that bring more are not
fetched, until two fifths are left."""

TAKE_OVER_SECONDS_MAX = 30.0
"""How long finishing the chunks in hand may hold up a rebalance or a stop."""


class YuekangApp(ChunkApp):
    """The Faust app with its tables. Make it with `create_app`, once per event loop."""

    people: Table
    scans: Table

    @property
    def held_tables(self) -> tuple[Table, ...]:
        """Every table; each is taken and given up with the partitions of the input."""
        return self.people, self.scans

    def tables_of(self, topic: Topic) -> tuple[Table, ...]:
        """Return the tables that a topic folds into."""
        return tuple(
            table
            for table in self.held_tables
            if topic.folds_into in (table.settings.name, EVERY_TABLE)
        )


def create_app(settings: Settings, cluster_id: str) -> YuekangApp:
    """Make the app without agents. `cluster_id` keeps stores of another cluster's log apart."""
    check_versions()
    records.install()
    data_dir = Path(settings.data_dir).absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    application = f"yuekang-g{CATALOGUE.generation}"
    app = YuekangApp(
        application,
        broker=f"kafka://{settings.kafka}",
        datadir=str(data_dir / "faust"),
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=CHUNK_RECORDS_MAX,
        broker_commit_interval=1.0,
        broker_session_timeout=settings.worker_session_seconds,
        broker_heartbeat_interval=settings.worker_session_seconds / 5,
        broker_rebalance_timeout=TAKE_OVER_SECONDS_MAX,
        stream_buffer_maxsize=CHUNKS_WAITING_MAX,
        stream_wait_empty=False,
        agent_supervisor=CrashingSupervisor,
    )

    def table(name: str) -> Table:
        return Table(
            TableSettings(
                name=name,
                application=application,
                bootstrap=settings.kafka,
                directory=data_dir / "tables" / cluster_id / f"g{CATALOGUE.generation}",
                changelog=f"yuekang-{name}-changelog",
            )
        )

    app.people = table("people")
    app.scans = table("scans")
    for held in app.held_tables:
        held.on_failure(lambda error: _end(app, error))

    async def revoked(_: Any, /, *args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
            await asyncio.gather(*(held.revoke() for held in app.held_tables))

    async def assigned(_: Any, /, *args: set[TP], **kwargs: Any) -> None:
        numbers = whole_partitions(args[0])
        generation = app.consumer_generation_id
        for held in app.held_tables:
            await held.assign(numbers, generation)

    async def before_shutdown(_: Any, /, *args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
            await asyncio.gather(*(held.stop() for held in app.held_tables))

    # weak=False: nothing else refers to these functions.
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_before_shutdown.connect(before_shutdown, weak=False)
    return app


def input_topics() -> tuple[Topic, ...]:
    """Return the topics that agents read, in the catalogue's order."""
    return tuple(topic for topic in CATALOGUE.topics.values() if topic.folds_into is not None)


def whole_partitions(assigned: set[TP]) -> set[int]:
    """Return the partition numbers held; raise where a worker holds one of only some topics."""
    numbers = {tp.partition for tp in assigned}
    missing = [
        f"{topic.name}[{number}]"
        for number in sorted(numbers)
        for topic in input_topics()
        if (topic.name, number) not in {(tp.topic, tp.partition) for tp in assigned}
    ]
    if missing:
        raise RuntimeError(
            "The group gave this worker a partition without all its topics; missing: "
            f"{', '.join(missing)}. Run `yuekang topics check`."
        )
    return numbers


def _end(app: YuekangApp, error: BaseException) -> None:
    """End the process visibly: what cannot be taken over cannot be processed."""
    app.log.error("taking a partition failed: %r", error, exc_info=error)
    task = asyncio.ensure_future(app.crash(error))
    task.add_done_callback(lambda _: None)
