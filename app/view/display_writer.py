"""The process that writes a view's displays (亮码) to Kafka: `python -m app.view.display_writer`.

The view (app.view.recorder) starts it, and speaks with it through pipes. In: `WriterSettings`, then
a `Frame` at a time, each as msgpack after its length. Out: a `Written` for each frame, when Kafka
has all of it. The events, their MACs and their batches are made here, on another core than colours,
and with a lower priority. It ends with its input, so with the view, and heeds no signal before.

The id of a display is its frame's with its place there. So a frame that is written again, by this
process or by the next one, is the same displays.
"""

import asyncio
import os
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from app.process import logs
from app.process.kafka import Brokers
from app.process.scheduling import give_way
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, PORTAL, named
from app.topics.codec import encode
from app.topics.records import CLOUDEVENT, Record
from app.topics.writer import Writer
from app.web.problems import Refused
from models.events import DisplayData, DisplayDetail, DisplayRecorded, Outcome

DISPLAYS_TOPIC = named("displays")

AGAIN_SECONDS = 0.5

SIZE = struct.Struct(">I")
ANSWER = struct.Struct(">II")

_AUTHORITY = CATALOGUE.authority_of(PORTAL) or ""

Row = tuple[str, datetime, DisplayDetail]
"""Whose code was shown, when, and what of it."""


class WriterSettings(Struct, frozen=True, array_like=True):
    """What this process is told at its start: through a pipe, where nobody else sees it."""

    brokers: Brokers
    mac_key_version: int
    mac_key: bytes
    log_level: str

    def __repr__(self) -> str:
        return f"WriterSettings(brokers={self.brokers!r})"


class Frame(Struct, frozen=True, array_like=True):
    """Displays that are written together. `id` is 20 digits, and no other frame's."""

    id: str
    rows: list[Row]


class Written(NamedTuple):
    """How many displays were written, by what came of them."""

    shown: int
    failed: int


def settings_of(brokers: Brokers, mac_keys: SourceKeys, log_level: str) -> WriterSettings:
    """Return what this process needs: of all keys the portal's alone."""
    return WriterSettings(brokers, *mac_keys.alone(_AUTHORITY), log_level)


def records_of(frame: Frame, keys: SourceKeys) -> Iterator[Record]:
    """Yield a record for each display of a frame, in order; the same whenever it is asked for."""
    key = keys.of(PORTAL)
    for number, (person, at, detail) in enumerate(frame.rows):
        shown = detail is DisplayDetail.GREEN or detail is DisplayDetail.RED
        event = DisplayRecorded(
            specversion="1.0",
            id=f"{frame.id}{number:04x}",
            source=PORTAL,
            time=at,
            partitionkey=person,
            sequence=str(int(at.timestamp() * 1_000)),
            data=DisplayData(at, Outcome.SHOWN if shown else Outcome.FAILED, detail),
        )
        to, value = person.encode(), encode(event)
        mac = key.header(DISPLAYS_TOPIC, to, value, CLOUDEVENT)
        yield Record(DISPLAYS_TOPIC, to, value, (*CLOUDEVENT, mac))


def count(frame: Frame) -> Written:
    """Count the displays of a frame by what came of them."""
    green, red = DisplayDetail.GREEN, DisplayDetail.RED
    shown = sum(detail is green or detail is red for _, _, detail in frame.rows)
    return Written(shown, len(frame.rows) - shown)


def sized(message: bytes) -> bytes:
    """Return a message as it goes through the pipe."""
    return SIZE.pack(len(message)) + message


async def _messages() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin.buffer)
    return reader


async def _next(messages: asyncio.StreamReader) -> bytes:
    """Return the next message; raise `EOFError` at the end."""
    [size] = SIZE.unpack(await messages.readexactly(SIZE.size))
    return await messages.readexactly(size)


async def _serve() -> None:
    messages = await _messages()
    asked = msgspec.msgpack.decode(await _next(messages), type=WriterSettings)
    logs.configure(asked.log_level)
    keys = SourceKeys({asked.mac_key_version: {_AUTHORITY: asked.mac_key}})
    frames = msgspec.msgpack.Decoder(Frame)
    writer = Writer(asked.brokers)
    writer.start()
    try:
        while True:
            frame = frames.decode(await _next(messages))
            if not await _written(writer, list(records_of(frame, keys)), messages):
                return
            os.write(sys.stdout.fileno(), ANSWER.pack(*count(frame)))
    finally:
        await writer.stop()


async def _written(writer: Writer, records: list[Record], messages: asyncio.StreamReader) -> bool:
    """Write records, as often as it takes; return False if the view is gone meanwhile."""
    while True:
        try:
            await writer.write_in_batches(records)
        except Refused:  # they are sent again with the same ids, so as the same displays
            if messages.at_eof():
                return False
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return True


def main() -> None:
    """Write what comes in until the input ends."""
    give_way()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):  # the view has ended, or takes no more
        asyncio.run(_serve())


if __name__ == "__main__":
    main()
