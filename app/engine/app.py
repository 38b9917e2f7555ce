"""Make a Faust app of the engine, and its tables, tied to the partitions that it is given."""

import asyncio
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from aiokafka.producer import sender
from faust import SASLCredentials, SSLCredentials
from faust.auth import Credentials
from faust.types import TP
from mode import CrashingSupervisor

from app.engine import check_versions, records
from app.engine.chunks import CHUNK_RECORDS_MAX, ChunkApp, ChunkConsumer
from app.engine.membership import MEMBER, Joins, instance_id
from app.engine.partition import TableSettings
from app.engine.table import Table
from app.engine.topics import Topics
from app.engine.waits import NoTables
from app.process.kafka import Brokers
from app.process.memory import look_seldom

ASK_AGAIN_SECONDS = 0.004
"""How long a producer waits before it asks again to add partitions to a transaction. The broker
refuses while it still ends the transaction before (KAFKA-5477), which takes some 2 ms. aiokafka
waits a fixed 20 ms, four times what a whole small transaction takes."""

HEARTBEAT_SECONDS = 0.1
"""How soon a worker hears of a rebalance. Until all of them have, nothing more is fetched."""

CHUNKS_COMING_MAX = 1_024
"""Chunks on their way to an agent, which hands on each at once; a fetch brings one of each
partition. What waits is bounded behind it (`Lanes.held_back`)."""

LEADERS_KNOWN_MS = 10_000
"""How old the knowledge of partitions' leaders may be. While aiokafka looks for the beginning of a
partition, it goes on asking a leader that has moved for that long. Its default is 5 minutes."""

NOT_SERVED = "http://worker"
"""Faust's assignor tells all members where each of them serves its tables; none does. A member that
comes back has to give the address that it had, wherever it runs now."""

TAKE_OVER_SECONDS_MAX = 30.0
"""How long finishing the chunks in hand may hold up a rebalance or a stop."""

END_SECONDS_MAX = 45.0
"""How long the end of a process may take. A broker that is away can hold it up for ever: aiokafka
asks without end whether a transaction is over, and its thread keeps the process alive."""

A = TypeVar("A", bound=ChunkApp)


def make_app(
    kind: type[A],
    name: str,
    brokers: Brokers,
    directory: Path,
    session_seconds: float,
    topics: Iterable[str],
    commit_seconds: float = 1.0,
) -> A:
    """Make an app of this kind, once per event loop; raise `RuntimeError` for another Faust.

    Its agents read `topics`. A worker that is not heard of for `session_seconds` loses its
    partitions; one that is back sooner has them still (`app.engine.membership`). Some of aiokafka
    and Python is changed for the whole process (`app.engine`). `memory://`: no table is Faust's.
    """
    check_versions()
    records.install()
    sender.BACKOFF_OVERRIDE = ASK_AGAIN_SECONDS
    look_seldom()
    own = directory / "faust" / name
    app = kind(
        name,
        broker=f"kafka://{brokers}",
        broker_credentials=credentials_of(brokers),
        datadir=str(own),
        store="memory://",
        TableManager=NoTables,
        autodiscover=False,
        web_enabled=False,
        canonical_url=NOT_SERVED,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance_id(own, topics),
        consumer_metadata_max_age_ms=LEADERS_KNOWN_MS,
        broker_max_poll_records=CHUNK_RECORDS_MAX,
        broker_commit_interval=commit_seconds,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        broker_rebalance_timeout=TAKE_OVER_SECONDS_MAX,
        stream_buffer_maxsize=CHUNKS_COMING_MAX,
        stream_wait_empty=False,
        agent_supervisor=CrashingSupervisor,
    )
    app.comes_back = (own / MEMBER).exists
    return app


def make_tables(
    app: ChunkApp,
    settings: Sequence[TableSettings],
    numbers_of: Callable[[set[TP]], Iterable[int]],
) -> tuple[Table, ...]:
    """Make the tables of an app, which are taken and given up with the partitions of the input.

    `numbers_of` says which partition numbers of the tables an assignment means. The tables ask of
    topics over one connection, which is closed with the app.
    """
    topics = Topics(settings[0].brokers)
    tables = tuple(Table(of, topics) for of in settings)

    def unread() -> dict[TP, int]:
        return _of_all(tables, [table.unread() for table in tables])

    async def seek(places: Mapping[TP, int]) -> None:
        least = unread()
        await cast(ChunkConsumer, app.consumer).go_to(
            {tp: min(offset, least.get(tp, offset)) for tp, offset in places.items()}
        )

    def failed(error: BaseException) -> None:
        app.loop.call_soon_threadsafe(_end, app, error)

    app.on_failure = failed
    for table in tables:
        table.on_failure(lambda error: _end(app, error))
        table.seek = seek
    app.unread = unread
    app.held_back = lambda: frozenset[TP]().union(*(table.lanes.held_back for table in tables))

    joins = Joins(app.conf.datadir / MEMBER)

    async def revoked(_: Any, /, *args: Any, **kwargs: Any) -> None:
        await asyncio.gather(*(table.end_taking() for table in tables))

    async def assigned(_: Any, /, *args: set[TP], **kwargs: Any) -> None:
        numbers = numbers_of(args[0])
        generation = app.consumer_generation_id
        joins.check(generation)
        try:
            async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
                await asyncio.gather(*(table.assign(numbers, generation) for table in tables))
        except TimeoutError:
            raise RuntimeError(
                f"what was in hand was not finished {TAKE_OVER_SECONDS_MAX:g} s into a rebalance"
            ) from None

    async def before_shutdown(_: Any, /, *args: Any, **kwargs: Any) -> None:
        last = threading.Timer(END_SECONDS_MAX, _end_at_once)
        last.daemon = True
        last.start()
        try:
            async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
                left = _of_all(tables, await asyncio.gather(*(table.stop() for table in tables)))
                app.unread = lambda: left  # for the last commit
                await topics.close()
        except TimeoutError:  # Faust would end nothing else
            app.log.error("chunks in hand were not finished within %g s", TAKE_OVER_SECONDS_MAX)

    # weak=False: nothing else refers to these functions.
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_before_shutdown.connect(before_shutdown, weak=False)
    return tables


def credentials_of(brokers: Brokers) -> Credentials | None:
    """Return how Faust's consumer shows the brokers who it is; None where it need not."""
    if brokers.by_password:
        return SASLCredentials(
            username=brokers.user,
            password=brokers.password,
            ssl_context=brokers.tls,
            mechanism=brokers.mechanism,
        )
    return SSLCredentials(brokers.tls) if brokers.encrypted else None


def _of_all(tables: Sequence[Table], unread: Iterable[Mapping[TP, int]]) -> dict[TP, int]:
    """Return the least of what is unread of each input; leave out what not every table that reads
    it knows."""
    readers = Counter(topic for table in tables for topic in table.settings.topics)
    known = defaultdict[TP, list[int]](list)
    for each in unread:
        for tp, offset in each.items():
            known[tp].append(offset)
    return {tp: min(all_) for tp, all_ in known.items() if len(all_) == readers[tp.topic]}


def _end_at_once() -> None:
    """End a process that takes too long to end. It may die at any instant, so nothing is lost."""
    os._exit(1)


def _end(app: ChunkApp, error: BaseException) -> None:
    """End the process visibly: a partition cannot be taken, or the log, the store or the group
    failed."""
    app.log.error("the worker ends: %r", error, exc_info=error)
    app.add_future(app.crash(error))
