"""Deliver fetched records to agents, a chunk per partition, instead of record by record."""

import asyncio
from collections import UserDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import faust
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import Message

from app.engine.membership import FENCED_INSTANCE_ID, MEMBER, same_id
from app.process.consumer import LogRecord, end_fetches
from app.process.gather import GATHER_SECONDS, gather
from app.process.producers import unawaited

CHUNK_RECORDS_MAX = 8_000
"""Records in one chunk, and in one fetch over all partitions."""

CHUNK_BYTES_MAX = 4 * 1024 * 1024
"""Bytes up to which waiting chunks join into one (app.engine.lanes). With `CHUNK_RECORDS_MAX` this
bounds the memory and the transaction of a chunk. One fetch of a partition is at most 1 MiB before
decompression."""

HELD_BACK_SECONDS = 0.02
"""How long a fetch waits for records of other partitions while some are held back."""

SEEK_SECONDS_MAX = 60.0
"""Asking the group for its offsets may take this long. After that the process ends, and a new one
begins again."""

LAST_COMMIT_SECONDS_MAX = 3.0
"""How long the end of a process waits for its last offsets to be committed."""


@dataclass(slots=True)
class Chunk:
    """Consecutive records of one topic partition, as fetched in one consumer-group generation.

    `size` are the bytes of all values. They are all that the log had to apply from offset `start`
    up to `end`; where that is not known, `start` is None.
    """

    topic: str
    partition: int
    generation: int
    records: list[LogRecord]
    start: int | None = None
    end: int | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(record.serialized_value_size for record in self.records)

    def joins(self, other: "Chunk") -> bool:
        """Take in the records of `other`, which came after it, if both fit; say whether they did.

        After a seek `other` may hold some of the same records, or be of another generation.
        """
        if (
            self.generation != other.generation
            or self.records[-1].offset >= other.records[0].offset
            or not fits([self, other])
        ):
            return False
        self.start = self.start if self.end is not None and self.end == other.start else None
        self.end = other.end
        self.records.extend(other.records)
        self.size += other.size
        return True


def fits(chunks: Sequence[Chunk]) -> bool:
    """Say whether chunks together are within the bounds of one."""
    return (
        sum(len(chunk.records) for chunk in chunks) <= CHUNK_RECORDS_MAX
        and sum(chunk.size for chunk in chunks) <= CHUNK_BYTES_MAX
    )


class Stretch(NamedTuple):
    """What was taken of one partition, with the `start` and `end` of its `Chunk`."""

    records: list[LogRecord]
    start: int | None
    end: int


class ChunkConsumerThread(AIOKafkaConsumerThread):
    """The thread of Faust's consumer: it reads what is committed, begins each fetch with another
    partition, and ends when it is told to.

    Faust has read_committed with its exactly_once only.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._starts: dict[TP, int] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        """Begin; let commits whose asker is gone fail without a word, and errors of the group end
        the worker."""
        await super().on_start()
        consumer, app = self._ensure_consumer(), cast(ChunkApp, self.consumer.app)
        hear_commits(consumer._coordinator)
        hear_errors(consumer._coordinator, app)
        gather(consumer, app.gather_seconds, app.goes_round)
        self._note_starts(consumer._fetcher)

    def _note_starts(self, fetcher: Any) -> None:
        """Note from where each fetch reads. What it brings goes on from there, or aiokafka drops
        it and keeps nothing."""
        fetch = fetcher._proc_fetch_request

        async def fetch_and_note(assignment: Any, node_id: int, request: Any) -> bool:
            found: bool = await fetch(assignment, node_id, request)
            for topic, partitions in request.topics:
                brought = ((TP(topic, number), at) for number, at, _ in partitions)
                self._starts.update((tp, at) for tp, at in brought if tp in fetcher._records)
            return found

        fetcher._proc_fetch_request = fetch_and_note

    async def on_thread_stop(self) -> None:
        """End the fetches first (`app.process.consumer`); leave the group if the worker will not
        come back.

        A `CancelledError` of theirs ended this thread before it said so, and Faust waited for it
        until the process was killed.
        """
        if self._consumer is not None:
            await end_fetches(self._consumer)
            coordinator = self._consumer._coordinator
            if coordinator is not None and not cast(ChunkApp, self.consumer.app).comes_back():
                coordinator._group_instance_id = None  # with one, aiokafka leaves no group
        await super().on_thread_stop()

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        """Begin with another partition each time, and leave out what is held back.

        aiokafka empties what it holds of one partition before it goes to the next. Then a backlog
        of one topic delays all others, and chunks of one partition, which take turns, follow one
        another. What is held back stays with the broker, or where it is.
        """
        if held_back := cast(ChunkApp, self.consumer.app).held_back():
            active_partitions = active_partitions - held_back
            timeout = HELD_BACK_SECONDS
        if not active_partitions:  # aiokafka takes none for all
            await asyncio.sleep(HELD_BACK_SECONDS)
            return {}
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        held, found = consumer._fetcher._records, dict[TP, Stretch]()
        for tp, records in fetched.items():
            end = consumer._subscription.subscription.assignment.state_value(tp).position
            found[tp] = Stretch(records, self._starts.pop(tp, None), end)
            if tp in held:
                held[tp], self._starts[tp] = held.pop(tp), end
        return found


def hear_commits(coordinator: Any) -> None:
    """Hear how each commit of a coordinator ends, whoever asked for it.

    aiokafka shields a commit from the cancellation of its asker, and then nobody asks how it ended.
    Python would log a refusal as an exception that was never retrieved.
    """
    commit = coordinator._do_commit_offsets

    def heard(*what: Any) -> "asyncio.Task[None]":
        task = asyncio.create_task(commit(*what))
        unawaited(task)
        return task

    coordinator._do_commit_offsets = heard


def hear_errors(coordinator: Any, app: "ChunkApp") -> None:
    """End the worker where a coordinator cannot go on, or where its place is another's.

    aiokafka keeps an error for whoever fetches next. Faust does not ask for it, and fetches nothing
    during a rebalance: the worker would live on without a group, and say nothing.
    """
    send, keep = coordinator._send_req, coordinator._push_error_to_user

    async def send_and_look(request: Any) -> Any:
        answer = await send(request)
        if getattr(answer, "error_code", 0) == FENCED_INSTANCE_ID:
            app.on_failure(same_id(app.conf.datadir / MEMBER))
        return answer

    def tell_and_keep(error: BaseException) -> Any:
        app.on_failure(error)
        return keep(error)

    def ended(task: "asyncio.Task[None]") -> None:
        if not coordinator._closing.done():
            error = None if task.cancelled() else task.exception()
            app.on_failure(error or RuntimeError("what keeps the worker in its group has ended"))

    coordinator._send_req = send_and_look
    coordinator._push_error_to_user = tell_and_keep
    coordinator._coordination_task.add_done_callback(ended)


class ChunkConsumer(Consumer):
    """A Faust consumer whose messages are chunks: `value` is the `Chunk`, `offset` its last.

    The chunks of a topic partition are processed one at a time, in order. What is committed is how
    far they were applied. So nothing is kept of what was acked, and of the gaps between: Faust's
    search for those never sees the offsets that transaction markers take.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoOffsets()

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to what was not applied yet; where no table knows that yet, to the committed offset,
        or to the beginning if nothing was committed.

        aiokafka leaves a partition without a committed offset where it is. What was fetched from it
        and dropped would be skipped.
        """
        # Faust silently gives up a longer seek, and then no rebalance makes it go on.
        try:
            async with asyncio.timeout(SEEK_SECONDS_MAX):
                committed = await super().seek_to_committed()
        except TimeoutError:
            raise RuntimeError(
                f"the broker did not say within {SEEK_SECONDS_MAX:g} s what the group has committed"
            ) from None
        for tp, at in committed.items():
            # Nothing may be left of a commit that failed in the rebalance: Faust takes it for done.
            self._committed_offset[tp] = at or None
        unread = cast(ChunkApp, self.app).unread()
        # To 0 and not "to the beginning", which waits for an answer of each partition's leader. If
        # 0 is gone already, the reset to the earliest comes with the fetch.
        places = {tp: unread.get(tp, 0) for tp, at in committed.items() if tp in unread or not at}
        await self.go_to(places)
        return {tp: at for tp, at in self._committed_offset.items() if at is not None}

    async def go_to(self, places: Mapping[TP, int]) -> None:
        """Go on at an offset of each partition, or at the first that is kept after it. A partition
        that a rebalance has taken away is left out."""
        if places:
            with suppress(IllegalStateError):
                await self._thread.seek_wait(places)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit how far each input was applied, where the group has something else (`app.topics`).

        What was acked does not tell. Where a predecessor applied a record and died before it
        committed its offset, nothing is left to be acked. And Faust takes a commit for done that
        failed. Without another record such a partition would be behind for ever, and its codes old.
        """
        assignment = self.assignment()
        places = {
            tp: at
            for tp, at in cast(ChunkApp, self.app).unread().items()
            if tp in assignment and at != (self._committed_offset[tp] or 0)
        }
        if not places or not await self._thread.commit(places):
            return False
        self._committed_offset.update(places)
        return True

    def ack(self, message: Message) -> bool:
        """Keep nothing of it: see `force_commit`."""
        message.acked = True
        return True

    async def on_stop(self) -> None:
        """Commit what was applied, if the consumer's thread is there to do it.

        After a crash that thread answers no more, and Faust would wait for it for ever. What is not
        committed comes again, and is skipped by its offset.
        """
        if not self.crashed:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_COMMIT_SECONDS_MAX):
                    await super().on_stop()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch once; yield one message per partition."""
        fetched, active = await self._wait_next_records(timeout)
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:  # a rebalance began meanwhile: what was fetched comes again
            # Another rebalance takes one partition away during the seek, or all (aiokafka asserts
            # that some are left). Faust seeks again after that (faust-streaming/faust#54).
            with suppress(IllegalStateError, AssertionError):
                if fetched:
                    await self.perform_seek()
            return
        generation = self.app.consumer_generation_id
        for tp, batch in cast(dict[TP, Stretch], fetched).items():
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                yield tp, self._chunk_message(tp, batch, generation)

    def _chunk_message(self, tp: TP, fetched: Stretch, generation: int) -> Message:
        message = self._to_message(tp, fetched.records[-1])
        message.key = None
        message.headers = None
        message.value = Chunk(tp.topic, tp.partition, generation, *fetched)  # type: ignore[assignment]
        return message

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no gaps; see the class."""


class _NoOffsets(UserDict[TP, int | None]):
    """Forgets what was read of each partition. Faust drops in silence what lies before that: after
    a seek back all would be lost, if a message was on its way when the seek came. The applied
    offset tells what came before."""

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Keep nothing."""

    def __delitem__(self, tp: TP) -> None:
        """Nothing is kept; Faust forgets what is revoked."""

    def __missing__(self, tp: TP) -> None:
        return None


class ChunkTransport(Transport):
    """The aiokafka transport with `ChunkConsumer`."""

    Consumer = ChunkConsumer


class ChunkApp(faust.App):
    """A Faust app whose agents get chunks.

    `held_back` names the partitions that should be fetched no further now; `comes_back` says, when
    it ends, whether the worker keeps its place in the group. The consumer's thread asks both.
    `unread` gives of partitions that are held the first offset that was not applied. `on_failure`
    ends the process; any thread may call it. `goes_round` are the topics by which what an input
    brought comes back to it: they are fetched in turn with the inputs, so that each goes round
    together. `gather_seconds` is how long what comes is gathered (app.process.gather).
    """

    held_back: Callable[[], Set[TP]] = staticmethod(frozenset)
    comes_back: Callable[[], bool] = staticmethod(lambda: True)
    unread: Callable[[], Mapping[TP, int]] = staticmethod(dict)
    on_failure: Callable[[BaseException], None]
    goes_round: Set[str] = frozenset()
    gather_seconds: float = GATHER_SECONDS

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)
