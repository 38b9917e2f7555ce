"""A worker's process as the driver runs it: the app with its agents, and no Faust around them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from faust.types import TP

from app.engine.chunks import Chunk
from app.engine.halts import Halt
from app.engine.store import DUE
from app.process.settings import Settings
from app.topology import TableApp
from support.log import Record

ACK_SECONDS_MAX = 20.0
"""How long a chunk may take. Nothing here waits for anything, so one that takes longer hangs."""

Timer = Callable[[], Awaitable[None]]


class _Stream:
    """What a Faust agent reads its chunks from."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[Any] = asyncio.Queue()

    def noack(self) -> "_Stream":
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            yield await self._chunks.get()

    async def ack(self, event: Any) -> bool:
        event.acked.set_result(None)
        return True

    def put(self, chunk: Chunk) -> "asyncio.Future[None]":
        """Hand a chunk over; what is returned is done when it is acked."""
        event = SimpleNamespace(value=chunk, acked=asyncio.get_running_loop().create_future())
        self._chunks.put_nowait(event)
        acked: asyncio.Future[None] = event.acked
        return acked


class Worker:
    """A worker's process: an app with its agents, in place of what Faust runs around them."""

    def __init__(self, make: Callable[[Settings, str], TableApp], settings: Settings) -> None:
        self._timers: list[Timer] = []

        def keep(*_: Any, **__: Any) -> Callable[[Timer], None]:
            return self._timers.append

        with patch.object(TableApp, "timer", keep):
            self.app = make(settings, "driver")
        self.numbers: set[int] = set()
        self._streams: dict[str, _Stream] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._agents = [self._begun(agent) for agent in self.app.agents.values()]
        self._halted = asyncio.Event()
        for table in self.app.held_tables:
            table.on_failure(self._fail)
            table.seek = self._seek
            table.lanes.halt = partial(self._halt, table.lanes.halt)  # type: ignore[method-assign]

    async def _seek(self, places: Mapping[TP, int]) -> None:
        """There is no consumer: `process` hands in all that is to come."""

    def _halt(self, halt: Callable[[Halt], None], what: Halt) -> None:
        halt(what)
        self._halted.set()

    def _begun(self, agent: Any) -> "asyncio.Task[None]":
        [topic] = agent.channel.topics
        stream = self._streams[topic] = _Stream()
        task: asyncio.Task[None] = asyncio.create_task(agent.fun(stream))
        task.add_done_callback(self._agent_ended)
        return task

    def _agent_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def take(self, numbers: set[int]) -> None:
        """Let a rebalance give it these partitions as well."""
        before, self.numbers = self.numbers, self.numbers | numbers
        self.app.consumer_generation_id += 1
        await self.app.on_partitions_revoked.send(self._assignment(before))
        await self.app.on_partitions_assigned.send(self._assignment(self.numbers))
        for table in self.app.held_tables:
            for partition in table.held.values():
                await self._until(asyncio.ensure_future(partition.live.wait()))

    def _assignment(self, numbers: set[int]) -> set[TP]:
        return {TP(topic.name, n) for topic in self.app.topics_read() for n in numbers}

    async def process(
        self, topic: str, number: int, fetched: list[Record]
    ) -> "asyncio.Future[None]":
        """Hand a chunk to its agent. Return when it is acked, or its partition stands still; what
        is returned is done when it is acked. Raise what ends the process."""
        chunk = Chunk(topic, number, self.app.consumer_generation_id, fetched)
        acked = self._streams[topic].put(chunk)
        self._halted.clear()
        halted = asyncio.ensure_future(self._halted.wait())
        await asyncio.wait(
            cast("set[asyncio.Future[Any]]", {acked, halted, self._failed}),
            timeout=ACK_SECONDS_MAX,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not halted.done():
            halted.cancel()
            await self._until(acked)
        return acked

    async def _until(self, done: "asyncio.Future[Any]") -> None:
        both = {done, self._failed}
        await asyncio.wait(both, timeout=ACK_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()
        assert done.done(), f"it was not done after {ACK_SECONDS_MAX:g} s"

    async def look(self) -> None:
        """Run each timer once."""
        for timer in self._timers:
            await timer()
        for table in self.app.held_tables:
            await table.due_done()

    def due_at(self, until: int) -> int | None:
        """Return when the next row is due (µs), None if none is by `until`."""
        instants = [
            DUE.unpack_from(partition.store.get(key) or b"")[0]
            for table in self.app.held_tables
            for partition in table.held.values()
            for key in partition.store.due(until, 1)
        ]
        return min(instants, default=None)

    async def end(self) -> None:
        """Finish what is in hand, and let go of everything."""
        for agent in self._agents:
            agent.cancel()
        await asyncio.gather(*self._agents, return_exceptions=True)
        await asyncio.gather(*(table.stop() for table in self.app.held_tables))
        if self._failed.done():
            self._failed.exception()  # it was raised, or comes too late to be


class Clock:
    """Stands for the class `datetime` in the agents' modules."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def now(self, zone: Any) -> datetime:
        """Return what the driver's clock says."""
        return self._now().astimezone(zone)

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)


@contextmanager
def clock(now: Callable[[], datetime]) -> Iterator[None]:
    """Let the agents read this clock while the context lasts."""
    with ExitStack() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith("agents.") and vars(module).get("datetime") is datetime:
                patches.enter_context(patch.object(module, "datetime", Clock(now)))
        yield
