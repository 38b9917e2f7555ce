"""Events about many people that come while faults happen, and records that are no events.

Every rule's events are there, and most reasons end by time alone within seconds: an end is an
instant now and a period of policy before it. What belongs together is sent out of order, some of
it twice (also rounds later), some is corrected, sometimes before it has come. Some records lie in
transactions that are given up.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.development.sample.broken import BREAKAGES
from app.topics.catalogue import CATALOGUE, partition_of
from app.topics.codec import encode
from app.topics.records import Record, binary, structured
from models import events as e
from models.policy import POLICIES, day_start
from models.sources import SOURCE_LIMIT, released
from oracle.inputs import Place
from support import builders as b
from support.records import PARTITIONS

POLICY = POLICIES[-1]
encode_json = msgspec.json.Encoder().encode
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
CITIES = ("440100", "440300", "445200")
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

SOON_SECONDS = 14.0
"""Ends by time come within this."""
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
            while not stop.is_set() or plan:
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
                producer = await self._send(producer, random, burst)
                if random.random() < 0.04:
                    await self._give_up(random)
                await asyncio.sleep(BURST_SECONDS)
        finally:
            if producer is not None:
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
                    record = structured(b.verified(self._now(), **self._ids(self._someone(random))))
                    await producer.send(record.topic, record.value, record.key)
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
        return Planned(at, self._number(), record, **more)

    def _someone(self, random: Random) -> str:
        """Return a person: mostly one of those who came last."""
        if len(self._people) < 50 or random.random() < NEW_PEOPLE:
            self._people.append("p1-" + "".join(random.choices(LETTERS, k=32)))
            return self._people[-1]
        recent = self._people[-2_000:] if random.random() < 0.9 else self._people
        return random.choice(recent)

    def _story(self, random: Random, now: float) -> Iterator[Planned]:
        """Yield the records of one story, each with its time."""
        known = len(self._people)
        person = self._someone(random)
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
        person = self._someone(random)
        teller = Teller(random, lambda: self._ids(person))
        [broken] = [breakage for breakage in BREAKAGES if breakage.name == "field-missing"]

        def result() -> Any:
            return teller.result("negative", teller.ago(1), source=source)

        for place in range(SOURCE_LIMIT.in_a_row + 5):
            record = broken.record(result())
            yield self._planned(now + 0.01 * place, record, code=broken.code)
        for place in range(5):
            yield self._planned(now + 2 + place, structured(result()))
        release = encode_json(released(source, f"r{self._number()}", teller.now))
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


class Teller:
    """Tells what happened to one person, with instants around now."""

    def __init__(self, random: Random, ids: Callable[[], dict[str, Any]]) -> None:
        self.random = random
        self._ids = ids
        self.now = datetime.now(UTC)

    def ago(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    def soon(self) -> datetime:
        """An instant that comes while the round runs; sometimes it is just over."""
        return self.now + timedelta(seconds=self.random.uniform(-1, SOON_SECONDS))

    def number(self) -> str:
        return f"F{self.random.randrange(10**9)}"

    def identity(self) -> list[Any]:
        at = self.soon() if self.random.random() < 0.2 else self.ago(30)
        return [b.verified(at, self.random.choice(CITIES), **self._ids())]

    def result(
        self, result: str, sampled: datetime, reported: datetime | None = None, **kw: Any
    ) -> Any:
        source = f"/laboratories/44{self.random.randrange(1, 40):04}"
        reported = reported or sampled + timedelta(minutes=1)
        return b.nat(result, sampled, reported, **{"source": source, **self._ids(), **kw})

    def positive_cleared_soon(self) -> list[Any]:
        one, two = self.ago(2), self.ago(0.9)
        return [
            self.result("positive", self.ago(3)),
            self.result("negative", one),
            self.result("negative", two, self.soon()),
        ]

    def positive_taken_back(self) -> list[Any]:
        found = self.result("positive", self.ago(1))
        return self.shuffled([found, b.retracted(found, self.now, **self._ids())])

    def positive_corrected(self) -> list[Any]:
        found = self.result("positive", self.ago(1))
        right = self.result("negative", self.ago(1), source=found.source, supersedes=found.id)
        return self.shuffled([found, right])

    def claims_in_vain(self) -> list[Any]:
        """Corrections of another source's event, of a later one, of one that never comes."""
        found = self.result("positive", self.ago(1))
        other = self.result("negative", self.ago(1), source="/laboratories/1", supersedes=found.id)
        early = self.result("negative", self.ago(1), source=found.source, supersedes=found.id)
        early = b.make(
            type(early),
            early.data,
            at=early.time,
            source=early.source,
            id=early.id,
            sequence=1,
            supersedes=found.id,
            person=early.partitionkey,
        )
        lost = self.result("inconclusive", self.ago(1), supersedes="never-sent")
        return [found, other, early, lost]

    def case_discharged_soon(self) -> list[Any]:
        case, ids = self.number(), self._ids
        return self.shuffled(
            [
                b.suspected(self.ago(20), case, **ids()),
                b.confirmed(self.ago(19), case, **ids()),
                b.discharged(self.soon() - POLICY.after_discharge, case, **ids()),
            ]
        )

    def suspicion_excluded_soon(self) -> list[Any]:
        case, ids = self.number(), self._ids
        return [b.suspected(self.ago(1), case, **ids()), b.excluded(self.soon(), case, **ids())]

    def case_taken_back(self) -> list[Any]:
        found = b.suspected(self.ago(1), self.number(), **self._ids())
        return self.shuffled([found, b.retracted(found, self.now, **self._ids())])

    def contact_over_soon(self) -> list[Any]:
        listing, exposure = self.number(), self.soon() - POLICY.after_exposure
        days = [day_start(exposure, day) for day in POLICY.contact_test_days]
        source = "/laboratories/440001"
        tests = [
            self.result("negative", min(day, self.now - timedelta(minutes=2)), source=source)
            for day in days
        ]
        listed = b.contact(exposure, self.ago(13), listing, **self._ids())
        return self.shuffled([listed, *tests])

    def contact_withdrawn_soon(self) -> list[Any]:
        listing = self.number()
        listed = b.contact(self.ago(3), self.ago(2), listing, **self._ids())
        return [listed, b.contact_withdrawn(self.soon(), listing, **self._ids())]

    def contact_taken_back(self) -> list[Any]:
        listed = b.contact(self.ago(3), self.ago(2), self.number(), **self._ids())
        return [listed, b.retracted(listed, self.now, **self._ids())]

    def other_province(self) -> list[Any]:
        province = self.random.choice(("43", "45", "36"))
        colour = self.random.choice(("red", "yellow"))
        return [
            b.provincial(colour, self.ago(1), province, **self._ids()),
            b.provincial("green", self.soon(), province, **self._ids()),
        ]

    def home_until_soon(self) -> list[Any]:
        return [b.ordered("home", self.ago(14), self.soon(), self.number(), **self._ids())]

    def home_from_soon(self) -> list[Any]:
        start = self.soon()
        end = start + timedelta(seconds=self.random.uniform(1, 5))
        return [b.ordered("home", start, end, self.number(), **self._ids())]

    def centralised_then_home(self) -> list[Any]:
        order = self.number()
        return self.shuffled(
            [
                b.ordered("centralised", self.ago(14), self.ago(1), order, **self._ids()),
                b.transferred("home", self.ago(2), self.soon(), order, **self._ids()),
            ]
        )

    def released_soon(self) -> list[Any]:
        order = self.number()
        return [
            b.ordered("centralised", self.ago(14), self.ago(1), order, **self._ids()),
            b.released(self.soon(), order, **self._ids()),
        ]

    def left_code_soon(self) -> list[Any]:
        """Ended so long ago that it leaves the code; nothing of that is told."""
        order = self.number()
        return [
            b.ordered("centralised", self.ago(20), self.ago(3), order, **self._ids()),
            b.released(self.soon() - POLICY.ended_kept, order, **self._ids()),
        ]

    def nothing_opens(self) -> list[Any]:
        return [
            self.result("positive", self.ago(1), status="preliminary"),
            self.result("inconclusive", self.ago(1)),
            self.result("negative", self.ago(1)),
        ]

    def more_than_a_row_holds(self) -> list[Any]:
        """Results of two months; one that was positive is taken back when it has left the row."""
        found = self.result("positive", self.ago(60))
        results = [self.result("negative", self.ago(59 - n / 3)) for n in range(POLICY.facts_max)]
        return [found, *self.shuffled(results), b.retracted(found, self.now, **self._ids())]

    def identity_taken_back(self) -> list[Any]:
        found = b.verified(self.ago(3), **self._ids())
        return [found, b.retracted(found, self.now, **self._ids()), *self.identity()]

    def scan(self) -> Any:
        data = e.ScanData(self.number(), "A place", self.now)
        return b.make(e.ScanRecorded, data, at=self.now, source="/terminals/1", **self._ids())

    def shuffled(self, events: list[Any]) -> list[Any]:
        if self.random.random() < 0.5:
            self.random.shuffle(events)
        return events


STORIES: tuple[Callable[[Teller], list[Any]], ...] = (
    Teller.positive_cleared_soon,
    Teller.positive_taken_back,
    Teller.positive_corrected,
    Teller.claims_in_vain,
    Teller.case_discharged_soon,
    Teller.suspicion_excluded_soon,
    Teller.case_taken_back,
    Teller.contact_over_soon,
    Teller.contact_withdrawn_soon,
    Teller.contact_taken_back,
    Teller.other_province,
    Teller.home_until_soon,
    Teller.home_until_soon,
    Teller.home_from_soon,
    Teller.centralised_then_home,
    Teller.released_soon,
    Teller.left_code_soon,
    Teller.nothing_opens,
    Teller.identity_taken_back,
)


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
