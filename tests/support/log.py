"""Kafka in memory, as much of it as the engine sees: topics, transactions and fences.

`Log` keeps the records. `Producer` and `Consumer` have those methods of aiokafka's that
`app.engine.partition` calls; `Log.installed` puts them in the place of aiokafka's.

As on a broker: an offset is taken by each record and by the end of each transaction; a reader sees
committed records alone, and none behind a transaction that is open; a producer that starts aborts
the open transaction of its namesake, which is refused from then on. Unlike one: nothing is
compacted, nothing is too large, and nothing is ever away.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias
from unittest.mock import patch

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import ProducerFenced

from app.engine import app
from app.engine import partition as engine

Record: TypeAlias = ConsumerRecord[bytes, bytes]
Header = tuple[str, bytes]


class Transaction:
    """Records of one producer that readers see together, once `ended` is true and not before."""

    def __init__(self) -> None:
        self.ended: bool | None = None
        """None while it is open, True when it was committed, False when it was aborted."""
        self.places: set[TopicPartition] = set()


class Entry(NamedTuple):
    """What lies at an offset. `order` counts over all topics; `record` is None for a marker."""

    order: int
    record: Record | None
    transaction: Transaction | None = None


class Log:
    """The records of all topics. `now` is the clock that they are stamped with (LogAppendTime)."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.fails_with: Exception | None = None
        """What a commit raises, with nothing committed; None for commits that succeed."""
        self.before_commit: Callable[[str], Awaitable[None]] | None = None
        """What a commit waits for; it is told the name of the producer."""
        self.batches: list[tuple[str, int]] = []
        """The topic of each batch that a producer sent, and how many records it had."""
        self.transactions = 0
        """How many were begun."""
        self.deleted: defaultdict[str, int] = defaultdict(int)
        """How often each topic was deleted."""
        self._now = now
        self._entries: defaultdict[TopicPartition, list[Entry]] = defaultdict(list)
        self._count = 0
        self._open: dict[str, Transaction] = {}
        self._epochs: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the engine's partitions have this log while the context lasts."""
        with (
            patch.object(engine, "Producer", partial(Producer, self)),
            patch.object(engine, "Consumer", partial(Consumer, self)),
            patch.object(app, "Topics", partial(Topics, self)),
        ):
            yield

    def append(
        self,
        place: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[Header] = (),
        transaction: Transaction | None = None,
    ) -> Record:
        """Append one record, now; return it."""
        record: Record = ConsumerRecord(
            topic=place.topic,
            partition=place.partition,
            offset=len(self._entries[place]),
            timestamp=int(self._now().timestamp() * 1000),
            timestamp_type=1,
            key=key,
            value=value,
            checksum=None,
            serialized_key_size=len(key or b""),
            serialized_value_size=len(value or b""),
            headers=tuple(headers),
        )
        self._put(place, record, transaction)
        return record

    def mark(self, place: TopicPartition) -> None:
        """Append a marker: an offset that no reader gets."""
        self._put(place, None, None)

    def _put(
        self, place: TopicPartition, record: Record | None, transaction: Transaction | None
    ) -> None:
        self._count += 1
        self._entries[place].append(Entry(self._count, record, transaction))

    def delete(self, topic: str) -> None:
        """Let a topic begin at offset 0 again, empty: it is another one of the same name."""
        self.deleted[topic] += 1
        for place in self._entries:
            if place.topic == topic:
                self._entries[place].clear()

    def topics(self) -> set[str]:
        """Return the topics that were written to."""
        return {place.topic for place, entries in self._entries.items() if entries}

    def end(self, place: TopicPartition) -> int:
        """Return the offset up to which readers see everything."""
        entries = self._entries[place]
        for offset, entry in enumerate(entries):
            if entry.transaction is not None and entry.transaction.ended is None:
                return offset
        return len(entries)

    def first(self, place: TopicPartition, offset: int) -> int:
        """Return the offset of the first record that readers see from `offset` on, or the end."""
        while offset < self.end(place) and not self._is_read(self._entries[place][offset]):
            offset += 1
        return offset

    def read(self, place: TopicPartition, offset: int = 0) -> list[tuple[int, Record]]:
        """Return what readers see from `offset` on, each record with its order over all topics."""
        return [
            (entry.order, entry.record)
            for entry in self._entries[place][offset : self.end(place)]
            if self._is_read(entry)
        ]

    @staticmethod
    def _is_read(entry: Entry) -> bool:
        return entry.record is not None and (
            entry.transaction is None or entry.transaction.ended is True
        )

    def all_of(self, topic: str) -> list[Record]:
        """Return what readers see of a topic, in the order of its append over all partitions."""
        found = [
            each
            for place in list(self._entries)
            if place.topic == topic
            for each in self.read(place)
        ]
        return [record for _, record in sorted(found, key=lambda each: each[0])]

    def fence(self, name: str) -> int:
        """Refuse every earlier producer of this name; return the epoch of the new one."""
        self.end_transaction(name, False)
        self._epochs[name] += 1
        return self._epochs[name]

    def check(self, name: str, epoch: int) -> None:
        """Raise `ProducerFenced` for a producer that has a successor."""
        if self._epochs[name] != epoch:
            raise ProducerFenced

    def begin_transaction(self, name: str) -> Transaction:
        """Begin a transaction of the producer `name`."""
        assert name not in self._open, "one transaction at a time"
        self._open[name] = Transaction()
        self.transactions += 1
        return self._open[name]

    def end_transaction(self, name: str, committed: bool) -> None:
        """End the open transaction of the producer `name`, if it has one."""
        if (transaction := self._open.pop(name, None)) is not None:
            transaction.ended = committed
            for place in sorted(transaction.places):
                self.mark(place)


class Batch:
    """Records to send at once, up to `size_max` bytes; one record fits whatever its size."""

    def __init__(self, size_max: int) -> None:
        self.records: list[tuple[bytes | None, bytes | None, Sequence[Header]]] = []
        self._left = size_max

    def append(
        self,
        *,
        key: bytes | None,
        value: bytes | None,
        timestamp: None,
        headers: Sequence[Header],
    ) -> object | None:
        """Add a record; return None if it does not fit."""
        size = len(key or b"") + len(value or b"") + sum(len(n) + len(v) for n, v in headers)
        if size > self._left and self.records:
            return None
        self._left -= size
        self.records.append((key, value, headers))
        return self

    def record_count(self) -> int:
        """Return how many records it has."""
        return len(self.records)

    def size(self) -> int:
        """Return how many bytes keys and values have."""
        return sum(len(key or b"") + len(value or b"") for key, value, _ in self.records)


class Producer:
    """A transactional producer, never in doubt."""

    in_doubt = False

    def __init__(self, log: Log, *, transactional_id: str, max_batch_size: int, **_: Any) -> None:
        self._log = log
        self._name = transactional_id
        self._size_max = max_batch_size
        self._epoch = 0
        self._transaction: Transaction | None = None

    async def start(self) -> None:
        """Take the place of the producer of the same name."""
        self._epoch = self._log.fence(self._name)

    async def stop(self) -> None:
        """Abort what is open, unless a successor did."""
        if self._log._epochs[self._name] == self._epoch:
            self._log.end_transaction(self._name, False)

    async def begin_transaction(self) -> None:
        """Begin a transaction; raise `ProducerFenced`."""
        self._log.check(self._name, self._epoch)
        self._transaction = self._log.begin_transaction(self._name)

    def create_batch(self) -> Batch:
        """Return an empty batch."""
        return Batch(self._size_max)

    async def send_batch(
        self, batch: Batch, topic: str, *, partition: int
    ) -> "asyncio.Future[Any]":
        """Append a batch; raise `ProducerFenced`. The future has the offset of its first record."""
        self._log.check(self._name, self._epoch)
        assert self._transaction is not None, "no transaction was begun"
        place = TopicPartition(topic, partition)
        self._transaction.places.add(place)
        self._log.batches.append((topic, batch.record_count()))
        sent = [self._log.append(place, *each, self._transaction) for each in batch.records]
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=sent[0].offset))
        return done

    async def commit_transaction(self) -> None:
        """Let readers see what was sent; raise `ProducerFenced`."""
        if self._log.before_commit is not None:
            await self._log.before_commit(self._name)
        self._log.check(self._name, self._epoch)
        if self._log.fails_with is not None:
            raise self._log.fails_with
        self._log.end_transaction(self._name, True)
        self._transaction = None


class Topics:
    """Knows which topic bears a name: another one after it was deleted."""

    def __init__(self, log: Log, _: str) -> None:
        self._log = log

    async def known(self, names: Iterable[str]) -> dict[str, str]:
        """Return the id of each topic."""
        return {name: f"{name}-{self._log.deleted[name]}" for name in names}

    async def id_of(self, name: str) -> str:
        """Return the id of a topic."""
        return (await self.known([name]))[name]

    async def begin(self, _: object) -> int:
        """Return the first offset that is kept: nothing is ever deleted."""
        return 0

    async def first(self, tp: tuple[str, int], offset: int) -> int:
        """Return the offset of the first committed record from `offset` on, or the end."""
        return self._log.first(TopicPartition(*tp), offset)

    async def close(self) -> None:
        """Nothing is to be closed."""


class Consumer:
    """A consumer that is assigned its partitions, and reads committed transactions alone."""

    def __init__(self, log: Log, *, isolation_level: str, **_: Any) -> None:
        assert isolation_level == "read_committed"
        self._log = log
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Nothing is to be connected."""

    async def stop(self) -> None:
        """Nothing is to be let go."""

    def assign(self, places: Iterable[TopicPartition]) -> None:
        """Read these partitions, from their beginning."""
        self._positions = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Go on at `offset`."""
        self._positions[place] = offset

    async def position(self, place: TopicPartition) -> int:
        """Return the offset of what is read next."""
        return self._positions[place]

    async def beginning_offsets(
        self, places: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the offsets at which partitions begin."""
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets at which partitions end."""
        return {place: self._log.end(place) for place in places}

    async def topics(self) -> set[str]:
        """Return the topics that there are."""
        return self._log.topics()

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        """Read on: at most `max_records` of each partition."""
        fetched = {}
        for place, position in self._positions.items():
            records = [record for _, record in self._log.read(place, position)][:max_records]
            short = len(records) < max_records
            self._positions[place] = self._log.end(place) if short else records[-1].offset + 1
            if records:
                fetched[place] = records
        return fetched
