"""Fold every event that bears on a code into the person table.

Redelivery changes nothing: the table knows how far each topic was applied. A duplicate, a late or a
reordered event ends in the state that its own order gives (models.person). A refused record goes to
dead-letters, one of a parked source to parked, and one in the wrong partition to its own
(agents.poison); the chunk goes on. What may open a reason for red is folded when it comes back
counted (agents.quotas), as of its first arrival; meanwhile the person's code says until when it is
complete. Everybody else's is not touched.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import cast

import msgspec
import structlog

from agents.agent import add_agent
from agents.dead_letters import DeadLetters
from agents.instants import microseconds
from agents.poison import Poison
from agents.quotas import send_to_be_counted
from app.engine.transaction import DueFold, Fold, Output, Records, Transaction
from app.process import metrics
from app.process.consumer import LogRecord
from app.topics.authentic import SourceKeys
from app.topics.catalogue import HEALTH_CODES, STATUS_CHANGES, Topic, input_topics
from app.topics.openings import CountedMark, way_of
from app.topology import YuekangApp
from models.codes import changed
from models.events import Event, StatusEvent
from models.facts import Fact
from models.person import (
    FoldOutcome,
    Person,
    advance,
    fold,
    fold_back,
    holds,
    overfull,
    send_away,
    unknown,
)
from models.quotas import opening
from models.rows import decode_page, decode_row, encode_page, encode_row, page_key

_encode_json = msgspec.json.Encoder().encode

log = structlog.get_logger()


def register(app: YuekangApp, dead_letters: DeadLetters, keys: SourceKeys) -> None:
    """Add an agent for each topic that folds into the person table."""
    for topic in input_topics():
        if topic.folds_into == "people":
            fold_topic = chunk_fold(topic, dead_letters, keys)
            add_agent(app, f"fold-{topic.name}", topic, app.people, fold_topic)


def chunk_fold(
    topic: Topic, dead_letters: DeadLetters, keys: SourceKeys, *, limited: bool = True
) -> Fold:
    """Return the fold for records of `topic`. Unless it is `limited`, what may open a reason is
    folded at once and never counted: so peers in the benchmark fold."""

    def fold_records(transaction: Transaction, records: Records) -> Iterator[None]:
        transaction.read(record.key for record in records if record.key)
        people = People(transaction, dead_letters)
        poison = Poison(transaction, topic, dead_letters, keys)
        for taken, arrived_at, mark, record in poison.accepted(records, people.knows):
            event = cast(StatusEvent, taken)  # or None beside a mark
            if mark is not None:
                people.apply_back(event, arrived_at, record, mark)
            elif limited and (reason := opening(event)) is not None and not people.holds(event):
                send_to_be_counted(transaction, record, event, reason)
                people.send_away(event, arrived_at, record)
            else:
                people.apply(event, arrived_at, record)
            yield
        yield from people.write()
        poison.write()

    return fold_records


def advance_due(until: datetime, dead_letters: DeadLetters) -> DueFold:
    """Return the fold for rows that are due at `until`."""

    def fold_due(transaction: Transaction, keys: Sequence[bytes]) -> Iterator[None]:
        transaction.read(keys)
        people = People(transaction, dead_letters)
        for key in keys:
            people.advance(key, until)
            yield
        yield from people.write()

    return fold_due


class People:
    """The rows that one chunk touches, decoded once and written once."""

    def __init__(self, transaction: Transaction, dead_letters: DeadLetters) -> None:
        self._transaction = transaction
        self._dead_letters = dead_letters
        self._rows: dict[bytes, Person | None] = {}
        self._versions: dict[bytes, int] = {}
        self._changed: dict[bytes, Person] = {}

    def knows(self, event: Event) -> bool:
        """Say whether there is a row that `event` folds into."""
        return self._row(event.partitionkey.encode()) is not None

    def holds(self, event: StatusEvent) -> bool:
        """Say whether an event was folded before: a copy changes nothing, and is not counted."""
        row = self._row(event.partitionkey.encode())
        return row is not None and holds(row, event)

    def apply(self, event: StatusEvent, arrived_at: datetime, record: LogRecord) -> None:
        """Fold one event, and tell what follows."""
        key, row = self._of(record, arrived_at)
        outcome = fold(row, event, arrived_at, partial(self._page, row.code.person))
        self._take_what_is_new(key, row, outcome, record)

    def send_away(self, event: StatusEvent, arrived_at: datetime, record: LogRecord) -> None:
        """Note that an event has left, to be counted before it is folded."""
        key, row = self._of(record, arrived_at)
        way = way_of(record, event.source)
        self._rows[key] = self._changed[key] = send_away(row, way, record.offset, arrived_at)

    def apply_back(
        self, event: StatusEvent | None, arrived_at: datetime, record: LogRecord, mark: CountedMark
    ) -> None:
        """Fold an event that comes back counted, and tell what follows; None where nothing is left
        to fold."""
        if mark.offset is None:  # nothing waits for it
            if event is not None:
                self.apply(event, arrived_at, record)
            return
        key, row = self._of(record, arrived_at)
        pages = partial(self._page, row.code.person)
        outcome = fold_back(row, mark.way, mark.offset, event, arrived_at, pages)
        first = replace(record, offset=mark.offset)  # where its source knows it
        self._take_what_is_new(key, row, outcome, first)

    def advance(self, key: bytes, until: datetime) -> None:
        """Tell what changed by time alone."""
        row = self._row(key)
        assert row is not None, "a row that is due exists"
        self._take(key, advance(row, until), None)

    def write(self) -> Iterator[None]:
        """Write the rows that changed, and the code of everyone whose code changed; yield between
        rows."""
        for key, row in self._changed.items():
            yield
            if overfull(row):
                sources = Counter(fact.source for fact in row.facts)
                ((source, count),) = sources.most_common(1)
                self._transaction.count(metrics.WORKER_ROWS_OVERFULL)
                log.warning("row_overfull", events=len(row.facts), source=source, of_source=count)
            due = 0 if row.due_at is None else microseconds(row.due_at)
            self._transaction.put(key, encode_row(row), due)
            if row.code.version != self._versions[key]:
                self._transaction.emit_newest(Output(HEALTH_CODES, key, _encode_json(row.code)))

    def _of(self, record: LogRecord, arrived_at: datetime) -> tuple[bytes, Person]:
        """Return the key of a record, and the row there, which may be of somebody unknown."""
        key = record.key
        assert key is not None, "what is accepted has a key"
        return key, self._row(key) or unknown(key.decode(), arrived_at)

    def _row(self, key: bytes) -> Person | None:
        if key in self._rows:
            return self._rows[key]
        stored = self._transaction.get(key)
        row = None if stored is None else decode_row(stored)
        self._rows[key] = row
        self._versions[key] = 0 if row is None else row.code.version
        return row

    def _page(self, person: str, number: int) -> tuple[Fact, ...]:
        stored = self._transaction.get(page_key(person, number))
        assert stored is not None, "a page of which its row knows exists"
        return decode_page(stored)

    def _take_what_is_new(
        self, key: bytes, row: Person, outcome: FoldOutcome, record: LogRecord
    ) -> None:
        person = outcome.person
        if (
            person.facts is row.facts
            and person.outstanding is row.outstanding
            and not outcome.changes
            and not outcome.notices
        ):
            return  # a duplicate: nothing to write, nothing to tell
        self._take(key, outcome, record)

    def _take(self, key: bytes, outcome: FoldOutcome, record: LogRecord | None) -> None:
        person = outcome.person
        self._rows[key] = self._changed[key] = person
        for number, facts in outcome.pages.items():  # before the row that tells of them
            self._transaction.put(page_key(person.code.person, number), encode_page(facts))
        if outcome.lost:
            self._transaction.count(metrics.WORKER_PAGES_LOST, outcome.lost)
        for change in outcome.changes:
            self._transaction.emit(Output(STATUS_CHANGES, key, _encode_json(changed(change))))
        for notice in outcome.notices:
            self._dead_letters.notify(self._transaction, key, notice, record)
