"""Which records of a changelog are the workers' own, in the order in which they wrote them.

A record of another, or one that was played again, would be a row that no event brought about. It is
passed over, and said. Who may write to a changelog is the broker's matter (`yuekang acls`); what
such a record has displaced by compaction is not there any more.
"""

from collections.abc import Callable

import structlog

from app.process import metrics
from app.process.consumer import LogRecord
from app.process.macs import FOLLOWS

log = structlog.get_logger()


class Lineage:
    """What was taken of a partition of a changelog: its newest transaction follows `followed`.

    `is_ours` says whether a key of the workers has made a record's MAC; `strange` counts those that
    were passed over.
    """

    def __init__(self, followed: int, is_ours: Callable[[LogRecord], bool]) -> None:
        self.followed = followed
        self.strange = 0
        self._is_ours = is_ours

    def takes(self, record: LogRecord) -> bool:
        """Say whether a record goes on from those before."""
        follows = None
        for name, raw in record.headers:
            if name == FOLLOWS:
                follows = raw
        if follows is None or not self._is_ours(record):
            return self._pass_over(record, "it has no MAC of a worker's")
        if int(follows) < self.followed:
            return self._pass_over(record, "it was played again")
        self.followed = int(follows)
        return True

    def _pass_over(self, record: LogRecord, why: str) -> bool:
        self.strange += 1
        metrics.WORKER_ROWS_STRANGE.labels(record.topic).inc()
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.error("row_passed_over", seldom=True, **place, why=why)
        return False
