"""The read side for tests: codes and changes, on the log or in Redis, and the processes on top."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from litestar import Litestar
from litestar.datastructures import Cookie
from litestar.testing import AsyncTestClient
from redis.asyncio import Redis

from app.development.stack.broker import ROOT
from app.login.duty import DUTY_LIFE, Duty, OnDuty
from app.login.options import login_options_of
from app.login.sessions import Sessions
from app.process.ports import free_port
from app.process.settings import Settings
from app.projection.codes import CHANGES, CODE, COUNTS, CodeBatch, CodeWriter, stored
from app.projection.commands import CODES
from app.projection.holdings import HoldingsWriter
from app.projection.state import Position, StateGate, read_state
from app.topics.catalogue import CATALOGUE, HEALTH_CODES, STATUS_CHANGES, partition_of
from app.topics.reading import reading
from app.travel.assembly import travel_cards
from app.view.routes import framework
from app.view.services import Services, ViewOptions
from app.web.tokens import Tokens
from models.codes import (
    Cause,
    Colour,
    Condition,
    ConditionKind,
    EventRef,
    HealthCode,
    Interval,
    Owner,
    Reason,
    Status,
    StatusChange,
    StatusChanged,
    changed,
)
from models.events import DocumentType
from models.policy import ZONE
from support.audits import Noted
from support.brokers import NO_BROKERS, NOBODY, Kafka
from support.changes import public
from support.gateways import PLAIN, command
from support.macs import KEYS
from support.redis_users import as_user
from support.tokens import (
    IDENTITY_PROVIDER_TOKEN,
    OF_THE_VIEW,
    OPERATOR,
    OPERATOR_HEADERS,
    PORTAL_TOKEN,
    TRUST,
)

DISPLAY_KEY, SESSION_KEY, CREDENTIAL_KEY = (bytes(range(n, n + 32)) for n in (2, 3, 4))
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
CITIES = ("440100", "440305", None)
READY_SECONDS_MAX = 20.0

Json = dict[str, Any]
Http = AsyncTestClient[Litestar]


def someone(random: Random | None = None) -> str:
    """A person key that no other test uses."""
    return "p1-" + "".join((random or Random()).choices(LETTERS, k=32))


def someone_in(partition: int) -> str:
    """A person key of one partition that no other test uses."""
    return next(
        person
        for person in iter(someone, None)
        if partition_of(person.encode(), CATALOGUE.partitions) == partition
    )


def now() -> datetime:
    return datetime.now(ZONE)


def reason(
    kind: Reason = Reason.CLOSE_CONTACT,
    start: datetime | None = None,
    end: datetime | None = None,
    conditions: tuple[Condition, ...] = (),
) -> Interval:
    start = start or now() - timedelta(days=2)
    return Interval(kind, start, EventRef("/cdc/440100", "listing-1"), "2020-04", end, conditions)


def health_code(
    person: str,
    *intervals: Interval,
    version: int = 1,
    city: str | None = "440100",
    verified: bool = True,
) -> HealthCode:
    """A code: red by its intervals, else green; without a colour if not verified."""
    colour = Colour.RED if intervals else Colour.GREEN
    return HealthCode(
        person,
        version,
        now(),
        colour if verified else Colour.NONE,
        tuple(sorted({interval.reason for interval in intervals})),
        version,
        now() - timedelta(days=30) if verified else None,
        city,
        intervals,
    )


def waiting() -> Condition:
    return Condition(ConditionKind.NEGATIVE_TEST, Owner.LABORATORY, now() + timedelta(days=3))


GREEN = Status(Colour.GREEN)
RED = Status(Colour.RED, (Reason.CLOSE_CONTACT,))


def change(
    person: str,
    version: int = 1,
    before: Status = GREEN,
    after: Status = RED,
    city: str | None = "440100",
    source: str | None = "/cdc/440100",
    at: datetime | None = None,
    corrects: str | None = None,
) -> StatusChange:
    cause = Cause(source, "e1", "yuekang.contact.listed.v1", corrects) if source else Cause()
    return StatusChange(person, version, version - 1, at or now(), before, after, cause, city)


class Log:
    """Writes to health-codes and status-changes as the worker does: in transactions."""

    def __init__(self, kafka: Kafka) -> None:
        self._producer = kafka.producer(transactional_id=f"views-{someone()}")

    async def __aenter__(self) -> "Log":
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def put(
        self, *items: HealthCode | StatusChange | str, partition: int | None = None
    ) -> None:
        """Write codes, changes, and tombstones (a person key) in one transaction."""
        async with self._producer.transaction():
            await self._send(items, partition)

    async def put_and_abort(self, *items: HealthCode | StatusChange) -> None:
        """Write what nobody may ever see."""
        await self._producer.begin_transaction()
        await self._send(items, None)
        await self._producer.flush()
        await self._producer.abort_transaction()

    async def _send(
        self, items: Sequence[HealthCode | StatusChange | str], partition: int | None
    ) -> None:
        for item in items:
            record: tuple[str, str, bytes | None]
            match item:
                case HealthCode():
                    record = HEALTH_CODES, item.person, msgspec.json.encode(item)
                case StatusChange():
                    record = STATUS_CHANGES, item.person, msgspec.json.encode(changed(item))
                case _:
                    record = HEALTH_CODES, item, None
            topic, key, value = record
            await self._producer.send(topic, value, key=key.encode(), partition=partition)


@dataclass
class Replay:
    """What the log comes to, by rules of its own."""

    codes: dict[str, HealthCode] = field(default_factory=dict)
    changes: dict[int, list[Json]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for code in self.codes.values():
            fields = [code.colour.value]
            if code.city:
                fields.append(f"city:{code.city[:4]}00:{code.colour.value}")
            if code.colour is Colour.RED:
                fields += [f"reason:{int(reason)}" for reason in code.reasons]
            for name in fields:
                found[name] = found.get(name, 0) + 1
        return found


async def replay(kafka: Kafka) -> Replay:
    """Read both topics to their ends, committed records alone."""
    found = Replay()
    for topic in CODES.topics:
        partitions = CATALOGUE.topics[topic].partitions
        async with reading(kafka.brokers, kafka.named(topic), partitions) as reader:
            async for record in reader.records():
                _take(found, topic, record.partition, record)
    return found


def _take(found: Replay, topic: str, partition: int, record: Any) -> None:
    person = record.key.decode()
    if topic == STATUS_CHANGES:
        data = msgspec.json.decode(record.value, type=StatusChanged).data
        found.changes.setdefault(partition, []).append(msgspec.to_builtins(public(data)))
    elif record.value is None:
        found.codes.pop(person, None)
    else:
        code = msgspec.json.decode(record.value, type=HealthCode)
        if person not in found.codes or found.codes[person].version < code.version:
            found.codes[person] = code


def partitions_of(kafka: Kafka) -> list[TopicPartition]:
    """Every partition that the projection follows, as it is called on the broker."""
    return [TopicPartition(kafka.named(tp.topic), tp.partition) for tp in CODES.partitions]


async def caught_up(redis: Redis, kafka: Kafka, seconds_max: float = 30.0) -> None:
    """Return when the read model holds the whole log."""
    consumer = AIOKafkaConsumer(**kafka.brokers.client)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(partitions_of(kafka))
    finally:
        await consumer.stop()
    until = time.monotonic() + seconds_max
    while True:
        state = await read_state(redis)
        if state is not None and all(
            state.positions[tp.topic][tp.partition].offset >= end for tp, end in ends.items()
        ):
            return
        assert time.monotonic() < until, f"not caught up after {seconds_max} s: {state}, {ends}"
        await asyncio.sleep(0.05)


async def check_equal(redis: Redis, kafka: Kafka) -> Replay:
    """Assert that the read model is what the log comes to, once it has caught up."""
    await caught_up(redis, kafka)
    expected = await replay(kafka)
    codes = {}
    async for key in redis.scan_iter(match=f"{CODE}*", count=1000):
        value: Any = await redis.get(key)
        codes[key.decode().removeprefix(CODE)] = msgspec.json.decode(
            value.partition(b"\n")[2], type=HealthCode
        )
    assert codes == expected.codes
    raw: Any = await redis.hgetall(COUNTS)
    counts = {name.decode(): int(n) for name, n in raw.items()}
    assert counts == expected.counts
    entries: Any = await redis.xrange(CHANGES)
    state = await read_state(redis)
    assert state is not None
    numbers = [int(number.split(b"-")[0]) for number, _ in entries]
    assert numbers == list(range(state.changes - len(entries) + 1, state.changes + 1))
    told = [msgspec.json.decode(fields[b"c"]) for _, fields in entries]
    every = [one for partition in expected.changes.values() for one in partition]
    assert len(told) == len(every)
    key = msgspec.json.encode
    assert sorted(map(key, map(_plain, told))) == sorted(map(key, map(_plain, every)))
    return expected


def _plain(one: Json) -> Json:
    return {**one, "at": datetime.fromisoformat(one["at"]).timestamp()}


class Model:
    """Writes the read model without a log: what is put is projected up to `as_of`, now.

    Who reads it calls the topics by names that begin with `prefix`.
    """

    def __init__(self, redis: Redis, prefix: str = "", credentials: Redis | None = None) -> None:
        self._redis = redis
        self._credentials = credentials
        self._prefix = prefix
        self._writer = CodeWriter(redis, StateGate(redis, "test/1", "test"))
        self._state: Any = None
        if credentials is not None:
            gate = StateGate(credentials, "test/1", "test")
            self._holdings_writer = HoldingsWriter(credentials, gate)

    async def begin(self) -> None:
        """Begin again, with nobody in it, and without any credential."""
        await self._redis.flushdb()
        positions = {
            self._prefix + topic: tuple(Position(0) for _ in range(4)) for topic in CODES.topics
        }
        self._state = self._writer.gate.new_state("server", positions)
        await self._writer.gate.load()
        assert await self._writer.gate.begin_again(self._state)
        if self._credentials is not None:
            await self._credentials.flushdb()
            await self._holdings_writer.gate.load()
            assert await self._holdings_writer.gate.begin_again(self._state)

    async def turn_off(self, code: HealthCode) -> None:
        """Follow a code where credentials are turned off, and not yet in the read model."""
        batch = CodeBatch([(code.person, stored(msgspec.json.encode(code), 0))])
        ahead = msgspec.structs.replace(
            self._state,
            positions={
                topic: tuple(msgspec.structs.replace(p, offset=p.offset + 1) for p in positions)
                for topic, positions in self._state.positions.items()
            },
        )
        assert await self._holdings_writer.apply(batch, ahead)

    async def put(
        self,
        *items: HealthCode | StatusChange | str,
        as_of: datetime | None = None,
        built: bool = True,
    ) -> None:
        """Write codes, changes and deletions in one batch."""
        batch = CodeBatch()
        for item in items:
            match item:
                case HealthCode():
                    batch.codes.append((item.person, stored(msgspec.json.encode(item), 0)))
                case StatusChange():
                    batch.changes.append(public(item))
                case _:
                    batch.codes.append((item, None))
        reached = (as_of or now()).timestamp()
        self._state = msgspec.structs.replace(
            self._state,
            at=time.time(),
            built=built,
            changes=self._state.changes + len(batch.changes),
            positions={
                topic: tuple(Position(p.offset + 1, reached, reached) for p in positions)
                for topic, positions in self._state.positions.items()
            },
        )
        assert await self._writer.apply(batch, self._state)
        if self._credentials is not None:
            assert await self._holdings_writer.apply(batch, self._state)


def create_view(options: ViewOptions) -> Litestar:
    """The framework's application alone; it connects when it starts."""
    return framework(Services(options), options)


def options_over(redis_url: str, clock: Callable[[], datetime], **options: Any) -> ViewOptions:
    """Of a view over this Redis, without Kafka and without a provider; `resident` is in anyway.

    Lines of the audit log go nowhere, unless the options say where.
    """
    settings = Settings(
        redis_url=redis_url,
        environment="development",
        portal_token=PORTAL_TOKEN,
        identity_provider_token=IDENTITY_PROVIDER_TOKEN,
        session_key=SESSION_KEY,
        gateway_url=f"http://{NOBODY}",
    )
    defaults = {
        "brokers": NO_BROKERS,
        "redis_url": as_user("view", redis_url),
        "rows_redis_url": as_user("view", settings.rows_redis_url),
        "sessions_redis_url": as_user("view", settings.sessions_redis_url),
        "credentials_redis_url": as_user("view", settings.credentials_redis_url),
        "trust": TRUST,
        "mac_keys": KEYS,
        "display_key": DISPLAY_KEY,
        "credential_key": CREDENTIAL_KEY,
        "login": login_options_of(settings),
        "make_cards": partial(travel_cards, settings),
        "write_down": Noted(),
        "now": clock,
    }
    return ViewOptions(**{**defaults, **options})


def resident_cookie(
    person: str, adult_from: date | None = date(2008, 1, 1), ahead: timedelta = timedelta()
) -> Cookie:
    """The cookie of a person who is logged in, or will be by then."""
    sessions = Sessions(SESSION_KEY, lambda: now() + ahead)
    kind = DocumentType.RESIDENT_IDENTITY_CARD
    return sessions.cookie(sessions.begin(person, "样*甲", adult_from, kind, "1234"))


def duty_cookie(officer: str = "") -> Cookie:
    """The cookie of an officer who is on duty."""
    duty = Duty(SESSION_KEY, Tokens(TRUST), "http://127.0.0.1", now)
    until = now() + DUTY_LIFE
    return duty.cookie(OnDuty(OPERATOR, officer, "a token's id", "", until))


def on_duty(officer: str = "") -> dict[str, str]:
    """What a browser's request carries whose officer is on duty."""
    cookie = duty_cookie(officer)
    return {"cookie": f"{cookie.key}={cookie.value}"}


def resident(
    person: str, adult_from: date | None = date(2008, 1, 1), ahead: timedelta = timedelta()
) -> dict[str, str]:
    """What a request of a person who is logged in carries."""
    cookie = resident_cookie(person, adult_from, ahead)
    return {"cookie": f"{cookie.key}={cookie.value}"}


def projection_environment(kafka: Kafka, redis_url: str, port: int) -> dict[str, str]:
    return {
        **kafka.environment_of("projection"),
        "YUEKANG_REDIS_URL": as_user("projection", redis_url),
        "YUEKANG_PROJECTION_STATUS_PORT": str(port),
    }


def view_environment(kafka: Kafka, redis_url: str, port: int) -> dict[str, str]:
    return {
        **kafka.environment_of("view"),
        "YUEKANG_REDIS_URL": as_user("view", redis_url),
        "YUEKANG_VIEW_PORT": str(port),
        **OF_THE_VIEW,
        "YUEKANG_DISPLAY_KEY": DISPLAY_KEY.hex(),
        "YUEKANG_SESSION_KEY": SESSION_KEY.hex(),
        "YUEKANG_CREDENTIAL_KEY": CREDENTIAL_KEY.hex(),
    }


class Running:
    """A process of `yuekang`, its address and its log."""

    def __init__(
        self,
        name: str,
        environment: dict[str, str],
        port: int,
        log: Path,
        arguments: Sequence[str] = (),
    ) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.log = log
        arguments = arguments or command(name)
        with log.open("ab") as out:
            self.process = subprocess.Popen(arguments, env=environment, stdout=out, stderr=out)

    def wait_live(self) -> None:
        self._wait("/livez")

    def wait_ready(self) -> None:
        self._wait("/readyz")

    def code_of(self, person: str) -> tuple[int, str]:
        """Return a code as the operator reads it, once the view can write that down.

        It is ready before it has a producer, and tells nothing by key without one.
        """
        until = time.monotonic() + READY_SECONDS_MAX
        while "audit-away" in (answer := self.get(f"/v1/people/{person}/code"))[1]:
            assert time.monotonic() < until, answer
            time.sleep(0.05)
        return answer

    def _wait(self, path: str) -> None:
        until = time.monotonic() + READY_SECONDS_MAX
        while self.get(path)[0] != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text; 0 and nothing if nobody answers."""
        try:
            answer = httpx.get(
                self.address + path, headers=OPERATOR_HEADERS, timeout=5, verify=PLAIN
            )
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """End it, and return its exit code. No log of it may name a person."""
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        code = self.process.wait(15)
        assert "p1-" not in self.log.read_text(), "a person is in the log"
        return code


@contextmanager
def running_projection(kafka: Kafka, redis_url: str, directory: Path) -> Iterator[Running]:
    """Run a projection; it need not be ready yet."""
    port = free_port()
    environment = projection_environment(kafka, redis_url, port)
    running = Running("projection", environment, port, directory / "projection.log")
    try:
        yield running
    finally:
        running.end()


@contextmanager
def running_rows(kafka: Kafka, redis_url: str, directory: Path) -> Iterator[Running]:
    """Run `yuekang rows`; it need not be ready yet."""
    port = free_port()
    environment = {
        **kafka.environment_of("rows"),
        "YUEKANG_ROWS_REDIS_URL": as_user("rows", redis_url),
        "YUEKANG_ROWS_STATUS_PORT": str(port),
    }
    running = Running("rows", environment, port, directory / "rows.log")
    try:
        yield running
    finally:
        running.end()


@contextmanager
def running_view(
    kafka: Kafka, redis_url: str, directory: Path, module: str | None = None
) -> Iterator[Running]:
    """Run a view, or a module of the tests that is one; it need not be ready yet."""
    port = free_port()
    environment = view_environment(kafka, redis_url, port)
    arguments = []
    if module is not None:
        arguments = [sys.executable, "-m", module]
        environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests'}"
    running = Running("view", environment, port, directory / "view.log", arguments)
    try:
        yield running
    finally:
        assert running.end() == 0, running.log.read_text()
