"""What a side left on Kafka, by its meaning, and how it differs from what it must have left."""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Message

from bench import counting, topics, workload
from bench.counting import Counts
from bench.workload import Expected, Refused
from models.codes import HealthCode, StatusChanged

SHOWN_MAX = 5
"""Differences that a failure names."""

CHANGELOGS = {
    "us": "{group}-changelog",
    "us-2": "{group}-changelog",
    "streams-alo": "{group}-counts-changelog",
    "streams-eos": "{group}-counts-changelog",
    "quix-alo": "changelog__{group}--{topic}--default",
    "quix-eos": "changelog__{group}--{topic}--default",
    "faust": "{group}-rows-changelog",
}

T = TypeVar("T")


def counting_differences(
    bootstrap: str, side: str, group: str, topic: str, expected: Mapping[bytes, Counts]
) -> list[str]:
    """Say how a side's changelog differs, as a fresh reader sees it."""
    changelog = CHANGELOGS[side].format(group=group, topic=topic)
    found: dict[bytes, Counts] = {}
    read = ROWS[side.partition("-")[0]]
    for record in topics.read(bootstrap, changelog):
        found.update(read(record))
    return different(expected, found)


def real_differences(bootstrap: str, names: Mapping[str, str], expected: Expected) -> list[str]:
    """Say how a side's codes, changes and dead letters differ; `names` are its topics."""
    codes: dict[str, HealthCode] = {}
    decode_code = msgspec.json.Decoder(HealthCode).decode
    newest: dict[bytes, bytes] = {}
    for record in topics.read(bootstrap, names["health-codes"]):
        newest[_key(record)] = record.value() or b""
    for key, value in newest.items():
        codes[key.decode()] = decode_code(value)
    changes: dict[str, list[Any]] = {}
    decode_change = msgspec.json.Decoder(StatusChanged).decode
    for record in topics.read(bootstrap, names["status-changes"]):
        event = decode_change(record.value() or b"")
        changes.setdefault(_key(record).decode(), []).append(event.data)
    refused = sorted(_refused(record) for record in topics.read(bootstrap, names["dead-letters"]))
    return [
        *(f"code of {line}" for line in different(expected.codes, codes)),
        *(f"changes of {line}" for line in different(expected.changes, changes)),
        *(
            f"dead letters: {line}"
            for line in different(
                dict(enumerate(sorted(expected.refused))), dict(enumerate(refused))
            )
        ),
    ]


def different(expected: Mapping[Any, T], found: Mapping[Any, T]) -> list[str]:
    """Say where two differ, the first few by their keys."""
    wrong = [
        f"{key!r}: {found.get(key)!r}, not {expected.get(key)!r}"
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    ]
    if len(wrong) > SHOWN_MAX:
        return [*wrong[:SHOWN_MAX], f"and {len(wrong) - SHOWN_MAX} more of {len(expected)}"]
    return wrong


def _key(record: Message) -> bytes:
    key = record.key()
    return key.encode() if isinstance(key, str) else key or b""


def _refused(record: Message) -> Refused:
    headers = dict(record.headers() or ())
    return Refused(
        int(headers["yk_partition"]),
        int(headers["yk_offset"]),
        headers["yk_reason"].decode(),
        headers["yk_refused"] == b"true",
    )


# How each side writes a row of the counting fold

_decode_row = msgspec.msgpack.Decoder(Counts).decode
_STREAMS_HEAD = struct.Struct(">?i")


def _of_us(record: Message) -> Iterator[tuple[bytes, Counts]]:
    key, value = _key(record), record.value()
    if not key.startswith(b"\x00") and value is not None:
        yield key, _decode_row(value[8:])


def _of_streams(record: Message) -> Iterator[tuple[bytes, Counts]]:
    value = record.value() or b""
    red, count = _STREAMS_HEAD.unpack_from(value)
    yield _key(record), Counts(value[_STREAMS_HEAD.size :].decode(), red, count)


def _of_quix(record: Message) -> Iterator[tuple[bytes, Counts]]:
    # <message key>|"row"
    key, value = _key(record).partition(b"|")[0], record.value()
    if value is not None:
        yield key, _decode_row(value)


def _of_faust(record: Message) -> Iterator[tuple[bytes, Counts]]:
    yield _key(record), _decode_row(record.value() or b"")


ROWS: Mapping[str, Callable[[Message], Iterator[tuple[bytes, Counts]]]] = {
    "us": _of_us,
    "streams": _of_streams,
    "quix": _of_quix,
    "faust": _of_faust,
}


def expected_of(fold: str, events: int, people: int, seed: int) -> Any:
    """Return what every side must leave."""
    if fold == "counting":
        return counting.expected(events, people, seed)
    return workload.expected(workload.events(people, seed))
