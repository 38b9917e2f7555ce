"""Records displays (亮码): that a code was shown, or why it could not be.

The page never waits for it. Displays wait in a queue of bounded length, and a writer takes them out
as fast as Kafka confirms. If the queue is full, a display is counted as lost and not recorded: at a
peak, history gives way to colour.
"""

import asyncio
import secrets
from contextlib import suppress
from datetime import datetime

import structlog

from app.process import metrics
from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.topics.authentic import SourceKeys
from app.topics.catalogue import PORTAL, named
from app.topics.codec import encode
from app.topics.records import Record
from app.topics.writer import Writer
from app.web.problems import Refused
from models.events import DisplayData, DisplayDetail, DisplayRecorded, Outcome

DISPLAYS_TOPIC = named("displays")

QUEUE_MAX = 20_000
"""Displays that may wait: as many as come in a second at the peak; some 10 MB."""

RECORDS_MAX = 500
"""Displays in one write."""

AGAIN_SECONDS = 0.5
END_SECONDS_MAX = 2.0

_SHOWN = frozenset({DisplayDetail.RED, DisplayDetail.GREEN})

log = structlog.get_logger()


class Recorder:
    """Call `start` in the event loop, and `stop` at the end, which still writes for a time."""

    def __init__(self, writer: Writer, mac_keys: SourceKeys) -> None:
        self._writer = writer
        self._mac_keys = mac_keys
        self._queue: asyncio.Queue[Record] = asyncio.Queue(QUEUE_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; return at once."""
        self._task = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Write what waits, for a bounded time, and end. What is left is counted as lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS_MAX):
                await self._queue.join()
        if left := self._queue.qsize():
            metrics.VIEW_DISPLAYS.labels("lost").inc(left)
            log.error("displays_lost", count=left)
        if self._task is not None:
            await end(self._task, again_after=CANCEL_AGAIN_SECONDS)

    def check(self) -> None:
        """Raise what ended the writing, if anything did: a bug, from which nothing recovers."""
        if self._task is not None and self._task.done():
            self._task.result()

    def record(self, person: str, at: datetime, detail: DisplayDetail) -> None:
        """Record that a person's code was shown at `at`, or was not; return at once."""
        outcome = Outcome.SHOWN if detail in _SHOWN else Outcome.FAILED
        event = DisplayRecorded(
            specversion="1.0",
            id=secrets.token_hex(12),
            source=PORTAL,
            time=at,
            partitionkey=person,
            sequence=str(int(at.timestamp() * 1_000)),
            data=DisplayData(at, outcome, detail),
        )
        record = Record(DISPLAYS_TOPIC, person.encode(), encode(event))
        try:
            self._queue.put_nowait(self._mac_keys.signed(record, PORTAL))
        except asyncio.QueueFull:
            metrics.VIEW_DISPLAYS.labels("lost").inc()
        else:
            metrics.VIEW_DISPLAYS.labels(outcome).inc()

    async def _write(self) -> None:
        while True:
            records = [await self._queue.get()]
            while len(records) < RECORDS_MAX and not self._queue.empty():
                records.append(self._queue.get_nowait())
            while True:
                try:
                    await self._writer.write(records)
                    break
                except Refused:  # they are sent again with the same ids, so as the same displays
                    await asyncio.sleep(AGAIN_SECONDS)
            for _ in records:
                self._queue.task_done()
