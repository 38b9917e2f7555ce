"""The processes `yuekang projection` and `yuekang rows`: from the log to Redis, and nothing else
writes there.

    begin:  read how far Redis is ── not of this log, or gone ──> begin anew, at the log's start
      │
      └──> follow: fetch ─> batch ─> one script in Redis ─> fetch …
             any trouble, or Redis has moved on ──> begin

How far the log was applied stands in Redis alone, in the same script as what was applied
(app.projection.codes), so there is nothing to reconcile: whatever happens, it begins again from
what Redis says. Only what transactions committed is read. Two projections do no harm; the second
waits until the first has been silent for `LEASE_SECONDS`.

The first projects codes and changes (app.projection.codes). The second projects rows
(app.projection.rows): what people see and ask of beside their code. It has a database of its own
and gives way to the first, so that history never delays a colour.
"""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
import structlog
import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.engine.records import install
from app.engine.store import DUE, META
from app.process import metrics
from app.process.logs import configure
from app.process.probes import StatusServer
from app.process.settings import Settings
from app.projection.codes import (
    FOREIGN,
    Batch,
    Position,
    State,
    Writer,
    new_epoch,
    public,
    stored,
    version_of,
)
from app.projection.corrections import MeasuringWriter, is_measured
from app.projection.freshness import LISTS, PEOPLE, Group, Judged, Watch
from app.projection.rows import LISTS_CHANGELOG, PEOPLE_CHANGELOG, RowBatch, RowWriter
from app.topics.admin import cluster_id_of, partition_counts
from app.topics.catalogue import CATALOGUE, HEALTH_CODES, STATUS_CHANGES
from models.codes import StatusChanged

RECORDS_MAX = 1_000
"""Records in one batch: Redis does nothing else while it writes them, some 5 ms."""

HEARTBEAT_SECONDS = 1.0
"""An idle projection writes how far it is this often."""

FETCH_WAIT_MS = 250
"""The broker answers at the latest after this time, and so says where the end is."""

LEASE_SECONDS = 3.0
AGAIN_SECONDS = 0.5
REDIS_SECONDS_MAX = 5.0

ABSENT_SECONDS_MAX = 12 * 60 * 60
"""A model that was left for longer is built anew: what was deleted from health-codes is told for
24 hours there (delete.retention.ms), and not after that."""

SILENT_SECONDS = 5.0
"""Without a write for so long the projection is not ready."""

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"

_decode_changed = msgspec.json.Decoder(StatusChanged).decode

log = structlog.get_logger()


class Moved(Exception):
    """Redis is not where this projection left it."""


class Unreadable(Exception):
    """A record that only this system writes cannot be read: a bug, and not to be passed over."""


class Unfit(Exception):
    """What is there cannot be used; a person must act."""


class Model(Struct, frozen=True):
    """What is projected. `judged` names, for a topic, the group that tells up to when it is whole.

    `batch_of` raises `Unreadable` on a record that is not of its topic's type.
    """

    topics: tuple[str, ...]
    judged: dict[str, Group]
    writer: Callable[[Redis, str, str], Writer]
    batch_of: Callable[[Mapping[TopicPartition, Sequence[Record]]], Any]
    redis_variable: str

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

    def __init__(self, kafka: str, redis_url: str, model: Model) -> None:
        self._kafka = kafka
        self._redis_url = redis_url
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
            return [f"Redis is not written. {self._trouble}"]
        if not state.built:
            at = sum(p.offset for positions in state.positions.values() for p in positions)
            return [f"The read model is being built; {at} offsets are behind."]
        return []

    async def run(self) -> None:
        """Follow the log until `stop`; raise `Unreadable` on a record that cannot be read."""
        self._task = asyncio.current_task()
        while not self._stopped:
            try:
                await self._connect_and_follow()
            except Moved as moved:
                self._note("moved", str(moved))
            except (RedisError, KafkaError, OSError, TimeoutError) as error:
                self._note(type(error).__name__, f"{type(error).__name__}: {error}")
            await asyncio.sleep(AGAIN_SECONDS)

    def stop(self) -> None:
        """Let go of Redis and end."""
        # The client for Redis may turn a cancellation into an error of its own.
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    def _note(self, why: str, trouble: str) -> None:
        self._trouble = trouble
        metrics.PROJECTION_TROUBLES.labels(why).inc()
        log.warning("projection_begins_again", why=why, detail=trouble)

    async def _connect_and_follow(self) -> None:
        redis = Redis.from_url(
            self._redis_url,
            socket_timeout=REDIS_SECONDS_MAX,
            socket_connect_timeout=REDIS_SECONDS_MAX,
            retry=Retry(NoBackoff(), 0),
        )
        consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            isolation_level="read_committed",
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            log_read = await log_name(self._kafka, self._model.topics)
            writer = self._model.writer(redis, log_read, self._id)
            await consumer.start()
            state = await self._begin(writer, consumer)
            watches = {group: Watch(self._kafka, group) for group in self._model.judged.values()}
            watching = [asyncio.create_task(watch.run()) for watch in watches.values()]
            try:
                await self._follow(writer, consumer, state, watches)
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.wait(watching)
        except ResponseError as error:
            if str(error).startswith(FOREIGN):
                raise Unfit(
                    f"Redis: {error}. Set {self._model.redis_variable} to another."
                ) from None
            raise
        finally:
            await consumer.stop()
            await redis.aclose()

    async def _begin(self, writer: Writer, consumer: "AIOKafkaConsumer[bytes, bytes]") -> State:
        """Return the state to go on from, after taking the place of whoever wrote it."""
        state = await writer.load()
        while state and state.writer != self._id and time.time() - state.at < LEASE_SECONDS:
            self._trouble = "Another projection is at work; this one waits."
            await asyncio.sleep(AGAIN_SECONDS)
            state = await writer.load()
        first = await consumer.beginning_offsets(self._partitions)
        end = await consumer.end_offsets(self._partitions)
        server = await writer.server()
        if state is None or not _continues(state, first, end):
            state = writer.new_state(server, _positions({tp: Position(first[tp]) for tp in first}))
            if not await writer.begin_anew(state):
                raise Moved("Another projection began at the same time.")
            metrics.PROJECTION_REBUILDS.inc()
            log.info("projection_builds_anew", epoch=state.epoch)
        elif state.server != server:
            # Another server, or the same with what it had saved: numbers may occur twice.
            state = msgspec.structs.replace(state, server=server, epoch=new_epoch())
        return msgspec.structs.replace(state, writer=self._id)

    async def _follow(
        self,
        writer: Writer,
        consumer: "AIOKafkaConsumer[bytes, bytes]",
        state: State,
        watches: Mapping[Group, Watch],
    ) -> None:
        reached: set[TopicPartition] = set()
        waited_for: dict[str, Judged] = {}
        consumer.assign(self._partitions)
        for tp in self._partitions:
            consumer.seek(tp, state.positions[tp.topic][tp.partition].offset)
        log.info("projection_follows", epoch=state.epoch, built=state.built)
        try:
            while True:
                fetched = await consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=RECORDS_MAX)
                batch = self._model.batch_of(fetched)
                if not batch.size and time.time() - state.at < HEARTBEAT_SECONDS:
                    continue
                positions = {
                    tp: await _position(consumer, tp, state, fetched.get(tp, ()), reached)
                    for tp in self._partitions
                }
                for topic, group in self._model.judged.items():
                    newest = watches[group].newest
                    # The newest answer if it holds already; else the one that is waited for.
                    for answer in (newest, waited_for.get(topic)):
                        if answer is not None and _holds(answer, positions, topic):
                            positions.update(_judged(positions, answer, topic))
                            waited_for.pop(topic, None)
                            break
                    if topic not in waited_for and newest is not None:
                        waited_for[topic] = newest
                state = msgspec.structs.replace(
                    state,
                    at=time.time(),
                    built=state.built or len(reached) == len(self._partitions),
                    changes=state.changes + len(batch.changes),
                    positions=_positions(positions),
                )
                with metrics.PROJECTION_WRITE_SECONDS.time():
                    if not await writer.apply(batch, state):
                        raise Moved("Redis was emptied, or another projection wrote to it.")
                self._state = state
                _measure(fetched, state)
        finally:
            with suppress(RedisError, OSError):
                await self._release(writer, state)

    async def _release(self, writer: Writer, state: State) -> None:
        """Let another projection begin at once. A state that has moved on is left alone."""
        if self._state is state:
            empty = self._model.batch_of({})
            await writer.apply(empty, msgspec.structs.replace(state, at=0.0))


def _holds(judged: Judged, positions: Mapping[TopicPartition, Position], topic: str) -> bool:
    """Say whether all that was told before the answer was asked for is here."""
    return all(
        (position.as_of or 0.0) >= judged.asked_at
        for tp, position in positions.items()
        if tp.topic == topic
    )


def _judged(
    positions: Mapping[TopicPartition, Position], judged: Judged, topic: str
) -> dict[TopicPartition, Position]:
    """Return the positions of a topic with what is now known of the worker."""
    return {
        tp: msgspec.structs.replace(
            position,
            judged_until=max(judged.until[tp.partition], position.judged_until or 0.0),
        )
        for tp, position in positions.items()
        if tp.topic == topic and tp.partition in judged.until
    }


def batch_of(fetched: Mapping[TopicPartition, Sequence[Record]]) -> Batch:
    """Return what the records of one fetch come to; raise `Unreadable`.

    Of a person only the newest code is left. A tombstone deletes what lies before it.
    """
    batch = Batch({}, [])
    for tp, records in fetched.items():
        for record in records:
            try:
                if tp.topic == HEALTH_CODES:
                    _take_code(batch, record)
                else:
                    change = _decode_changed(record.value or b"").data
                    batch.changes.append(public(change))
                    if is_measured(change):
                        batch.corrections.append(change)
            except (msgspec.DecodeError, AttributeError):
                raise _unreadable(record, "not of its topic's type") from None
    return batch


def _unreadable(record: Record, why: str) -> Unreadable:
    place = f"{record.topic}[{record.partition}] offset {record.offset}"
    return Unreadable(f"The record at {place} is {why}.")


def _take_code(batch: Batch, record: Record) -> None:
    person = record.key.decode()  # a missing key is an AttributeError
    if record.value is None:
        batch.codes[person] = None
        return
    code = stored(record.value, record.partition)
    before = batch.codes.get(person)
    if before is None or version_of(before) < version_of(code):
        batch.codes[person] = code


CODES = Model(
    topics=(HEALTH_CODES, STATUS_CHANGES),
    judged={HEALTH_CODES: PEOPLE},
    writer=MeasuringWriter,
    batch_of=batch_of,
    redis_variable="YUEKANG_REDIS_URL",
)


def rows_of(fetched: Mapping[TopicPartition, Sequence[Record]]) -> RowBatch:
    """Return the newest of each row in one fetch; raise `Unreadable`.

    What the engine keeps for itself among the rows is left out.
    """
    batch = RowBatch({})
    for tp, records in fetched.items():
        for record in records:
            key, value = record.key, record.value
            if key is not None and key.startswith(META):
                continue
            if key is None or value is None or len(value) < DUE.size:
                raise _unreadable(record, "no row")
            at = datetime.fromtimestamp(record.timestamp / 1_000, UTC)
            try:
                batch.take(tp.topic, key, tp.partition, value[DUE.size :], at)
            except msgspec.DecodeError:
                raise _unreadable(record, "no row") from None
    return batch


ROWS = Model(
    topics=(PEOPLE_CHANGELOG, LISTS_CHANGELOG),
    judged={PEOPLE_CHANGELOG: PEOPLE, LISTS_CHANGELOG: LISTS},
    writer=RowWriter,
    batch_of=rows_of,
    redis_variable="YUEKANG_ROWS_REDIS_URL",
)


async def _position(
    consumer: "AIOKafkaConsumer[bytes, bytes]",
    tp: TopicPartition,
    state: State,
    records: Sequence[Record],
    reached: set[TopicPartition],
) -> Position:
    """Return where a partition stands after `records`; add it to `reached` if that is its end.

    The end is where the broker will write next: beyond the markers of transactions, and beyond
    records of one that is still open, so those count as behind.
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
    return Position(offset, as_of, before.judged_until)


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


def _measure(fetched: Mapping[TopicPartition, Sequence[Record]], state: State) -> None:
    for tp, records in fetched.items():
        metrics.PROJECTION_RECORDS.labels(tp.topic).inc(len(records))
    for topic, number, as_of in _as_ofs(state):
        metrics.PROJECTION_LAG_SECONDS.labels(topic, number).set(max(0.0, state.at - as_of))


def _as_ofs(state: State) -> Iterator[tuple[str, int, float]]:
    for topic, positions in state.positions.items():
        for number, position in enumerate(positions):
            if position.as_of is not None:
                yield topic, number, position.as_of


async def log_name(bootstrap: str, names: Sequence[str]) -> str:
    """Return the name of the log that positions are of: its cluster and its generation.

    Raise `Unfit` where its topics are not there as topics.yaml has them.
    """
    cluster = await cluster_id_of(bootstrap)
    for name, partitions in (await partition_counts(bootstrap, names)).items():
        if partitions != CATALOGUE.topics[name].partitions:
            raise Unfit(f"{name} is missing or unlike topics.yaml: run `yuekang topics check`.")
    return f"{cluster}/{CATALOGUE.generation}"


NICENESS = 10
"""Of the process that projects rows."""


def projection() -> None:
    """Keep the codes in Redis up to date with the log until a signal ends it.

    Waits for Kafka and Redis where they are away. Exits with 1 where the topics are not those of
    topics.yaml, where the Redis database holds keys of others, or after a record that cannot be
    read.
    """
    settings = Settings.from_environment()
    _run(settings, settings.redis_url, settings.projection_status_port, CODES)


def rows() -> None:
    """Keep the rows in Redis up to date with the log until a signal ends it; as `projection`."""
    os.nice(NICENESS)
    settings = Settings.from_environment()
    _run(settings, settings.rows_redis_url, settings.rows_status_port, ROWS)


def _run(settings: Settings, redis_url: str, status_port: int, model: Model) -> None:
    configure(settings.log_level)
    install()  # app.projection.freshness reads the input too
    running = Projection(settings.kafka, redis_url, model)
    status = StatusServer(settings.status_host, status_port, running.reasons)
    try:
        asyncio.run(_serve(running, status))
    except (Unreadable, Unfit) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _serve(running: Projection, status: StatusServer) -> None:
    await status.start()
    task = asyncio.create_task(running.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.stop)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        await status.stop()
