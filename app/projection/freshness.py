"""Until when a worker has applied its input. Kafka knows: what its group has committed, against
where the log ends.

The end is the high watermark: what a transaction holds back that is still open counts as not
applied, or a source that hangs would go unseen.

An offset is committed after everything before it is on the changelog and on health-codes, or the
code there says that it lacks it (models.outstanding). Ask here first, then read either topic to its
end: what you read is complete up to the instant returned, except for what a code says of itself.
That holds even if no worker is running.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct
from msgspec.structs import replace

from app.process import metrics
from app.process.consumer import Consumer
from app.process.kafka import Brokers
from app.process.tasks import end
from app.projection.state import Position
from app.projection.upstream import Upstream
from app.topics.ahead import Ahead, ends_of, look_ahead
from app.topics.catalogue import (
    APPLICATION,
    CATALOGUE,
    LISTS_APPLICATION,
    SUBMISSIONS_APPLICATION,
    group_of,
)

INTERVAL_SECONDS = 1.0

SUSPECT_SECONDS = 2.0
"""How long a partition may stand before its log is looked into: what is left may be a marker, which
nobody applies, or a transaction that is still open. A group commits once a second."""

LOOKS_MAX = 128
"""Partitions looked into at a time, those first that were not for longest: a fetch costs a broker
more than all the rest of an answer (docs/benchmarks)."""

ENDS_MAX = 60
"""Ends of a partition that are kept. Who is behind for longer comes on in longer steps."""


class Group(Struct, frozen=True):
    """The consumer group of a worker, and the table that its input folds into. `upstream` is the
    group that copies some of it there, from partitions of the same numbers, if one does."""

    name: str
    table: str
    upstream: "Group | None" = None

    @property
    def inputs(self) -> list[TopicPartition]:
        """Every partition that the worker reads for its table."""
        return [
            TopicPartition(topic.name, number)
            for topic in CATALOGUE.topics.values()
            if topic.folds_into == self.table
            for number in range(topic.partitions)
        ]


SUBMISSIONS_GROUP = Group(group_of(SUBMISSIONS_APPLICATION), "submissions")
PEOPLE = Group(group_of(APPLICATION), "people", SUBMISSIONS_GROUP)
LISTS = Group(group_of(LISTS_APPLICATION), "lists", SUBMISSIONS_GROUP)
SCANS = Group(group_of(APPLICATION), "scans", SUBMISSIONS_GROUP)
QUOTAS = Group(group_of(APPLICATION), "quotas")
GROUPS = (PEOPLE, SUBMISSIONS_GROUP, LISTS)
"""One for each consumer group; the first has scans and quotas too."""

log = structlog.get_logger()


class InputsApplied(Struct, frozen=True):
    """What was learned at `asked_at`: for each partition, the instant up to which every appended
    event is applied (s since 1970).

    A partition is missing if that is not known. `held_up` has the inputs that a transaction
    of their source holds up, which is still open: where it begins, and since when (s since 1970).
    `reached`: up to which offset each input is applied.
    """

    asked_at: float
    until: dict[int, float]
    held_up: dict[TopicPartition, "HeldUp"] = {}
    reached: dict[TopicPartition, int] = {}


class HeldUp(Struct, frozen=True):
    """Where a transaction that is open begins in an input, and since when (s since 1970)."""

    offset: int
    since: float


def _of_all(answers: Sequence[InputsApplied | None]) -> InputsApplied | None:
    """Return what is known of several groups together; None if one has not answered yet."""
    known = [answer for answer in answers if answer is not None]
    if not known or len(known) < len(answers):
        return None
    numbers = set[int].intersection(*(set(answer.until) for answer in known))
    return InputsApplied(
        max(answer.asked_at for answer in known),
        {n: min(answer.until[n] for answer in known) for n in numbers},
    )


class _Input:
    """How far one partition of an input is applied, by what was seen of its end. While that is not
    seen, it grows old.

    All that was appended before an instant lies below the end that was seen then. So once the group
    has come to that end, its input is applied up to that instant. The instants are of this
    machine's clock alone, and no record need be read.
    """

    def __init__(self) -> None:
        self.until: float | None = None
        self.reached = 0
        self.held_up: HeldUp | None = None
        self.looked_at = 0.0
        self._found = False
        self._clear = (0, 0)
        self._moved_at = 0.0
        self._ends = deque[tuple[float, int]]()

    def saw(self, at: float, committed: int, end: int) -> None:
        """Take in that the group was at `committed` when, at `at`, the log ended at `end`."""
        if committed > end:  # a topic that was made again: nothing of it is known
            committed = 0
        start, clear_to = self._clear
        reached = clear_to if start <= committed < clear_to <= end else committed
        if reached != self.reached or not self._moved_at:
            self.reached, self._moved_at, self._found, self.held_up = reached, at, False, None
        if self._ends and (self._ends[-1][1] == end or len(self._ends) == ENDS_MAX):
            self._ends.pop()
        self._ends.append((at, end))
        while self._ends and self._ends[0][1] <= reached:
            self.until, _ = self._ends.popleft()
        if not self._ends:
            self._moved_at = at

    def is_suspect(self, at: float) -> bool:
        """Say whether the log must be looked into: what is left may be nothing, or held back."""
        unknown = self.until is None or at - self._moved_at >= SUSPECT_SECONDS
        return bool(self._ends) and unknown and not self._found

    def looked(self, at: float, committed: int, ahead: Ahead) -> None:
        """Take in what lies ahead."""
        self.looked_at = at
        if ahead.offset > self.reached:
            self._clear = (committed, ahead.offset)
            self.saw(self._ends[-1][0], committed, self._ends[-1][1])
        if not self._ends:
            return
        if ahead.at is not None and self.until is None:
            self.until = min(ahead.at, at)
        self._found = ahead.at is not None and not ahead.is_open
        if ahead.is_open and self.until is not None:
            self.held_up = HeldUp(ahead.offset, self.until if ahead.at is None else ahead.at)
        else:
            self.held_up = None


class Inputs:
    """How far a group has applied its input, as Kafka says each time that it is asked."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._inputs = {tp: _Input() for tp in group.inputs}
        self._of_upstream = None if group.upstream is None else Inputs(group.upstream)
        self._upstreams = defaultdict[int, Upstream](Upstream)

    async def ask(self, admin: AIOKafkaAdminClient, consumer: Consumer) -> InputsApplied:
        """Ask once about all partitions together; raise a `KafkaError` if Kafka does not answer."""
        if self._of_upstream is not None:
            self._take_upstream(await self._of_upstream.ask(admin, consumer))
        offsets = await admin.list_consumer_group_offsets(self._group.name)
        committed = {tp: max(0, offsets[tp].offset) if tp in offsets else 0 for tp in self._inputs}
        asked_at = time.time()
        ends = await ends_of(consumer, self._inputs.keys())
        for tp in ends:
            self._inputs[tp].saw(asked_at, committed[tp], ends[tp])
        suspect = sorted(
            (tp for tp in ends if self._inputs[tp].is_suspect(asked_at)),
            key=lambda tp: self._inputs[tp].looked_at,
        )[:LOOKS_MAX]
        if suspect:
            at = {tp: self._inputs[tp].reached for tp in suspect}
            for tp, ahead in (await look_ahead(consumer, at)).items():
                self._inputs[tp].looked(asked_at, committed[tp], ahead)
        reached = {tp: input_.reached for tp, input_ in self._inputs.items()}
        return InputsApplied(asked_at, self._until(), self._held_up(), reached)

    def _take_upstream(self, answer: InputsApplied) -> None:
        for tp, reached in answer.reached.items():
            if (taken_until := answer.until.get(tp.partition)) is not None:
                self._upstreams[tp.partition].saw(answer.asked_at, taken_until, reached)

    def _until(self) -> dict[int, float]:
        of_number: defaultdict[int, list[_Input]] = defaultdict(list)
        for tp in self._group.inputs:
            of_number[tp.partition].append(self._inputs[tp])
        found = {number: _oldest(inputs) for number, inputs in of_number.items()}
        known = {number: until for number, until in found.items() if until is not None}
        if self._of_upstream is None:
            return known
        with_submitted = {n: self._upstreams[n].until(applied) for n, applied in known.items()}
        return {number: until for number, until in with_submitted.items() if until is not None}

    def _held_up(self) -> dict[TopicPartition, HeldUp]:
        return {tp: input_.held_up for tp, input_ in self._inputs.items() if input_.held_up}


def _oldest(inputs: Sequence[_Input]) -> float | None:
    """Return the instant until which all of them are applied; None if that is not known of one."""
    known = [input_.until for input_ in inputs if input_.until is not None]
    return min(known) if len(known) == len(inputs) else None


class Watch:
    """Asks once a second while it runs; `newest` is the last answer, None at first."""

    def __init__(self, brokers: Brokers, group: Group) -> None:
        self._brokers = brokers
        self._group = group
        self.newest: InputsApplied | None = None
        self._told = set[TopicPartition]()

    async def run(self) -> None:
        """Ask until cancelled. While Kafka is away the last answer stays, and grows old."""
        inputs = Inputs(self._group)
        while True:
            admin = AIOKafkaAdminClient(**self._brokers.client)
            consumer = Consumer(**self._brokers.client)
            try:
                await admin.start()
                await consumer.start()
                while True:
                    self.newest = await inputs.ask(admin, consumer)
                    self._tell(self.newest)
                    await asyncio.sleep(INTERVAL_SECONDS)
            except (KafkaError, OSError) as error:
                log.warning("freshness_unknown", seldom=True, error=type(error).__name__)
                await asyncio.sleep(INTERVAL_SECONDS)
            finally:
                await consumer.stop()
                await admin.close()

    def _tell(self, answer: InputsApplied) -> None:
        """Say which input is held up, once, and when it goes on; measure for how long."""
        for tp in self._told - answer.held_up.keys():
            metrics.PROJECTION_HELD_UP_SECONDS.remove(tp.topic, tp.partition)
            log.info("input_goes_on", topic=tp.topic, partition=tp.partition)
        for tp, held_up in answer.held_up.items():
            seconds = round(max(0.0, answer.asked_at - held_up.since), 3)
            metrics.PROJECTION_HELD_UP_SECONDS.labels(tp.topic, tp.partition).set(seconds)
            if tp not in self._told:
                log.warning(
                    "input_held_up",
                    topic=tp.topic,
                    partition=tp.partition,
                    offset=held_up.offset,
                    seconds=seconds,
                    why="a transaction of its source is open",
                )
        self._told = set(answer.held_up)


class Freshness:
    """Marks positions with the instant up to which the input behind them is applied.

    `groups` names, for each topic that is followed, the groups that write it.
    """

    def __init__(self, brokers: Brokers, groups: Mapping[str, tuple[Group, ...]]) -> None:
        self._groups = groups
        self._watches = {
            group: Watch(brokers, group) for writers in groups.values() for group in writers
        }
        self._waited_for: dict[str, InputsApplied] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask Kafka as long as the context is open."""
        self._tasks = [asyncio.create_task(watch.run()) for watch in self._watches.values()]
        try:
            yield
        finally:
            await end(*self._tasks)

    def mark(self, positions: dict[TopicPartition, Position]) -> None:
        """Put into `positions` what is known of the worker by now.

        An answer counts once everything is here that was told before it was asked for. The newest
        answer is taken if it counts already, else the one that is waited for. Raise what ended a
        watch, if anything did: that is a bug, and codes would grow old in silence.
        """
        for task in self._tasks:
            if task.done():
                task.result()
        for topic, groups in self._groups.items():
            newest = _of_all([self._watches[group].newest for group in groups])
            for answer in (newest, self._waited_for.get(topic)):
                if answer is not None and _counts(answer, positions, topic):
                    positions.update(_marked(positions, answer, topic))
                    self._waited_for.pop(topic, None)
                    break
            if topic not in self._waited_for and newest is not None:
                self._waited_for[topic] = newest


def _counts(
    answer: InputsApplied, positions: Mapping[TopicPartition, Position], topic: str
) -> bool:
    return all(
        (position.as_of or 0.0) >= answer.asked_at
        for tp, position in positions.items()
        if tp.topic == topic
    )


def _marked(
    positions: Mapping[TopicPartition, Position], answer: InputsApplied, topic: str
) -> dict[TopicPartition, Position]:
    return {
        tp: replace(
            position, applied_until=max(answer.until[tp.partition], position.applied_until or 0.0)
        )
        for tp, position in positions.items()
        if tp.topic == topic and tp.partition in answer.until
    }
