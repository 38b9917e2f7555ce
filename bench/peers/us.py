"""Us: a worker with the engine and the agents' own fold, on the benchmark's input topics.

It is built as app.topology builds the worker, with one table. No timer runs:
no side of the benchmark has one, so what changes by time is told with the event that comes after.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from nacl.public import PrivateKey

from agents.dead_letters import DeadLetters
from agents.people import chunk_fold
from app.engine import app as engine
from app.engine.chunks import ChunkApp
from app.engine.partition import TableSettings
from app.engine.transaction import Fold, Records, Transaction
from app.engine.waits import Worker
from app.process.kafka import Brokers
from app.process.settings import Settings
from app.topics.authentic import OURS
from bench import counting, workload
from bench.records import KEYS

SETTINGS = Settings()
"""A worker's own defaults."""

_decode_report = msgspec.json.Decoder(counting.Report).decode
_decode_row = msgspec.msgpack.Decoder(counting.Counts).decode
_encode_row = msgspec.msgpack.Encoder().encode


def count(transaction: Transaction, chunk: Records) -> Iterator[None]:
    """Fold a chunk of reports: its rows are read at once, each decoded once and written once."""
    rows: dict[bytes, counting.Counts] = {}
    transaction.read(record.key for record in chunk if record.key is not None)
    for record in chunk:
        key = record.key
        assert key is not None
        row = rows.get(key)
        if row is None and (stored := transaction.get(key)) is not None:
            row = _decode_row(stored)
        rows[key] = counting.count(row, _decode_report(record.value or b""))
        yield
    for key, row in rows.items():
        transaction.put(key, _encode_row(row))


def make_app(
    fold: str,
    topics: Sequence[str],
    bootstrap: str,
    group: str,
    directory: Path,
    commit_seconds: float,
) -> ChunkApp:
    """Make the app for one of the folds, of `topics`."""
    app = engine.make_app(
        ChunkApp,
        group,
        Brokers(bootstrap),
        directory,
        SETTINGS.worker_session_seconds,
        topics,
        commit_seconds,
    )
    settings = TableSettings(
        name="rows",
        application=group,
        brokers=Brokers(bootstrap),
        directory=directory / "tables",
        changelog=f"{group}-changelog",
        topics=tuple(topics),
        mac_key=KEYS.of(OURS),
        is_ours=KEYS.is_ours,
    )
    [table] = engine.make_tables(
        app, [settings], lambda assigned: {tp.partition for tp in assigned}
    )
    fold_records = _fold(fold)

    async def fold_topic(chunks: Any) -> None:
        async for event in chunks.noack().events():
            await table.lanes.submit(event.value, fold_records, partial(chunks.ack, event))

    for topic in topics:
        app.agent(app.topic(topic, value_serializer="raw"), name=f"fold-{topic}")(fold_topic)

    return app


def _fold(name: str) -> Fold:
    if name == "counting":
        return count
    dead_letters = DeadLetters(bytes(PrivateKey.generate().public_key))
    return chunk_fold(workload.INPUT, dead_letters, KEYS, limited=False)


def main() -> None:
    """Run until a signal; arguments: fold, topics with commas between, bootstrap, group, folder,
    commit interval."""
    fold, topics, bootstrap, group, directory, commit_seconds = sys.argv[1:]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(
        fold, topics.split(","), bootstrap, group, Path(directory), float(commit_seconds)
    )
    worker = Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
