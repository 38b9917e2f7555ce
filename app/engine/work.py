"""What one transaction reads and changes, as a fold sees it."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord
from prometheus_client import Counter

from app.engine.store import DUE, Store

Records = Sequence["ConsumerRecord[bytes, bytes]"]


class Told(NamedTuple):
    """A record for an output topic. It goes to the same partition number as its cause."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Work:
    """Rows are read through, and written when it commits, with everything told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[bytes, bytes | None] = {}
        self.rows: dict[bytes, tuple[int, bytes]] = {}
        self.told: list[Told] = []
        self._newest: dict[tuple[str, bytes | None], int] = {}
        self._counted: list[tuple[Counter, int]] = []

    def read(self, keys: Iterable[bytes]) -> None:
        """Read the rows at `keys` together, which costs less than one by one in `get`."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._read]
        self._read.update(zip(wanted, self._store.get_many(wanted), strict=True))

    def get(self, key: bytes) -> bytes | None:
        """Return the row at `key` as this work sees it."""
        if key in self.rows:
            return self.rows[key][1]
        if key not in self._read:
            self.read([key])
        stored = self._read[key]
        return None if stored is None else stored[DUE.size :]

    def put(self, key: bytes, value: bytes, due: int = 0) -> None:
        """Write a row; `due` in microseconds of the epoch, 0 for never.

        A row is never deleted: compaction takes a tombstone from the log, and a store that has not
        seen it by then would keep the row for good.
        """
        self.rows[key] = (due, value)

    def tell(self, told: Told) -> None:
        """Add a record for an output topic."""
        self.told.append(told)

    def tell_newest(self, told: Told) -> None:
        """Add a record for a compacted topic, in place of an earlier one with its key."""
        place = self._newest.setdefault((told.topic, told.key), len(self.told))
        self.told[place : place + 1] = [told]

    def count(self, counter: Counter, by: int = 1) -> None:
        """Raise a metric once this work is in the log; never if it does not get there."""
        self._counted.append((counter, by))

    def committed(self) -> None:
        """Raise what was counted."""
        for counter, by in self._counted:
            counter.inc(by)


def by_topic(told: Iterable[Told]) -> dict[str, list[Told]]:
    """Return what was told, by topic, in order."""
    topics: dict[str, list[Told]] = {}
    for record in told:
        topics.setdefault(record.topic, []).append(record)
    return topics


Fold = Callable[[Work, Records], None]
"""Folds records into a work; it sees the rows as everything before left them."""

DueFold = Callable[[Work, Sequence[bytes]], None]
"""The same for the keys of rows that are due."""
