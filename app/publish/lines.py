"""Reading a file of events: every line becomes an event to send, or a report of why not."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import orjson
from msgspec import Struct

from app.gateway.messages import BATCH_EVENTS_MAX
from app.topics.codec import Refusal, parse_strict
from app.topics.numbers import carries_personal_number

LINE_BYTES_MAX = 256 * 1024
"""A longer line cannot be an event: the largest event that a topic takes is a quarter of this."""

WINDOW_LINES_MAX = 2_000
WINDOW_BYTES_MAX = 8 * 1024 * 1024
BATCH_BYTES_MAX = 2 * 1024 * 1024

READ_BYTES = 1024 * 1024

TokenFor = Callable[[str | None], str]
"""Gives the token of a source; raises `ValueError` for a text that cannot name one."""


class Misused(Exception):
    """The file, the token or an option is wrong; the message says what to do."""


class FileLine(Struct, frozen=True):
    """A line of the input. `content` is None if it is longer than a line may be."""

    number: int
    content: bytes | None


class EventToSend(Struct, frozen=True):
    """An event that is ready to be sent."""

    line: int
    source: str | None
    id: str | None
    content: bytes
    token: str


class RefusedLine(Struct, frozen=True, omit_defaults=True):
    """A refused line, without its content."""

    line: int
    code: str
    detail: str
    source: str | None = None
    id: str | None = None
    errors: list[dict[str, Any]] = []


class Input:
    """The lines of a file from a place on, with the hash of all that was read."""

    def __init__(self, file: BinaryIO, line: int = 0) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.line = line
        self.offset = 0

    @property
    def sha256(self) -> str:
        """Hash of everything read so far, in hexadecimal."""
        return self._hash.hexdigest()

    def skip(self, offset: int) -> None:
        """Read on to `offset`, for the hash alone; raise `Misused` if the file ends before it."""
        while self.offset < offset:
            part = self._file.read(min(READ_BYTES, offset - self.offset))
            if not part:
                raise Misused("The file is shorter than what was sent of it before.")
            self._took(part)

    def window(self) -> list[FileLine] | None:
        """Return the next lines that are not blank; None at the end of the file."""
        lines: list[FileLine] = []
        begun_at = self.offset
        while len(lines) < WINDOW_LINES_MAX and self.offset - begun_at < WINDOW_BYTES_MAX:
            content = self._file.readline(LINE_BYTES_MAX + 1)
            if not content:
                return lines or None
            self._took(content)
            self.line += 1
            whole = content.endswith(b"\n") or len(content) <= LINE_BYTES_MAX
            if not whole:
                self._pass_to_end_of_line()
            if content.strip():
                lines.append(FileLine(self.line, content.strip(b"\r\n") if whole else None))
        return lines

    def _pass_to_end_of_line(self) -> None:
        while part := self._file.readline(READ_BYTES):
            self._took(part)
            if part.endswith(b"\n"):
                return

    def _took(self, part: bytes) -> None:
        self._hash.update(part)
        self.offset += len(part)


def prepare(line: FileLine, token_for: TokenFor) -> EventToSend | RefusedLine:
    """Look at a line only as far as sending it needs: is it JSON, and whose is it."""
    if line.content is None:
        return RefusedLine(
            line.number, "too-large", f"The line has more than {LINE_BYTES_MAX} bytes."
        )
    try:
        event = parse_strict(line.content)
    except Refusal as refusal:
        return RefusedLine(line.number, refusal.code, refusal.detail)
    if not isinstance(event, dict):
        return RefusedLine(line.number, "not-a-cloudevent", "The line is JSON but no object.")
    source, event_id = _text(event, "source"), _text(event, "id")
    try:
        token = token_for(source)
    except ValueError as error:
        return RefusedLine(line.number, "invalid", f"source: {error}", source, event_id)
    return EventToSend(line.number, source, event_id, line.content, token)


def _text(event: dict[str, Any], name: str) -> str | None:
    """Return an attribute for the report, if it is a text that may be shown."""
    value = event.get(name)
    if not isinstance(value, str) or not value.isprintable():
        return None
    return None if carries_personal_number(orjson.dumps(value)) else value


def batches(items: Sequence[EventToSend]) -> Iterator[list[EventToSend]]:
    """Cut events into batches that the gateway takes."""
    batch: list[EventToSend] = []
    size = 0
    for item in items:
        full = len(batch) == BATCH_EVENTS_MAX or size + len(item.content) > BATCH_BYTES_MAX
        if batch and full:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.content) + 1
    if batch:
        yield batch
