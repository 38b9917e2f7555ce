"""The replica of the codes as a store (app.projection.follow): how `yuekang replica` writes it.

A batch is one transaction of LMDB: the codes, and the state that they lead to. Whoever writes has
the folder's lock, so nothing moves on under it. A code that is older than the one that lies there,
or leaps in its version, is left out, as by codes.lua.

A process that is killed leaves the last whole transaction. So does a machine that loses its power:
a transaction's pages are on the disk before its head is written, and no page of the two before it
is used again. The head itself may be lost; then the log is read from a batch earlier. On a tmpfs
all that is free, and the replica ends with the machine.
"""

import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import structlog

from app.process import metrics
from app.process.consumer import LogRecord
from app.projection.codes import LEAP_MAX, CodeBatch, take_told, version_of
from app.projection.follow import Unfit
from app.projection.replica import CURRENT, DATA_FILE, LOCK_FILE, STATE_KEY, open_environment
from app.projection.state import (
    FORMAT,
    Position,
    State,
    decode_state,
    encode_state,
    new_epoch,
)
from models.events import PERSON_KEY

READERS_SECONDS = 10.0
"""How often it is looked whether a reader has died. Until then all that it read is kept."""

GENERATION = "codes-"
"""How the folder of a generation is called, before its epoch."""

DAMAGED = (
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.InvalidError,
    lmdb.PageFullError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)
"""What LMDB raises at a file that cannot be right. Another try would find the same."""

log = structlog.get_logger()


class ReplicaFull(Exception):
    """The replica has no more room; nothing of the batch was written."""


def take_code(batch: CodeBatch, record: LogRecord) -> None:
    """Add a record of health-codes to a batch; raise `ValueError` if it is not one."""
    if record.key is None or not PERSON_KEY.match(record.key.decode()):
        raise ValueError("its key is no person's")
    take_told(batch, record)


class ReplicaStore:
    """The replica in a folder, of up to `bytes_max`."""

    name = "The replica"
    troubles = (lmdb.Error, OSError, ReplicaFull)

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._bytes_max = bytes_max

    @asynccontextmanager
    async def opened(self, log_read: str, id: str) -> AsyncIterator["ReplicaWriter"]:
        """Lock the folder, and write in it; raise `Unfit` if another process does.

        What turns out to be damaged is given up: the next to open it begins again.
        """
        with _locked(self._folder):
            writer = ReplicaWriter(self._folder, self._bytes_max, log_read, id)
            try:
                yield writer
            except lmdb.MapFullError:
                raise ReplicaFull(
                    f"It has come to its {self._bytes_max:,} bytes. "
                    "Set YUEKANG_REPLICA_BYTES to more."
                ) from None
            except DAMAGED as error:
                log.error("replica_damaged", detail=str(error))
                (self._folder / CURRENT).unlink(missing_ok=True)
                raise
            finally:
                writer.close()


class ReplicaWriter:
    """Writes codes. It is its own gate: nobody else may write."""

    def __init__(self, folder: Path, bytes_max: int, log_read: str, id: str) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._log = log_read
        self._id = id
        self._generation = ""
        self._environment: lmdb.Environment | None = None
        self._readers_at = 0.0

    @property
    def gate(self) -> "ReplicaWriter":
        """Return itself."""
        return self

    async def load(self) -> State | None:
        """Return the state if it is of this log and format."""
        try:
            self._open(self._current())
        except FileNotFoundError:
            return None
        with self._opened.begin() as snapshot:
            state = decode_state(snapshot.get(STATE_KEY))
        if state is None or state.log != self._log:
            return None
        # Who wrote it is gone, since the folder was free: there is nobody to wait for.
        return msgspec.structs.replace(state, writer=self._id)

    async def server(self) -> str:
        """Return what no restart changes: no number of this model is told to anybody."""
        return "lmdb"

    def new_state(self, server: str, positions: dict[str, tuple[Position, ...]]) -> State:
        """Return the state of an empty model."""
        return State(self._log, FORMAT, new_epoch(), server, self._id, 0.0, False, 0, positions)

    async def begin_again(self, state: State) -> bool:
        """Begin another generation with `state`, and remove all others."""
        self.close()
        current = self._folder / CURRENT
        current.unlink(missing_ok=True)
        for former in self._folder.glob(f"{GENERATION}*"):
            _remove(former)
        generation = GENERATION + state.epoch
        (self._folder / generation).mkdir(mode=0o700)
        self._open(generation, create=True)
        _allocate(self._folder / generation / LOCK_FILE)
        with self._opened.begin(write=True) as transaction:
            transaction.put(STATE_KEY, encode_state(state))
        current.symlink_to(generation)
        return True

    async def apply(self, batch: CodeBatch, state: State) -> bool:
        """Write a batch and `state`; return False, with nothing written, if the files were removed.

        Any error leaves what was there before.
        """
        try:
            if self._current() != self._generation:
                return False
        except FileNotFoundError:
            return False
        leapt = 0
        with self._opened.begin(write=True) as transaction:
            for person, code in sorted(batch.codes, key=itemgetter(0)):  # neighbours share pages
                leapt += not _put(transaction, person.encode(), code)
            transaction.put(STATE_KEY, encode_state(state))
        metrics.PROJECTION_VERSIONS_LEAPT.inc(leapt)
        self._let_go_of_dead_readers()
        return True

    def close(self) -> None:
        """Let go of the files."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _current(self) -> str:
        """Return the generation that is current; raise `FileNotFoundError` if its data are gone,
        which whoever has them open would not see."""
        generation = os.readlink(self._folder / CURRENT)
        (self._folder / generation / DATA_FILE).stat()
        return generation

    @property
    def _opened(self) -> lmdb.Environment:
        if self._environment is None:
            raise lmdb.Error("It is not open.")
        return self._environment

    def _open(self, generation: str, **options: Any) -> None:
        self.close()
        self._environment = open_environment(
            self._folder / generation,
            map_size=self._bytes_max,
            metasync=False,
            mode=0o600,
            **options,
        )
        self._generation = generation

    def _let_go_of_dead_readers(self) -> None:
        if time.monotonic() >= self._readers_at:
            self._readers_at = time.monotonic() + READERS_SECONDS
            if dead := self._opened.reader_check():
                log.info("replica_readers_died", count=dead)


def _put(transaction: "lmdb.Transaction[bytes]", key: bytes, code: bytes | None) -> bool:
    """Write a code, delete it (None), or leave an older one out; return False if it leapt."""
    if code is None:
        transaction.delete(key)
        return True
    before = transaction.get(key)
    by = 1 if before is None else version_of(code) - version_of(before)
    if 0 < by <= LEAP_MAX:
        transaction.put(key, code)
    return by <= LEAP_MAX


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have the folder's lock, which goes with the process; raise `Unfit` if another has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit(
                f"Another process writes the replica in {folder}; a machine needs one."
            ) from None
        yield
    finally:
        os.close(lock)


def _allocate(file: Path) -> None:
    """Take the room of a file that readers write to: on a full tmpfs they would be killed."""
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _remove(generation: Path) -> None:
    """Remove a generation, and nothing that we did not make. Who reads it keeps what it has."""
    for name in (DATA_FILE, LOCK_FILE):
        (generation / name).unlink(missing_ok=True)
    with suppress(OSError):  # a reader may have just made a lock here; the next time, then
        generation.rmdir()
