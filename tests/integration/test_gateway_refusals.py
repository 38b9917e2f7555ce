"""What a source is answered that asks what became of what it sent: in pages, and as a stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from litestar import Litestar
from redis.asyncio import Redis

from app.gateway import refusals
from app.gateway.refusals import PAGE_MAX, STREAMS_OF_SOURCE_MAX
from app.gateway.routes import GatewayOptions, create_gateway
from app.process.kafka import Brokers
from app.process.ports import free_port
from support.asgi import transport_to
from support.gateways import LABORATORY, NO_REDIS, SECRET, Json, assert_named
from support.letters import LettersModel, letter, refused, tally
from support.macs import KEYS
from support.redis_users import as_user
from support.tokens import TOKENS, TRUST

PATH = "/v1/sources/me/refusals"
OTHER = "/laboratories/440100-002"
SECONDS_MAX = 10.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def model(redis: Redis) -> LettersModel:
    model = LettersModel(redis)
    await model.begin()
    return model


@asynccontextmanager
async def gateway_over(redis_url: str) -> AsyncIterator[Litestar]:
    """A gateway without Kafka: what was refused is told all the same."""
    app = create_gateway(
        GatewayOptions(
            brokers=Brokers(f"127.0.0.1:{free_port()}"),
            rows_redis_url=as_user("gateway", redis_url),
            person_key_secret=SECRET,
            person_key_version=1,
            trust=TRUST,
            mac_keys=KEYS,
        )
    )
    started, ended = asyncio.Event(), asyncio.Event()

    # A fixture begins and ends in two tasks, and Litestar wants to begin and end in one.
    async def run() -> None:
        async with app.lifespan():
            started.set()
            await ended.wait()

    task = asyncio.create_task(run())
    await started.wait()
    try:
        yield app
    finally:
        ended.set()
        await task


@pytest.fixture
async def app(redis_url: str, model: LettersModel) -> AsyncIterator[Litestar]:
    async with gateway_over(redis_url) as app:
        yield app


@pytest.fixture
async def http(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport_to(app), base_url="http://gateway") as client:
        yield client


def bearer(source: str = LABORATORY) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS.token_for(source)}"}


async def ask(http: httpx.AsyncClient, source: str = LABORATORY, **query: Any) -> httpx.Response:
    answer = await http.get(PATH, params=query, headers=bearer(source))
    if answer.is_error:
        assert_named(answer)
    return answer


class Stream:
    """A stream as its server writes it; httpx's transport in this process waits for its end."""

    def __init__(self, app: Litestar, source: str = LABORATORY, **headers: str) -> None:
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._buffer = b""
        self._blocks: list[bytes] = []
        asked = {**bearer(source), "accept": "text/event-stream", **headers}
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in asked.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        application: Any = app
        self._task = asyncio.create_task(application(scope, self._receive, self._sent.put))

    async def _receive(self) -> Json:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def status(self) -> int:
        async with asyncio.timeout(SECONDS_MAX):
            return int((await self._sent.get())["status"])

    async def next(self, *names: str) -> tuple[str, str, Any]:
        """Return the next event of one of these names: name, id, data."""
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                while not self._blocks:
                    self._buffer += (await self._sent.get())["body"]
                    *self._blocks, self._buffer = self._buffer.split(b"\n\n")
                fields = dict(
                    line.split(": ", 1) for line in self._blocks.pop(0).decode().split("\n")
                )
                if fields.get("event") in names:
                    return fields["event"], fields["id"], json.loads(fields["data"])

    async def close(self) -> None:
        self._gone.set()
        async with asyncio.timeout(SECONDS_MAX):
            await self._task


async def test_a_page_has_the_sources_own_letters(
    http: httpx.AsyncClient, model: LettersModel
) -> None:
    await model.put(letter(refused(7), 0, 1), letter(refused(8, OTHER), 0, 2))
    answer = await ask(http)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    [told] = answer.json()["refusals"]
    assert (told["topic"], told["offset"], told["id"]) == ("laboratory-results", 7, "e7")
    assert told["refused"] is True
    assert answer.json()["older"] is None
    assert answer.json()["as_of"] <= answer.json()["now"]
    assert answer.json()["parked"] == []
    [its] = (await ask(http, OTHER)).json()["refusals"]
    assert its["offset"] == 8
    assert (await ask(http, "/cdc/440100")).json()["refusals"] == []


async def test_pages_and_cursors_lead_on(http: httpx.AsyncClient, model: LettersModel) -> None:
    await model.put(*(letter(refused(n), n % 4, n, 10**12 * 2 + n) for n in range(7)))
    first = (await ask(http, limit=3)).json()
    second = (await ask(http, limit=3, before=first["older"])).json()
    third = (await ask(http, limit=3, before=second["older"])).json()
    offsets = [told["offset"] for page in (first, second, third) for told in page["refusals"]]
    assert offsets == [6, 5, 4, 3, 2, 1, 0]
    assert third["older"] is None
    assert (await ask(http, after=first["cursor"])).json()["refusals"] == []
    since = (await ask(http, after=first["refusals"][2]["cursor"])).json()
    assert [told["offset"] for told in since["refusals"]] == [6, 5]


async def test_a_parked_source_is_told_so(http: httpx.AsyncClient, model: LettersModel) -> None:
    await model.put(tally(2, **{"440100-001": 40}))
    [parked] = (await ask(http)).json()["parked"]
    assert parked == {
        "topic": "laboratory-results",
        "partition": 2,
        "offset": 40,
        "since": None,
        "reason": None,
    }


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"after": "nonsense"}, 400, "cursor"),
        ({"before": "00000000-0-0-0-0"}, 400, "cursor"),
        ({"limit": "0"}, 422, "invalid"),
        ({"limit": str(PAGE_MAX + 1)}, 422, "invalid"),
        ({"limit": "²"}, 422, "invalid"),
        ({"since": "2022"}, 422, "invalid"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    http: httpx.AsyncClient, query: Json, status: int, code: str
) -> None:
    answer = await ask(http, **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_without_a_token_or_an_authority_nothing_is_told(http: httpx.AsyncClient) -> None:
    assert (await http.get(PATH)).status_code == 401
    wrong = {"authorization": f"Bearer {TOKENS.token_for(LABORATORY)[:-6]}777777"}
    assert (await http.get(PATH, headers=wrong)).status_code == 401
    answer = await ask(http, "/nobody")
    assert (answer.status_code, answer.json()["code"]) == (403, "no-authority")


async def test_a_redis_that_is_away_or_being_filled_is_told(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    await redis.flushdb()
    for answer in [await ask(http), await http.get(PATH, headers=bearer() | EVENTS)]:
        assert (answer.status_code, answer.json()["code"]) == (503, "refusals-away")
        assert int(answer.headers["retry-after"]) > 0
    async with (
        gateway_over(NO_REDIS) as app,
        httpx.AsyncClient(transport=transport_to(app), base_url="http://gateway") as alone,
    ):
        assert (await ask(alone)).json()["code"] == "refusals-away"


EVENTS = {"accept": "text/event-stream"}


async def test_a_stream_begins_now_and_resumes_where_it_was(
    app: Litestar, model: LettersModel
) -> None:
    await model.put(letter(refused(1), 0, 1))
    stream = Stream(app)
    assert await stream.status() == 200
    _, begin, alive = await stream.next("alive", "refusal")
    assert alive["as_of"]
    await model.put(letter(refused(2), 1, 1), letter(refused(3, OTHER), 1, 2))
    _, place, told = await stream.next("refusal")
    assert (told["offset"], told["cursor"]) == (2, place)
    await stream.close()
    await model.put(letter(refused(4), 2, 1))
    again = Stream(app, **{"last-event-id": place})
    await again.status()
    assert (await again.next("refusal"))[2]["offset"] == 4
    await again.close()
    whole = Stream(app, **{"last-event-id": begin})
    await whole.status()
    assert [(await whole.next("refusal"))[2]["offset"] for _ in range(2)] == [2, 4]
    await whole.close()


async def test_a_stream_tells_of_parking_and_of_release(app: Litestar, model: LettersModel) -> None:
    stream = Stream(app)
    await stream.status()
    await stream.next("alive")
    await model.put(tally(1, **{"440100-001": 7}))
    assert (await stream.next("parked"))[2]["parked"][0]["partition"] == 1
    await model.put(tally(1))
    assert (await stream.next("parked"))[2]["parked"] == []
    await stream.close()


async def test_a_stream_outlives_an_emptied_redis_and_repeats_nothing(
    app: Litestar, redis: Redis, model: LettersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "ALIVE_SECONDS", 0.5)
    records = [letter(refused(n), n % 2, n) for n in range(4)]
    stream = Stream(app)
    await stream.status()
    await stream.next("alive")
    await model.put(*records[:2])
    await stream.next("refusal")
    await stream.next("refusal")
    await redis.flushdb()
    while (await stream.next("alive"))[2]["as_of"] is not None:
        pass
    again = LettersModel(redis)
    await again.begin()
    await again.put(*records)
    assert sorted([(await stream.next("refusal"))[2]["offset"] for _ in range(2)]) == [2, 3]
    await stream.close()


async def test_a_stream_tells_of_what_is_kept_no_longer(
    app: Litestar, redis: Redis, model: LettersModel
) -> None:
    await model.put(letter(refused(0), 0, 0))
    stream = Stream(app)
    await stream.status()
    _, place, _ = await stream.next("alive")
    await stream.close()
    await model.put(*(letter(refused(n), 0, n) for n in range(1, 200)))
    late = Stream(app, **{"last-event-id": place})
    await late.status()
    assert (await late.next("gap", "refusal"))[0] == "gap"
    assert (await late.next("gap", "refusal"))[2]["offset"] == 100
    await late.close()


async def test_a_source_has_so_many_streams_and_others_theirs(
    app: Litestar, model: LettersModel
) -> None:
    streams = [Stream(app) for _ in range(STREAMS_OF_SOURCE_MAX)]
    for stream in streams:
        assert await stream.status() == 200
        await stream.next("alive")
    full = Stream(app)
    assert await full.status() == 503
    other = Stream(app, OTHER)
    assert await other.status() == 200
    await streams.pop().close()
    free = Stream(app)
    assert await free.status() == 200
    for stream in (*streams, other, free):
        await stream.close()
