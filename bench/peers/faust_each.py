"""The Faust peer: Faust as it is, one event at a time, with a RocksDB table."""

import asyncio
import sys
from typing import Any

import faust
import msgspec

from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES
from bench import counting
from bench.peers import each
from bench.records import PARTITIONS

_decode_report = msgspec.json.Decoder(counting.Report).decode
_decode_row = msgspec.msgpack.Decoder(counting.Counts).decode
_encode_row = msgspec.msgpack.Encoder().encode


def make_app(bootstrap: str, group: str, directory: str, seconds: float) -> faust.App:
    """Make the app, with the settings that were measured to help it."""
    return faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store="rocksdb://",
        datadir=directory,
        autodiscover=False,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=5_000,
        broker_commit_interval=seconds,
        producer_linger=0.05,
        producer_compression_type="lz4",
        producer_acks=-1,
    )


def table_of_bytes(app: faust.App) -> Any:
    """Return a table whose keys and values are bytes as they are; its own codecs quote them."""
    table: Any = app.Table("rows", partitions=PARTITIONS, key_type=bytes, value_type=bytes)
    table.key_serializer = table.value_serializer = "raw"
    return table


def count_each(app: faust.App, topic: str) -> None:
    """Add the agent of the counting fold."""
    table = table_of_bytes(app)

    @app.agent(app.topic(topic, key_type=bytes, value_serializer="raw"))
    async def count(reports: Any) -> None:
        async for person, value in reports.items():
            stored = table.get(person)
            row = None if stored is None else _decode_row(stored)
            table[person] = _encode_row(counting.count(row, _decode_report(value)))


def fold_each(app: faust.App, topic: str, group: str) -> None:
    """Add the agent of the real fold."""
    table = table_of_bytes(app)
    topics = {
        name: app.topic(f"{group}-{name}", key_serializer="raw", value_serializer="raw")
        for name in (HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS)
    }

    @app.agent(app.topic(topic, key_type=bytes, value_serializer="raw"))
    async def fold(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            key = message.key
            record = each.Incoming(
                message.partition, message.offset, round(message.timestamp * 1000), key,
                message.value,
            )  # fmt: skip
            row, told = each.fold_one(table.get(key), record)
            if row is not None:
                table[key] = row
            for one in told:
                await topics[one.topic].send(
                    key=key, value=one.value, headers=dict(one.headers) or None
                )


def main() -> None:
    """Run until a signal; arguments: fold, topic, bootstrap, group, folder, commit interval."""
    fold, topic, bootstrap, group, directory, seconds = sys.argv[1:]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(bootstrap, group, directory, float(seconds))
    if fold == "counting":
        count_each(app, topic)
    else:
        fold_each(app, topic, group)
    worker = faust.Worker(app, loop=loop, redirect_stdouts=False, loglevel="WARN", quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
