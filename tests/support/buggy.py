"""`yuekang worker` with a bug: `python -m support.buggy` cannot fold an event named `UNFOLDABLE`.

The error's message names the person, as an error of Python's own may.
"""

from typing import Any

import agents.people
from app.worker.process import worker
from models.events import StatusEvent
from models.person import FoldOutcome, Person, fold

UNFOLDABLE = "unfoldable"


def main() -> None:
    """Put the bug in, then run."""

    def buggy(row: Person, event: StatusEvent, *others: Any) -> FoldOutcome:
        if event.id == UNFOLDABLE:
            raise KeyError(event.partitionkey)
        return fold(row, event, *others)

    vars(agents.people)["fold"] = buggy
    worker()


if __name__ == "__main__":
    main()
