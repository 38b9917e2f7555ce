"""Count what may open a reason for red, per source and reason; hold what is above the limit.

A record of openings goes back to the input that it came by, marked as counted. Or it goes to held:
its source is told, and the mark goes back alone, so that no code waits for it. Either is one
transaction with the row that counts it; so whatever is killed, one of them happens, once. All that
a source sends lies in one partition of openings, and is counted in that order by when it first
came. A replay of that log decides the same.

Redelivery changes nothing, since the table knows how far openings was applied. What was held and
comes again goes on if two operators have approved it, and is not counted; else it is held again.
"""

from collections.abc import Iterator

import msgspec
import structlog

from agents.agent import add_agent
from agents.dead_letters import DeadLetters
from agents.instants import instant
from agents.poison import GAUGE_INTERVAL_SECONDS, tally_of, write_tally
from app.engine.store import HELD_NOW
from app.engine.transaction import Fold, Output, Records, Transaction
from app.process import metrics
from app.process.consumer import LogRecord
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, OPENINGS
from app.topics.codec import Code, Refusal
from app.topics.openings import (
    RESENT_FROM,
    Opening,
    as_counted,
    as_held,
    decode_opening,
    encode_opening,
    of_source,
    opening_of,
    openings_partition,
)
from app.topics.records import Record
from app.topology import YuekangApp
from models.codes import Reason
from models.events import StatusEvent
from models.operators import OpeningsApprovedData
from models.quotas import Quota, above_limit, limit_of, milliseconds

TOPIC = CATALOGUE.topics[OPENINGS]

NOT_OURS = "Only workers write here, and no worker has made this."

log = structlog.get_logger()

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Quota).decode
_decode_now = msgspec.msgpack.Decoder(dict[int, int]).decode
_decode_event = msgspec.json.Decoder(StatusEvent).decode


def register(app: YuekangApp, dead_letters: DeadLetters, keys: SourceKeys) -> None:
    """Add the agent that counts, and the timer that says how much is held."""
    add_agent(app, "count-openings", TOPIC, app.quotas, chunk_count(dead_letters, keys))

    @app.timer(interval=GAUGE_INTERVAL_SECONDS)  # type: ignore[untyped-decorator]
    async def count_held() -> None:
        live = [partition for partition in app.quotas.held.values() if partition.ready]
        counts = [held_now(Transaction(partition.store)) for partition in live]
        for reason in Reason:
            held_here = sum(of.get(reason, 0) for of in counts)
            metrics.WORKER_OPENINGS_HELD.labels(reason.slug).set(held_here)


def send_to_be_counted(
    transaction: Transaction, record: LogRecord, event: StatusEvent, reason: Reason
) -> None:
    """Write an event that may open `reason` to openings, in the partition of its source."""
    value = encode_opening(opening_of(record, event, reason))
    partition = openings_partition(event.source)
    transaction.emit(Output(OPENINGS, event.source.encode(), value, (), partition))


def chunk_count(dead_letters: DeadLetters, keys: SourceKeys) -> Fold:
    """Return the fold for records of openings."""

    def count(transaction: Transaction, records: Records) -> Iterator[None]:
        quotas = Quotas(transaction, dead_letters, keys)
        tally = tally_of(transaction, OPENINGS)
        for record in records:
            yield
            left_aside = tally.left_aside.pop(record.offset, None)
            if not keys.is_ours(record):
                refusal = Refusal(Code.NOT_AUTHENTIC, NOT_OURS)
                dead_letters.refuse(transaction, record, refusal)
            elif left_aside is not None:
                try:
                    quotas.leave_aside(record, left_aside)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:  # it cannot be held
                    why = f"An operator leaves it aside: {left_aside} ({error})"
                    dead_letters.refuse(transaction, record, Refusal(Code.LEFT_ASIDE, why))
            else:
                quotas.take(record)
        yield from quotas.write()
        write_tally(transaction, OPENINGS, tally)

    return count


def approve(
    transaction: Transaction, data: OpeningsApprovedData, by: str, approved_at: int
) -> None:
    """Note that the operator `by` approves, at `approved_at` by the log (ms since 1970), what is
    held. Nobody approves what has not come by then."""
    row = QuotaRows(transaction)
    key = quota_key(data.source, data.reason)
    quota = row.of(key)
    before = quota.approved_until
    alone = set(quota.approvals) == {by}
    quota.approve(by, min(milliseconds(data.until), approved_at), data.subject)
    row.changed(key)
    where = {"source": data.source, "reason": data.reason, "by": by}
    if alone:
        log.warning("approval_needs_another_operator", **where)
    elif (quota.approved_until or 0) <= (before or 0):
        log.warning("approval_noted", **where)
    else:
        log.warning("openings_approved", **where)
    for _ in row.write():
        pass


def quota_key(source: str, reason: str) -> bytes:
    """Return the key of a row; `reason` is its slug."""
    return f"{source} {reason}".encode()


def held_now(transaction: Transaction) -> dict[int, int]:
    """Return how many openings of each reason are held in a partition of the table."""
    stored = transaction.get(HELD_NOW)
    return {} if stored is None else _decode_now(stored)


def _was_held(record: LogRecord) -> bool:
    return any(name == RESENT_FROM for name, _ in record.headers)


class QuotaRows:
    """The rows that one chunk touches, decoded once and written once."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._rows: dict[bytes, Quota] = {}
        self._changed: set[bytes] = set()

    def of(self, key: bytes) -> Quota:
        """Return the row at `key`."""
        if key not in self._rows:
            stored = self._transaction.get(key)
            self._rows[key] = Quota() if stored is None else _decode(stored)
        return self._rows[key]

    def changed(self, key: bytes) -> None:
        """Write the row at `key` in the end."""
        self._changed.add(key)

    def write(self) -> Iterator[None]:
        """Write what changed; yield between rows."""
        for key in sorted(self._changed):
            yield
            self._transaction.put(key, _encode(self._rows[key]))


class Quotas:
    """Counts the records of one chunk, and lets each go on, or holds it."""

    def __init__(
        self, transaction: Transaction, dead_letters: DeadLetters, keys: SourceKeys
    ) -> None:
        self._transaction = transaction
        self._dead_letters = dead_letters
        self._keys = keys
        self._rows = QuotaRows(transaction)
        self._now = held_now(transaction)
        self._was = dict(self._now)

    def take(self, record: LogRecord) -> None:
        """Let a record go on, or hold it. Raise `msgspec.DecodeError` for one that no worker of
        this release can have written."""
        opening, source, quota = self._read(record)
        if _was_held(record):
            self._take_again(record, opening, source, quota)
            return
        limit = limit_of(source, opening.reason, instant(opening.arrived))
        within = quota.count(opening.arrived, limit)
        if within or quota.approved(opening.arrived):
            self._go_on(opening, source, opening.arrived)
            return
        event = _decode_event(opening.event)
        notice = above_limit(event, opening.reason, limit)
        self._hold(record, opening, notice.detail)
        self._dead_letters.notify(self._transaction, opening.person.encode(), notice, opening)

    def leave_aside(self, record: LogRecord, why: str) -> None:
        """Hold a record that an operator leaves aside, so that nothing is lost.

        Raise `msgspec.DecodeError` for one that cannot be read.
        """
        opening, _, _ = self._read(record)
        if _was_held(record):
            self._count_held(opening, -1)
        self._hold(record, opening, f"An operator leaves it aside: {why}")

    def write(self) -> Iterator[None]:
        """Write the rows that changed, and how much is held; yield between rows."""
        yield from self._rows.write()
        if self._now != self._was:
            self._transaction.put(HELD_NOW, _encode(self._now))

    def _read(self, record: LogRecord) -> tuple[Opening, str, Quota]:
        opening, source = decode_opening(record.value or b""), of_source(record)
        key = quota_key(source, opening.reason.slug)
        self._rows.changed(key)
        return opening, source, self._rows.of(key)

    def _take_again(self, record: LogRecord, opening: Opening, source: str, quota: Quota) -> None:
        """Let what was held go on if enough operators approve it, as of now; else hold it again."""
        self._count_held(opening, -1)
        if quota.approved(opening.arrived):
            self._go_on(opening, source, record.timestamp)
        else:
            self._hold(record, opening, "It was sent again, and two operators are needed.")

    def _go_on(self, opening: Opening, source: str, arrived: int) -> None:
        self._send_back(opening, as_counted(opening, source, arrived, self._keys))

    def _send_back(self, opening: Opening, back: Record) -> None:
        self._transaction.emit(
            Output(back.topic, back.key, back.value, back.headers, opening.partition)
        )

    def _hold(self, record: LogRecord, opening: Opening, why: str) -> None:
        self._dead_letters.hold(self._transaction, record, opening, why)
        self._send_back(opening, as_held(opening, of_source(record), self._keys))
        self._transaction.count(metrics.WORKER_HELD.labels(opening.reason.slug))
        self._count_held(opening, 1)

    def _count_held(self, opening: Opening, by: int) -> None:
        of_reason = self._now.get(opening.reason, 0) + by
        self._now[int(opening.reason)] = max(0, of_reason)
