"""Which sessions ended before their time: kept in memory, so that no request asks Redis for it.

    session:ended   a stream: the id of each session, and the family of each own phone, that ended

A logout adds an entry, and every view waits for the next: it knows within milliseconds. An entry
stays as long as a session can last, in the stream and in memory. A view that has not heard from the
stream for `SILENT_SECONDS_MAX` lets nobody in: somebody may have logged out meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.login.sessions import SESSION_LIFE, Away, Session
from app.process.tasks import CANCEL_AGAIN_SECONDS, end

ENDED = "session:ended"

KEPT = SESSION_LIFE + timedelta(minutes=5)
"""As long as a session can last, and by how much the clocks of this machine and of Redis may
differ. A million logouts within that time take some 110 MB here."""

WAIT_MS = 400
"""How long Redis may hold a question back that has no answer yet."""

SILENT_SECONDS_MAX = 2.0
"""From then on it is unknown who has logged out. It is longer than Redis may be slow."""

PAGE = 10_000
"""Entries in one answer."""

AGAIN_SECONDS = 0.1

OVERLAP_MS = 5 * 60 * 1_000
"""After a connection was lost, what is so much older than the newest is read again: another server
may have the stream now, and another clock."""

OnEnd = Callable[[str, str], Awaitable[None]]
"""Does what the end of a session (its id) or an own phone (its family) of a person brings with it.
It raises what its store does: then that is not done, and has to be done again."""

log = structlog.get_logger()


async def nothing_more(person: str, ended: str) -> None:
    """Leave everything else as it is."""


class Ended:
    """Belongs to one event loop.

    `follower` waits longer than `WAIT_MS` for an answer, and tries nothing again by itself: behind
    another connection there may be another server.
    """

    def __init__(self, redis: Redis, follower: Redis, on_end: OnEnd = nothing_more) -> None:
        self._redis = redis
        self._follower = follower
        self.on_end = on_end
        self._at_ms: dict[str, int] = {}  # in the order in which they ended
        self._last = "0-0"
        self._heard_at = float("-inf")
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def is_over(self, session: Session) -> bool:
        """Say whether a session was ended, or the phone that it is of; raise `Away` if that is
        not known now."""
        if time.monotonic() - self._heard_at > SILENT_SECONDS_MAX:
            raise Away
        return session.id in self._at_ms or session.family in self._at_ms

    async def end(self, session: Session) -> None:
        """End a session, in every copy of its cookie, and what it took. Raise `Away` where one of
        the two is not done; then end it again."""
        if session.id not in self._at_ms:  # a cookie that is sent again and again fills nothing
            await self._tell_now(session.id)
        await self.note(session.person, session.id)
        if session.family:  # what it took it took as the phone
            await self.take_back(session.person, session.family)

    async def end_phone(self, person: str, family: str) -> None:
        """End the sessions of an own phone, in every copy of their cookies, unless that is done.
        Raise `Away` as `end` does."""
        if family not in self._at_ms:
            await self._tell_now(family)
            await self.note(person, family)

    async def _tell_now(self, ended: str) -> None:
        try:
            await self.tell(self._redis, ended)
        except (RedisError, OSError, TimeoutError):
            raise Away from None

    async def tell(self, redis: Any, ended: str) -> None:
        """Tell every view that a session (its id) or an own phone (its family) has ended.

        `redis` may be a pipeline: then this is a step of it. Call `note` once it is done.
        """
        oldest_ms = int((time.time() - KEPT.total_seconds()) * 1_000)
        await redis.xadd(ENDED, {"of": ended}, minid=oldest_ms)

    async def note(self, person: str, ended: str) -> None:
        """Know at once what this process itself has told, and take back what it took."""
        if ended not in self._at_ms:
            self._add(ended, int(time.time() * 1_000))
        await self.take_back(person, ended)

    async def take_back(self, person: str, ended: str) -> None:
        """Take back what a session or an own phone took; raise `Away` if it still has it."""
        try:
            await self.on_end(person, ended)
        except (RedisError, OSError, TimeoutError):
            raise Away from None

    def start(self) -> None:
        """Begin to follow the stream; return at once."""
        self._task = asyncio.create_task(self._follow())

    async def heard(self) -> None:
        """Return once the stream has answered, or after `SILENT_SECONDS_MAX` without it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENT_SECONDS_MAX):
                await self._heard.wait()

    async def stop(self) -> None:
        """End the following."""
        if self._task is not None:
            await end(self._task, again_after=CANCEL_AGAIN_SECONDS)

    def check(self) -> None:
        """Raise what ended the following, if anything did: that is a bug."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("ended_sessions_unknown", seldom=True, why=type(error).__name__)
                newest_ms = int(self._last.partition("-")[0])
                self._last = f"{max(0, newest_ms - OVERLAP_MS)}-0"
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        found: Any = await self._follower.xread({ENDED: self._last}, count=PAGE, block=WAIT_MS)
        entries = found[0][1] if found else []
        for number, fields in entries:
            self._last = number.decode()
            self._add(fields[b"of"].decode(), int(self._last.partition("-")[0]))
        if len(entries) < PAGE:
            self._heard_at = time.monotonic()
            self._heard.set()
        self._forget()

    def _add(self, ended: str, at_ms: int) -> None:
        self._at_ms.pop(ended, None)
        self._at_ms[ended] = at_ms

    def _forget(self) -> None:
        until_ms = (time.time() - KEPT.total_seconds()) * 1_000
        while self._at_ms and self._at_ms[first := next(iter(self._at_ms))] < until_ms:
            del self._at_ms[first]
