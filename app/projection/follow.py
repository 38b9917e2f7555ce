"""How a read model follows the log; nothing else writes to its store.

    begin:  read how far it is ── not of this log, or gone ──> begin again, at the log's start
      │
      └──> follow: fetch ─> batch ─> one write
                     fetch ─> batch, meanwhile ─> one write …
             any trouble, or the store has moved on ──> begin

How far the log was applied stands in the store alone, and is written in one with what was applied
(app.projection.state). So there is nothing to reconcile: whatever happens, it begins again from
what the store says. One write is under way at a time, and at most one batch is ready behind it.
Only what transactions committed is read. Two projections do no harm; the second waits until the
first has been silent for `LEASE_SECONDS`.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct

from app.process import metrics
from app.process.consumer import Consumer, LogRecord
from app.process.gather import GATHER_SECONDS, gather
from app.process.kafka import Brokers
from app.projection.freshness import Freshness, Group
from app.projection.state import Position, State, new_epoch, oldest
from app.topics.admin import cluster_id_of, partition_counts
from app.topics.catalogue import CATALOGUE, TOPIC_PREFIX
from app.topics.reading import Fetched

RECORDS_MAX = 1_000
"""Records in one batch. Redis does nothing else while it writes them, some 5 ms."""

RECORDS_AT_A_TIME = 100
"""Records that are decoded before the event loop goes on, in some 1.5 ms: what is fetched already
is there without a wait, so the write of the batch before would not begin until this one is
decoded."""

HEARTBEAT_SECONDS = 1.0
"""An idle projection writes how far it is this often."""

LOOK_MS = 250
"""How long one look for records may take."""

FETCH_BYTES_MAX = 2 * 1024 * 1024
"""Of one partition, as the broker has it compressed: 24 MiB are fetched ahead for codes and 40 for
rows, at most. So a partition is seldom drained while a model is built."""

LEASE_SECONDS = 3.0
AGAIN_SECONDS = 0.5

ABSENT_SECONDS_MAX = 12 * 60 * 60
"""A model left for longer is built again. A deletion from health-codes is told there for 24 hours
(delete.retention.ms), and not after that."""

SILENT_SECONDS = 5.0
"""The projection is not ready if it has not written for so long."""

log = structlog.get_logger()


class Moved(Exception):
    """The store is not where this projection left it."""


class Unfit(Exception):
    """What is there cannot be used; a person must act."""


class Gate(Protocol):
    """The state of a store as its writer left it (app.projection.state.StateGate)."""

    async def load(self) -> State | None: ...
    async def begin_again(self, state: State) -> bool: ...
    async def server(self) -> str: ...
    def new_state(self, server: str, positions: dict[str, tuple[Position, ...]]) -> State: ...


class ModelWriter(Protocol):
    """What writes a model: its batches, through the gate of its state."""

    @property
    def gate(self) -> Gate: ...

    async def apply(self, batch: Any, state: State) -> bool:
        """Write a batch and `state`; return False, with nothing written, if the store has moved
        on."""
        ...


class ModelStore(Protocol):
    """Where a model lies. `troubles` are what it raises while it cannot be read or written."""

    @property
    def name(self) -> str: ...
    @property
    def troubles(self) -> tuple[type[Exception], ...]: ...

    def opened(self, log_read: str, id: str, /) -> AbstractAsyncContextManager[ModelWriter]:
        """Open it for the writer `id`, which reads `log_read`; raise `Unfit` or a trouble."""
        ...


class Batch(Protocol):
    """What one fetch comes to."""

    @property
    def size(self) -> int:
        """How many keys and entries it writes."""
        ...

    @property
    def changes_told(self) -> int:
        """How many changes it adds to those that are numbered."""
        ...


class Model(Struct, frozen=True):
    """What is projected.

    `groups` names, for each topic, the groups that write it, so that it is known until when the
    topic is complete. `take` adds a record to a batch that `new_batch` makes; it raises
    `ValueError` on one that is not of its topic's type, before it has changed the batch.
    """

    topics: tuple[str, ...]
    groups: dict[str, tuple[Group, ...]]
    new_batch: Callable[[], Batch]
    take: Callable[[Any, LogRecord], None]
    gather_seconds: float = GATHER_SECONDS

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """Every partition of the topics."""
        return tuple(
            TopicPartition(name, number)
            for name in self.topics
            for number in range(CATALOGUE.topics[name].partitions)
        )


class Projection:
    """Follows the log for as long as it is run."""

    def __init__(
        self,
        brokers: Brokers,
        store: ModelStore,
        model: Model,
        is_ours: Callable[[LogRecord], bool],
    ) -> None:
        self._brokers = brokers
        self._is_ours = is_ours
        self._store = store
        self._model = model
        self._partitions = model.partitions
        self._id = secrets.token_hex(8)
        self._state: State | None = None
        self._trouble = "It has just been started."
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False

    def reasons(self) -> list[str]:
        """Say why the read model cannot be relied on; nothing if it can."""
        state = self._state
        if state is None or time.time() - state.at > SILENT_SECONDS:
            return [f"{self._store.name} is not written. {self._trouble}"]
        if not state.built:
            at = sum(p.offset for positions in state.positions.values() for p in positions)
            return [f"The read model is being built; {at} offsets are behind."]
        if unknown := [t for t, of in state.positions.items() if oldest(of) is None]:
            return [f"It is not known yet until when {', '.join(unknown)} is complete."]
        return []

    async def run(self) -> None:
        """Follow the log until `stop`."""
        self._task = asyncio.current_task()
        while not self._stopped:
            try:
                await self._connect_and_follow()
            except Moved as moved:
                self._note("moved", str(moved))
            except KafkaError as error:
                self._note(type(error).__name__, await self._brokers.told(error))
            except self._store.troubles as error:
                self._note(type(error).__name__, f"{type(error).__name__}: {error}")
            await asyncio.sleep(AGAIN_SECONDS)

    def stop(self) -> None:
        """Let go of the store and end."""
        # aiokafka can swallow a cancellation, and the client for Redis turn it into an error of
        # its own: so the loops look at this as well.
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    def _note(self, why: str, trouble: str) -> None:
        self._trouble = trouble
        metrics.PROJECTION_TROUBLES.labels(why).inc()
        log.warning("projection_begins_again", why=why, detail=trouble)

    async def _connect_and_follow(self) -> None:
        consumer = Consumer(
            **self._brokers.client,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )
        try:
            log_read = await log_name(self._brokers, self._model.topics)
            async with self._store.opened(log_read, self._id) as writer:
                await consumer.start()
                gather(consumer, self._model.gather_seconds)
                state = await self._begin(writer.gate, consumer)
                freshness = Freshness(self._brokers, self._model.groups)
                async with freshness.watched():
                    await self._follow(writer, consumer, state, freshness)
        finally:
            await consumer.stop()

    async def _begin(self, gate: Gate, consumer: Consumer) -> State:
        """Return the state to go on from, after taking over from whoever wrote it."""
        state = await gate.load()
        while state and state.writer != self._id and time.time() - state.at < LEASE_SECONDS:
            self._trouble = "Another projection is at work; this one waits."
            await asyncio.sleep(AGAIN_SECONDS)
            state = await gate.load()
        first = await consumer.beginning_offsets(self._partitions)
        end = await consumer.end_offsets(self._partitions)
        server = await gate.server()
        if state is None or not _continues(state, first, end):
            state = gate.new_state(server, _positions({tp: Position(first[tp]) for tp in first}))
            if not await gate.begin_again(state):
                raise Moved("Another projection began at the same time.")
            metrics.PROJECTION_REBUILDS.inc()
            log.info("projection_builds_again", epoch=state.epoch)
        elif state.server != server:
            # Another server, or the same with older data that it had saved: numbers may occur
            # twice.
            state = msgspec.structs.replace(state, server=server, epoch=new_epoch())
        return msgspec.structs.replace(state, writer=self._id)

    async def _follow(
        self,
        writer: ModelWriter,
        consumer: Consumer,
        state: State,
        freshness: Freshness,
    ) -> None:
        reached: set[TopicPartition] = set()
        written: asyncio.Task[None] | None = None
        consumer.assign(self._partitions)
        for tp in self._partitions:
            consumer.seek(tp, state.positions[tp.topic][tp.partition].offset)
        log.info("projection_follows", epoch=state.epoch, built=state.built)
        try:
            while not self._stopped:
                fetched = await consumer.getmany(timeout_ms=LOOK_MS, max_records=RECORDS_MAX)
                batch = await self._batch_of(fetched)
                if not batch.size and time.time() - state.at < HEARTBEAT_SECONDS:
                    continue
                positions = {
                    tp: await _position(consumer, tp, state, fetched.get(tp, ()), reached)
                    for tp in self._partitions
                }
                freshness.mark(positions)
                state = msgspec.structs.replace(
                    state,
                    at=time.time(),
                    built=state.built or len(reached) == len(self._partitions),
                    changes=state.changes + batch.changes_told,
                    positions=_positions(positions),
                )
                # While one batch is written, the next is fetched and decoded.
                if written is not None:
                    await written
                written = asyncio.create_task(self._write(writer, batch, state, fetched))
        finally:
            with suppress(*self._store.troubles, Moved):
                if written is not None:
                    await written
                await self._release(writer, state)

    async def _write(
        self, writer: ModelWriter, batch: Batch, state: State, fetched: Fetched
    ) -> None:
        with metrics.PROJECTION_WRITE_SECONDS.time():
            if not await writer.apply(batch, state):
                raise Moved(f"{self._store.name} was emptied, or another projection wrote to it.")
        self._state = state
        _measure(fetched, state)

    async def _batch_of(self, fetched: Fetched) -> Batch:
        """Return the batch of what one fetch brought.

        A record that no worker has written, or that cannot be read, is set aside, and said. All
        else goes on: it would be met again after every start.
        """
        batch, taken = self._model.new_batch(), 0
        for tp, records in fetched.items():
            for record in records:
                taken += 1
                if taken % RECORDS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                try:
                    if not self._is_ours(record):
                        raise ValueError("it has no MAC of a worker's")
                    self._model.take(batch, record)
                except ValueError as error:
                    place = {"topic": tp.topic, "partition": tp.partition, "offset": record.offset}
                    log.error("record_set_aside", seldom=True, **place, why=str(error))
                    metrics.PROJECTION_SET_ASIDE.labels(tp.topic).inc()
        return batch

    async def _release(self, writer: ModelWriter, state: State) -> None:
        """Let another projection begin at once. Leave alone a state that has moved on."""
        if self._state is state:
            await writer.apply(self._model.new_batch(), msgspec.structs.replace(state, at=0.0))


async def _position(
    consumer: Consumer,
    tp: TopicPartition,
    state: State,
    records: Sequence[LogRecord],
    reached: set[TopicPartition],
) -> Position:
    """Return where a partition stands after `records`; add it to `reached` if that is its end.

    The end is where the broker will write next. It lies beyond the markers of transactions, and
    beyond the records of a transaction that is still open, so those count as behind.
    """
    offset = await consumer.position(tp)
    end, asked_ms = consumer.highwater(tp), consumer.last_poll_timestamp(tp)
    before = state.positions[tp.topic][tp.partition]
    as_of = before.as_of
    if end is not None and offset >= end:
        reached.add(tp)
        as_of = max(as_of or 0.0, asked_ms / 1_000)
    elif records:
        newest = max(record.timestamp for record in records) / 1_000
        as_of = max(as_of or 0.0, min(newest, time.time()))
    return Position(offset, as_of, before.applied_until)


def _continues(
    state: State, first: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
) -> bool:
    """Say whether everything after the state's positions is still on the log."""
    found = {
        TopicPartition(topic, number): position.offset
        for topic, positions in state.positions.items()
        for number, position in enumerate(positions)
    }
    as_ofs = [p.as_of for positions in state.positions.values() for p in positions]
    absent = any(as_of and time.time() - as_of > ABSENT_SECONDS_MAX for as_of in as_ofs)
    return (
        found.keys() == first.keys()
        and all(first[tp] <= offset <= end[tp] for tp, offset in found.items())
        and not (state.built and absent)
    )


def _positions(of: Mapping[TopicPartition, Position]) -> dict[str, tuple[Position, ...]]:
    topics = dict.fromkeys(tp.topic for tp in of)
    return {topic: tuple(of[tp] for tp in sorted(of) if tp.topic == topic) for topic in topics}


def _measure(fetched: Fetched, state: State) -> None:
    for tp, records in fetched.items():
        metrics.PROJECTION_RECORDS.labels(tp.topic).inc(len(records))
    for topic, number, as_of in _as_ofs(state):
        metrics.PROJECTION_LAG_SECONDS.labels(topic, number).set(max(0.0, state.at - as_of))


def _as_ofs(state: State) -> Iterator[tuple[str, int, float]]:
    for topic, positions in state.positions.items():
        for number, position in enumerate(positions):
            if position.as_of is not None:
                yield topic, number, position.as_of


async def log_name(brokers: Brokers, names: Sequence[str]) -> str:
    """Return the name of the log that positions are of: its cluster and its generation.

    Raise `Unfit` if its topics are not there as topics.yaml has them.
    """
    cluster = await cluster_id_of(brokers)
    for name, partitions in (await partition_counts(brokers, names)).items():
        if partitions != CATALOGUE.topics[name].partitions:
            raise Unfit(f"{name} is missing or unlike topics.yaml: run `yuekang topics check`.")
    return f"{cluster}/{TOPIC_PREFIX}{CATALOGUE.generation}"
