"""A chunk that waits for its turn on a partition, and the pace at which it is folded."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from app.engine.chunks import Chunk
from app.engine.gaps import gaps_of
from app.engine.halts import Halt
from app.engine.partition import Partition
from app.engine.transaction import Fold

HOLD_SECONDS = 0.005
"""How long a fold holds the event loop at a time; one record more may come on top."""


@dataclass(eq=False, slots=True)
class Waiting:
    """A chunk that waits for its turn on a partition; `committed` says what came of it, or
    `halt` why it cannot go on.

    It is folded in parts of `part` records; `careful` after a failure.
    """

    chunk: Chunk
    fold: Fold
    part: int
    committed: bool | None = None
    halt: Halt | None = None
    had_a_turn: bool = False
    careful: bool = False
    followed: dict[str, int] | None = None

    def is_next(self, partition: Partition) -> bool:
        """Say whether no offset is missing from the first that was not applied on; or what is
        missing was read and is nothing to apply; or it was looked at since the partition was taken
        (`app.engine.gaps`)."""
        if self.followed is partition.followed:
            return True
        start = self.chunk.start
        if start is not None and start <= partition.followed.get(self.chunk.topic, -1):
            return True
        unread = partition.store.applied_offset(self.chunk.topic) + 1
        return not any(gaps_of(self.chunk, unread))

    @property
    def is_open(self) -> bool:
        """Say whether nothing has come of it yet."""
        return self.committed is None and self.halt is None


async def paced(fold: Iterator[None]) -> float:
    """Run a fold, and let the event loop go on every `HOLD_SECONDS`; return the seconds that the
    fold took."""
    began, away = time.monotonic(), 0.0
    until = began + HOLD_SECONDS
    for _ in fold:
        if (now := time.monotonic()) > until:
            await asyncio.sleep(0)
            back = time.monotonic()
            away += back - now
            until = back + HOLD_SECONDS
    return time.monotonic() - began - away
