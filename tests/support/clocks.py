"""A process's wall clock, set off from the machine's."""

from pathlib import Path

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), Path("/nowhere"))
"""docker/install.sh brings it."""


class SteppedClock:
    """The wall clock of processes that are started with `environment`; not the monotonic one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step(0)

    def step(self, seconds: float) -> None:
        """Set it off by so much; also while a process runs, which sees it within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.replace(self._file)
