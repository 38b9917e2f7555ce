"""What stands still: a partition that cannot go on by itself, and why.

Whatever a fold cannot do, and whatever the broker refuses for good, would come again after every
start. So the process does not end, and no other partition waits: this one stands with its place
kept, and says so until an operator lets it go on, or leaves one record aside (agents.releases).
"""

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog
from msgspec import Struct

from app.engine.partition import BatchRefused

log = structlog.get_logger()

ERROR_LENGTH_MAX = 1_000

PARTITIONS_PATH = "/partitions"
"""Where a worker's status server tells its `HeldPartition`s."""


class Halt(Struct, frozen=True):
    """A partition of a table that stands still since `since`; of `topic` alone unless `whole`.

    It stands at the record `offset` of `topic`; both are None where time alone brought it about.
    `until_start`: the record is a release itself, so another would wait behind it.
    """

    table: str
    partition: int
    topic: str | None
    offset: int | None
    whole: bool
    error: str
    since: datetime
    until_start: bool = False

    def __str__(self) -> str:
        """Say what stands where and since when, why, and what an operator can do."""
        at = "what time brings about" if self.topic is None else f"{self.topic} at {self.offset}"
        what = f"all of partition {self.partition}" if self.whole else f"partition {self.partition}"
        release = f"yuekang partitions release {self.table} {self.partition}"
        said = (
            f"Table {self.table}: {what} stands still at {at} since "
            f"{self.since:%Y-%m-%dT%H:%M:%S}Z: {self.error.removesuffix('.')}. "
            "When the cause is mended: "
        )
        if self.until_start:
            return f"{said}start its worker again; a release would wait behind this one."
        said += f"`{release} --reason WHY`."
        if self.topic is None:
            return said
        return (
            f"{said} To leave this record aside: `{release} --topic {self.topic} "
            f"--offset {self.offset} --leave-aside --reason WHY`."
        )


class HeldPartition(Struct, frozen=True):
    """A partition of a table that a worker holds, as `GET /partitions` tells it.

    `being-taken`: it catches up with the log. `fenced`: another worker has it, and this one has not
    heard of that yet. `halted`: it is live, and all or some of it stands still (`halts`).
    """

    table: str
    partition: int
    state: Literal["live", "being-taken", "fenced", "halted"]
    halts: list[Halt]


def halt_of(
    table: str, partition: int, topic: str | None, offset: int | None, error: Exception
) -> Halt:
    """Return what stands because of `error`. A bug is logged, and named by its kind and place: its
    message may hold what no log may."""
    told = str(error)
    if not isinstance(error, BatchRefused):  # that says all by itself
        where = traceback.format_tb(error.__traceback__)
        log.error("fold_failed", error=type(error).__name__, traceback="".join(where))
        *_, frame = traceback.extract_tb(error.__traceback__)
        told = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return Halt(table, partition, topic, offset, True, told[:ERROR_LENGTH_MAX], datetime.now(UTC))
