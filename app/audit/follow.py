"""The one process that takes the topic's records into the tree, in their order, and signs its head.

It waits while Kafka is away or the disk takes nothing; the lines lie on the topic meanwhile, and
nobody who writes one waits for this process. It stops taking them, and says why, where the topic
does not go on from what is in the tree: it was made again, or records were deleted unread. What
then stands in the log nobody but an operator may decide (`yuekang audit resume`).
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from app.audit.checkpoints import CheckpointError, NoteSigner, NoteVerifier, read_checkpoint
from app.audit.entries import AUDIT, Act, audit_entry, audit_record, leaf_of
from app.audit.merkle import leaf_hash
from app.audit.tiles import Head, TileFolder, TilesDamagedError, Tree
from app.process import metrics
from app.process.consumer import Consumer, LogRecord
from app.process.kafka import Brokers
from app.process.producers import close

PARTITION = TopicPartition(AUDIT, 0)

SIGN_SECONDS = 1.0
"""The least time from one checkpoint to the next: a flood of lines costs a few files a second."""

RECORDS_MAX = 500
"""Records between two checkpoints. With `LEAF_BYTES_MAX` this bounds the memory, to 32 MB."""

LOOK_MS = 500
AGAIN_SECONDS = 1.0
LATE_SECONDS = 10.0
"""A line that waits longer for the tree makes the process unready."""

BY = "/yuekang"

log = structlog.get_logger()


class TopicMismatchError(Exception):
    """The topic does not go on from what is in the tree; the message says what to do."""


class AuditLog:
    """Keeps the tree in `files` until it is stopped. `former` keys may have signed it before."""

    def __init__(
        self,
        brokers: Brokers,
        files: TileFolder,
        signer: NoteSigner,
        former: Sequence[NoteVerifier] = (),
    ) -> None:
        self._brokers = brokers
        self._files = files
        self._signer = signer
        self._former = former
        self._trouble = "The topic was not read yet."
        self._task: asyncio.Task[None] | None = None

    def reasons(self) -> list[str]:
        """Say why lines do not get into the tree; nothing if they do."""
        return [self._trouble] if self._trouble else []

    def stop(self) -> None:
        """End `run`."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Follow the topic until `stop`."""
        self._task = asyncio.create_task(self._run())
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                head, tree = self._load()
                await self._follow(head, tree)
            except (TopicMismatchError, TilesDamagedError, CheckpointError) as error:
                # Nothing may be added to such a tree, nor signed. It may be put back meanwhile.
                self._say(str(error))
            except (KafkaError, TimeoutError) as error:
                self._say(await self._brokers.told(error))
            except OSError as error:
                # What was half written is written again, with the same bytes.
                self._say(f"The tree cannot be written: {error.strerror or error}.")
            await asyncio.sleep(AGAIN_SECONDS)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("audit_log_stands", why=trouble)
        self._trouble = trouble

    def _load(self) -> tuple[Head, Tree]:
        """Return where the log stands; it must be what was signed of it."""
        head = self._files.head()
        tree = Tree(self._files, head.size)
        if (note := self._files.checkpoint()) is None:
            return head, tree
        found = read_checkpoint(note, [self._signer.verifier, *self._former])
        # Also where the tree has more: what is signed next must have grown from this.
        if found.size > head.size or Tree(self._files, found.size).root() != found.root:
            raise TilesDamagedError(
                f"The tree in {self._files.folder} is not the one whose checkpoint was signed over "
                f"{found.size} entries. `yuekang audit verify` says what differs; put back a copy."
            )
        return head, tree

    async def _follow(self, head: Head, tree: Tree) -> None:
        consumer = topic_consumer(self._brokers)
        try:
            await consumer.start()
            consumer.assign([PARTITION])
            consumer.seek(PARTITION, head.offset)
            await check_continues(consumer, head, tree)
            consumer.seek(PARTITION, head.offset)
            await self._tell_key()
            self._publish(tree)
            while True:
                head = await self._take(consumer, head, tree)
        finally:
            await consumer.stop()

    async def _take(self, consumer: Consumer, head: Head, tree: Tree) -> Head:
        """Take what one look brings into the tree; return where the log then stands."""
        begun = time.monotonic()
        fetched = await consumer.getmany(timeout_ms=LOOK_MS, max_records=RECORDS_MAX)
        records: Sequence[LogRecord] = fetched.get(PARTITION, ())
        if not records:
            self._trouble = ""
            return head
        waited = time.time() - records[0].timestamp / 1_000
        # In a thread: a slow disk must not hold up /livez.
        offset = records[-1].offset + 1
        head = await asyncio.to_thread(self._grow, tree, head, records, offset)
        caught_up = consumer.highwater(PARTITION) in (None, offset)
        self._trouble = (
            "" if caught_up or waited < LATE_SECONDS else f"Lines wait for {waited:.0f} s."
        )
        await asyncio.sleep(max(0.0, SIGN_SECONDS - (time.monotonic() - begun)))
        return head

    def _grow(self, tree: Tree, head: Head, records: Sequence[LogRecord], offset: int) -> Head:
        tree.append([leaf_of(record.value) for record in records])
        head = Head(tree.size, offset, head.topic_from)
        self._files.write_head(head)
        self._publish(tree)
        return head

    def _publish(self, tree: Tree) -> None:
        self._files.write_checkpoint(self._signer.sign(tree.size, tree.root()))
        tree.drop_partial()
        metrics.AUDIT_LOG_ENTRIES.set(tree.size)

    async def _tell_key(self) -> None:
        """Write a line if another key signed the newest checkpoint."""
        if (note := self._files.checkpoint()) is None:
            return
        signed_by = read_checkpoint(note, [self._signer.verifier, *self._former]).key_id
        own = self._signer.verifier
        if signed_by != own.key_id:
            details = {"former": signed_by.hex()}
            entry = audit_entry(datetime.now(UTC), BY, Act.KEY_CHANGED, str(own), "", details)
            record = audit_record(entry)
            producer = AIOKafkaProducer(**self._brokers.client, acks="all")
            try:
                await producer.start()
                await producer.send_and_wait(record.topic, record.value)
            finally:
                await close(producer)


def topic_consumer(brokers: Brokers) -> Consumer:
    """Return a consumer of the topic, which nothing but `seek` moves."""
    return Consumer(
        **brokers.client,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )


async def check_continues(consumer: Consumer, head: Head, tree: Tree) -> None:
    """Raise `TopicMismatchError` unless the topic goes on from the last record in the tree."""
    [begin] = (await consumer.beginning_offsets([PARTITION])).values()
    [last] = (await consumer.end_offsets([PARTITION])).values()
    if begin > head.offset:
        raise _mismatch(f"its records {head.offset} to {begin - 1} were deleted unread")
    if last < head.offset:
        raise _mismatch(f"it ends at {last}, and {head.offset} records of it are in the tree")
    if head.size > head.topic_from and begin < head.offset:
        consumer.seek(PARTITION, head.offset - 1)
        fetched = await consumer.getmany(timeout_ms=LOOK_MS, max_records=1)
        for record in fetched.get(PARTITION, ()):
            # Of a transaction there may be a mark at this offset, and no record.
            same = leaf_hash(leaf_of(record.value)) == tree.last_leaf()
            if record.offset == head.offset - 1 and not same:
                raise _mismatch(f"its record {record.offset} is not the last one in the tree")


def _mismatch(why: str) -> TopicMismatchError:
    return TopicMismatchError(
        f"The topic {AUDIT} does not go on from the tree: {why}. Nothing is taken in until "
        "`yuekang audit resume` says why that is so."
    )
