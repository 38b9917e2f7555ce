"""What comes first when more is asked than can be answered, and what is refused: a colour last.

    drawings and history, then pages, then other JSON, then colours

A request begins in a turn of the event loop that has room. The hot path answers it there, if it
can; otherwise it goes on to the framework, once that has a slot (app.view.queues). Whoever finds
no room in time is refused: 亮码失败, with the time to come again.
"""

import re
from random import random
from time import monotonic

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from app.login.sessions import Away
from app.process import metrics
from app.process.clock import Clock
from app.view.hot_path import HotPath
from app.view.limits import RETRY_BUSY_SECONDS
from app.view.me import DISPLAY
from app.view.queues import NoRoom, Priority, Slots, Turns
from app.view.reading import Unavailable
from app.view.refusing import Refusing
from app.web.raw import send_whole

NEVER = re.compile(
    r"/(livez|readyz|metrics|static/.*|v1/changes|problems/.*"
    r"|login(/.*)?|logout|duty/log(in|out)|me/devices(/.*)?)"
)
"""What is never refused here: probes, what a page is made of, what bounds itself, who comes in, and
who ends a session. Of these too no more begin in a turn than of colours."""

NEVER_SECONDS = 3_600.0
"""The longest that anything may wait for its turn. A turn takes a fraction of a second."""

WAIT_SECONDS_MIN = 1.0
WAIT_SECONDS_MORE = 1.0
"""How long a request waits for room. A page's script waits for 4 s (static/code.js), some of them
for a connection; a terminal's for 3, with Kafka's second. Not all wait equally long, else those who
are refused come again together."""

_PRIORITIES = (
    (Priority.COLOUR, re.compile(r"/v1/(me/(display|code|token)|scans|s|s/.*|credential-keys)")),
    (
        Priority.DRAWN,
        re.compile(r"/(me|me/.*|v1/me/(code\.svg|information.*|export)|check|counts)"),
    ),
    (Priority.JSON, re.compile(r"/v1/.*")),
)


def priority_of(path: str) -> Priority | None:
    """Return what is asked for at an address; None for what is never refused."""
    if path == DISPLAY:  # most of what comes
        return Priority.COLOUR
    if NEVER.fullmatch(path):
        return None
    return next((priority for priority, form in _PRIORITIES if form.fullmatch(path)), Priority.PAGE)


class Shedding:
    """An ASGI application in front of the hot path and of `app`, the framework."""

    def __init__(self, hot: HotPath, app: ASGIApp, view_url: str, now: Clock) -> None:
        self._hot = hot
        self._app = app
        self._turns = Turns()
        self._slots = Slots()
        self._refusing = Refusing(view_url, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is asked for, or refuse it."""
        if scope["type"] == ScopeType.HTTP:
            priority = priority_of(scope["path"])
            if priority is not None:
                await self._in_turn(priority, scope, receive, send)
                return
            await self._turns.enter(Priority.COLOUR, monotonic() + NEVER_SECONDS)
        await self._app(scope, receive, send)

    async def _in_turn(
        self, priority: Priority, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        until = monotonic() + WAIT_SECONDS_MIN + WAIT_SECONDS_MORE * random()  # the loop's clock
        try:
            await self._turns.enter(priority, until)
            if not await self._hot.answers(scope, send):
                async with self._slots.slot(priority, until):
                    await self._app(scope, receive, send)
        except NoRoom:
            metrics.VIEW_SHED.labels(priority.value).inc()
            await self._refuse(scope, send, Unavailable("busy", RETRY_BUSY_SECONDS))
        except (Unavailable, Away) as failure:
            await self._refuse(scope, send, failure)

    async def _refuse(self, scope: HTTPScope, send: Send, failure: Unavailable | Away) -> None:
        headers, body = self._refusing.answer(scope, failure)
        await send_whole(send, 503, headers, body)
