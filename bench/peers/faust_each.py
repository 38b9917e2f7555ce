"""The Faust peer: Faust as it is, one event at a time, with a RocksDB table."""

import asyncio
import sys
from typing import Any

import faust
import msgspec

from bench import counting
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
    table = app.Table("rows", partitions=PARTITIONS, key_type=bytes, value_type=bytes)
    table.key_serializer = table.value_serializer = "raw"
    return table


def count_each(app: faust.App) -> None:
    """Add the agent of the counting fold."""
    table = table_of_bytes(app)

    @app.agent(app.topic(counting.TOPIC, key_type=bytes, value_serializer="raw"))
    async def count(reports: Any) -> None:
        async for person, value in reports.items():
            stored = table.get(person)
            row = None if stored is None else _decode_row(stored)
            table[person] = _encode_row(counting.count(row, _decode_report(value)))


def main() -> None:
    """Run until a signal; arguments: fold, bootstrap, group, folder, commit interval in s."""
    fold, bootstrap, group, directory, seconds = sys.argv[1:]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(bootstrap, group, directory, float(seconds))
    if fold == "counting":
        count_each(app)
    worker = faust.Worker(app, loop=loop, redirect_stdouts=False, loglevel="WARN", quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
