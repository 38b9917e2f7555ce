"""Let go on what an operator has released: a parked source, a partition that stands still. Note
which operators approve what is held.

Each partition of the topic has every release of a source, and each release folds into every table:
what a partition counted of the source is forgotten, in all topics. A release of a partition lies in
that partition alone, and is folded although the partition stands. An approval lies in the partition
of its source alone (agents.quotas). No partition's release waits for another's. A repeated release
changes nothing, nor does one of what is not parked or does not stand.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial

import msgspec
import structlog
from faust.types import StreamT
from msgspec.structs import asdict

from agents.dead_letters import DeadLetters
from agents.poison import check_author, tally_of, write_tally
from agents.quotas import approve
from app.engine.chunks import Chunk
from app.engine.table import Table
from app.engine.transaction import Fold, Records, Transaction
from app.process.consumer import LogRecord
from app.topics.authentic import NotAuthentic, SourceKeys
from app.topics.catalogue import CATALOGUE, OPENINGS, SOURCE_RELEASES, input_topics
from app.topics.codec import Code, Refusal
from app.topics.openings import openings_partition
from app.topology import TableApp
from models.operators import (
    AnyRelease,
    OpeningsApproved,
    PartitionReleased,
    PartitionReleasedData,
    SourceReleased,
)

log = structlog.get_logger()

TOPIC = CATALOGUE.topics[SOURCE_RELEASES]
QUOTAS = str(CATALOGUE.topics[OPENINGS].folds_into)

_decode = msgspec.json.Decoder(AnyRelease).decode


def register(app: TableApp, dead_letters: DeadLetters | None, keys: SourceKeys) -> None:
    """Add the agent for releases. Exactly one app gets `dead_letters`, so a malformed release is
    reported once."""
    first = app.held_tables[0]
    folds = [
        (table, chunk_release(table, dead_letters if table is first else None, keys))
        for table in app.tables_of(TOPIC)
    ]

    @app.agent(app.topic(TOPIC.name, value_serializer="raw"), name="release-sources")
    async def release_sources(chunks: StreamT[Chunk]) -> None:
        async for event in chunks.noack().events():  # type: ignore[attr-defined]
            ack = _at_last_of(len(folds), partial(chunks.ack, event))
            for table, fold in folds:
                # A chunk of its own: what comes behind it may join it in one table alone.
                chunk = replace(event.value, records=list(event.value.records))
                await table.lanes.submit(chunk, fold, ack, lets_go_on=True)


def _at_last_of(
    count: int, ack: Callable[[], Awaitable[object]]
) -> Callable[[], Awaitable[object]]:
    """Return an ack for `count` tables: the last that calls it acks."""
    left = count

    async def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            await ack()

    return one_less


def chunk_release(table: Table, dead_letters: DeadLetters | None, keys: SourceKeys) -> Fold:
    """Return the fold for releases in `table`; only one table's fold gets `dead_letters`."""
    name = table.settings.name
    topics = [topic.name for topic in input_topics() if topic.folds_into == name]

    def release(transaction: Transaction, records: Records) -> Iterator[None]:
        for record in records:
            yield
            try:
                event = _release_in(record, keys)
            except Refusal as refusal:
                if dead_letters is not None:
                    dead_letters.refuse(transaction, record, refusal)
                continue
            match event:
                case SourceReleased(source=by, data=data):
                    for topic in topics:
                        _release_source(transaction, topic, record.partition, data.source, by)
                case PartitionReleased(source=by, data=data):
                    if (data.table, data.partition) == (name, record.partition):
                        _release_partition(transaction, topics, data, by)
                        transaction.then(partial(table.lanes.go_on, data.partition, data.topic))
                case OpeningsApproved(source=by, data=data):
                    if name == QUOTAS and record.partition == openings_partition(data.source):
                        approve(transaction, data, by, record.timestamp)

    return release


def _release_in(record: LogRecord, keys: SourceKeys) -> AnyRelease:
    """Return the release in a record; raise `Refusal` if it is not one, or no operator's."""
    try:
        author = keys.author(record)
    except NotAuthentic as error:
        raise Refusal(Code.NOT_AUTHENTIC, str(error)) from None
    if CATALOGUE.authority_of(author) != TOPIC.authority:
        raise Refusal(Code.NO_AUTHORITY, f"{author} is no operator.", author)
    try:
        release: AnyRelease = _decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # also JSON that is not a release
        raise Refusal(Code.INVALID, f"This is no release: {error}.", author) from None
    check_author(release.source, author)
    return release


def _release_source(
    transaction: Transaction, topic: str, partition: int, source: str, by: str
) -> None:
    tally = tally_of(transaction, topic)
    if source in tally.parked:
        log.warning("source_released", topic=topic, partition=partition, source=source, by=by)
    tally.release(source)
    write_tally(transaction, topic, tally)


def _release_partition(
    transaction: Transaction, topics: list[str], data: PartitionReleasedData, by: str
) -> None:
    log.warning("partition_released", by=by, **asdict(data))
    if data.offset is None:
        return
    for topic in topics:
        if data.topic == topic:
            tally = tally_of(transaction, topic)
            if not tally.leave_aside(data.offset, data.reason):
                log.error("record_not_left_aside", topic=topic, partition=data.partition)
            write_tally(transaction, topic, tally)
