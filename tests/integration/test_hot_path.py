"""The hot path answers as the framework does, or not at all."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.credentials.bounds import ASK_SECONDS, LIFE
from app.login.ended import Ended
from app.login.sessions import COOKIE, RENEW, Away, Session, Sessions
from app.process.ports import free_port
from app.process.redis_client import redis_at
from app.process.settings import Settings
from app.view import codes, recorder
from app.view.displays import Display, Displays
from app.view.hot_path import REASONS_MAX, SELDOM_MAX, HotPath
from app.view.limits import NOTICE_SECONDS, REFUSE_SECONDS, STALE_SECONDS
from app.view.routes import framework
from app.view.services import Services
from app.view.shedding import Shedding
from models.codes import Condition, ConditionKind, HealthCode, Owner, Reason
from models.events import DisplayDetail, DocumentType
from support import replicated
from support.asgi import transport_to
from support.views import (
    DISPLAY_KEY,
    SESSION_KEY,
    Model,
    health_code,
    now,
    options_over,
    reason,
    someone,
    waiting,
)

NOW = now()
HOT = ("/v1/me/display", "/code")
JSON = {"accept": "application/json"}
HTML = {
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-GB,en;q=0.9,zh-CN;q=0.8",
    "accept-encoding": "gzip, deflate, br, zstd",
    "sec-fetch-mode": "navigate",
}


class Face:
    """A view's hot path with the framework behind it, at an instant that stands still."""

    def __init__(self, view: Services, app: Any) -> None:
        self.passed = 0

        async def behind(scope: Any, receive: Any, send: Any) -> None:
            self.passed += 1
            await app(scope, receive, send)

        self.view = view
        self.hot = HotPath(view)
        front = Shedding(self.hot, behind, view.view_url, view.now)
        self.front = httpx.AsyncClient(transport=transport_to(front), base_url="https://x")  # type: ignore[arg-type]
        self.behind = httpx.AsyncClient(transport=transport_to(app), base_url="https://x")

    def find_now(self) -> None:
        """Look for a replica again, without the pause."""
        assert self.view.replica is not None
        self.view.replica._look_at = 0.0

    async def both(
        self, path: str, headers: Mapping[str, str], method: str = "GET"
    ) -> tuple[httpx.Response, httpx.Response, bool]:
        """Return the answers of the face and of the framework alone, and if the first was hot."""
        self.hot._times.clear()
        before = self.passed
        front = await self.front.request(method, path, headers=dict(headers))
        hot = self.passed == before
        behind = await self.behind.request(method, path, headers=dict(headers))
        for client in (self.front, self.behind):
            client.cookies.clear()
        return front, behind, hot


@pytest.fixture
async def face(
    redis_url: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Face]:
    monkeypatch.setattr(recorder, "END_SECONDS_MAX", 0.0)  # there is no Kafka to wait for
    options = options_over(redis_url, lambda: NOW, replica=tmp_path)
    view = Services(options)
    app = framework(view, options)
    async with view.running(app):
        yield Face(view, app)


async def put(face: Face, model: Model, folder: Path, *codes: HealthCode, old: float = 0.4) -> None:
    """Write codes by data of `old` seconds ago into Redis and into the replica."""
    as_of = NOW - timedelta(seconds=old)
    await model.put(*codes, as_of=as_of)
    replicated.put(folder, codes, NOW.timestamp(), as_of.timestamp())
    face.find_now()


def session(person: str, name: str = "样*甲", ending: str = "1234", used: float = 0) -> Session:
    sessions = Sessions(SESSION_KEY, lambda: NOW - timedelta(seconds=used))
    return sessions.begin(person, name, None, DocumentType.RESIDENT_IDENTITY_CARD, ending)


def logged_in(of: Session) -> dict[str, str]:
    sealed = Sessions(SESSION_KEY, lambda: NOW).cookie(of).value
    return {"cookie": f"{COOKIE}={sealed}"}


def plain(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], Any]:
    """Return an answer without what differs each time, and with what is sealed opened."""
    headers = [
        (name, re.sub(rf"(?<={COOKIE}=)[^;]+", opened, value))
        for name, value in answer.headers.multi_items()
        if name not in ("content-length", "vary")
    ]
    text = re.sub(r'(?<=token":")[^"]+|(?<=data-token=")[^"]+', opened, answer.text)
    vary = {word.strip().lower() for word in answer.headers.get("vary", "").split(",")}
    return answer.status_code, sorted([*headers, ("vary", str(sorted(vary)))]), text


def unpacked(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], Any]:
    """Return it without how it was compressed, too: the framework compresses no guard's refusal."""
    status, headers, text = plain(answer)
    return status, [each for each in headers if each[0] not in ("content-encoding", "vary")], text


def opened(sealed: re.Match[str]) -> str:
    text = sealed.group()
    try:
        return repr(display(text))
    except Exception:
        return str(msgspec.structs.asdict(Sessions(SESSION_KEY, lambda: NOW).read(text)))


def display(token: str) -> dict[str, Any]:
    read: Display = Displays(DISPLAY_KEY, lambda: NOW).read(token)
    return msgspec.structs.asdict(read)


CODES = {
    "green": health_code(someone()),
    "green of a thousand changes": health_code(someone(), version=1_234),
    "red": health_code(someone(), reason()),
    "red, and ends": health_code(someone(), reason(end=NOW + timedelta(hours=3))),
    "red, and waits": health_code(
        someone(),
        reason(conditions=(waiting(),)),
        reason(Reason.SUSPECTED_CASE, conditions=(waiting(), waiting())),
    ),
    "red, and incomplete for long": msgspec.structs.replace(
        health_code(someone(), reason(conditions=(waiting(),))),
        complete_until=NOW - timedelta(seconds=90),
    ),
    "red for many reasons": health_code(someone(), *[reason()] * (REASONS_MAX + 1)),
    "was red": health_code(someone(), reason(end=NOW - timedelta(hours=3))),
    "will be red": health_code(someone(), reason(start=NOW + timedelta(hours=3))),
    "not verified": health_code(someone(), verified=False),
    "incomplete": msgspec.structs.replace(
        health_code(someone()), complete_until=NOW - timedelta(seconds=3)
    ),
    "incomplete for long": msgspec.structs.replace(
        health_code(someone()), complete_until=NOW - timedelta(seconds=90)
    ),
}
"""What a person may have; hot or not, the answer is the framework's."""

SAID = {
    "a script": JSON,
    "a browser": HTML,
    "another language": {**HTML, "accept-language": "zh-CN"},
    "no language": {"accept": "*/*"},
    "no compression": {**HTML, "accept-encoding": "identity"},
    "red before": {**HTML, "x-before": "red"},
    "green before": {**JSON, "x-before": "green"},
    "anything before": {**JSON, "x-before": "x" * 300},
}


@pytest.mark.parametrize("stands", CODES)
async def test_every_answer_is_the_frameworks(
    face: Face, model: Model, tmp_path: Path, stands: str
) -> None:
    code = CODES[stands]
    await put(face, model, tmp_path, code)
    who = logged_in(session(code.person))
    for path, (said, headers) in product(HOT, SAID.items()):
        front, behind, hot = await face.both(path, {**headers, **who})
        assert plain(front) == plain(behind), (path, said)
        behind_alone = ("not verified", "red for many reasons")
        plainly = said != "anything before" if path == HOT[0] else stands not in behind_alone
        assert hot == plainly, (path, said)


SESSIONS = {
    "no ending": session(CODES["green"].person, ending=""),
    "a name to escape": session(CODES["green"].person, name="<b>&\"'\u202e甲"),
    "a long name": session(CODES["green"].person, name="长" * 40),
    "to be renewed": session(CODES["green"].person, used=RENEW.total_seconds() + 1),
}


@pytest.mark.parametrize("colour", ["green", "red"])
async def test_whoever_asks_is_answered_as_the_framework_does(
    face: Face, model: Model, tmp_path: Path, colour: str
) -> None:
    await put(face, model, tmp_path, CODES[colour])
    for path, (who, of) in product(HOT, SESSIONS.items()):
        of = msgspec.structs.replace(of, person=CODES[colour].person)
        front, behind, hot = await face.both(path, {**HTML, **logged_in(of)})
        assert plain(front) == plain(behind), (path, who)
        assert hot, (path, who)
        assert ("set-cookie" in front.headers) == (who == "to be renewed")


GOOD = logged_in(session(CODES["green"].person))["cookie"]
COOKIES = {
    "none": "",
    "forged": GOOD[:-9] + "A" * 9,
    "expired": logged_in(session(CODES["green"].person, used=13 * 3600))["cookie"],
    "unused": logged_in(session(CODES["green"].person, used=31 * 60))["cookie"],
    "of another name": f"x{GOOD}",
    "within another": f'x="{GOOD}"',
    "twice": f"{GOOD}; {COOKIE}=x",
    "twice, the good one last": f"{COOKIE}=x; {GOOD}",
    "quoted": GOOD.replace("=", '="', 1) + '"',
    "without a space": f"a=b;{GOOD}",
    "beside others": f"a=b; __Host-lang=en; {GOOD}; c=d",
}


async def test_a_cookie_opens_what_it_opens_in_the_framework(
    face: Face, model: Model, tmp_path: Path
) -> None:
    await put(face, model, tmp_path, CODES["green"])
    for path, (what, cookie) in product(HOT, COOKIES.items()):
        front, behind, hot = await face.both(path, {**HTML, "cookie": cookie} if cookie else HTML)
        assert plain(front) == plain(behind), (path, what)
        assert hot == (what == "beside others"), (path, what)


async def test_a_session_that_ended_is_over_here_too(
    face: Face, model: Model, tmp_path: Path
) -> None:
    await put(face, model, tmp_path, CODES["green"])
    ended = session(CODES["green"].person)
    await face.view.login.ended.end(ended)
    for path in HOT:
        front, behind, hot = await face.both(path, {**JSON, **logged_in(ended)})
        assert plain(front) == plain(behind)
        assert (front.status_code, hot) == (401, False)


ASKED = [
    *(("GET", f"{path}{query}") for path, query in product(HOT, ("?lang=en", "?", "?x=1", "/"))),
    *product(("HEAD", "POST", "DELETE"), HOT),
]


async def test_what_is_not_plain_is_the_frameworks(
    face: Face, model: Model, tmp_path: Path
) -> None:
    await put(face, model, tmp_path, CODES["green"])
    for method, path in ASKED:
        front, behind, hot = await face.both(path, {**HTML, "cookie": GOOD}, method)
        assert plain(front) == plain(behind), (method, path)
        assert hot == path.endswith("?"), (method, path)


@pytest.mark.parametrize(
    "said", [{}, {"if-none-match": '"another"'}, {"cookie": f"{COOKIE}=whatever"}], ids=str
)
async def test_a_list_that_was_read_a_moment_ago_is_the_frameworks(
    face: Face, redis_url: str, said: dict[str, str]
) -> None:
    async with Redis.from_url(Settings(redis_url=redis_url).credentials_redis_url) as credentials:
        model = Model(Redis.from_url(redis_url), credentials=credentials)
        await model.begin()
        person = someone()
        await model.put(health_code(person))
        held = await face.view.holdings.hold(person, "one", b"x", NOW, NOW + LIFE, ASK_SECONDS)
        path = f"/v1/s/{held.place.chunk}"
        first, behind, hot = await face.both(path, said)
        assert not hot, "somebody has to read it first"
        assert plain(first) == plain(behind)
        front, behind, hot = await face.both(path, said)
        assert hot
        assert (front.status_code, plain(front)) == (200, plain(behind))
        known = {**said, "if-none-match": f'"another", W/{front.headers["etag"]}'}
        front, behind, hot = await face.both(path, known)
        assert hot
        assert (front.status_code, front.content, plain(front)) == (304, b"", plain(behind))
        for other in (f"{path}?x=1", f"{path}/", "/v1/s/", "/v1/s/XYZ", "/v1/s/012345", "/v1/s"):
            front, behind, hot = await face.both(other, said)
            assert (hot, plain(front)) == (False, plain(behind))
        await model._redis.aclose()


async def test_what_is_old_is_shown_with_its_age_up_to_a_limit(
    face: Face, model: Model, tmp_path: Path
) -> None:
    for old in (0, STALE_SECONDS + 1, NOTICE_SECONDS + 1, REFUSE_SECONDS + 1):
        await put(face, model, tmp_path, CODES["green"], old=old)
        for path in HOT:
            front, behind, hot = await face.both(path, {**HTML, "cookie": GOOD})
            assert plain(front) == plain(behind), (old, path)
            assert hot, (old, path)
            assert front.status_code == (200 if old < REFUSE_SECONDS else 503), (old, path)


REPLICA_AND_REDIS = {
    "a worker is behind, and Redis knows no more": (1, 20, 30, "green", 20),
    "its machine is cut off from Kafka": (9, 9, 0, "red", 0),
    "it was away for minutes, and has just begun again": (240, 240, 1, "red", 1),
    "it is behind, and Redis is more so": (9, 9, 30, "green", 9),
    "it is ended, and a worker is behind": (60, 60, 20, "red", 20),
}
"""How many seconds ago the replica was at the end of the log, workers at that of their inputs, and
Redis at that of both; what is shown then, and its age."""


@pytest.mark.parametrize("case", REPLICA_AND_REDIS)
async def test_what_is_known_until_later_is_shown(
    face: Face, model: Model, tmp_path: Path, case: str
) -> None:
    told_s, applied_s, redis_s, colour, lag_s = REPLICA_AND_REDIS[case]
    green = CODES["green"]
    red = health_code(green.person, reason(), version=2)
    await model.put(red, as_of=NOW - timedelta(seconds=redis_s))
    told, applied = (NOW - timedelta(seconds=s) for s in (told_s, applied_s))
    replicated.put(tmp_path, [green], told.timestamp(), applied.timestamp())
    face.find_now()
    front, behind, hot = await face.both(HOT[0], {**JSON, "cookie": GOOD})
    assert plain(front) == plain(behind)
    code = front.json()["code"]
    stale = lag_s > STALE_SECONDS
    assert (code["colour"], code["lag_s"], code["stale"], hot) == (colour, lag_s, stale, True)


async def test_where_redis_is_gone_the_replica_goes_on(
    face: Face, model: Model, tmp_path: Path
) -> None:
    face.view.codes._redis = Redis.from_url(f"redis://127.0.0.1:{free_port()}/0")
    for silent_s, status in ((1, 200), (20, 200), (400, 503)):
        written = (NOW - timedelta(seconds=silent_s)).timestamp()
        replicated.put(tmp_path, [CODES["green"]], written, written)
        face.find_now()
        front, _, hot = await face.both(HOT[0], {**JSON, "cookie": GOOD})
        assert (hot, front.status_code) == (True, status)
        assert status == 503 or front.json()["code"]["stale"] is (silent_s > STALE_SECONDS)


@pytest.mark.parametrize("missing", ["the news of ended sessions", "Redis", "a fresh read model"])
async def test_where_nothing_can_be_shown_it_is_said_as_the_framework_says_it(
    face: Face, model: Model, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without it: at a peak all are refused at once, and it would take the time that the end of
    that needs."""
    await put(face, model, tmp_path, CODES["green"], old=400 if "fresh" in missing else 0.4)
    if missing == "Redis":
        face.view.codes._redis = Redis.from_url(f"redis://127.0.0.1:{free_port()}/0")
        replicated.put(tmp_path, [CODES["green"]], NOW.timestamp() - 400, NOW.timestamp() - 400)
        face.find_now()
    if "sessions" in missing:
        monkeypatch.setattr(Ended, "is_over", Mock(side_effect=Away))
    for path, (said, headers) in product(HOT, SAID.items()):
        face.view.codes._away_until = 0.0
        front, behind, hot = await face.both(path, {**headers, "cookie": GOOD})
        assert unpacked(front) == unpacked(behind), (path, said)
        assert hot == (said != "anything before" or path == HOT[1]), (path, said)
        assert not hot or front.status_code == 503
    for path in HOT:
        expired = COOKIES["expired"]
        front, behind, _ = await face.both(path, {**HTML, "cookie": expired})
        assert unpacked(front) == unpacked(behind), (
            "who is not logged in has to log in all the same"
        )


async def test_a_view_that_is_slow_does_not_take_redis_for_silent(face: Face) -> None:
    """It would give up the connection by which it hears of ended sessions, and let nobody in until
    it has another."""
    with capture_logs() as lines:
        for _ in range(3):
            time.sleep(1.3)  # noqa: ASYNC251 - a turn of a loop that has too much to do
            await asyncio.sleep(0.05)
            face.view.login.ended.is_over(session(CODES["green"].person))
    assert "ended_sessions_unknown" not in [line["event"] for line in lines]


async def test_a_redis_that_is_silent_is_asked_once_for_a_display(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with redis_at(url, 0.2, again=True) as silent:
            face.view.codes._redis = silent
            answer = await face.front.get(HOT[0], headers={**JSON, "cookie": GOOD})
            assert (answer.status_code, face.passed) == (503, 0)
            assert connections == 2, "by the hot path, twice"
            monkeypatch.setattr(codes, "monotonic", lambda: time.monotonic() + codes.AWAY_SECONDS)
            await face.front.get(HOT[0], headers={**JSON, "cookie": GOOD})
            assert connections == 4, "then it is asked again"


async def test_who_asks_too_often_is_counted_by_the_framework(
    face: Face, model: Model, tmp_path: Path
) -> None:
    await put(face, model, tmp_path, CODES["green"])
    for _ in range(SELDOM_MAX):
        await face.front.get(HOT[0], headers={**JSON, "cookie": GOOD})
    assert face.passed == 0
    await face.front.get(HOT[0], headers={**JSON, "cookie": GOOD})
    assert face.passed == 1


async def test_what_fails_here_the_framework_answers_and_the_log_has_the_place(
    face: Face, model: Model, tmp_path: Path
) -> None:
    of_no_policy = msgspec.structs.replace(
        reason(conditions=(Condition(ConditionKind.TIME, Owner.TIME, NOW + timedelta(days=3)),)),
        policy="of a worker that is newer than this view",
    )
    code = health_code(someone(), of_no_policy)
    await put(face, model, tmp_path, code)
    with capture_logs() as lines:
        front, behind, hot = await face.both(HOT[1], {**HTML, **logged_in(session(code.person))})
    assert (front.status_code, hot) == (500, False)
    assert plain(front) == plain(behind)
    (logged,) = (line for line in lines if line["event"] == "hot_path_failed")
    assert any("sheet.py" in place for place in logged["at"])
    assert code.person not in str(lines)


async def test_each_display_is_recorded_once(face: Face, model: Model, tmp_path: Path) -> None:
    await put(face, model, tmp_path, CODES["green"], CODES["red"])
    recorded: list[tuple[str, datetime, str]] = []

    def record(person: str, at: datetime, detail: DisplayDetail) -> None:
        recorded.append((person, at, detail.value))

    face.view.recorder.record = record  # type: ignore[method-assign]
    for name in ("green", "red"):
        for path, before in product(HOT, ("unavailable", "red", "green", "none")):
            recorded.clear()
            headers = {**HTML, **logged_in(session(CODES[name].person)), "x-before": before}
            await face.both(path, headers)
            wanted = [] if before == name else [(CODES[name].person, NOW, name)] * 2
            assert recorded == wanted, (name, path, before)


async def test_nothing_goes_on_once_a_view_has_stopped(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_answer(*_: object) -> None:
        await asyncio.sleep(3_600)

    monkeypatch.setattr(recorder, "END_SECONDS_MAX", 0.0)
    options = options_over(redis_url, lambda: NOW, replica=tmp_path)
    view, before = Services(options), asyncio.all_tasks()
    async with view.running(framework(view, options)):
        monkeypatch.setattr(view.holdings, "learn_epoch", no_answer)
        monkeypatch.setattr(view.holdings, "bits", no_answer)
        monkeypatch.setattr(view.codes, "_fetch", no_answer)
        view.holdings._epoch_asked_at = 0.0
        assert view.holdings.epoch is not None  # asks again
        reading = asyncio.create_task(view.statuses.read("unknown"))
        code = asyncio.create_task(view.codes.read("p1-" + "a" * 32))
        await asyncio.sleep(0.01)
    code.cancel()  # its request is over by then
    await asyncio.wait([reading, code], timeout=5)
    assert not asyncio.all_tasks() - before
