"""The replica of the codes on a machine that serves them, as the view reads it.

    <folder>/current          a link to the generation that is read
    <folder>/<generation>/    an LMDB environment, written by `yuekang replica` alone
        STATE_KEY             how far the log is applied (app.projection.state)
        <person>              their code, as app.projection.codes.stored has it

Any number of processes read it, without a word to its writer or to each other. A read is of one
snapshot: the code and the state that it was written with. What is begun again is another
generation, with files of its own, and no name of one comes again.

On a tmpfs it is in memory, for a city; on a disk it may be larger than that, for a province.
"""

import os
from pathlib import Path
from time import monotonic
from typing import Any

import lmdb

from app.projection.state import State, decode_state

CURRENT = "current"
STATE_KEY = b"\xffstate"
"""It is no UTF-8, so no name that anybody asks for is this key."""

DATA_FILE, LOCK_FILE = "data.mdb", "lock.mdb"
"""As LMDB calls its files."""

LOOK_SECONDS = 0.5
"""How often a reader looks whether there is another generation, or one at all."""


_UNREAD = object()


class NoReplica(Exception):
    """There is no code to be read; the message says why."""


class Replica:
    """Reads the replica in a folder. Belongs to one thread of one process, and not to its forks.

    There need be no replica yet, and it may be begun again meanwhile. That is noticed within
    `LOOK_SECONDS`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._generation = ""
        self._environment: lmdb.Environment | None = None
        self._look_at = 0.0
        self._raw: object = _UNREAD
        self._state: State | None = None
        self._why = ""

    def find(self, person: str) -> tuple[State, bytes | None]:
        """Return how far the replica is, and a person's code as `stored` gave it, of one snapshot;
        None for a code that is not there. Raise `NoReplica`. It takes microseconds, and waits
        for nobody.
        """
        if monotonic() >= self._look_at:
            self._look()
        if self._environment is None:
            raise NoReplica(self._why)
        try:
            with self._environment.begin() as snapshot:
                # By its bytes, not by the snapshot's number: a writer that was killed as it
                # committed leaves that two behind the data, until the next commit is whole.
                raw = snapshot.get(STATE_KEY)
                if raw != self._raw:
                    self._read_state(raw)
                if self._state is None:
                    raise NoReplica(self._why)
                return self._state, _code(snapshot, person)
        except lmdb.Error as error:
            self._forget(str(error))
            raise NoReplica(self._why) from error

    def close(self) -> None:
        """Let go of the files."""
        self._forget("It is closed.")
        self._look_at = float("inf")

    def _look(self) -> None:
        """Open the generation that is current, if it is not open."""
        self._look_at = monotonic() + LOOK_SECONDS
        try:
            generation = os.readlink(self._folder / CURRENT)
            if generation == self._generation:
                return
            self._forget("")
            self._environment = open_environment(self._folder / generation, readonly=True)
            self._generation = generation
        except (OSError, lmdb.Error) as error:
            self._forget(str(error))

    def _read_state(self, raw: bytes | None) -> None:
        state = decode_state(raw)
        if state is None:
            self._why = "It is empty, or of another format."
        elif not state.built:
            self._why = "It is being built."
        self._state = state if state is not None and state.built else None
        self._raw = raw

    def _forget(self, why: str) -> None:
        if self._environment is not None:
            self._environment.close()
        self._environment, self._generation = None, ""
        self._raw, self._state, self._why = _UNREAD, None, why


def _code(snapshot: "lmdb.Transaction[bytes]", person: str) -> bytes | None:
    try:
        return snapshot.get(person.encode())
    except lmdb.BadValsizeError:  # nobody's key is empty, or as long as that
        return None


def open_environment(generation: Path, **options: Any) -> lmdb.Environment:
    """Open a generation with what `lmdb.open` takes; raise `lmdb.Error`, also if it was cut off.

    LMDB would not see that, and whoever read beyond the end would be killed (SIGBUS).
    """
    environment = lmdb.open(
        os.fspath(generation),
        readahead=False,  # people ask in no order
        max_spare_txns=1,
        **{"create": False, "map_size": 0, **options},  # 0: as large as its writer made it
    )
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (generation / DATA_FILE).stat().st_size < needed:
        environment.close()
        raise lmdb.CorruptedError("The file was cut off.")
    return environment
