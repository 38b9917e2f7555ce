"""The Quix Streams peer: a stateful `apply` over its RocksDB state with its changelog."""

import sys
from typing import Any

import msgspec
from quixstreams import Application, State
from quixstreams.context import message_context

from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES, STATUS_CHANGES
from bench import counting
from bench.peers import each

_decode_report = msgspec.json.Decoder(counting.Report).decode
_decode_row = msgspec.msgpack.Decoder(counting.Counts).decode
_encode_row = msgspec.msgpack.Encoder().encode


def count(value: bytes, state: State) -> None:
    """Fold one report."""
    stored = state.get_bytes("row")
    row = None if stored is None else _decode_row(stored)
    state.set_bytes("row", _encode_row(counting.count(row, _decode_report(value))))


def fold_event(
    value: bytes | None, key: bytes, timestamp: int, headers: Any, state: State
) -> list[each.Told]:
    """Fold one event; what is returned goes on, one by one."""
    place = message_context()
    record = each.Incoming(place.partition, place.offset, timestamp, key, value)
    row, told = each.fold_one(state.get_bytes("row"), record)
    if row is not None:
        state.set_bytes("row", row)
    return told


def tell(app: Any, folded: Any, group: str) -> None:
    """Send what was told, each to its topic."""
    for name in (HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS):
        topic = app.topic(f"{group}-{name}", value_serializer="bytes")
        of_topic = folded.filter(lambda told, name=name: told.topic == name)
        if name == DEAD_LETTERS:
            of_topic = of_topic.set_headers(lambda told, *_: list(told.headers))
        of_topic.apply(lambda told: told.value).to_topic(topic)


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
    """Run until a signal; arguments: fold, topic, bootstrap, group, folder, guarantee, interval."""
    fold, name, bootstrap, group, directory, guarantee, seconds = sys.argv[1:]
    app = application(bootstrap, group, directory, guarantee, float(seconds))
    topic = app.topic(name, value_deserializer="bytes")
    if fold == "counting":
        app.dataframe(topic).apply(count, stateful=True)
    else:
        folded = app.dataframe(topic).apply(fold_event, stateful=True, metadata=True, expand=True)
        tell(app, folded, group)
    app.run()


if __name__ == "__main__":
    main()
