"""What a table has before it of an input partition, and what of that nobody will read any more.

A topic that is made again begins another log under the same name, with offsets from 0. Records may
be deleted before they are applied: whoever deletes them says so here, and what was passed over is
gone. All that is not said to be deleted must be applied.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from app.process.consumer import LogRecord

Place = tuple[str, int, int, int]
"""Topic, partition, offset and the log's stamp (ms): the last tells records of two logs apart."""

Gaps = Sequence[tuple[int, int]]
"""First and last of the offsets that a commit passed over."""

GapsOf = Callable[[str, str, int, int], Gaps]
"""Returns what the last commit attempted of a table that reached an offset of a topic's partition
passed over, as the worker noted it down."""


def place_of(record: LogRecord) -> Place:
    """Return where and when a record was appended."""
    return record.topic, record.partition, record.offset, record.timestamp


class Backwards(Exception):
    """A place does not go on from the one before."""


class _Log:
    """The records of one topic of the name that are not applied; `cut`: those before it may be
    gone."""

    def __init__(self, topic_id: str) -> None:
        self.topic_id = topic_id
        self.records: deque[LogRecord] = deque()
        self.last = -1
        self.cut = 0


class Applied(NamedTuple):
    """Records that a transaction stands for; those that were `left` in logs that are no more, and
    those that were `passed_over` in the log that goes on."""

    records: list[LogRecord]
    left: list[LogRecord]
    passed_over: list[LogRecord]


class InputQueue:
    """The records of one input partition that a table has not applied, oldest first."""

    def __init__(self, table: str, topic: str, number: int) -> None:
        self._name = table, topic, number
        self._logs = deque([_Log("")])
        self._place = -1

    def take(self, records: Sequence[LogRecord]) -> None:
        """Add what was read of the newest log."""
        self._logs[-1].records.extend(records)
        self._logs[-1].last = records[-1].offset

    def made_again(self, topic_id: str) -> None:
        """Go on with another log of the same name; the one before was read whole."""
        self._logs.append(_Log(topic_id))

    def cut_before(self, offset: int) -> None:
        """Records before `offset` were deleted, whether they were applied or not."""
        self._logs[-1].cut = offset

    @property
    def left(self) -> Sequence[LogRecord]:
        """What is to be applied still."""
        return self._logs[-1].records

    def was_read(self, reached: int, topic_id: str | None) -> bool:
        """Say whether the log of that id was read up to an offset."""
        return reached <= self._of(topic_id).last

    def apply(self, reached: int, topic_id: str | None, gaps_of: GapsOf) -> Applied:
        """Take away what a transaction stands for that reached an offset in the log of that id;
        raise `Backwards` where it does not go on from the one before."""
        log, left = self._of(topic_id), list[LogRecord]()
        begins = log is not self._logs[0]
        while self._logs[0] is not log:
            left += self._logs.popleft().records
            self._place = -1
        if reached <= self._place and not (begins and reached == -1):
            raise Backwards(f"from {self._place} back to {reached}")
        gaps = gaps_of(*self._name, reached) if self._place + 1 < log.cut else ()
        self._place = reached
        applied, passed_over = list[LogRecord](), list[LogRecord]()
        while log.records and log.records[0].offset <= reached:
            record = log.records.popleft()
            deleted = record.offset < log.cut and _within(record.offset, gaps)
            (passed_over if deleted else applied).append(record)
        return Applied(applied, left, passed_over)

    def forget(self) -> Iterator[LogRecord]:
        """Give what is left of logs that are no more."""
        for log in list(self._logs)[:-1]:
            yield from log.records
            log.records.clear()

    def _of(self, topic_id: str | None) -> _Log:
        return next((log for log in self._logs if topic_id == log.topic_id), self._logs[0])


def _within(offset: int, gaps: Gaps) -> bool:
    return any(first <= offset <= last for first, last in gaps)
