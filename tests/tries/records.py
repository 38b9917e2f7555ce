"""Tries on Kafka itself, with the password of a process and without a key."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from app.access.rights import PROCESSES, Operation, Resource, rights_of
from app.process.macs import FOLLOWS, MAC
from app.sources.changes import Data, change
from app.topics.authentic import OURS, SourceKeys
from app.topics.catalogue import (
    CATALOGUE,
    HEALTH_CODES,
    SOURCE_REGISTER,
    SOURCE_RELEASES,
    STATUS_CHANGES,
    changelog_of,
)
from app.topics.codec import encode
from app.topics.records import Record
from models.operators import SourceReleased, SourceReleasedData
from models.register import ClosedData, OpenedData, key_of
from support import builders as b
from support.gateways import LABORATORY
from support.macs import KEYS
from support.tokens import OPERATOR
from support.views import health_code, now, reason
from support.workers import everything
from tries.counting import Kind
from tries.stage import CDC, CLOSED, ENEMY, PARKED, PLACED, SAME, Stage

End = tuple[str, bool]

NOT_AUTHENTIC = ("not-authentic",)
ASIDE = "set aside, and counted"
OUTSIDE = "refused by Kafka"
FORMER = SourceKeys.of_master(bytes(range(32)), 1)
"""Keys of a master key that was changed, and is taken no more."""
PEOPLE = changelog_of("people")


class Thieves:
    """Producers with the passwords of processes."""

    def __init__(self, stage: Stage, producers: dict[str, AIOKafkaProducer]) -> None:
        self._stage = stage
        self._producers = producers

    async def write(
        self,
        process: str,
        record: Record,
        partition: int | None = None,
    ) -> tuple[str, int, int] | None:
        """Write as a process; return the place, or None where it may not."""
        try:
            done = await self._producers[process].send_and_wait(
                self._stage.kafka.named(record.topic),
                record.value,
                record.key,
                partition,
                headers=list(record.headers),
            )
        except TopicAuthorizationFailedError:
            return None
        return record.topic, done.partition, done.offset


@asynccontextmanager
async def thieves(stage: Stage) -> AsyncIterator[Thieves]:
    """Connect once for each process."""
    async with AsyncExitStack() as open_:
        producers = {}
        for process in PROCESSES:
            brokers = stage.kafka.brokers_of(process)
            producers[process] = await open_.enter_async_context(
                AIOKafkaProducer(**brokers.client, acks="all")
            )
        yield Thieves(stage, producers)


class Forgeries:
    """Writes to Kafka as an enemy does."""

    def __init__(self, stage: Stage, thieves: Thieves, ours: Sequence[Any]) -> None:
        self._stage = stage
        self._thieves = thieves
        self._ours = ours
        self.aside: Counter[str] = Counter()
        """What lies on topics of the workers' own, by topic: it must be counted there."""

    def kinds(self) -> Iterator[Kind]:
        """Yield each kind, with its share."""
        yield Kind("Kafka: an event without a MAC", 5, self.without)
        yield Kind("Kafka: an honest record with one byte changed", 8, self.one_byte)
        yield Kind("Kafka: the MAC of the enemy's own source", 3, self.own_mac)
        yield Kind("Kafka: the MAC of another topic, key or value", 6, self.moved)
        yield Kind("Kafka: a key of before, or of no version", 3, self.former)
        yield Kind("Kafka: an honest record again, byte for byte", 6, self.again)
        yield Kind("Kafka: a code forged", 4, self.code)
        yield Kind("Kafka: a change of status forged", 3, self.told)
        yield Kind("Kafka: a row of the changelog forged", 3, self.row)
        yield Kind("Kafka: a release forged", 2, self.release)
        yield Kind("Kafka: a change of the register forged", 2, self.register)
        yield Kind("Kafka: a topic that the stolen user may not write", 3, self.not_allowed)

    def _plain(self, random: Random, source: str = LABORATORY) -> Record:
        at = now() - timedelta(hours=random.randint(8, 40))
        person = random.choice(self._stage.green)
        made: Any = random.choice(
            [
                b.positive(at, person=person, source=source),
                b.confirmed(at, person=person, source=CDC if source == LABORATORY else source),
            ]
        )
        topic = "laboratory-results" if "Nat" in type(made).__name__ else "case-reports"
        return Record(topic, person.encode(), encode(made))

    def _honest(self, random: Random) -> Record:
        found = random.choice(self._stage.honest)
        return Record(found.topic, found.key, found.value, tuple(found.headers))

    def _signed(self, record: Record, source: str, keys: SourceKeys = KEYS) -> Record:
        named = msgspec.structs.replace(record, topic=self._stage.kafka.named(record.topic))
        headers = keys.signed(named, source).headers
        return msgspec.structs.replace(record, headers=headers)

    async def _input(
        self,
        kind: str,
        record: Record,
        allowed: Sequence[str] = NOT_AUTHENTIC,
        partition: int | None = None,
    ) -> End:
        place = await self._thieves.write("gateway", record, partition)
        if place is None:
            return OUTSIDE, False
        self._stage.placed[place] = kind, allowed
        return PLACED

    async def without(self, random: Random) -> End:
        record = self._plain(random)
        if random.random() < 0.3:
            record = msgspec.structs.replace(record, headers=((MAC, random.randbytes(80)),))
        return await self._input("Kafka: an event without a MAC", record)

    async def one_byte(self, random: Random) -> End:
        honest = self._honest(random)
        key, value, headers = honest.key or b"", honest.value or b"", dict(honest.headers)
        match random.randrange(3):
            case 0:
                key = _changed(key, random)
            case 1:
                value = _changed(value, random)
            case _:
                headers[MAC] = _changed(headers[MAC], random)
        record = Record(honest.topic, key, value, tuple(headers.items()))
        return await self._input("Kafka: an honest record with one byte changed", record)

    async def own_mac(self, random: Random) -> End:
        record = self._signed(self._plain(random), ENEMY)
        kind = "Kafka: the MAC of the enemy's own source"
        return await self._input(kind, record, ("not-authentic", "no-authority"))

    async def moved(self, random: Random) -> End:
        one, other = self._honest(random), self._honest(random)
        forged = self._plain(random)
        record = random.choice(
            [
                msgspec.structs.replace(forged, headers=one.headers),
                Record(one.topic, forged.key, one.value, one.headers),
                Record(one.topic, one.key, forged.value, one.headers),
                Record("quarantine-orders", one.key, one.value, one.headers),
                Record(one.topic, one.key, one.value, (*one.headers, ("ce_source", b"/cdc/1"))),
                Record(one.topic, one.key, forged.value, (*one.headers, *other.headers)),
            ]
        )
        return await self._input("Kafka: the MAC of another topic, key or value", record)

    async def former(self, random: Random) -> End:
        plain = self._plain(random)
        source = LABORATORY if plain.topic == "laboratory-results" else CDC
        record = self._signed(plain, source, FORMER)
        raw = dict(record.headers)[MAC]
        if random.random() < 0.5:
            own = dict(self._signed(plain, source).headers)[MAC]
            version = random.choice([b"0", b"2", b"+1", b" 1", b"01", b"-1", b"1.0", b"\xc2\xb9"])
            raw = version + own[1:]
        record = msgspec.structs.replace(record, headers=((MAC, raw),))
        return await self._input("Kafka: a key of before, or of no version", record)

    async def again(self, random: Random) -> End:
        honest = self._honest(random)
        while b'"probably"' in (honest.value or b""):
            honest = self._honest(random)
        kind = "Kafka: an honest record again, byte for byte"
        if random.random() < 0.7:
            return await self._input(kind, honest, (SAME,))
        allowed = (SAME, "wrong-partition")
        return await self._input(kind, honest, allowed, random.randrange(CATALOGUE.partitions))

    async def _ours_forged(self, process: str, record: Record, partition: int | None) -> End:
        if await self._thieves.write(process, record, partition) is None:
            return OUTSIDE, False
        self.aside[record.topic] += 1
        return ASIDE, True

    def _with_any_mac(self, record: Record, random: Random) -> Record:
        """None; one of another author, by a key that some process has; or one that was copied."""
        match random.randrange(3):
            case 0:
                return record
            case 1:
                return self._signed(record, random.choice([ENEMY, "/portal", "/register"]))
            case _:
                return msgspec.structs.replace(record, headers=random.choice(self._ours).headers)

    async def code(self, random: Random) -> End:
        person = random.choice(self._stage.red)
        made = health_code(person, *([reason()] * random.randrange(2)), version=10**6)
        value = random.choice([msgspec.json.encode(made), None, random.randbytes(40), b"{}"])
        record = self._with_any_mac(Record(HEALTH_CODES, person.encode(), value), random)
        return await self._ours_forged("worker", record, None)

    async def told(self, random: Random) -> End:
        honest = random.choice([r for r in self._ours if r.topic == STATUS_CHANGES])
        value = honest.value.replace(b'"red"', b'"green"') + b" "
        record = self._with_any_mac(Record(STATUS_CHANGES, honest.key, value), random)
        return await self._ours_forged("worker", record, honest.partition)

    async def row(self, random: Random) -> End:
        """The worker that runs does not read it; one that starts again does."""
        rows = [r for r in self._ours if r.topic == PEOPLE and r.value]
        honest = random.choice(rows)
        if random.random() < 0.4:  # played again, unless it is of the partition's last commit
            last = max(_follows(r) for r in rows if r.partition == honest.partition)
            if _follows(honest) < last:
                again = Record(PEOPLE, honest.key, honest.value, tuple(honest.headers))
                return await self._ours_forged("worker", again, honest.partition)
        value = random.choice([None, _changed(honest.value, random)])
        record = self._with_any_mac(Record(PEOPLE, honest.key, value), random)
        return await self._ours_forged("worker", record, honest.partition)

    async def release(self, random: Random) -> End:
        by = random.choice([OPERATOR, "/operator"])
        number = f"r-{random.getrandbits(64):x}"
        data = SourceReleasedData(PARKED)
        made = SourceReleased(id=number, time=now(), source=by, data=data)
        record = Record(SOURCE_RELEASES, PARKED.encode(), msgspec.json.encode(made))
        author = random.choice([None, PARKED, ENEMY, OURS, "/register"])
        if author is not None:
            record = self._signed(record, author)
        place = await self._thieves.write("operator", record, random.randrange(4))
        if place is None:
            return OUTSIDE, False
        allowed = ("not-authentic", "no-authority")
        self._stage.placed[place] = "Kafka: a release forged", allowed
        return PLACED

    async def register(self, random: Random) -> End:
        changes: list[Data] = [ClosedData(LABORATORY, "Forged."), OpenedData(CLOSED)]
        said = change(random.choice(changes), OPERATOR)
        value = random.choice([msgspec.json.encode(said), None])
        record = Record(SOURCE_REGISTER, key_of(said).encode(), value)
        author = random.choice([None, OPERATOR, ENEMY, OURS])
        if author is not None:
            record = self._signed(record, author)
        return await self._ours_forged("operator", record, None)

    async def not_allowed(self, random: Random) -> End:
        process = random.choice([p for p in PROCESSES if p != "audit-log"])
        may = {
            right.name
            for right in rights_of(process)
            if right.resource is Resource.TOPIC and right.operation is Operation.WRITE
        }
        topic = random.choice([name for name in CATALOGUE.topics if name not in may])
        record = Record(topic, b"key", b"tried")
        written = await self._thieves.write(process, record)
        return (OUTSIDE, True) if written is None else ("written", False)


def _follows(row: Any) -> int:
    return int(dict(row.headers)[FOLLOWS])


def _changed(raw: bytes, random: Random) -> bytes:
    at = random.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ (1 << random.randrange(8))]) + raw[at + 1 :]


async def written_by_workers(stage: Stage) -> list[Any]:
    """Return the workers' own records, to be copied from."""
    topics = (HEALTH_CODES, STATUS_CHANGES, PEOPLE)
    return [record for topic in topics for record in await everything(stage.kafka, topic)]
