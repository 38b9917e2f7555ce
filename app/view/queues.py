"""Who comes next when more is asked than can be answered at once.

    turns    how many begin within one turn of the event loop: it goes on in time for everything
             else, logouts, the replica and those who are refused
    slots    how many are at work in the framework at one time

Whoever finds no room waits in line: the most urgent come first, and of those whoever came first.
Whoever has waited in vain for so long that nobody would see the answer comes no more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum


class Priority(StrEnum):
    """What is asked for, by how long it can wait."""

    DRAWN = "drawn"
    PAGE = "page"
    JSON = "json"
    COLOUR = "colour"


ADMITTED_MAX = {Priority.DRAWN: 8, Priority.PAGE: 64, Priority.JSON: 96, Priority.COLOUR: 128}
"""There is room for a request while fewer than these are in, of all priorities; so what is more
urgent has room that the rest cannot take. A drawing takes some 10 ms, another page of the framework
1 or 2, a colour on the hot path 0.1: each of these is some 0.1 s of the event loop at most."""

SLOT_SECONDS_MAX = 1.0
"""A slot is for work, which takes milliseconds. Whoever holds one for longer waits for somebody: a
client that sends slowly, Kafka, a carrier. They go on without."""


class NoRoom(Exception):
    """No room came free in time."""


class _PriorityQueue:
    """Those who wait, and what room there is. Belongs to one event loop."""

    def __init__(self) -> None:
        self._in = 0
        self._lines = {
            priority: dict[asyncio.Future[bool], None]() for priority in reversed(Priority)
        }

    async def enter(self, priority: Priority, until: float) -> None:
        """Return once there is room; raise `NoRoom` if that is not by `until` (loop's clock)."""
        if self._has_room(priority):
            self._let_one_in()
            return
        loop = asyncio.get_running_loop()
        room: asyncio.Future[bool] = loop.create_future()
        line = self._lines[priority]
        line[room] = None
        last = loop.call_at(until, _time_out, room)
        try:
            if not await room:
                raise NoRoom
        except asyncio.CancelledError:
            if room.done() and not room.cancelled() and room.result():
                self._left_unused()
            raise
        finally:
            line.pop(room, None)
            last.cancel()

    def _has_room(self, priority: Priority) -> bool:
        return self._in < ADMITTED_MAX[priority]

    def _let_one_in(self) -> None:
        self._in += 1

    def _left_unused(self) -> None:
        """Somebody was let in and has gone."""

    def _let_in(self) -> None:
        for priority, line in self._lines.items():
            while line and self._has_room(priority):
                room = next(iter(line))
                del line[room]
                if not room.done():
                    room.set_result(True)
                    self._let_one_in()


class Turns(_PriorityQueue):
    """Who begins in this turn of the event loop, and who in a later one."""

    def _let_one_in(self) -> None:
        super()._let_one_in()
        if self._in == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._in = 0
        self._let_in()


class Slots(_PriorityQueue):
    """Who is at work, and who comes next."""

    @asynccontextmanager
    async def slot(self, priority: Priority, until: float) -> AsyncIterator[None]:
        """Hold a slot, for `SLOT_SECONDS_MAX` at most; raise `NoRoom` if none is free by
        `until` (loop's clock)."""
        await self.enter(priority, until)
        taken = True

        def give_back() -> None:
            nonlocal taken
            if taken:
                taken = False
                self._leave()

        long = asyncio.get_running_loop().call_later(SLOT_SECONDS_MAX, give_back)
        try:
            yield
        finally:
            long.cancel()
            give_back()

    def _leave(self) -> None:
        self._in -= 1
        self._let_in()

    _left_unused = _leave


def _time_out(room: "asyncio.Future[bool]") -> None:
    if not room.done():
        room.set_result(False)
