"""Lanes: the chunks of each topic partition, one in hand and the next behind it.

What waits behind is bounded, and what has enough waiting is fetched no more. A lane whose chunk
cannot go on stands still, with or without the others of its partition, until somebody lets it go
on; its place is kept, and nothing more of it is fetched.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice

import structlog
from faust.types import TP
from msgspec import to_builtins
from msgspec.structs import replace

from app.engine.chunks import Chunk, fits
from app.engine.halts import Halt
from app.engine.transaction import Fold
from app.process import metrics

log = structlog.get_logger()

WAITING_BYTES_MAX = 32 * 1024 * 1024
"""Bytes that wait behind the chunks in hand; above it, what has some waiting is fetched no more
until it has been processed. What stands still waits beside: of each topic partition the chunk that
stands, and what was fetched behind it by then."""

Process = Callable[[Chunk, Fold], Awaitable[bool]]
"""Processes a chunk and says whether to ack it; raises `Halted` where it cannot go on."""


class Halted(Exception):
    """A chunk cannot go on; what was before the record where it stands is committed."""

    def __init__(self, halt: Halt) -> None:
        super().__init__(str(halt))
        self.cause = halt


@dataclass(eq=False, slots=True)
class Submitted:
    """A chunk that was handed in, and whom to tell when it is done; `lets_go_on` if it is of those
    that let partitions go on, and so does not stand still with its partition."""

    chunk: Chunk
    fold: Fold
    acks: list[Callable[[], Awaitable[object]]]
    lets_go_on: bool


class Lanes:
    """The lanes of the table `name`.

    `held_back` are the topic partitions that have enough waiting, or stand still, so nothing more
    should be fetched of them. `ended` is told of each task that ends.
    """

    def __init__(
        self, name: str, process: Process, ended: Callable[["asyncio.Task[None]"], None]
    ) -> None:
        self._name = name
        self._process = process
        self._ended = ended
        self._lanes: defaultdict[TP, deque[Submitted]] = defaultdict(deque)
        self._tasks: set[asyncio.Task[None]] = set()
        self._halts: dict[tuple[int, str | None], tuple[Halt, asyncio.Event]] = {}
        self.held_back: frozenset[TP] = frozenset()
        self._show_halts()  # none: a metric that is missing would be unknown

    @property
    def halts(self) -> list[Halt]:
        """What stands still, and why."""
        return [halt for halt, _ in self._halts.values()]

    def is_halted(self, number: int) -> bool:
        """Say whether a whole partition stands still."""
        return (number, None) in self._halts

    def go_on(self, number: int, topic: str | None = None) -> None:
        """Let go on what stands in a partition: of one topic, or all."""
        for key, (halt, goes_on) in list(self._halts.items()):
            if halt.partition == number and topic in (None, halt.topic):
                del self._halts[key]
                goes_on.set()
        self._show_halts()

    async def submit(
        self,
        chunk: Chunk,
        fold: Fold,
        ack: Callable[[], Awaitable[object]],
        *,
        lets_go_on: bool = False,
    ) -> None:
        """Hand in a chunk to process, and `ack` it when that is done.

        Returns at once. Each topic partition has one chunk in hand at a time, in order; what comes
        meanwhile waits as one chunk, up to the bounds of one. While the log answers to one, others
        are folded. So no partition waits for another. Where a chunk cannot go on, its partition
        stands still, and nothing more is fetched of it. A failure of the log or the store ends the
        process, and what waited behind it is not processed.

        What `lets_go_on` is processed although its partition stands still. If it cannot go on
        itself, its own topic partition stands still until the next start.
        """
        lane = self._lanes[TP(chunk.topic, chunk.partition)]
        if len(lane) > 1 and lane[-1].chunk.joins(chunk):
            lane[-1].acks.append(ack)
        else:
            lane.append(Submitted(chunk, fold, [ack], lets_go_on))
        if len(lane) == 1:
            task = asyncio.create_task(self._process_lane(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(self._ended)
        self._hold_back()
        await asyncio.sleep(0)  # let it begin

    async def _process_lane(self, lane: "deque[Submitted]") -> None:
        while lane:
            first = lane[0]
            while found := self._standing(first):
                _, goes_on = found
                await goes_on.wait()
            try:
                committed = await self._process(first.chunk, first.fold)
            except Halted as halted:
                halt = halted.cause
                self.halt(
                    replace(halt, whole=False, until_start=True) if first.lets_go_on else halt
                )
                continue
            if committed:
                for ack in first.acks:
                    await ack()
            lane.popleft()
            self._hold_back()

    def halt(self, halt: Halt) -> None:
        """Let a partition stand still: nothing more of it is processed until `go_on`."""
        key = halt.partition, None if halt.whole else halt.topic
        _, goes_on = self._halts.get(key, (halt, asyncio.Event()))
        self._halts[key] = halt, goes_on
        log.error("partition_halted", **to_builtins(halt))
        self._show_halts()

    def _standing(self, submitted: Submitted) -> tuple[Halt, asyncio.Event] | None:
        """Return a halt with which a chunk stands still, and what says that it is over."""
        number, topic = submitted.chunk.partition, submitted.chunk.topic
        whole = None if submitted.lets_go_on else self._halts.get((number, None))
        return whole or self._halts.get((number, topic))

    def _show_halts(self) -> None:
        self._hold_back()
        metrics.WORKER_PARTITIONS_HALTED.labels(self._name).set(len(self._halts))

    def _hold_back(self) -> None:
        halted = {tp for tp, lane in self._lanes.items() if lane and self._standing(lane[0])}
        behind = {
            tp: [submitted.chunk for submitted in islice(lane, 1, None)]
            for tp, lane in self._lanes.items()
            if len(lane) > 1 and tp not in halted
        }
        waiting = sum(chunk.size for chunks in behind.values() for chunk in chunks)
        # As much once more would not fit into one chunk.
        self.held_back = frozenset(halted).union(
            tp
            for tp, chunks in behind.items()
            if waiting > WAITING_BYTES_MAX or not fits(chunks * 2)
        )
