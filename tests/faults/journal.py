"""What processes under test note down about themselves, a line of JSON each.

A line is written at once and whole, so that SIGKILL takes nothing back.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_JOURNAL"


def write(what: str, **more: Any) -> None:
    """Add a line."""
    line = json.dumps({"at": time.monotonic(), "pid": os.getpid(), "what": what, **more})
    file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)


class Journal:
    """Reads what was noted down since it was last read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the new lines."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._at)
            raw = file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def has(self, pid: int | None, what: str) -> bool:
        """Say whether a process has ever noted this down."""
        mark = f'"pid": {pid}, "what": "{what}"'.encode()
        return self.path.exists() and mark in self.path.read_bytes()
