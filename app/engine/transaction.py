"""What one transaction reads and changes, as a fold sees it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import Counter

from app.engine.store import DUE, Store
from app.process.consumer import LogRecord

Records = Sequence[LogRecord]


class Output(NamedTuple):
    """A record for an output topic. It goes to the same partition number as its cause, unless
    `partition` says another."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


class Transaction:
    """What a fold reads rows through. Changed rows are written when it commits, with its
    outputs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[bytes, bytes | None] = {}
        self.rows: dict[bytes, tuple[int, bytes]] = {}
        self.outputs: list[Output] = []
        self.size = 0
        """Bytes of the rows that it has read or will write, and of its outputs."""
        self._newest: dict[tuple[str, bytes | None], int] = {}
        self._counted: list[tuple[Counter, int]] = []
        self._then: list[Callable[[], None]] = []

    def read(self, keys: Iterable[bytes]) -> None:
        """Read the rows at `keys` together, which costs less than one by one in `get`."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._read]
        found = self._store.get_many(wanted)
        self._read.update(zip(wanted, found, strict=True))
        self.size += sum(len(row) for row in found if row is not None)

    def get(self, key: bytes) -> bytes | None:
        """Return the row at `key` as this transaction sees it."""
        if key in self.rows:
            return self.rows[key][1]
        if key not in self._read:
            self.read([key])
        stored = self._read[key]
        return None if stored is None else stored[DUE.size :]

    def put(self, key: bytes, value: bytes, due: int = 0) -> None:
        """Write a row; `due` in microseconds of the epoch, 0 for never.

        A row is never deleted. Compaction takes a tombstone from the log; a store that has not seen
        it by then would keep the row for good.
        """
        if key in self.rows:
            self.size -= len(self.rows[key][1])
        self.size += len(value)
        self.rows[key] = (due, value)

    def emit(self, output: Output) -> None:
        """Add an output."""
        self.size += len(output.value or b"")
        self.outputs.append(output)

    def emit_newest(self, output: Output) -> None:
        """Add an output for a compacted topic; it replaces an earlier one with its key."""
        at = self._newest.setdefault((output.topic, output.key), len(self.outputs))
        if at < len(self.outputs):
            self.size += len(output.value or b"") - len(self.outputs[at].value or b"")
            self.outputs[at] = output
        else:
            self.emit(output)

    def count(self, counter: Counter, by: int = 1) -> None:
        """Raise a metric once this transaction is in the log; never if it does not get there."""
        self._counted.append((counter, by))

    def then(self, call: Callable[[], None]) -> None:
        """Call something once this transaction is in the log; never if it does not get there."""
        self._then.append(call)

    def committed(self) -> None:
        """Raise what was counted, and call what was to be called."""
        for counter, by in self._counted:
            counter.inc(by)
        for call in self._then:
            call()


def by_place(outputs: Iterable[Output], cause: int) -> dict[tuple[str, int], list[Output]]:
    """Return outputs by topic and partition, in order; `cause` is the partition of their cause."""
    places: dict[tuple[str, int], list[Output]] = {}
    for output in outputs:
        number = cause if output.partition is None else output.partition
        places.setdefault((output.topic, number), []).append(output)
    return places


Fold = Callable[[Transaction, Records], Iterator[None]]
"""Folds records into a transaction; it sees the rows as everything before left them. It yields
between records, and between rows that it writes, so that the event loop goes on."""

DueFold = Callable[[Transaction, Sequence[bytes]], Iterator[None]]
"""Folds the keys of due rows into a transaction, in the same way."""
