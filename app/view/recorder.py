"""Records displays (亮码): that a code was shown, or why it could not be.

A request only appends to a queue of bounded length. What waits goes in frames to a process of its
own (app.view.display_writer), which makes the events and writes them to Kafka, one frame at a time.
If that is slower than displays come, the queue fills, and what finds it full is dropped: at a peak,
history gives way to colour. Each display is counted once, as shown or failed when Kafka has it, or
as lost.
"""

import asyncio
import logging
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from app.process import metrics
from app.process.kafka import Brokers
from app.process.scheduling import free
from app.process.tasks import end
from app.topics.authentic import SourceKeys
from app.view.display_writer import ANSWER, Frame, Row, Written, settings_of, sized
from models.events import DisplayDetail

WAITING_MAX = 50_000
"""Displays that may wait: what comes in two seconds at the peak; some 10 MB."""

ROWS_MAX = 2_000
"""Displays in a frame, which takes the event loop a millisecond at most."""

GATHER_SECONDS = 0.05
"""How long displays are gathered for a frame that is not full."""

AGAIN_SECONDS = 0.5
END_SECONDS_MAX = 1.2
PROCESS_END_SECONDS_MAX = 0.5
"""After a signal the view has two seconds to end. Its writer has nothing left to do by then, unless
Kafka is away."""

STRETCH_SECONDS = 10.0
"""Displays that are dropped less than this apart are dropped in one stretch."""

WRITER = (sys.executable, "-m", "app.view.display_writer")

_SHOWN, _FAILED, _LOST = map(metrics.VIEW_DISPLAYS.labels, ("shown", "failed", "lost"))
_encode = msgspec.msgpack.Encoder().encode

log = structlog.get_logger()


class Recorder:
    """Call `start` in the event loop, and `stop` at the end, which still writes for a time."""

    def __init__(self, brokers: Brokers, mac_keys: SourceKeys) -> None:
        self._brokers = brokers
        self._mac_keys = mac_keys
        self._waiting: deque[Row] = deque()
        self._under_way: Frame | None = None
        self._dropping = _Stretch()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; return at once. The process is started with the first display."""
        self._task = asyncio.create_task(self._keep_writing())

    async def stop(self) -> None:
        """Write what waits, for a bounded time, and end. What is left is counted as lost."""
        self._stopping = True
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=END_SECONDS_MAX)
            await end(self._task)
        if left := self._left():
            _LOST.inc(left)
            log.error("displays_lost", count=left)
        self._dropping.over()

    def check(self) -> None:
        """Raise what ended the writing, if anything did: a bug, from which nothing recovers."""
        if self._task is not None and self._task.done():
            self._task.result()

    def record(self, person: str, at: datetime, detail: DisplayDetail) -> None:
        """Record that a person's code was shown at `at`, or was not; return at once."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((person, at, detail))
        else:
            _LOST.inc()
            self._dropping.on()

    @property
    def waiting(self) -> int:
        """How many displays wait to be handed on."""
        return len(self._waiting)

    def _left(self) -> int:
        under_way = 0 if self._under_way is None else len(self._under_way.rows)
        return len(self._waiting) + under_way

    async def _keep_writing(self) -> None:
        while await self._something():
            try:
                async with self._process() as process:
                    await self._feed(process)
            except (EOFError, OSError) as error:
                # The next process is given the same frame: the same displays, by their ids.
                log.error("display_writer_ended", seldom=True, error=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _something(self) -> bool:
        """Wait for something to write; say whether there is any, or all is over."""
        while not self._stopping and not self._left():
            await asyncio.sleep(GATHER_SECONDS)
            self._dropping.over(STRETCH_SECONDS)
        return self._left() > 0

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        """Hold a process that was told all it needs. It ends when its input does."""
        process = await asyncio.create_subprocess_exec(*WRITER, stdin=PIPE, stdout=PIPE)
        free(process.pid)  # the view may keep to one CPU
        assert process.stdin is not None
        try:
            level = logging.getLevelName(logging.getLogger().getEffectiveLevel())
            await _send(process.stdin, settings_of(self._brokers, self._mac_keys, level))
            yield process
        finally:
            process.stdin.close()
            try:
                async with asyncio.timeout(PROCESS_END_SECONDS_MAX):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _feed(self, process: Process) -> None:
        """Hand on a frame at a time; raise `EOFError` or `OSError` if the process ends first."""
        assert process.stdin is not None
        assert process.stdout is not None
        while frame := self._under_way or await self._next_frame():
            self._under_way = frame
            await _send(process.stdin, frame)
            written = Written(*ANSWER.unpack(await process.stdout.readexactly(ANSWER.size)))
            self._under_way = None
            _SHOWN.inc(written.shown)
            _FAILED.inc(written.failed)

    async def _next_frame(self) -> Frame | None:
        """Gather a frame; return None if all is over."""
        self._dropping.over(STRETCH_SECONDS)
        if len(self._waiting) < ROWS_MAX and not self._stopping:
            await asyncio.sleep(GATHER_SECONDS)
        if not await self._something():
            return None
        count = min(ROWS_MAX, len(self._waiting))
        return Frame(secrets.token_hex(10), [self._waiting.popleft() for _ in range(count)])


async def _send(pipe: asyncio.StreamWriter, message: Struct) -> None:
    if pipe.is_closing():  # uvloop raises no `OSError` where one that is closed is written to
        raise ConnectionResetError
    pipe.write(sized(_encode(message)))
    await pipe.drain()


class _Stretch:
    """Displays that are dropped, one soon after another: two lines in the log for all of them."""

    def __init__(self) -> None:
        self._count = 0
        self._began = self._last = 0.0

    def on(self) -> None:
        """Count one more."""
        self._last = time.monotonic()
        if not self._count:
            self._began = self._last
            log.warning("displays_dropped", waiting=WAITING_MAX)
        self._count += 1

    def over(self, after_seconds: float = 0.0) -> None:
        """Say how many there were, if the last one was so long ago."""
        if self._count and time.monotonic() - self._last >= after_seconds:
            seconds = round(self._last - self._began, 1)
            log.warning("displays_dropped_no_more", count=self._count, seconds=seconds)
            self._count = 0
