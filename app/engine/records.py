"""Read records whose header names are not UTF-8, which aiokafka refuses with their whole batch.

Anybody who may append to a topic may write such a name; the broker does not check. aiokafka raises
in the middle of the fetch, the worker ends, and after its restart it ends there again. Here such a
name is read with its bytes escaped. It means nothing to whoever reads it.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

BATCH_HEAD = struct.Struct(">qi")
"""Base offset, and the length of what follows."""


def install() -> None:
    """Let every consumer of this process read records so."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords:
    """The batches of one fetch of a partition, as aiokafka's `MemoryRecords`."""

    def __init__(self, raw: bytes) -> None:
        self._records = MemoryRecords(raw)
        self._raw = memoryview(raw)

    def size_in_bytes(self) -> int:
        """Return the size of what is left."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Say whether a whole batch is left."""
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        size = BATCH_HEAD.size + BATCH_HEAD.unpack_from(self._raw)[1]
        raw, self._raw = self._raw[:size], self._raw[size:]
        return LenientBatch(batch, raw)


class LenientBatch:
    """A batch of aiokafka's; if its reader fails, a lenient one takes over."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                given += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_LenientReader(self._raw), given, None)

    def __next__(self) -> Any:
        """Return the record of a control batch, which aiokafka reads without iterating."""
        return next(self._batch)


class _Escaping(bytearray):
    """Bytes that escape what is not UTF-8 when any part of them is decoded."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return _Escaping(part) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _LenientReader(_DefaultRecordBatchPy):  # type: ignore[misc]  # final for type checkers only
    """aiokafka's reader in Python, over bytes that decode leniently."""

    def __iter__(self) -> Any:
        self._maybe_uncompress()
        self._buffer: bytearray = _Escaping(self._buffer)
        return self
