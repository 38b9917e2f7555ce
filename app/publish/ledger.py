"""The files kept beside the input: the place reached, and the report of refusals."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.process.files import write_whole
from app.publish.lines import Misused, RefusedLine


class FilePlace(Struct, frozen=True):
    """How far a file is sent, and what came of it. `refused_bytes` is the length of its report."""

    gateway: str
    offset: int = 0
    line: int = 0
    sha256: str = hashlib.sha256().hexdigest()
    accepted: int = 0
    refused: dict[str, int] = {}
    refused_bytes: int = 0


class Ledger:
    """The place reached and the report of refusals, both beside the input.

    Standard input has neither: it cannot be read again.
    """

    def __init__(self, path: Path | None) -> None:
        self.place = None if path is None else path.with_name(f"{path.name}.progress")
        self.report = None if path is None else path.with_name(f"{path.name}.refused.ndjson")

    def load(self, gateway: str) -> FilePlace:
        """Return the place reached with this gateway; the beginning if no place is kept."""
        if self.place is None or not self.place.exists():
            return FilePlace(gateway)
        try:
            place = msgspec.json.decode(self.place.read_bytes(), type=FilePlace)
        except msgspec.MsgspecError as error:
            raise Misused(f"{self.place} cannot be read ({error}); remove it.") from None
        return place if place.gateway == gateway else FilePlace(gateway)

    def begin(self, place: FilePlace) -> None:
        """Cut the report to its length at `place`."""
        if self.report is None:
            return
        if place.refused_bytes == 0:
            self.report.unlink(missing_ok=True)
        elif self.report.exists():
            os.truncate(self.report, min(place.refused_bytes, self.report.stat().st_size))

    def add(self, reports: Sequence[RefusedLine]) -> int:
        """Append to the report; return how many bytes were added."""
        if self.report is None or not reports:
            return 0
        lines = b"".join(msgspec.json.encode(report) + b"\n" for report in reports)
        with self.report.open("ab") as file:
            file.write(lines)
        return len(lines)

    def save(self, place: FilePlace) -> None:
        """Keep the place: a reader finds the old one or the new one, never half of it."""
        if self.place is None:
            return
        write_whole(self.place, msgspec.json.encode(place) + b"\n")

    def end(self) -> None:
        """Forget the place: the file is sent."""
        if self.place is not None:
            self.place.unlink(missing_ok=True)
