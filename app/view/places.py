"""How many requests are worked on at one time, and who comes next when there are more.

Whoever finds no place waits in line. The most urgent come first, and of those the newest: where all
wait their turn everybody waits too long, and whoever is answered at last has gone by then. Whoever
has waited for `WAIT_SECONDS` comes no more.

Where the event loop is late (app.view.rush) only what is urgent enough comes in. A place is for
work: whoever waits for more of a client's request stands outside meanwhile.
"""

import asyncio
from enum import StrEnum
from random import uniform
from typing import NamedTuple

from litestar.types import Receive, ReceiveMessage

from app.view.rush import Rush


class Waits(StrEnum):
    """What is asked for, by how long it can wait."""

    DRAWN = "drawn"
    PAGE = "page"
    JSON = "json"
    COLOUR = "colour"


class Room(NamedTuple):
    """There is room for a kind while fewer places than these are taken, and the event loop is less
    late than this (s)."""

    places: int
    late_s: float


ROOMS = {
    Waits.DRAWN: Room(32, 0.05),
    Waits.PAGE: Room(64, 0.1),
    Waits.JSON: Room(96, 0.2),
    Waits.COLOUR: Room(128, float("inf")),
}
"""What is more urgent has places that the rest cannot take. 128 of the framework's requests take
some 0.2 s of the loop, and are as many a second as wait in vain for a Redis that stands still."""

WAIT_SECONDS = 1.0, 2.0
"""A page's script waits for 4 s (static/code.js). Who is refused sooner asks again sooner, and
refusals would take the time of answers."""


class Places:
    """The places of one event loop, and those who wait for one."""

    def __init__(self, rush: Rush) -> None:
        self._rush = rush
        rush.after_look = self._let_in
        self._taken = 0
        self._lines = {kind: dict[asyncio.Future[bool], None]() for kind in reversed(Waits)}

    async def take(self, kind: Waits) -> bool:
        """Take a place, now or within `WAIT_SECONDS`; False if none came free. Call `leave` once
        for each that was taken."""
        if self._has_room(kind):
            self._taken += 1
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
        room = ROOMS[kind]
        return self._taken < room.places and self._rush.late_s < room.late_s

    def _let_in(self) -> None:
        for kind, line in self._lines.items():
            while line and self._has_room(kind):
                place, _ = line.popitem()
                if not place.done():
                    place.set_result(True)
                    self._taken += 1


def _refuse(place: "asyncio.Future[bool]") -> None:
    if not place.done():
        place.set_result(False)
