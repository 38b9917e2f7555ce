"""What an operator is told of the partitions that a worker holds.

A worker with a partition that stands still is ready all the same: it does all it can, and no
restart mends it (docs/decisions/0026-halts.md). So /readyz says it and does not fail.
"""

from aiokafka import TopicPartition
from msgspec import json

from agents.poison import tally_of
from app.engine.halts import Halt, HeldPartition
from app.engine.partition import Partition
from app.engine.transaction import Transaction
from app.topics.letters import ParkedSource
from app.topology import TableApp


def halts_of(app: TableApp) -> list[Halt]:
    """Return what stands still, of every table."""
    return [halt for table in app.held_tables for halt in table.lanes.halts]


def remarks_on(app: TableApp) -> list[str]:
    """Return a sentence for each halt."""
    return [str(halt) for halt in halts_of(app)]


def halted_inputs(app: TableApp) -> frozenset[TopicPartition]:
    """Return the input partitions that stand still. With a whole partition its releases do not."""
    return frozenset(
        TopicPartition(topic.name, halt.partition)
        for topic in app.topics_read()
        for table in app.held_tables
        for halt in table.lanes.halts
        if halt.topic == topic.name or (halt.whole and topic.folds_into == table.settings.name)
    )


def held_partitions(app: TableApp) -> bytes:
    """Return the `HeldPartition`s of every table, in order, as JSON."""
    return json.encode(
        [
            _described(table.settings.name, partition, table.lanes.halts)
            for table in app.held_tables
            for _, partition in sorted(table.held.items())
        ]
    )


def parked_sources(app: TableApp) -> bytes:
    """Return the `ParkedSource`s of every partition that is live here, as JSON."""
    return json.encode(
        [
            ParkedSource(source, topic.name, number, offset)
            for topic in app.topics_read()
            for table in app.tables_of(topic)
            for number, partition in sorted(table.held.items())
            if partition.ready
            for source, offset in tally_of(Transaction(partition.store), topic.name).parked.items()
        ]
    )


def _described(table: str, partition: Partition, halts: list[Halt]) -> HeldPartition:
    own = [halt for halt in halts if halt.partition == partition.number]
    if not partition.live.is_set():
        return HeldPartition(table, partition.number, "being-taken", own)
    if partition.lost:
        return HeldPartition(table, partition.number, "fenced", own)
    return HeldPartition(table, partition.number, "halted" if own else "live", own)
