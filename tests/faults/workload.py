"""Events about many people that come while faults happen, and records that are no events.

Every rule's events are there, and most reasons end by time alone within seconds: an end is an
instant now and a period of policy before it. What belongs together is sent out of order, some of
it twice (also rounds later), some is corrected, sometimes before it has come. Some records lie in
transactions that are given up.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.development.sample.broken import BREAKAGES
from app.topics.catalogue import CATALOGUE, partition_of
from app.topics.codec import encode
from app.topics.records import Record, binary, structured
from faults.stories import STORIES, Teller
from models.events import Event
from models.operators import released
from models.parking import SOURCE_LIMIT
from oracle.inputs import Place
from support import builders as b
from support.macs import signed
from support.records import PARTITIONS

encode_json = msgspec.json.Encoder().encode
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
CODECS: tuple[Any, ...] = (None, "gzip", "snappy", "lz4", "zstd")

EVENTS_PER_SECOND = 200
EVENTS_MAX = 4_000
"""Of a round; where its faults take longer, few events a second go on."""
FEW_PER_SECOND = 20
BURST_SECONDS = 0.25
NEW_PEOPLE = 0.35
"""Of all stories; the others are about people who are known."""

CROWDED = 0.01
"""Of all stories: someone gets more results than a row holds, so that some go to their history."""

DISORDER_SECONDS = 5.0
TWICE = 0.05
LATER_ROUNDS = 0.2
"""Of the copies."""
POISON = 0.004
"""Of results. It is of many sources, so none is parked for it."""
BAD_SOURCES = 0.5
"""Of rounds: one source sends so much poison that it is parked, and is released."""
UNREADABLE_SCANS = 0.002
"""Of scans: well below what stops a worker."""


class Planned(NamedTuple):
    """A record, and when it goes; `partition` if not its key's, `code` if it is to be refused."""

    at: float
    number: int
    record: Record
    partition: int | None = None
    code: str | None = None


class Workload:
    """Makes stories from `random`, for as long as it is run; people stay from round to round."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._people: list[str] = []
        self._later: list[Record] = []
        self._numbers = 0
        self._sending = asyncio.Lock()
        self._asked: list[Planned] = []
        self._held: dict[str, list[Planned]] = {}
        self._renew = False
        self.poison: dict[Place, str] = {}
        """Where what lies is to be refused, and why, as far as the broker has said."""
        self.sent = 0
        self.resent = 0

    async def run(self, random: Random, stop: asyncio.Event) -> None:
        """Send until `stop`, then what is planned still."""
        plan: list[Planned] = []
        loop = asyncio.get_running_loop()
        begun = loop.time()
        told = 0.0
        producer: AIOKafkaProducer | None = None
        for record in self._later:
            heapq.heappush(plan, self._planned(random.uniform(0, 10), record))
        self._later = []
        if random.random() < BAD_SOURCES:
            for planned in self._bad_source(random, random.uniform(0, 5)):
                heapq.heappush(plan, planned)
        try:
            while not stop.is_set() or plan or self._asked:
                now = loop.time() - begun
                if not stop.is_set():
                    full = EVENTS_MAX / EVENTS_PER_SECOND
                    wanted = min(now, full) * EVENTS_PER_SECOND
                    wanted += max(0.0, now - full) * FEW_PER_SECOND
                    while told < wanted:
                        for planned in self._story(random, now):
                            heapq.heappush(plan, planned)
                            told += 1
                burst = []
                while plan and (plan[0].at <= now or stop.is_set()):
                    burst.append(heapq.heappop(plan))
                    if len(burst) == 500:
                        break
                for planned in self._asked:
                    heapq.heappush(plan, planned)
                self._asked = []
                async with self._sending:
                    if self._renew and producer is not None:
                        await _stop(producer)
                        producer, self._renew = None, False
                    producer = await self._send(producer, random, self._not_held(burst))
                    if random.random() < 0.04 and "identities" not in self._held:
                        await self._give_up(random)
                await asyncio.sleep(BURST_SECONDS)
        finally:
            if producer is not None:
                await _stop(producer)

    # What faults ask for

    @asynccontextmanager
    async def holding(self, topic: str) -> AsyncIterator[None]:
        """Send nothing to a topic meanwhile; what is planned for it waits."""
        async with self._sending:
            self._held[topic] = []
        try:
            yield
        finally:
            self._asked += self._held.pop(topic)
            self._renew = True  # what the producer knows of the topic may be old

    async def send_held(self, topic: str, random: Random) -> None:
        """Send what waits for a topic, except what lies in a wrong partition."""
        waiting, self._held[topic] = self._held[topic], []
        self._held[topic] = [p for p in waiting if p.partition is not None]
        producer = await self._send(None, random, [p for p in waiting if p.partition is None])
        if producer is not None:
            await _stop(producer)

    def _not_held(self, burst: list[Planned]) -> list[Planned]:
        for planned in burst:
            if planned.record.topic in self._held:
                self._held[planned.record.topic].append(planned)
        return [p for p in burst if p.record.topic not in self._held]

    def ask(self, records: Iterable[Record], partition: int | None = None, code: str = "") -> None:
        """Send records too, as soon as can be, as they are; `code`: why each is to be refused."""
        self._asked += [
            Planned(0.0, self._number(), record, partition, code or None) for record in records
        ]

    def full_rows(self, random: Random, people: int) -> Iterator[Record]:
        """Yield hundreds of facts about some people whom no other story is about.

        In every second row none may leave. Nothing ends there: where something does, what may
        leave depends on the order of arrival, and so does the code.
        """
        for number in range(people):
            person = _new_person(random)
            teller = Teller(random, partial(self._ids, person))
            if number % 2:
                events = [*teller.more_than_a_row_holds(), *teller.case_discharged_soon()]
            else:
                events = teller.found_again_and_again()
            for event in (*teller.identity(), *events):
                yield signed(structured(event))

    async def open_transaction(self, random: Random, seconds: float, commit: bool) -> None:
        """Write stories in a transaction of one source, which stays open for a while."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            transactional_id=f"agency-{self._number()}",
            request_timeout_ms=10_000,
        )
        try:
            await producer.start()
            await producer.begin_transaction()
            for _ in range(20):
                person = self.someone(random)
                teller = Teller(random, partial(self._ids, person))
                for event in (*teller.identity(), *random.choice(STORIES)(teller)):
                    await _append(producer, event)
                await asyncio.sleep(seconds / 20)
            await producer.flush()
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        finally:
            await _stop(producer)

    async def _send(
        self, producer: AIOKafkaProducer | None, random: Random, burst: list[Planned]
    ) -> AIOKafkaProducer | None:
        """Send until every record is confirmed. What is not is sent again, and may then be there
        twice."""
        left = burst
        while left:
            try:
                if producer is None:
                    producer = AIOKafkaProducer(
                        bootstrap_servers=self._bootstrap,
                        acks="all",
                        enable_idempotence=True,
                        compression_type=random.choice(CODECS),
                        request_timeout_ms=10_000,
                    )
                    await producer.start()
                futures = [
                    await producer.send(
                        p.record.topic,
                        p.record.value,
                        p.record.key,
                        partition=p.partition,
                        headers=list(p.record.headers),
                    )
                    for p in left
                ]
                async with asyncio.timeout(15):
                    done = await asyncio.gather(*futures, return_exceptions=True)
                for planned, found in zip(left, done, strict=True):
                    if not isinstance(found, BaseException):
                        self.sent += 1
                        if planned.code is not None:
                            place = (
                                found.topic,
                                found.partition,
                                found.offset,
                                found.timestamp,
                            )
                            self.poison[place] = planned.code
                failed = [
                    p for p, found in zip(left, done, strict=True) if isinstance(found, Exception)
                ]
                self.resent += len(failed)
                if not failed:
                    return producer
                left = failed
            except (KafkaError, TimeoutError, OSError):
                self.resent += len(left)
            if producer is not None:
                await _stop(producer)
                producer = None
            await asyncio.sleep(0.5)
        return producer

    async def _give_up(self, random: Random) -> None:
        """Write events in a transaction, and abort it: they never were."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            transactional_id=f"agency-{self._number()}",
            request_timeout_ms=5_000,
        )
        try:
            async with asyncio.timeout(10):
                await producer.start()
                await producer.begin_transaction()
                for _ in range(3):
                    await _append(
                        producer, b.verified(self._now(), **self._ids(self.someone(random)))
                    )
                await producer.flush()
                await producer.abort_transaction()
        except (KafkaError, TimeoutError, OSError):
            pass  # a broker is away; the coordinator aborts it in time
        finally:
            await _stop(producer)

    @staticmethod
    def _now() -> datetime:
        return datetime.now(UTC)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _ids(self, person: str) -> dict[str, Any]:
        number = self._number()
        return {"id": f"n{number}", "sequence": number, "person": person}

    def _planned(self, at: float, record: Record, **more: Any) -> Planned:
        return Planned(at, self._number(), signed(record), **more)

    def someone(self, random: Random) -> str:
        """Return a person: mostly one of those who came last."""
        if len(self._people) < 50 or random.random() < NEW_PEOPLE:
            self._people.append(_new_person(random))
            return self._people[-1]
        recent = self._people[-2_000:] if random.random() < 0.9 else self._people
        return random.choice(recent)

    def _story(self, random: Random, now: float) -> Iterator[Planned]:
        """Yield the records of one story, each with its time."""
        known = len(self._people)
        person = self.someone(random)
        events: list[Any] = []
        teller = Teller(random, lambda: self._ids(person))
        if len(self._people) > known:
            events += teller.identity()
        for _ in range(random.choice((1, 1, 2))):
            events += random.choice(STORIES)(teller)
        if random.random() < CROWDED:
            events += teller.more_than_a_row_holds()
        for place, event in enumerate(events):
            at = now + 0.05 * place
            if random.random() < 0.3:
                at += random.uniform(0, DISORDER_SECONDS)
            record = (binary if random.random() < 0.1 else structured)(event)
            yield self._planned(at, record)
            if random.random() < TWICE:
                if random.random() < LATER_ROUNDS:
                    self._later.append(record)
                else:
                    yield self._planned(at + random.uniform(0, 8), record)
            if random.random() < POISON:
                yield from self._poison(random, at, teller)
        if random.random() < 0.3:
            scan = teller.scan()
            yield self._planned(now, structured(scan))
            if random.random() < UNREADABLE_SCANS:
                cut = Record("scans", scan.partitionkey.encode(), encode(scan)[:50])
                yield self._planned(now, cut, code="not-json")

    def _bad_source(self, random: Random, now: float) -> Iterator[Planned]:
        """Yield so much poison of one source that it is parked, some of it that is valid, and
        after a while its release."""
        source = f"/laboratories/bad-{self._number()}"
        person = self.someone(random)
        teller = Teller(random, lambda: self._ids(person))
        [broken] = [breakage for breakage in BREAKAGES if breakage.name == "field-missing"]

        def result() -> Any:
            return teller.result("negative", teller.ago(1), source=source)

        for place in range(SOURCE_LIMIT.in_a_row + 5):
            record = broken.record(result())
            yield self._planned(now + 0.01 * place, record, code=broken.code)
        for place in range(5):
            yield self._planned(now + 2 + place, structured(result()))
        release = encode_json(released(source, f"r{self._number()}", teller.now, "/operators/chen"))
        for partition in range(CATALOGUE.partitions):
            record = Record("source-releases", None, release, ())
            yield self._planned(now + 5, record, partition=partition)
        for place in range(3):
            yield self._planned(now + 8 + place, structured(result()))

    def _poison(self, random: Random, at: float, teller: "Teller") -> Iterator[Planned]:
        event = teller.result("negative", teller.ago(1))
        if random.random() < 0.1:
            yield self._wrong_partition(random, at, event)
            return
        breakage = random.choice(BREAKAGES)
        if breakage.code == "conflict":
            yield self._planned(at, structured(event))
            yield self._planned(at + 0.001, breakage.record(event))
        else:
            yield self._planned(at, breakage.record(event), code=breakage.code)

    def _wrong_partition(self, random: Random, at: float, event: Any) -> Planned:
        right = partition_of(event.partitionkey.encode(), PARTITIONS)
        wrong = (right + random.randrange(1, PARTITIONS)) % PARTITIONS
        record = structured(event)
        if random.random() < 0.8:
            return self._planned(at, record, partition=wrong)  # and is forwarded
        marked = (*record.headers, ("yk_forwarded_from", b"identities/0/0"))
        record = msgspec.structs.replace(record, headers=marked)
        return self._planned(at, record, partition=wrong, code="wrong-partition")


def _new_person(random: Random) -> str:
    return "p1-" + "".join(random.choices(LETTERS, k=32))


async def _append(producer: AIOKafkaProducer, event: Event) -> None:
    record = signed(structured(event))
    await producer.send(record.topic, record.value, record.key, headers=list(record.headers))


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer, also one that cannot finish what it has."""
    with suppress(Exception):
        async with asyncio.timeout(5):
            await producer.stop()
        return
    with suppress(Exception):
        if producer._sender is not None:
            await producer._sender.close()
        await producer.client.close()
