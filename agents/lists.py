"""Fold what bears on no code into the lists of each person's health information.

Records that are refused, misplaced or of a parked source go where they go for people
(agents.people). What is too old for its list, or no longer fits, leaves it (models.lists): that is
policy, not an error.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import cast

import msgspec

from agents.agent import add_agent, begin_due
from agents.dead_letters import DeadLetters
from agents.instants import microseconds
from agents.poison import Poison
from app.engine.transaction import Fold, Records, Transaction
from app.process.consumer import LogRecord
from app.topics.authentic import SourceKeys
from app.topics.catalogue import Topic
from app.topology import ListsApp
from models.events import Event, ListedEvent, ListName
from models.lists import EMPTY, Conflict, Listing, add, drop_old, due_at, list_of
from models.notices import conflict

INTERVAL_SECONDS = 10.0
"""How often old entries are dropped. The delay shows nobody an entry that is too old: the reader
looks at its age."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Listing).decode


def register(
    app: ListsApp,
    dead_letters: DeadLetters,
    keys: SourceKeys,
    clock_agrees: Callable[[], bool],
) -> None:
    """Add an agent for each topic that folds into the lists, and the timer that drops old entries
    while the worker's clock agrees with the broker's."""
    for topic in app.topics_read():
        if topic.folds_into == app.lists.settings.name:
            fold_topic = chunk_fold(topic, dead_letters, keys)
            add_agent(app, f"list-{topic.name}", topic, app.lists, fold_topic)

    @app.timer(interval=INTERVAL_SECONDS)  # type: ignore[untyped-decorator]
    async def let_go() -> None:
        if not clock_agrees():
            return
        now = datetime.now(UTC)
        begin_due(app.lists, partial(advance_due, now), now)


def key_of(person: str, name: ListName) -> bytes:
    """Return the key of a row."""
    return f"{person}:{name}".encode()


def chunk_fold(topic: Topic, dead_letters: DeadLetters, keys: SourceKeys) -> Fold:
    """Return the fold for records of `topic`."""

    def fold_records(transaction: Transaction, records: Records) -> Iterator[None]:
        lists = Lists(transaction, dead_letters)
        poison = Poison(transaction, topic, dead_letters, keys)
        for taken in poison.accepted(records, lists.knows):
            lists.add(cast(ListedEvent, taken.event), taken.arrived_at, taken.record)
            yield
        yield from lists.write()
        poison.write()

    return fold_records


def advance_due(until: datetime, transaction: Transaction, keys: Sequence[bytes]) -> Iterator[None]:
    """Drop what is too old at `until` from the rows of `keys`."""
    lists = Lists(transaction, None)
    for key in keys:
        lists.advance(key, until)
        yield
    yield from lists.write()


class Lists:
    """The rows that one chunk touches, decoded once and written once."""

    def __init__(self, transaction: Transaction, dead_letters: DeadLetters | None) -> None:
        self._transaction = transaction
        self._dead_letters = dead_letters
        self._rows: dict[bytes, Listing] = {}
        self._changed: dict[bytes, tuple[Listing, datetime]] = {}

    def knows(self, event: Event) -> bool:
        """Say whether there is a row that `event` joins."""
        name = list_of(cast(ListedEvent, event))
        return self._row(key_of(event.partitionkey, name)) is not EMPTY

    def add(self, event: ListedEvent, arrived_at: datetime, record: LogRecord) -> None:
        """Let an event join its list; refuse one of a known identity with other content."""
        key = key_of(event.partitionkey, list_of(event))
        before = self._row(key)
        try:
            after = add(before, event, arrived_at)
        except Conflict:
            assert self._dead_letters is not None, "only time comes without"
            self._dead_letters.notify(
                self._transaction, event.partitionkey.encode(), conflict(event), record
            )
            return
        if after is not before:
            self._change(key, after, arrived_at)

    def advance(self, key: bytes, until: datetime) -> None:
        """Drop what is too old at `until`."""
        self._change(key, drop_old(self._row(key), _name(key), until), until)

    def write(self) -> Iterator[None]:
        """Write the rows that changed; yield between rows. An emptied one stays: its key says who,
        and no more."""
        for key, (listing, at) in self._changed.items():
            yield
            due = due_at(listing, _name(key), at)
            self._transaction.put(key, _encode(listing), 0 if due is None else microseconds(due))

    def _change(self, key: bytes, listing: Listing, at: datetime) -> None:
        self._rows[key] = listing
        self._changed[key] = listing, at

    def _row(self, key: bytes) -> Listing:
        if key not in self._rows:
            stored = self._transaction.get(key)
            self._rows[key] = EMPTY if stored is None else _decode(stored)
        return self._rows[key]


def _name(key: bytes) -> ListName:
    return ListName(key.decode().rpartition(":")[2])
