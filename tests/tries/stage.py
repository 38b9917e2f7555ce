"""What is attacked: the processes on real Kafka and Redis, and an honest population in them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
from redis.asyncio import Redis

from app.gateway.signatures import RequestSigner
from app.process.consumer import LogRecord
from app.sources.changes import change
from app.topics.authentic import REGISTER
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER, input_topics, partition_of
from app.topics.codec import encode
from models.register import ClosedData, OfficialNames, RegisteredSource, key_of
from support import builders as b
from support.brokers import Kafka
from support.gateways import LABORATORY, PROVINCE, PROVINCE_KEY, running_gateway
from support.tokens import OPERATOR, bearer
from support.views import (
    Running,
    caught_up,
    now,
    running_projection,
    running_view,
    someone,
)
from support.workers import Worker, drained, everything

CDC, IDENTITIES, TERMINAL = "/cdc/440100", "/identity-providers/gd", "/terminals/440100-001"
CLOSED, PARKED = "/laboratories/440100-888", "/laboratories/440100-777"
"""A source that the register shut out, and one that the workers have put aside."""
ENEMY = "/laboratories/440100-666"
"""The source whose token and key the enemy has. It is honest to nobody, and may be parked."""
STRANGERS = tuple(
    patterns[0].replace("*", "440100-9")
    for name, patterns in CATALOGUE.authorities.items()
    if name not in ("laboratory", "operator")
)
"""A source of each other authority, whose token the enemy has as well."""
REGISTERED = (*STRANGERS, LABORATORY, CDC, IDENTITIES, PROVINCE, TERMINAL, CLOSED, PARKED, ENEMY)
REGISTERED_SECONDS_MAX = 20.0
PARKED_AFTER = 101
BATCH = 200
SIGNER = RequestSigner(PROVINCE_KEY)
STRUCTURED = {"content-type": "application/cloudevents-batch+json"}


PLACED = "", True
"""How a try ends that lies on Kafka: what became of it is read at the end, at its place."""
SAME = "the same event again"

Place = tuple[str, int, int]


@dataclass
class Stage:
    """All of it while it runs."""

    kafka: Kafka
    redis: Redis
    worker: Worker
    projection: Running
    gateway: str
    view: Running
    http: httpx.AsyncClient
    green: list[str] = field(default_factory=list)
    red: list[str] = field(default_factory=list)
    honest: list[LogRecord] = field(default_factory=list)
    """Every record of an input that the honest have sent."""

    placed: dict[Place, tuple[str, Sequence[str]]] = field(default_factory=dict)
    """Tries on an input topic: their kind, and as what they may end."""

    def plain(self, topic: str) -> str:
        """Return the name of a topic as in topics.yaml."""
        return topic.removeprefix(self.kafka.prefix)

    async def quiet(self) -> None:
        """Wait until all that was written is folded, and shown."""
        await drained(self.kafka)
        await caught_up(self.redis, self.kafka, 120.0)

    async def publish(self, source: str, events: Sequence[Any]) -> None:
        """Send events as their honest source does."""
        address = f"{self.gateway}/v1/events"
        for at in range(0, len(events), BATCH):
            body = b"[" + b",".join(encode(each) for each in events[at : at + BATCH]) + b"]"
            headers = bearer(source) | STRUCTURED
            if source == PROVINCE:
                headers = SIGNER.signed("POST", address, headers, body)
            answer = await self.http.post(address, content=body, headers=headers)
            assert answer.status_code == 202, answer.text

    async def populate(self, count: int, random: Random) -> None:
        """Let honest sources say something of `count` people, and one too much rubbish."""
        await self._register()
        people = [someone(random) for _ in range(count)]
        at = now() - timedelta(days=2)
        kinds = [people[n::5] for n in range(5)]
        await self.publish(IDENTITIES, [b.verified(at, person=p) for p in people])
        positive, contacts, elsewhere, negative, _ = kinds
        tested = [b.positive(at, person=p, source=LABORATORY) for p in positive]
        tested += [b.negative(at, person=p, source=LABORATORY) for p in negative]
        await self.publish(LABORATORY, tested)
        await self.publish(CDC, [b.contact(at, person=p, source=CDC) for p in contacts])
        codes = [b.provincial("red", at, person=p, source=PROVINCE) for p in elsewhere]
        await self.publish(PROVINCE, codes)
        self.red, self.green = positive + contacts + elsewhere, negative + kinds[4]
        await self._park(random)
        await self.quiet()
        for topic in input_topics():
            if topic.authority != "yuekang":  # what goes round there, the workers write
                self.honest += await everything(self.kafka, topic.name)

    async def _park(self, random: Random) -> None:
        """Let a laboratory send so much rubbish that it is put aside."""
        person = someone(random)
        good = encode(b.positive(now() - timedelta(days=1), person=person, source=PARKED))
        bad = good.replace(b'"positive"', b'"probably"')
        number = partition_of(person.encode(), CATALOGUE.partitions)
        async with self.kafka.producer() as out:
            for _ in range(PARKED_AFTER):
                await out.send("laboratory-results", bad, person.encode(), number)

    async def _register(self) -> None:
        """Let an operator register every source, and shut one out."""
        names = OfficialNames("一", "One")
        said = [change(RegisteredSource(name, names, "440100"), OPERATOR) for name in REGISTERED]
        said.append(change(ClosedData(CLOSED, "Its token was stolen."), OPERATOR))
        async with self.kafka.producer() as out:
            for each in said:
                key, value = key_of(each).encode(), msgspec.json.encode(each)
                await out.send(SOURCE_REGISTER, value, key, author=REGISTER)
        async with asyncio.timeout(REGISTERED_SECONDS_MAX):
            while not await self._is_registered():
                await asyncio.sleep(0.05)

    async def _is_registered(self) -> bool:
        metrics = (await self.http.get(f"{self.gateway}/metrics")).text
        return f"yuekang_register_sources {len(REGISTERED):.1f}" in metrics


@asynccontextmanager
async def opened(kafka: Kafka, redis_url: str, directory: Path) -> AsyncIterator[Stage]:
    """Run worker, projection, gateway and view, each with its own user and rights."""
    async with AsyncExitStack() as open_:
        worker = Worker(kafka, directory)
        worker.start()
        open_.callback(worker.stop)
        open_.callback(worker.give_up_its_place)
        projection = open_.enter_context(running_projection(kafka, redis_url, directory))
        view = open_.enter_context(running_view(kafka, redis_url, directory))
        gateway = open_.enter_context(running_gateway(kafka, directory))
        await asyncio.to_thread(worker.wait_ready)
        await asyncio.to_thread(projection.wait_live)
        await asyncio.to_thread(view.wait_live)
        redis = await open_.enter_async_context(Redis.from_url(redis_url))
        http = await open_.enter_async_context(
            httpx.AsyncClient(
                timeout=30.0, trust_env=False, limits=httpx.Limits(max_connections=16)
            )
        )
        yield Stage(kafka, redis, worker, projection, gateway, view, http)
