"""`yuekang worker` with a bug: `python -m support.buggy` cannot fold an event whose id begins
with `UNFOLDABLE`.

The error's message names the person, as an error of Python's own may.
"""

from typing import Any

import agents.people
import models.person
from app.worker.process import worker
from models.events import StatusEvent
from models.person import FoldOutcome, Person, fold

UNFOLDABLE = "unfoldable"


def install_bug() -> None:
    """Put the bug in."""

    def buggy(row: Person, event: StatusEvent, *others: Any) -> FoldOutcome:
        if event.id.startswith(UNFOLDABLE):
            raise KeyError(event.partitionkey)
        return fold(row, event, *others)

    for module in (agents.people, models.person):
        vars(module)["fold"] = buggy


def main() -> None:
    """Put the bug in, then run."""
    install_bug()
    worker()


if __name__ == "__main__":
    main()
