"""The Quix Streams peer: a stateful `apply` over its RocksDB state with its changelog."""

import sys
from typing import Any

import msgspec
from quixstreams import Application, State
from quixstreams.context import message_context

from bench import counting, workload

_decode_report = msgspec.json.Decoder(counting.Report).decode
_decode_row = msgspec.msgpack.Decoder(counting.Counts).decode
_encode_row = msgspec.msgpack.Encoder().encode


def count(value: bytes, state: State) -> None:
    """Fold one report."""
    stored = state.get_bytes("row")
    row = None if stored is None else _decode_row(stored)
    state.set_bytes("row", _encode_row(counting.count(row, _decode_report(value))))


def application(bootstrap: str, group: str, directory: str, guarantee: str, seconds: float) -> Any:
    """Make the application, with what its manual recommends for throughput."""
    return Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=directory,
        use_changelog_topics=True,
        processing_guarantee=guarantee,
        commit_interval=seconds,
        loglevel="WARNING",
        request_timeout=30,
        consumer_extra_config={
            "fetch.message.max.bytes": 4 * 1024 * 1024,
            "queued.min.messages": 100_000,
            "check.crcs": False,
        },
        producer_extra_config={
            "linger.ms": 50,
            "batch.size": 262_144,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        },
    )


def main() -> None:
    """Run until a signal; arguments: fold, bootstrap, group, folder, guarantee, commit in s."""
    fold, bootstrap, group, directory, guarantee, seconds = sys.argv[1:]
    app = application(bootstrap, group, directory, guarantee, float(seconds))
    if fold == "counting":
        topic = app.topic(counting.TOPIC, value_deserializer="bytes")
        app.dataframe(topic).apply(count, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
