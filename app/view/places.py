"""How many requests are worked on at one time, and who comes next when there are more.

Whoever finds no place waits in line: the most urgent come first, and of those whoever came first.
Whoever has waited in vain for so long that nobody would see the answer comes no more.

A turn of the event loop has room for so many as are done in some 10 ms. So it goes on in time for
everything else: logouts, the replica, those who are refused. A place is for work: whoever waits for
more of a client's request stands outside meanwhile.
"""

import asyncio
from enum import StrEnum
from random import uniform

from litestar.types import Receive, ReceiveMessage


class Waits(StrEnum):
    """What is asked for, by how long it can wait."""

    DRAWN = "drawn"
    PAGE = "page"
    JSON = "json"
    COLOUR = "colour"


PLACES = {Waits.DRAWN: 8, Waits.PAGE: 64, Waits.JSON: 96, Waits.COLOUR: 128}
"""There is room for a kind while fewer places than these are taken, so what is more urgent has some
that the rest cannot take. A drawing takes 10 ms, any other page 2. 128 are as many as wait in
vain each second for a Redis that stands still."""

TURN_MAX = 128
"""Who comes in within one turn of the event loop."""

WAIT_SECONDS = 1.5, 2.5
"""A page's script waits for 4 s (static/code.js), some of them for a connection. Not all wait
equally long, else those who are refused come again together."""


class Places:
    """The places of one event loop, and those who wait for one."""

    def __init__(self) -> None:
        self._taken = 0
        self._in_turn = 0
        self._lines = {kind: dict[asyncio.Future[bool], None]() for kind in reversed(Waits)}

    async def take(self, kind: Waits) -> bool:
        """Take a place, now or within `WAIT_SECONDS`; False if none came free. Call `leave` once
        for each that was taken."""
        if self._has_room(kind):
            self._enter()
            return True
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        line = self._lines[kind]
        line[place] = None
        last = loop.call_later(uniform(*WAIT_SECONDS), _refuse, place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave()
            raise
        finally:
            line.pop(place, None)
            last.cancel()

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._let_in()

    async def outside(self, receive: Receive) -> ReceiveMessage:
        """Give the place back while a client is waited for: it may send its request slowly."""
        self.leave()
        try:
            return await receive()
        finally:
            self._taken += 1

    def _has_room(self, kind: Waits) -> bool:
        return self._taken < PLACES[kind] and self._in_turn < TURN_MAX

    def _enter(self) -> None:
        self._taken += 1
        self._in_turn += 1
        if self._in_turn == 1:
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._in_turn = 0
        self._let_in()

    def _let_in(self) -> None:
        for kind, line in self._lines.items():
            while line and self._has_room(kind):
                place = next(iter(line))
                del line[place]
                if not place.done():
                    place.set_result(True)
                    self._enter()


def _refuse(place: "asyncio.Future[bool]") -> None:
    if not place.done():
        place.set_result(False)
