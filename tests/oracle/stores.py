"""What lies in a worker's store, and how rows differ from those of the log."""

from collections.abc import Mapping
from pathlib import Path

import rocksdict

from app.engine.store import AGENDA, DUE, FOLLOWED, LOG_ID, STORED
from oracle.found import Differences

Rows = Mapping[bytes, bytes]


def compare_rows(found: Differences, check: str, where: str, expected: Rows, rows: Rows) -> None:
    """Compare rows, and note each that differs."""
    for key in expected.keys() | rows.keys():
        if expected.get(key) != rows.get(key):
            found.add(check, f"{where}: {key!r} {_presence(key, expected, rows)}")


def _presence(key: bytes, expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes]) -> str:
    if key not in found:
        return "is missing"
    return "differs" if key in expected else "is too many"


def compare_store(
    found: Differences, where: str, path: Path, rows: Rows, meta: Rows, last: int
) -> None:
    """Compare a store, which its worker may hold open, with the newest rows of the log; `last` is
    the last offset of that."""
    there = _read(path)
    if there is None:
        return  # its worker ends when it comes to that block, and begins with an empty one
    at = int(there.pop(STORED, b"-1"))
    there.pop(LOG_ID, None)
    there.pop(FOLLOWED, None)
    if at != last:
        found.add("store", f"{where}: holds offset {at}, the log {last}")
    agenda = {key for key in there if key.startswith(AGENDA)}
    for key, row in rows.items():
        due = row[: DUE.size]
        if any(due) and AGENDA + due + key not in agenda:
            found.add("store", f"{where}: {key!r} is not on the agenda")
    there = {key: row for key, row in there.items() if key not in agenda}
    compare_rows(found, "store", where, {**rows, **meta}, there)


def _read(path: Path) -> dict[bytes, bytes] | None:
    """Read a store that another process may hold open; None where a block of it is damaged."""
    options = rocksdict.Options(raw_mode=True)
    store = rocksdict.Rdict(
        str(path), options=options, access_type=rocksdict.AccessType.read_only()
    )
    try:
        entries, found = store.iter(), dict[bytes, bytes]()
        entries.seek_to_first()
        while entries.valid():
            found[entries.key()] = entries.value()
            entries.next()
        try:
            entries.status()
        except Exception:  # rocksdict raises bare Exception
            return None
        return found
    finally:
        store.close()
