"""What RocksDB keeps of one partition of a table: rows, applied offsets, and when rows are due.

The log is what counts. A store may be old, empty or gone at any time. It says how far the log is in
it (`offset`), and what is missing is read from there. Nothing is held in memory for each row, so
opening costs the same for ten people and for a million.

| Key | Value |
|---|---|
| a row's | the instant it is due (`DUE`), then the row |
| `APPLIED` + input topic | the last offset applied of that topic's same partition |
| `AGENDA` + due instant + a row's key | nothing; the rows that are due, in order |
| `TOPIC_ID` + input topic | the id of that topic, from which the applied offset is |
| `STORED` | the last changelog offset in the store |
| `FOLLOWED` | the changelog offset that the newest transaction in the store follows |
| `LOG_ID` | the id of the changelog from which the store is; not in the log |

The agenda is not in the log: it follows from the rows. An entry is stale if its row has another due
instant by now; it goes when its own time comes.
"""

import os
import shutil
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import rocksdict
import structlog

log = structlog.get_logger()

META = b"\x00"
"""Keys that begin with this are not rows and never due, in store and changelog. They are the
engine's own, and those that an application adds."""
APPLIED = META + b"place:"
AGENDA = META + b"due:"
STORED = META + b"stored"
FOLLOWED = META + b"follows"
TOPIC_ID = META + b"topic:"
LOG_ID = META + b"log"
TALLY = META + b"tally:"
"""Begins the key of a tally (agents.poison); the input topic follows. The tally is of this topic's
same partition."""
HELD_NOW = META + b"held"
"""The key of how many openings are held in a partition (agents.quotas), by reason."""

DUE = struct.Struct(">q")
"""Microseconds of the epoch; 0: never. No value is negative, so bytes sort as the instants do."""

NO_DAMAGE = (
    "No space left on device",
    "Disk quota exceeded",
    "Too many open files",
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
    "Cannot allocate memory",
    "already closed",
)
"""What RocksDB says where the store is whole, and something else has to be mended."""

STALE_MAX = 10_000
"""Stale agenda entries that one look clears away."""


class StoreFailed(RuntimeError):
    """The store cannot be read or written: it is closed, its disk is full, files cannot be opened.
    It is left as it is."""


class StoreDamaged(StoreFailed):
    """A block of the store cannot be read. The next start begins with an empty one."""


class Store:
    """The store in the folder `path`, open until `close`. One process at a time may have it.

    Raise `StoreFailed` if a damaged one cannot be removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = path.with_name(f"{path.name}.damaged")
        self._agenda_from = 0
        self._db: rocksdict.Rdict
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._mark.exists():
            self._remove()
        try:
            self._db = rocksdict.Rdict(str(path), options=_options())
        except Exception as error:  # rocksdict raises bare Exception
            if "/LOCK:" in str(error):
                raise RuntimeError(
                    f"{path} is in use by another worker; give each its own YUEKANG_DATA_DIR."
                ) from error
            if not _is_damage(error):
                raise self._failed(error) from error
            log.warning("store_unreadable", path=str(path), error=str(error))
            self.wipe()

    def close(self) -> None:
        """Close the folder."""
        self._db.close()

    def wipe(self) -> None:
        """Begin with an empty store; the log has everything. Raise `StoreFailed`."""
        if hasattr(self, "_db"):
            self._db.close()
        self._remove()
        self._db = rocksdict.Rdict(str(self._path), options=_options())

    def _remove(self) -> None:
        """Remove the store. What is left of it is no store: the mark is there until all is gone."""
        try:
            self._mark.touch()
            if os.path.lexists(self._path):
                shutil.rmtree(self._path)
            self._mark.unlink()
        except OSError as error:
            raise StoreFailed(f"the store in {self._path} is not removed: {error}") from error

    @property
    def offset(self) -> int:
        """The last changelog offset in the store, -1 in an empty one."""
        stored = self.get(STORED)
        return -1 if stored is None else int(stored)

    @property
    def followed(self) -> int:
        """The changelog offset that the newest transaction in the store follows, -1 in an empty
        one."""
        stored = self.get(FOLLOWED)
        return -1 if stored is None else int(stored)

    def applied_offset(self, topic: str) -> int:
        """Return the last offset applied of `topic`, -1 before the first."""
        stored = self.get(APPLIED + topic.encode())
        return -1 if stored is None else int(stored)

    def applied_offsets(self) -> dict[str, int]:
        """Return the last applied offset of each topic; leave out a topic before its first. Raise
        `StoreFailed`."""
        found, entries = {}, self._entries()
        entries.seek(APPLIED)
        while entries.valid() and (key := cast(bytes, entries.key())).startswith(APPLIED):
            found[key[len(APPLIED) :].decode()] = int(cast(bytes, entries.value()))
            entries.next()
        self._check(entries)
        return found

    def topic_id(self, topic: str) -> str | None:
        """Return the id of the topic that the applied offset is of; None if it is not known."""
        stored = self.get(TOPIC_ID + topic.encode())
        return None if stored is None else stored[DUE.size :].decode()

    @property
    def log_id(self) -> str | None:
        """The id of the changelog that the store is of; None for an empty store, and for one from
        before there were ids. Raise `StoreFailed`."""
        stored = self.get(LOG_ID)
        return None if stored is None else stored.decode()

    def keep_log_id(self, log_id: str) -> None:
        """Keep the id of the changelog that the store is of. Raise `StoreFailed`."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        batch.put(LOG_ID, log_id.encode())
        self._write(batch)

    def get(self, key: bytes) -> bytes | None:
        """Return what is at `key`; raise `StoreFailed`."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what is at each of `keys`; raise `StoreFailed`."""
        try:
            return cast("list[bytes | None]", self._db.get(list(keys)))
        except Exception as error:  # rocksdict raises bare Exception
            raise self._failed(error) from error

    def write(
        self, rows: Iterable[tuple[bytes, bytes | None]], offset: int, followed: int = -1
    ) -> None:
        """Write what the log holds up to `offset`, all or nothing; the last transaction in it
        follows `followed`."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key)
                continue
            batch.put(key, value)
            if not key.startswith(META) and (due := DUE.unpack_from(value)[0]):
                batch.put(AGENDA + value[: DUE.size] + key, b"")
                self._agenda_from = min(self._agenda_from, due)
        batch.put(STORED, b"%d" % offset)
        batch.put(FOLLOWED, b"%d" % followed)
        self._write(batch)

    def due(self, until: int, limit: int) -> list[bytes]:
        """Return at most `limit` keys of rows due at or before `until` (µs), earliest first.

        They stay due until a row with another due time is written. Raise `StoreFailed`.
        """
        found: list[bytes] = []
        stale = rocksdict.WriteBatch(raw_mode=True)
        entries = self._entries()
        # Earlier entries were cleared away; RocksDB would step over each of their tombstones.
        entries.seek(AGENDA + DUE.pack(self._agenda_from))
        at = until
        while entries.valid() and len(found) < limit and stale.len() < STALE_MAX:
            entry = cast(bytes, entries.key())
            if not entry.startswith(AGENDA):
                break
            instant, key = entry[len(AGENDA) :][: DUE.size], entry[len(AGENDA) + DUE.size :]
            [at] = DUE.unpack(instant)
            if at > until:
                break
            row = self.get(key)
            if row is not None and row.startswith(instant):
                found.append(key)
            else:
                stale.delete(entry)
            entries.next()
        self._check(entries)
        if stale.len():
            self._write(stale)
        if not found:
            self._agenda_from = min(at, until)
        return found

    def _entries(self) -> rocksdict.RdictIter:
        try:
            return self._db.iter()
        except Exception as error:  # rocksdict raises bare Exception
            raise self._failed(error) from error

    def _write(self, batch: rocksdict.WriteBatch) -> None:
        try:
            self._db.write(batch, _WITHOUT_WAL)
        except Exception as error:  # rocksdict raises bare Exception
            # A compaction met a damaged block; every write after it fails.
            if str(error).startswith("Corruption"):
                raise self._failed(error) from error
            raise StoreFailed(f"the store in {self._path} is not written: {error}") from error

    def _check(self, entries: rocksdict.RdictIter) -> None:
        """Raise `StoreFailed` if a damaged block ended an iterator; it looks like the last row."""
        try:
            entries.status()
        except Exception as error:  # rocksdict raises bare Exception
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreFailed:
        if not _is_damage(error):
            return StoreFailed(f"the store in {self._path} is left as it is: {error}")
        self._mark.touch()
        return StoreDamaged(f"the store in {self._path} cannot be read: {error}")


def _is_damage(error: Exception) -> bool:
    return not any(reason in str(error) for reason in NO_DAMAGE)


def _without_wal() -> rocksdict.WriteOptions:
    """Write nothing ahead: what a crash takes from memory is read again from the log. A store keeps
    its writes in order, so what is left is the state at some earlier `offset`."""
    options = rocksdict.WriteOptions()
    options.disable_wal = True  # type: ignore[method-assign, assignment]  # its stub is wrong
    return options


_WITHOUT_WAL = _without_wal()

UNSORTED_FILES = 16
"""So many written buffers are merged at a time. RocksDB's 4 has the same rows merged again and
again while a partition is caught up: a third more processor time, when others need it most."""


def _options() -> rocksdict.Options:
    """Small and fixed sizes: Faust's defaults are 2 GiB of cache for each partition."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(256)
    options.set_write_buffer_size(16 * 1024 * 1024)
    options.set_max_write_buffer_number(2)
    options.set_level_zero_file_num_compaction_trigger(UNSORTED_FILES)
    table = rocksdict.BlockBasedOptions()
    table.set_bloom_filter(10, block_based=False)
    table.set_block_cache(rocksdict.Cache(16 * 1024 * 1024))
    options.set_block_based_table_factory(table)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    return options
