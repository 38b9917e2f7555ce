"""Make a Faust app of the engine, and tie its tables to the partitions that the group gives it."""

import asyncio
import gc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from aiokafka.producer import sender
from faust.types import TP
from mode import CrashingSupervisor

from app.engine import check_versions, records
from app.engine.chunks import CHUNK_RECORDS_MAX, ChunkApp
from app.engine.table import Table

ASK_AGAIN_SECONDS = 0.004
"""A producer that begins a transaction just after another waits so long before it asks the broker
again whether that is over (KAFKA-5477), which takes some 2 ms. aiokafka has 20 ms fixed, four times
what a whole small transaction takes."""

CHUNKS_WAITING_MAX = 8
"""Chunks that wait before an agent. At four fifths of it the partitions that bring more are not
fetched, until two fifths are left."""

LEADERS_KNOWN_MS = 10_000
"""How old what is known of partitions' leaders may be. Where aiokafka looks for the beginning of a
partition it asks a leader of old again and again until then; its default is 5 minutes."""

TAKE_OVER_SECONDS_MAX = 30.0
"""How long finishing the chunks in hand may hold up a rebalance or a stop."""

GC_OBJECTS = 50_000
"""New objects after which Python looks for circles among them. Its 700 are a few records, of whose
objects a chunk keeps all until its end: a tenth of the fold's time was spent looking."""

A = TypeVar("A", bound=ChunkApp)


def make_app(
    kind: type[A],
    name: str,
    bootstrap: str,
    directory: Path,
    session_seconds: float,
    commit_seconds: float = 1.0,
) -> A:
    """Make an app of this kind, once per event loop; raise `RuntimeError` for another Faust.

    A worker that is not heard of for `session_seconds` loses its partitions.
    """
    check_versions()
    records.install()
    sender.BACKOFF_OVERRIDE = ASK_AGAIN_SECONDS
    gc.set_threshold(GC_OBJECTS)
    directory.mkdir(parents=True, exist_ok=True)
    return kind(
        name,
        broker=f"kafka://{bootstrap}",
        datadir=str(directory / "faust"),
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=LEADERS_KNOWN_MS,
        broker_max_poll_records=CHUNK_RECORDS_MAX,
        broker_commit_interval=commit_seconds,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=session_seconds / 5,
        broker_rebalance_timeout=TAKE_OVER_SECONDS_MAX,
        stream_buffer_maxsize=CHUNKS_WAITING_MAX,
        stream_wait_empty=False,
        agent_supervisor=CrashingSupervisor,
    )


def hold(
    app: ChunkApp, tables: Sequence[Table], numbers_of: Callable[[set[TP]], Iterable[int]]
) -> None:
    """Let `tables` be taken and given up with the partitions of the input.

    `numbers_of` says which partition numbers of the tables an assignment means.
    """
    for table in tables:
        table.on_failure(lambda error: _end(app, error))

    async def revoked(_: Any, /, *args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
            await asyncio.gather(*(table.revoke() for table in tables))

    async def assigned(_: Any, /, *args: set[TP], **kwargs: Any) -> None:
        numbers = numbers_of(args[0])
        generation = app.consumer_generation_id
        for table in tables:
            await table.assign(numbers, generation)

    async def before_shutdown(_: Any, /, *args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
            await asyncio.gather(*(table.stop() for table in tables))

    # weak=False: nothing else refers to these functions.
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_before_shutdown.connect(before_shutdown, weak=False)


def _end(app: ChunkApp, error: BaseException) -> None:
    """End the process visibly: what cannot be taken over cannot be processed."""
    app.log.error("taking a partition failed: %r", error, exc_info=error)
    task = asyncio.ensure_future(app.crash(error))
    task.add_done_callback(lambda _: None)
