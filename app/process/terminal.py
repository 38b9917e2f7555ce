"""How a command tells a person what there is, and how far it is: a bar on a terminal, else a line
now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY_SECONDS = 5.0
"""How often progress is told if there is no terminal for a bar."""

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and how much there is; None if the total is not known."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is counted: how a bar shows it, and what a line says of it; None: no lines."""

    shown: str
    line: str | None


COUNT = Unit("{task.completed:.0f}/{task.total}", "{what}: {done} of {total} published")
PERCENT = Unit("{task.percentage:>3.0f}%", None)
OPEN_END = Unit("{task.completed:.0f}", None)


def escaped(text: str) -> str:
    """Return `text` escaped, so that it cannot move the cursor or colour the screen."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def progress_on(console: Console, what: str, unit: Unit = COUNT) -> Iterator[Progress]:
    """Show on `console` how far `what` is; yield the function that is told of it."""
    if not console.is_terminal:
        yield _lines(console, what, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(unit.shown),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(console: Console, what: str, unit: Unit) -> Progress:
    next_at = 0.0

    def report(done: int, total: int | None) -> None:
        nonlocal next_at
        now = time.monotonic()
        if unit.line is not None and (now >= next_at or done == total):
            next_at = now + LINE_EVERY_SECONDS
            line = unit.line.format(what=what, done=done, total=total)
            console.print(line, highlight=False)

    return report
