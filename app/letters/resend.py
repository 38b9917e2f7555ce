"""Send letters again, each at most once, whatever is killed.

1. fence: the transactional producer is initialised under its one fixed name. The broker finishes
   or aborts what a predecessor left open, and refuses what that one still tries to write;
2. read: the marks on `resent`, to the end. Nobody else can add to them any more;
3. send: the records without a mark, each with its mark, some hundreds in one transaction.

If a run is killed before the end of a transaction, neither record nor mark is there; after it both
are. So the next run begins where this one ended. The worker reads only what is committed, so it
waits while a killed run's transaction is open: at most for `TRANSACTION_MS_MAX` and until the
broker next looks.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from app.letters.marks import RESENT, mark_of, marks_of
from app.letters.mend import NotSentError, Sending, mend
from app.process.kafka import Brokers
from app.process.producers import TransactionalProducer, unawaited
from app.topics.authentic import SourceKeys
from app.topics.catalogue import APPLICATION, CATALOGUE, group_of
from app.topics.letters import Letter, LetterFilter, NotOpenedError, letter_in, opened
from app.topics.openings import decode_opening
from app.topics.reading import Reader, reading
from app.topics.records import KafkaPlace

TRANSACTIONAL_ID = f"{group_of(APPLICATION)}-resend"
TRANSACTION_MS_MAX = 10_000

BATCH_LETTERS_MAX = 500
BATCH_BYTES_MAX = 4 * 1024 * 1024
"""The bytes in one transaction; the last letter may exceed them."""

REQUEST_BYTES_MAX = 1024 * 1024
"""The largest request, as the topics of events take it. The producer refuses a larger one before
anything of its transaction is sent."""


class ResendJob(Struct, frozen=True):
    """What to send again: one letter, or all that a filter takes."""

    topic: str
    place: KafkaPlace | None
    wanted: LetterFilter
    replacement: bytes | None = None
    force: bool = False
    dry_run: bool = False
    private_key: bytes = b""
    """Opens what is sealed; without it a sealed letter is not sent, unless it is replaced."""
    arrived_by: int | None = None
    """Of what is held, only what first arrived by then (ms since 1970): so far it is approved."""

    def takes(self, letter: Letter) -> bool:
        """Say whether a letter is to be sent."""
        if not self.wanted.takes(letter):
            return False
        return (
            self.arrived_by is None
            or decode_opening(letter.value or b"").arrived <= self.arrived_by
        )


class ResendOutcome(Struct):
    """How many letters there were, of each kind."""

    sent: int = 0
    sent_before: int = 0
    not_sent: int = 0


class Watcher(Struct, frozen=True):
    """Who is told of each letter that is (or would be) sent, of each that is not, of progress."""

    sent: Callable[[Letter, Sending], None]
    not_sent: Callable[[Letter, str], None]
    read: Callable[[int], None]


Parked = Callable[[Letter], bool]
"""Says whether a letter's source is still parked."""


async def resend(
    brokers: Brokers, keys: SourceKeys, job: ResendJob, parked: Parked, watcher: Watcher
) -> ResendOutcome:
    """Send again; return what came of it. A dry run only reads, and does not fence another run.

    May raise a `KafkaError`. The letters of the failed transaction are then not sent; or, if only
    the broker's last answer was lost, they are sent and marked. Running it again is always right.
    """
    outcome = ResendOutcome()
    async with (
        _producer(brokers, job.dry_run) as producer,
        reading(brokers, job.topic, CATALOGUE.topics[job.topic].partitions) as reader,
    ):
        marks = await marks_of(brokers, job.topic, reader.ranges)
        async for letters in _batches(reader, job):
            sendings: list[tuple[Letter, Sending]] = []
            for letter in letters:
                if letter.place in marks:
                    outcome.sent_before += 1
                    continue
                try:
                    sendings.append((letter, _sending(letter, keys, job, parked)))
                except NotSentError as error:
                    outcome.not_sent += 1
                    watcher.not_sent(letter, str(error))
            if producer is not None and sendings:
                await _send(producer, sendings)
            for letter, sending in sendings:
                outcome.sent += 1
                watcher.sent(letter, sending)
            watcher.read(len(letters))
    return outcome


def _sending(letter: Letter, keys: SourceKeys, job: ResendJob, parked: Parked) -> Sending:
    if parked(letter) and not job.force:
        raise NotSentError(
            f"{letter.source} is still parked, so this would be put aside again. Release it first "
            f"(yuekang parked release {letter.source})."
        )
    if job.private_key and job.replacement is None:
        try:
            letter = opened(letter, job.private_key)
        except NotOpenedError as error:
            raise NotSentError(str(error)) from None
    return mend(letter, keys, datetime.now(UTC), job.replacement, job.force)


async def _batches(reader: Reader, job: ResendJob) -> AsyncIterator[list[Letter]]:
    """Yield the letters of `job`, in lists for one transaction each."""
    if job.place is not None:
        record = await reader.one(job.place.partition, job.place.offset)
        yield [] if record is None else [letter_in(record)]
        return
    batch: list[Letter] = []
    size = 0
    async for record in reader.records(job.wanted.since):
        letter = letter_in(record)
        if job.takes(letter):
            batch.append(letter)
            size += len(letter.value or b"")
        if len(batch) >= BATCH_LETTERS_MAX or size >= BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    yield batch


@asynccontextmanager
async def _producer(brokers: Brokers, dry_run: bool) -> AsyncIterator[TransactionalProducer | None]:
    if dry_run:
        yield None
        return
    producer = TransactionalProducer(
        **brokers.client,
        transactional_id=TRANSACTIONAL_ID,
        transaction_timeout_ms=TRANSACTION_MS_MAX,
        acks="all",
        max_request_size=REQUEST_BYTES_MAX,
    )
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


async def _send(
    producer: TransactionalProducer, sendings: Sequence[tuple[Letter, Sending]]
) -> None:
    """Send the records and their marks in one transaction."""
    async with producer.transaction():
        confirmed = []
        for letter, sending in sendings:
            for record in (sending, _mark(letter, sending)):
                delivery = await producer.send(
                    record.topic,
                    record.value,
                    record.key,
                    record.partition,
                    headers=list(record.headers),
                )
                unawaited(delivery)
                confirmed.append(delivery)
        for delivery in confirmed:
            await delivery


def _mark(letter: Letter, sending: Sending) -> Sending:
    """Return the record that says that a letter was sent, and where to."""
    value = msgspec.json.encode({"topic": sending.topic, "partition": sending.partition})
    return Sending(RESENT, letter.place.partition, mark_of(letter.place), value, ())
