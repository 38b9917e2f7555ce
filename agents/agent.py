"""How an agent and a timer hand their work to a table: the same for every topic.

An agent gets chunks (app.engine.chunks) and acks each once everything that it caused is committed.
"""

from datetime import datetime
from functools import partial

from faust.types import StreamT

from agents.instants import microseconds
from app.engine.chunks import Chunk
from app.engine.table import Table
from app.engine.transaction import DueFold, Fold
from app.topics.catalogue import Topic
from app.topology import TableApp

ROWS_MAX = 1_000
"""Due rows of one partition in one transaction; the rest follows at once."""


def add_agent(app: TableApp, name: str, topic: Topic, table: Table, fold: Fold) -> None:
    """Add the agent `name`, which folds the records of `topic` into `table`."""

    @app.agent(app.topic(topic.name, value_serializer="raw"), name=name)
    async def fold_topic(chunks: StreamT[Chunk]) -> None:
        async for event in chunks.noack().events():  # type: ignore[attr-defined]
            await table.lanes.submit(event.value, fold, partial(chunks.ack, event))


def begin_due(table: Table, fold: DueFold, now: datetime) -> None:
    """Begin to fold every row of `table` that is due at `now` and lies in a partition held here."""
    table.begin_due(microseconds(now), ROWS_MAX, fold)
