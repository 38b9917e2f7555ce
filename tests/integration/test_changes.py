"""/v1/changes: what a client gets, loses nothing of, and is told that it missed."""

import asyncio
import json
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from app.development.stack.redis_server import RedisServer
from app.login.duty import DUTY_COOKIE
from app.process.ports import free_port
from app.projection import codes as readmodel
from app.projection.state import FORMAT, STATE, Position, State, decode_state, encode_state
from app.view.changes import REASON_WORDS, ChangeFilter, Changes, StreamPlace, place_of
from app.view.reading import Unavailable
from models.codes import Reason, Status, StatusChange
from support.brokers import Kafka
from support.tokens import OPERATOR_HEADERS, bearer
from support.views import (
    GREEN,
    RED,
    Log,
    Model,
    Running,
    change,
    running_projection,
    running_view,
    someone,
)

PATIENCE_SECONDS = 10.0
ALL = ChangeFilter()
_versions = count(1)


@dataclass
class Event:
    """One event of a stream, or (without a name) an id or a comment alone."""

    name: str
    id: str
    data: Any


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, free_port()).running() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, retry=Retry(ConstantBackoff(0.1), 20)) as client:
        yield client


@pytest.fixture
async def model(redis: Redis) -> Model:
    model = Model(redis)
    await model.begin()
    await model.put()
    return model


@asynccontextmanager
async def following(server: RedisServer, **options: Any) -> AsyncIterator[Changes]:
    """The changes as a view follows them."""
    redis, follower = (Redis.from_url(server.url) for _ in range(2))
    changes = Changes(redis, follower, **options)
    changes.start()
    try:
        yield changes
    finally:
        await changes.stop()
        for client in (redis, follower):
            await client.aclose()


class Client:
    """Reads a stream, from Redis or over HTTP, as a browser does: it keeps the last id."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines
        self._buffer = b""
        self._blocks: deque[bytes] = deque()
        self.last_id: str | None = None

    async def next(self, seconds: float = PATIENCE_SECONDS) -> Event:
        """Return what comes next, heartbeats too."""
        async with asyncio.timeout(seconds):
            while not self._blocks:
                self._buffer += await anext(self._lines)
                *whole, self._buffer = self._buffer.split(b"\n\n")
                self._blocks.extend(whole)
        block = self._blocks.popleft()
        fields = dict(
            line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":")
        )
        self.last_id = fields.get("id", self.last_id)
        data = json.loads(fields["data"]) if "data" in fields else None
        return Event(fields.get("event", ""), fields.get("id", ""), data)

    async def begin(self) -> None:
        """Read up to where the client has its place."""
        while self.last_id is None:
            await self.next()

    async def events(self, number: int) -> list[Event]:
        """Return so many events, leaving out what is not one."""
        found: list[Event] = []
        while len(found) < number:
            event = await self.next()
            if event.name:
                found.append(event)
        return found

    async def close(self) -> None:
        assert isinstance(self._lines, AsyncGenerator)
        await self._lines.aclose()


def client_of(
    changes: Changes,
    last_event_id: str | None = None,
    wanted: ChangeFilter = ALL,
) -> Client:
    return Client(changes.stream(place_of(last_event_id), wanted))


def some(number: int) -> list[StatusChange]:
    """Changes that can be told apart by the source's number."""
    return [change(someone(), source=f"/cdc/{next(_versions)}") for _ in range(number)]


def sources(events: list[Event]) -> list[str]:
    return [event.data["cause"]["source"] for event in events]


def said(changes: list[StatusChange]) -> list[str]:
    return [str(one.cause.source) for one in changes]


async def test_changes_come_in_order_without_the_person(server: RedisServer, model: Model) -> None:
    async with following(server) as changes:
        client = client_of(changes)
        await client.begin()
        told = some(5)
        await model.put(*told[:2])
        await model.put(*told[2:])
        events = await client.events(5)
        assert sources(events) == said(told)
        assert set(events[0].data) == {"at", "before", "after", "cause", "city"}
        assert events[0].data["before"] == {"colour": "green", "reasons": []}
        assert events[0].data["after"] == {"colour": "red", "reasons": [3]}
        assert all(one.person not in json.dumps(e.data) for one in told for e in events)


async def test_who_resumes_gets_what_it_missed_once(server: RedisServer, model: Model) -> None:
    told = some(60)
    async with following(server, ring=16) as changes:
        client = client_of(changes)
        await client.begin()
        got: list[str] = []
        for at in range(0, 60, 10):
            await model.put(*told[at : at + 10])
            # Leaves in the middle of a batch, and comes back to what the ring no longer has.
            got += sources(await client.events(7))
            await client.close()
            client = client_of(changes, client.last_id)
        got += sources(await client.events(60 - len(got)))
        assert got == said(told)
    async with following(server) as changes:  # another process
        client = client_of(changes, client.last_id)
        await model.put(*(later := some(1)))
        assert sources(await client.events(1)) == said(later)


async def test_who_opens_the_list_gets_the_newest_and_goes_on_where_they_end(
    server: RedisServer, model: Model
) -> None:
    told = some(60)
    await model.put(*told)
    async with following(server) as changes:
        newest = await changes.newest(ALL)
        assert [change.cause.source for _, change in newest.changes] == said(told)[:9:-1]
        assert newest.place.number == 60
        client = client_of(changes, str(newest.place))
        more = some(2)
        await model.put(*more)
        assert sources(await client.events(2)) == said(more)
        await client.close()


async def test_a_filter_is_searched_for_beyond_the_last_page(
    server: RedisServer, model: Model, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ChangeFilter(source="/cdc/wanted")
    await model.put(change(someone(), source="/cdc/wanted"), *some(1200))
    async with following(server) as changes:
        newest = await changes.newest(wanted)
        assert [number for number, _ in newest.changes] == [1]
        assert newest.searched == 1201
        monkeypatch.setattr("app.view.changes.NEWEST_SEARCHED_MAX", 1000)
        newest = await changes.newest(wanted)
        assert (newest.changes, newest.searched) == ((), 1000)
        await redis.flushdb()
        with pytest.raises(Unavailable):
            await changes.newest(ALL)
        server.stop()
        with pytest.raises(Unavailable):
            await changes.newest(ALL)


async def test_who_was_away_for_too_long_is_told_how_much_it_missed(
    server: RedisServer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readmodel, "CHANGES_KEPT", 10)
    async with following(server, ring=4) as changes:
        client = client_of(changes)
        await client.begin()
        told = some(25)
        for one in told:
            await model.put(one)
        resumed = client_of(changes, client.last_id)
        gap, *events = await resumed.events(11)
        assert (gap.name, gap.data) == ("gap", {"missed": 15})
        assert sources(events) == said(told[15:])


@pytest.mark.parametrize("last_event_id", ["0123abcd-4", "nonsense", "-1", "x" * 1000])
async def test_an_id_that_means_nothing_here_is_a_gap(
    server: RedisServer, model: Model, last_event_id: str
) -> None:
    async with following(server) as changes:
        client = client_of(changes, last_event_id)
        (gap,) = await client.events(1)
        assert (gap.name, gap.data) == ("gap", {"missed": None})
        await model.put(*(told := some(2)))
        assert sources(await client.events(2)) == said(told)


async def test_a_number_that_was_not_given_out_yet_is_a_gap(
    server: RedisServer, model: Model, redis: Redis
) -> None:
    raw: Any = await redis.get(STATE)
    state = decode_state(raw)
    assert state is not None
    async with following(server) as changes:
        (gap,) = await client_of(changes, f"{state.epoch}-999").events(1)
        assert gap.name == "gap"


async def test_an_emptied_redis_is_a_gap_and_its_building_is_not_told_again(
    server: RedisServer, model: Model, redis: Redis
) -> None:
    async with following(server, heartbeat_seconds=0.2) as changes:
        client = client_of(changes)
        await client.begin()
        await model.put(*(before := some(3)))
        assert sources(await client.events(3)) == said(before)
        await model.begin()  # emptied, and begun again
        await model.put(*before, built=False)
        for _ in range(8):
            assert not (await client.next()).name, "told while the model is being built"
        await model.put()
        (gap,) = await client.events(1)
        assert (gap.name, gap.data) == ("gap", {"missed": None})
        await model.put(*(after := some(2)))
        assert sources(await client.events(2)) == said(after)


async def test_redis_may_go_and_come(server: RedisServer, model: Model, redis: Redis) -> None:
    async with following(server, heartbeat_seconds=0.2) as changes:
        client = client_of(changes)
        await client.begin()
        server.stop()
        await client.next()  # a heartbeat: the stream lives on
        server.start()
        server.wait_ready()
        await model.begin()
        await model.put()
        (gap,) = await client.events(1)
        assert gap.name == "gap"
        await model.put(*(told := some(1)))
        assert sources(await client.events(1)) == said(told)
        changes.check()


BY_HOME = Status(RED.colour, (Reason.HOME_QUARANTINE,))


@pytest.mark.parametrize(
    ("wanted", "lets"),
    [
        (ChangeFilter(), 4),
        (ChangeFilter(city="440100"), 2),
        (ChangeFilter(city="440106"), 1),
        (ChangeFilter(city="440000"), 3),
        (ChangeFilter(city="110000"), 0),
        (ChangeFilter(reason=Reason.CLOSE_CONTACT), 3),
        (ChangeFilter(reason=Reason.HOME_QUARANTINE), 1),
        (ChangeFilter(source="/cdc"), 2),
        (ChangeFilter(source="/cdc/440100"), 1),
        (ChangeFilter(source="/cd"), 0),
        (ChangeFilter(city="440100", source="/cdc", reason=Reason.CLOSE_CONTACT), 1),
    ],
)
async def test_filters_choose(
    server: RedisServer, model: Model, wanted: ChangeFilter, lets: int
) -> None:
    async with following(server) as changes:
        everything, chosen = client_of(changes), client_of(changes, wanted=wanted)
        await everything.begin()
        await chosen.begin()
        await model.put(
            change(someone(), city="440100"),
            change(someone(), city="440106", source="/quarantine-commands/1", after=BY_HOME),
            change(someone(), city="440305", source="/cdc/440300"),
            change(someone(), city=None, source=None, before=RED, after=GREEN),
        )
        events = await everything.events(4)
        # Last of all something that every one of these filters lets through.
        last = change(
            someone(),
            city=wanted.city or "440100",
            source=wanted.source or "/cdc/440100",
            after=Status(RED.colour, (wanted.reason or Reason.CLOSE_CONTACT,)),
        )
        await model.put(last)
        ids = [event.id for event in await chosen.events(lets + 1)]
        (end,) = await everything.events(1)
        assert ids[-1] == end.id
        assert set(ids[:-1]) <= {event.id for event in events}


async def test_a_heartbeat_carries_a_filtered_client_on(
    server: RedisServer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readmodel, "CHANGES_KEPT", 5)
    monkeypatch.setattr("app.view.changes.BREATH_SECONDS", 0.0)  # or five are not enough
    nowhere = ChangeFilter(city="110000")
    async with following(server, heartbeat_seconds=0.1) as changes:
        client = client_of(changes, wanted=nowhere)
        await client.begin()
        begun = client.last_id
        for one in some(20):
            await model.put(one)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not str(client.last_id).endswith("-20"):
                event = await client.next()
                assert not event.name
        assert client.last_id != begun
        # So it has missed nothing, though Redis keeps hardly anything.
        resumed = client_of(changes, client.last_id)
        assert not (await resumed.next()).name
        assert not (await resumed.next()).name


async def test_a_client_that_does_not_read_holds_nothing_and_loses_nothing(
    server: RedisServer, model: Model
) -> None:
    async with following(server, ring=10) as changes:
        slow = client_of(changes)
        await slow.begin()
        told = some(500)
        for at in range(0, 500, 50):
            await model.put(*told[at : at + 50])
        await asyncio.sleep(0.3)
        assert len(changes._ring) == 10
        assert sources(await slow.events(500)) == said(told)


async def test_while_changes_pour_in_nobody_loses_or_repeats_one(
    server: RedisServer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.view.changes.BREATH_SECONDS", 0.0)  # or a ring of 50 is not enough
    told = some(1_000)
    async with following(server, ring=50) as changes:
        clients = [client_of(changes) for _ in range(5)]
        for client in clients:
            await client.begin()

        async def pour() -> None:
            for at in range(0, len(told), 20):
                await model.put(*told[at : at + 20])
                await asyncio.sleep(0.001)

        async def read(client: Client) -> list[str]:
            return sources(await client.events(len(told)))

        _, *got = await asyncio.gather(pour(), *map(read, clients))
        assert all(one == said(told) for one in got)


async def test_a_saved_redis_of_older_days_is_a_gap(
    server: RedisServer, model: Model, redis: Redis
) -> None:
    await model.put(*some(3))
    older: list[Any] = [await redis.dump(STATE), await redis.dump(readmodel.CHANGES)]
    async with following(server, heartbeat_seconds=0.2) as changes:
        client = client_of(changes)
        await client.begin()
        await model.put(*some(3))
        await client.events(3)
        await redis.restore(STATE, 0, older[0], replace=True)
        await redis.restore(readmodel.CHANGES, 0, older[1], replace=True)
        (gap,) = await client.events(1)
        assert gap.name == "gap"


# Over HTTP


@asynccontextmanager
async def over_http(
    view: Running, query: str = "", last_event_id: str | None = None
) -> AsyncIterator[Client]:
    headers = dict(OPERATOR_HEADERS)
    if last_event_id:
        headers["last-event-id"] = last_event_id
    async with (
        httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http,
        http.stream("GET", f"{view.address}/v1/changes{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        client = Client(answer.aiter_bytes())
        await client.begin()
        yield client


async def test_from_kafka_to_a_browser_and_through_a_killed_projection(
    kafka: Kafka, server: RedisServer, tmp_path: Path
) -> None:
    told = some(40)
    with running_view(kafka, server.url, tmp_path) as view:
        view.wait_live()
        async with Log(kafka) as log:
            with running_projection(kafka, server.url, tmp_path) as projection:
                projection.wait_ready()
                async with over_http(view) as client:
                    await log.put(*told[:10])
                    events = await client.events(10)
                    projection.send(signal.SIGKILL)
            await log.put(*told[10:20])
            with running_projection(kafka, server.url, tmp_path):
                async with over_http(view, last_event_id=client.last_id) as again:
                    await log.put(*told[20:])
                    events += await again.events(30)
        # Of one person in order; of several, as they came through their partitions.
        assert sorted(sources(events)) == sorted(said(told))
        assert {event.name for event in events} == {"change"}


async def test_filters_and_bounds_over_http(
    server: RedisServer, model: Model, tmp_path: Path
) -> None:
    with running_view(Kafka(), server.url, tmp_path) as view:
        view.wait_live()
        for query, field in (
            ("?city=44", "city"),
            ("?city=940000", "city"),
            ("?reason=7", "reason"),
            ("?reason=flu", "reason"),
            ("?source=cdc", "source"),
            ("?source=/" + "a" * 100, "source"),
        ):
            status, text = view.get(f"/v1/changes{query}")
            problem = json.loads(text)
            assert (status, problem["code"]) == (422, "invalid"), query
            assert problem["errors"][0]["field"] == field
        async with over_http(view, "?reason=close-contact&city=440100&source=/cdc") as client:
            await model.put(*(told := some(2)))
            assert sources(await client.events(2)) == said(told)


def test_a_filter_names_a_reason_by_name_or_rank() -> None:
    assert REASON_WORDS["close-contact"] is REASON_WORDS["3"] is Reason.CLOSE_CONTACT
    assert len(REASON_WORDS) == 2 * len(Reason)


async def test_a_browser_that_stops_reading_costs_a_bounded_amount_of_memory(
    server: RedisServer, model: Model, tmp_path: Path
) -> None:
    with running_view(Kafka(), server.url, tmp_path) as view:
        view.wait_live()
        host, port = view.address.removeprefix("http://").split(":")
        with ExitStack() as stack:
            for _ in range(STUCK):
                stuck = stack.enter_context(socket.create_connection((host, int(port))))
                stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stuck.sendall(
                    b"GET /v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: %s\r\n\r\n"
                    % OPERATOR_HEADERS["authorization"].encode()
                )
            while f"yuekang_view_clients {STUCK}.0" not in view.get("/metrics")[1]:
                await asyncio.sleep(0.1)
            before = _memory_kib(view.process.pid)
            async with over_http(view) as client:
                for _ in range(60):
                    await model.put(*some(500))
                *_, last = await client.events(30_000)
            assert last.id.endswith("-30000")
            # 30,000 changes are some 9 MB for each client that gets them.
            assert _memory_kib(view.process.pid) - before < STUCK * 9_000 / 4
            assert view.get("/livez")[0] == 200


STUCK = 20


def _memory_kib(pid: int) -> int:
    """Resident memory of a process and its children."""
    total = 0
    for one in (pid, *_children(pid)):
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
    return total


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


async def test_clients_are_bounded_and_one_that_leaves_makes_room(
    server: RedisServer, model: Model
) -> None:
    async with following(server, clients_max=2, heartbeat_seconds=0.1) as changes:
        first, second = client_of(changes), client_of(changes)
        await first.begin()
        assert not changes.full()
        await second.begin()
        assert changes.full()
        await first.close()
        assert not changes.full()


async def test_a_change_is_encoded_once_for_all_clients_and_filters_hold(
    server: RedisServer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []

    def encode(data: Any) -> bytes:
        encoded.append(data)
        return msgspec.json.encode(data)

    monkeypatch.setattr("app.view.changes._encode", encode)
    async with following(server) as changes:
        here, there = ChangeFilter(source="/cdc/here"), ChangeFilter(source="/cdc/there")
        clients = [client_of(changes, wanted=wanted) for wanted in (ALL, here, there) * 20]
        for client in clients:
            await client.begin()
        told = ["/cdc/here", "/cdc/there", "/cdc/here"]
        await model.put(*(change(someone(), source=source) for source in told))
        for number, client in enumerate(clients):
            wanted = (told, told[::2], told[1:2])[number % 3]
            assert sources(await client.events(len(wanted))) == wanted
        assert len(encoded) == len(told)


async def test_an_office_behind_one_address_is_not_refused_and_strangers_take_no_place(
    server: RedisServer, model: Model, tmp_path: Path
) -> None:
    history = {"last-event-id": await _first_place(model, server)}
    laboratory = bearer("/laboratories/440100-001")
    with running_view(Kafka(), server.url, tmp_path) as view:
        view.wait_live()
        async with httpx.AsyncClient(base_url=view.address) as stranger:
            for headers, code in (
                ({}, "unauthenticated"),
                ({"authorization": "Bearer x"}, "unauthenticated"),
                ({"cookie": f"{DUTY_COOKIE}=x"}, "unauthenticated"),
                (laboratory, "no-operator"),
            ) * 3:
                answer = await stranger.get("/v1/changes", headers={**history, **headers})
                assert answer.json()["code"] == code
                assert "close-contact" not in answer.text
            assert (await stranger.get("/duty/counts.json")).status_code in (303, 401)
        assert "yuekang_view_clients 0.0" in view.get("/metrics")[1]
        async with AsyncExitStack() as streams:
            clients = [await streams.enter_async_context(over_http(view)) for _ in range(120)]
            await model.put(*(told := some(1)))
            for client in (clients[0], clients[-1]):
                assert sources(await client.events(1)) == said(told)


async def _first_place(model: Model, server: RedisServer) -> str:
    """Put a change; return the place before it, from which an officer would be told of it."""
    await model.put(*some(1))
    async with following(server) as changes:
        newest = await changes.newest(ALL)
    return str(StreamPlace(newest.place.epoch, 0))


async def test_a_browser_that_leaves_is_noticed(
    server: RedisServer, model: Model, tmp_path: Path
) -> None:
    with running_view(Kafka(), server.url, tmp_path) as view:
        view.wait_live()
        async with over_http(view):
            assert "yuekang_view_clients 1.0" in view.get("/metrics")[1]
        until = time.monotonic() + PATIENCE_SECONDS
        while "yuekang_view_clients 0.0" not in view.get("/metrics")[1]:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)


async def test_a_view_that_ends_ends_its_streams_at_once(
    server: RedisServer, model: Model, tmp_path: Path
) -> None:
    with running_view(Kafka(), server.url, tmp_path) as view:
        view.wait_live()
        async with over_http(view) as client:
            began = time.monotonic()
            view.send(signal.SIGTERM)
            with suppress(StopAsyncIteration, httpx.RemoteProtocolError):
                while True:
                    await client.next()
            assert view.process.wait(10) == 0
            assert time.monotonic() - began < 6


def test_a_state_is_read_back_as_it_was_written() -> None:
    assert decode_state(None) is None
    assert decode_state(b"{}") is None
    position = Position(3, 1.5)
    state = State("c/1", FORMAT, "e", "s", "w", 1.0, True, 7, {"t": (position,)})
    assert decode_state(encode_state(state)) == state
