"""The broker of the benchmark: the stack's own, on free ports, in a folder that is emptied
first."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.development.stack.broker import Broker
from app.process.ports import free_port

JOIN_SECONDS = 3
"""How long a new group waits for its members, so that two workers begin together."""

SETTINGS = {
    "group.initial.rebalance.delay.ms": JOIN_SECONDS * 1_000,
    # Topics are deleted after each run; their files go at once.
    "log.segment.delete.delay.ms": 1_000,
    # The cleaner would run in some rounds and not in others.
    "log.cleaner.backoff.ms": 3_600_000,
}


class BenchBroker(Broker):
    """A broker with the settings above, beyond those that every broker has."""

    def _configuration(self) -> str:
        own = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
        lines = [
            line
            for line in super()._configuration().splitlines()
            if line.partition("=")[0] not in SETTINGS
        ]
        return "\n".join([*lines, own])


@contextmanager
def running_broker(directory: Path) -> Iterator[Broker]:
    """Run a broker without a topic."""
    shutil.rmtree(directory, ignore_errors=True)
    try:
        with BenchBroker(directory, free_port(), free_port()).running() as broker:
            yield broker
    finally:
        shutil.rmtree(directory / "kafka", ignore_errors=True)
