"""Bound the poison: park a source that sends too much of it.

What is valid and lies in another partition than its own is no poison: it is forwarded there, in the
transaction of its chunk, so exactly once.

The tally of a topic partition (models.parking) is a row of its table, written in the transaction of
the chunk that changed it. So it is the same after a restart, a rebalance or a kill.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog

from agents.dead_letters import DeadLetters
from agents.instants import instant
from app.engine.store import TALLY
from app.engine.transaction import Output, Records, Transaction
from app.process import metrics
from app.process.consumer import LogRecord
from app.process.macs import MAC
from app.topics.authentic import NotAuthentic, SourceKeys
from app.topics.catalogue import Topic, partition_of
from app.topics.codec import Code, Refusal, decode
from app.topics.openings import CountedMark, counted_mark
from app.topics.records import structured
from app.topics.submissions import as_they_came
from app.topology import TableApp
from models.checks import Fault
from models.events import Event
from models.parking import Tally, Verdict

log = structlog.get_logger()

FORWARDED_FROM = "yk_forwarded_from"
"""Header of a record that was forwarded to its own partition: where it lay. It is never forwarded
again."""

_MAKE_IT = (
    "Send events to the gateway, which makes it, or make it with the key of your source: "
    "`yuekang mac-key` has it, docs/kafka.md tells how."
)

GAUGE_INTERVAL_SECONDS = 1.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tally).decode


def register(app: TableApp) -> None:
    """Add the timer that says how many sources are parked."""

    @app.timer(interval=GAUGE_INTERVAL_SECONDS)  # type: ignore[untyped-decorator]
    async def count_parked() -> None:
        for topic in app.topics_read():
            live = [
                partition
                for table in app.tables_of(topic)
                for partition in table.held.values()
                if partition.ready
            ]
            metrics.WORKER_SOURCES_PARKED.labels(topic.name).set(
                sum(
                    len(tally_of(Transaction(partition.store), topic.name).parked)
                    for partition in live
                )
            )


def tally_of(transaction: Transaction, topic: str) -> Tally:
    """Return the tally of `topic` in the partition of `transaction`."""
    stored = transaction.get(TALLY + topic.encode())
    return Tally() if stored is None else _decode(stored)


def write_tally(transaction: Transaction, topic: str, tally: Tally) -> None:
    """Write the tally if it changed; write nothing before anything was counted."""
    key = TALLY + topic.encode()
    stored, row = transaction.get(key), _encode(tally)
    if row != stored and (tally or stored is not None):
        transaction.put(key, row)


class Taken(NamedTuple):
    """A record to fold: its event, and when that first arrived.

    What comes back counted has its `mark` (app.topics.openings). It has no event where nothing is
    left to fold, since it is held, or refused now.
    """

    event: Event | None
    arrived_at: datetime
    mark: CountedMark | None
    record: LogRecord


class Poison:
    """Counts the records of one chunk, and writes what is refused or put aside.

    Valid records are of no interest, and nothing is counted or parked, until one is refused.
    """

    def __init__(
        self, transaction: Transaction, topic: Topic, dead_letters: DeadLetters, keys: SourceKeys
    ) -> None:
        self._transaction = transaction
        self._topic = topic
        self._dead_letters = dead_letters
        self._keys = keys
        self._tally = tally_of(transaction, topic.name)
        self._watching = bool(self._tally)

    def accepted(
        self, records: Records, known: Callable[[Event], bool] | None = None
    ) -> Iterator[Taken]:
        """Yield each record to fold. Refuse the others, put them aside, or forward them.

        What comes back with a mark was taken when it first came: it is not counted of its source
        again.

        `known` says whether somebody was heard of before. If not, the record may lie in another
        partition than its own: a producer with another partitioner than Kafka's default would split
        a person in two. It is enough to look the first time, since nobody gets a row elsewhere.
        """
        for record in as_they_came(records, self._keys):
            arrived_at = instant(record.timestamp)
            if (reason := self._tally.left_aside.pop(record.offset, None)) is not None:
                if (mark := self._leave_aside(record, reason)) is not None:
                    yield Taken(None, arrived_at, mark, record)
                continue
            try:
                author = self._keys.author(record)
            except NotAuthentic as error:
                self._refuse_unknown(record, error)
                continue
            headers = record.headers
            if (mark := counted_mark(record, author, self._keys)) is not None:
                # The mark is the last, and a worker's own: with it decoding goes the long way.
                headers, arrived_at = headers[:-1], instant(mark.arrived)
                if record.value is None:
                    yield Taken(None, arrived_at, mark, record)
                    continue
            try:
                event = decode(record.value, record.key, headers, self._topic, arrived_at)
                check_author(event.source, author)
                right = record.partition
                if known is not None and not known(event):
                    right = _right_partition(record, self._topic)
            except Refusal as refusal:
                self._refuse(record, refusal, author, counts=mark is None)
                if mark is not None:
                    yield Taken(None, arrived_at, mark, record)
                continue
            if self._watching and mark is None and self._parks(record, event.source):
                continue
            if right != record.partition:
                self._forward(record, event, right)
                continue
            yield Taken(event, arrived_at, mark, record)

    def _refuse_unknown(self, record: LogRecord, error: NotAuthentic) -> None:
        """Write a record to dead-letters whose author nobody knows. It counts against
        nobody: else a stranger could have a source parked."""
        refusal = Refusal(Code.NOT_AUTHENTIC, f"{error} {_MAKE_IT}")
        self._dead_letters.refuse(self._transaction, record, refusal)

    def _refuse(self, record: LogRecord, refusal: Refusal, author: str, *, counts: bool) -> None:
        """Write a refused record of `author` to dead-letters, or to parked; `counts` against it."""
        refusal.source = author
        if author in self._tally.parked:
            self._dead_letters.park(self._transaction, record, author, refusal)
        else:
            self._dead_letters.refuse(self._transaction, record, refusal)
        if counts:
            self._watching = True
            self._count(record, author, True)

    def _leave_aside(self, record: LogRecord, reason: str) -> CountedMark | None:
        """Write a record to dead-letters that an operator leaves aside; return its mark."""
        mark = None
        refusal = Refusal(Code.LEFT_ASIDE, f"An operator leaves it aside: {reason}")
        with suppress(NotAuthentic):
            refusal.source = self._keys.author(record)
            mark = counted_mark(record, refusal.source, self._keys)
        self._dead_letters.refuse(self._transaction, record, refusal)
        return mark

    def _parks(self, record: LogRecord, source: str) -> bool:
        """Say whether a valid record is of a parked source; if so, it is put aside."""
        parked = source in self._tally.parked
        if parked:
            self._dead_letters.park(self._transaction, record, source)
        self._count(record, source, False)
        return parked

    def _forward(self, record: LogRecord, event: Event, right: int) -> None:
        """Write an event again in its own partition, and tell its source. It is valid: only where
        it lay was wrong."""
        again = self._keys.signed(structured(event), event.source)
        origin = f"{record.topic}/{record.partition}/{record.offset}".encode()
        headers = (*again.headers, (FORWARDED_FROM, origin))
        self._transaction.emit(Output(again.topic, again.key, again.value, headers, right))
        self._dead_letters.misplaced(self._transaction, record, event, right)

    def write(self) -> None:
        """Write the tally, if it changed."""
        if self._watching:
            write_tally(self._transaction, self._topic.name, self._tally)

    def _count(self, record: LogRecord, source: str, invalid: bool) -> None:
        verdict = self._tally.add(source, invalid, record.offset)
        if verdict is Verdict.NOTHING:
            return
        where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        if verdict is Verdict.PARKED:
            log.error("source_parked", **where, source=source)
        else:
            log.error("source_not_parked_too_many", **where, source=source)
            self._transaction.count(metrics.WORKER_SOURCES_NOT_PARKED.labels(record.topic))


def check_author(source: str, author: str) -> None:
    """Raise `Refusal` for an event in the name of another `source` than its author's."""
    if source != author:
        raise Refusal(
            Code.NOT_AUTHENTIC,
            f"Its header {MAC} was made with the key of {author}, which speaks for that source "
            f"alone, and not for {source}.",
            author,
            (Fault("source", f"it must be {author}."),),
        )


def _right_partition(record: LogRecord, topic: Topic) -> int:
    """Return the partition that a record belongs to; raise `Refusal` for a forwarded one that is
    elsewhere all the same, which must not go round and round."""
    assert record.key is not None
    right = partition_of(record.key, topic.partitions)
    if right != record.partition and any(name == FORWARDED_FROM for name, _ in record.headers):
        raise Refusal(
            Code.WRONG_PARTITION,
            f"The key belongs to partition {right}, not {record.partition}, and it was forwarded "
            "before.",
        )
    return right
