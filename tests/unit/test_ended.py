"""Which sessions ended: known everywhere within a second, without a request to Redis."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from app.development.stack.redis_server import RedisServer
from app.login import ended
from app.login.ended import ENDED, KEPT, SILENT_SECONDS_MAX, Ended
from app.login.sessions import Away, Session, Sessions
from app.process.ports import free_port
from app.process.redis_client import redis_at
from models.events import DocumentType
from support.logins import CARD, SESSION_KEY, Clock, person_of

SECONDS_MAX = 1.0
"""A logout ends a session everywhere within this time."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, free_port())
    server.start()
    server.wait_ready()
    yield server
    server.stop()


def begun(family: str = "") -> Session:
    sessions = Sessions(SESSION_KEY, Clock())
    kind = DocumentType.RESIDENT_IDENTITY_CARD
    return sessions.begin(person_of(CARD), "陈*明", date(2009, 5, 1), kind, "002X", family=family)


@asynccontextmanager
async def following(url: str) -> AsyncIterator[Ended]:
    """A view of its own, that has heard."""
    async with redis_at(url, 1.0, again=True) as redis, redis_at(url, 1.0, again=False) as follower:
        each = Ended(redis, follower)
        each.start()
        await each.heard()
        try:
            yield each
            each.check()
        finally:
            await each.stop()


async def within(seconds: float, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


def unknown(each: Ended) -> bool:
    try:
        each.is_over(begun())
    except Away:
        return True
    return False


async def test_an_ended_session_is_over_everywhere_and_no_other(redis_url: str) -> None:
    session, other = begun(), begun()
    async with following(redis_url) as here, following(redis_url) as there:
        assert not here.is_over(session)
        await here.end(session)
        assert here.is_over(session)
        await within(SECONDS_MAX, lambda: there.is_over(session))
        assert not there.is_over(other)
        async with following(redis_url) as later:
            assert later.is_over(session)
            assert not later.is_over(other)


async def test_the_session_of_a_phone_ends_with_the_phone(redis_url: str) -> None:
    session = begun(family="f" * 32)
    async with following(redis_url) as here, following(redis_url) as there:
        async with Redis.from_url(redis_url) as redis, redis.pipeline(transaction=True) as pipe:
            await here.tell(pipe, session.family)
            await pipe.execute()
        await here.note(session.person, session.family)
        assert here.is_over(session)
        await within(SECONDS_MAX, lambda: there.is_over(session))
        assert not there.is_over(replace(session, family=""))


async def test_a_cookie_sent_again_and_again_fills_nothing(redis_url: str) -> None:
    session = begun()
    async with following(redis_url) as here, Redis.from_url(redis_url) as redis:
        before = await redis.xlen(ENDED)
        for _ in range(3):
            await here.end(session)
        assert await redis.xlen(ENDED) == before + 1


async def test_it_is_kept_as_long_as_a_session_can_last(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(ENDED)
        now_ms, kept_ms = int(time.time() * 1_000), int(KEPT.total_seconds() * 1_000)
        # The stream is cut in blocks (approximate), so many are too old.
        for place in range(300):
            await redis.xadd(
                ENDED, {"of": f"old-{place}"}, id=f"{now_ms - kept_ms - 9_000}-{place}"
            )
        await redis.xadd(ENDED, {"of": "kept"}, id=f"{now_ms - kept_ms + 60_000}-0")
        async with following(redis_url) as here:
            assert not here.is_over(replace(begun(), id="old-7"))
            assert here.is_over(replace(begun(), id="kept"))
            await here.end(begun())
        assert await redis.xlen(ENDED) < 150
        # Another hundred seconds later that one is over by itself.
        monkeypatch.setattr(ended, "KEPT", KEPT - (KEPT / 100))
        async with following(redis_url) as here:
            assert not here.is_over(replace(begun(), id="kept"))


async def test_while_redis_is_silent_nobody_is_let_in(server: RedisServer) -> None:
    session = begun()
    pid = server.pid or 0
    assert pid
    async with following(server.url) as here, following(server.url) as there:
        os.kill(pid, signal.SIGSTOP)
        try:
            assert not there.is_over(session)  # it was heard of a moment ago
            await within(SILENT_SECONDS_MAX + 1, lambda: unknown(there))
            with pytest.raises(Away):
                await here.end(session)
        finally:
            os.kill(pid, signal.SIGCONT)
        await within(5, lambda: not unknown(there))
        other = begun()
        await here.end(other)
        await within(SECONDS_MAX, lambda: there.is_over(other))


async def test_what_ended_while_the_connection_was_lost_is_known(redis_url: str) -> None:
    session = begun()
    async with following(redis_url) as here, Redis.from_url(redis_url) as redis:
        # Another server has it, whose clock is behind.
        await redis.delete(ENDED)
        behind_ms = int(time.time() * 1_000) - ended.OVERLAP_MS + 20_000
        await redis.xadd(ENDED, {"of": session.id}, id=f"{behind_ms}-0")
        await redis.client_kill_filter(_type="normal", skipme=True)
        await within(5, lambda: not unknown(here) and here.is_over(session))


async def test_without_redis_nothing_is_said() -> None:
    async with Redis.from_url(f"redis://127.0.0.1:{free_port()}/2", socket_timeout=1) as redis:
        each = Ended(redis, redis)
        for family in ("", "f" * 32):
            with pytest.raises(Away):
                each.is_over(begun(family))
        with pytest.raises(Away):
            await each.end(begun())


async def test_a_logout_that_takes_nothing_back_says_so_and_can_be_done_again(
    redis_url: str,
) -> None:
    session, taken_back, is_away = begun("f" * 32), list[str](), True

    async def take_back(_: str, of: str) -> None:
        if is_away:
            raise ConnectionError
        taken_back.append(of)

    async with following(redis_url) as each:
        each.on_end = take_back
        with pytest.raises(Away):
            await each.end(session)
        assert each.is_over(session), "it is over all the same"
        is_away = False
        await each.end(session)
    assert taken_back == [session.id, session.family]
