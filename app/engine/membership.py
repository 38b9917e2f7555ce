"""Which member of its group a worker is: the same one after a restart (KIP-345).

A member with an id of its own does not leave its group when it ends. One that is back within the
session time-out is given what it had, in the same generation, and nobody else hears of it. One that
is not is missed after that time-out, unless its file was deleted before it ended: then it leaves
(docs/decisions/0027-group-protocol.md).
"""

import fcntl
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import blake2b
from pathlib import Path

MEMBER = "member"
"""The file with the id, in the worker's own folder."""

JOINS_MAX, JOINS_SECONDS = 8, 30.0
"""So many joins of one generation in so short a time are two workers of one id. One join more comes
of a request without an answer."""


def instance_id(directory: Path, topics: Iterable[str]) -> str:
    """Return the id of the member whose own folder is `directory` and that reads `topics`.

    The topics are part of it. The broker gives a member that comes back what it had, and looks at
    nothing else: after an upgrade that reads another topic it would never be given that. As another
    member it brings about a rebalance. Raises `RuntimeError` where another process has the folder.
    """
    read = blake2b(" ".join(sorted(topics)).encode(), digest_size=4).hexdigest()
    return f"{_own(directory)}-{read}"


@cache
def _own(directory: Path) -> str:
    """Return what is in the file, or make it; hold the file for as long as the process lives.

    Without that lock a second process in the same folder would take the first one's place in the
    group, before the locks of the stores end it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = os.open(directory / MEMBER, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"another worker runs in {directory}: each needs its own") from None
    found = os.read(file, 64).decode(errors="replace").strip()
    if re.fullmatch(r"[0-9a-f]{16}", found):
        return found
    made = secrets.token_hex(8)
    os.ftruncate(file, 0)
    os.pwrite(file, f"{made}\n".encode(), 0)
    os.fsync(file)
    return made


FENCED_INSTANCE_ID = 82
"""What the broker answers to a member that asks in the moment in which another of its id has taken
its place. aiokafka does not know this error."""


def same_id(file: Path) -> RuntimeError:
    """Say that another worker has the id that is in `file`, and what to do."""
    return RuntimeError(
        "another worker has the same id in the group: one folder was copied from the other's. "
        f"Delete {file} in one of them, and start both again"
    )


class Joins:
    """How often a worker joined its group.

    Where another worker has the same id, Kafka gives the place to each in turn, without end. What
    they write is fenced all the same.
    """

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._now = now
        self._joins = deque[tuple[int, float]](maxlen=JOINS_MAX)

    def check(self, generation: int) -> None:
        """Take down that the group was joined; raise `RuntimeError` where it is joined too often
        in one generation."""
        now = self._now()
        self._joins.append((generation, now))
        first, at = self._joins[0]
        if len(self._joins) == JOINS_MAX and first == generation and now < at + JOINS_SECONDS:
            raise same_id(self._file)
