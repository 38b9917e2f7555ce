"""How far the worker is behind the log, and whether that moves."""

import asyncio
import time

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.process import metrics
from app.process.consumer import Consumer
from app.process.kafka import Brokers
from app.topics.ahead import Ahead, ends_of, look_ahead
from app.topology import TableApp
from app.worker.partitions import halted_inputs

log = structlog.get_logger()

INTERVAL_SECONDS = 1.0
STALLED_SECONDS = 30.0
"""How long a partition with records to apply may apply none; after that it stands still."""
SUSPECT_SECONDS = 5.0
"""How long a partition may stand before its log is looked into: what is left may be markers, which
nobody applies, or a transaction of its source that is still open."""
SHORTER_SECONDS = 5.0
"""How long a log must end before what was applied of it. A leader that has just been elected may
not know yet how far the others have come."""
SILENT_SECONDS = 10.0
"""A broker is away if it did not say for so long where the log ends."""


class EndLostError(Exception):
    """An input ends before what was applied of it. Only the take of a partition can begin again."""


class WorkerLag:
    """Compares, for each input partition held, the applied offset with the high watermark.

    Nothing is kept of a partition that was given up.
    """

    def __init__(self, app: TableApp, brokers: Brokers) -> None:
        self._app = app
        self._brokers = brokers
        self._asked_at: float | None = None
        self._behind: dict[TopicPartition, int] = {}
        self._applied: dict[TopicPartition, int] = {}
        self._moved_at: dict[TopicPartition, float] = {}
        self._unknown_since: dict[TopicPartition, float] = {}
        self._held_up: dict[TopicPartition, Ahead] = {}
        self._empty: dict[TopicPartition, tuple[int, int]] = {}
        """Up to where there is nothing to apply after an applied offset."""
        self._shorter: dict[TopicPartition, tuple[float, int]] = {}
        """Since when a log ends before what was applied of it, and where."""

    def check(self) -> None:
        """Raise `EndLostError` where an input has lost its end."""
        now = time.monotonic()
        for tp, (since, end) in self._shorter.items():
            if now - since > SHORTER_SECONDS:
                raise EndLostError(
                    f"{tp.topic}[{tp.partition}] ends at offset {end}, and offset "
                    f"{self._applied[tp]} was applied: it has lost its end. What comes next would "
                    "be taken for applied, so the worker ends. Its next start reads the topic from "
                    "its first record."
                )

    def reasons(self) -> list[str]:
        """Say why the worker is not ready; nothing if it is."""
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at > SILENT_SECONDS:
            return ["Kafka does not say where the log ends."]
        found = [
            f"Table {table.settings.name}: {taken} of {len(table.held)} partitions are live."
            for table in self._app.held_tables
            if (taken := sum(p.ready for p in table.held.values())) < len(table.held)
        ]
        if not any(table.held for table in self._app.held_tables):
            found.append("No partition is held yet.")
        found += (
            f"{tp.topic}[{tp.partition}]: Kafka does not say where it ends for {now - since:.0f} s."
            for tp, since in self._unknown_since.items()
            if now - since > SILENT_SECONDS
        )
        # Those are said by themselves, and no restart mends them.
        told = halted_inputs(self._app) | self._held_up.keys()
        found += (
            f"{tp.topic}[{tp.partition}]: {behind} records to apply, none for "
            f"{now - self._moved_at[tp]:.0f} s."
            for tp, behind in self._behind.items()
            if behind and now - self._moved_at[tp] > STALLED_SECONDS and tp not in told
        )
        found += (
            f"{tp.topic}[{tp.partition}]: a transaction of its source is open at offset "
            f"{ahead.offset}, and holds up {ahead.end - ahead.offset} records for "
            f"{now - self._moved_at[tp]:.0f} s."
            for tp, ahead in self._held_up.items()
        )
        return found

    async def watch(self) -> None:
        """Look every second, for as long as the process lives."""
        while True:
            try:
                await self._watch_one_connection()
            except (KafkaError, OSError) as error:
                log.warning("lag_unknown", seldom=True, error=str(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _watch_one_connection(self) -> None:
        consumer = Consumer(**self._brokers.client)
        try:
            await consumer.start()
            while True:
                partitions = list(self._applied_offsets())
                ends = await ends_of(consumer, partitions)
                self._asked_at = time.monotonic()
                self._compare(ends)
                await self._look(consumer)
                self._publish()
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            await consumer.stop()

    async def _look(self, consumer: Consumer) -> None:
        """Find out what holds up the partitions that stand."""
        suspect = {tp: self._applied[tp] + 1 for tp in self._behind if self._suspect(tp)}
        ahead = await look_ahead(consumer, suspect) if suspect else {}
        for tp, found in ahead.items():
            if found.is_empty:
                self._behind[tp] = 0
                self._empty[tp] = self._applied[tp], found.offset
        held_up = {tp: found for tp, found in ahead.items() if found.is_open}
        for tp in held_up.keys() - self._held_up.keys():
            offset = held_up[tp].offset
            log.warning("input_held_up", topic=tp.topic, partition=tp.partition, offset=offset)
        self._held_up = held_up

    def _applied_offsets(self) -> dict[TopicPartition, int]:
        """Return the last offset applied of each input partition that is held and live.

        If several tables apply a topic, it is the offset of the one furthest behind.
        """
        applied: dict[TopicPartition, int] = {}
        for topic in self._app.topics_read():
            for table in self._app.tables_of(topic):
                for number, partition in table.held.items():
                    if partition.live.is_set():
                        tp = TopicPartition(topic.name, number)
                        offset = partition.store.applied_offset(topic.name)
                        applied[tp] = min(offset, applied.get(tp, offset))
        return applied

    def _compare(self, ends: dict[TopicPartition, int]) -> None:
        now = time.monotonic()
        self._forget_all_but(self._inputs_held())
        applied = self._applied_offsets()
        # What was applied at the look before: the ends were asked for after that.
        self._shorter = {
            tp: self._shorter.get(tp, (now, end))
            for tp, end in ends.items()
            if end <= self._applied.get(tp, -1)
        }
        self._behind = {
            tp: max(0, end - self._begin(tp, applied[tp]))
            for tp, end in ends.items()
            if tp in applied
        }
        unknown = applied.keys() - ends.keys()
        self._unknown_since = {tp: self._unknown_since.get(tp, now) for tp in unknown}
        for tp in self._behind:
            if self._applied.get(tp) != applied[tp] or not self._behind[tp]:
                self._moved_at[tp] = now
            self._applied[tp] = applied[tp]

    def _inputs_held(self) -> set[TopicPartition]:
        return {
            TopicPartition(topic.name, number)
            for topic in self._app.topics_read()
            for table in self._app.tables_of(topic)
            for number in table.held
        }

    def _forget_all_but(self, held: set[TopicPartition]) -> None:
        for known in (self._applied, self._moved_at, self._held_up, self._empty, self._shorter):
            for tp in known.keys() - held:
                del known[tp]

    def _begin(self, tp: TopicPartition, applied: int) -> int:
        """Return the offset at which what is to apply may begin."""
        after, empty_to = self._empty.get(tp, (None, 0))
        return empty_to if after == applied else applied + 1

    def _suspect(self, tp: TopicPartition) -> bool:
        """Say whether what is left may be nothing, or held back."""
        unmoved = time.monotonic() - self._moved_at.get(tp, 0.0)
        return bool(self._behind.get(tp)) and unmoved > SUSPECT_SECONDS

    def _publish(self) -> None:
        for topic in self._app.topics_read():
            metrics.WORKER_LAG_RECORDS.labels(topic.name).set(
                sum(n for tp, n in self._behind.items() if tp.topic == topic.name)
            )
