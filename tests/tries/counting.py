"""What became of tries, by kind: how each was refused, and that none is silently gone."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Count:
    """Tries by kind and outcome. `wrong` has those that a kind may not end in."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: str, right: bool = True) -> None:
        """Note what became of one try."""
        self.outcomes[kind][outcome] += 1
        if not right:
            self.wrong.append(f"{kind}: {outcome}")

    @property
    def tries(self) -> int:
        """How many have an outcome."""
        return sum(sum(found.values()) for found in self.outcomes.values())

    def lines(self) -> Iterator[str]:
        """Yield a table of all of them, in Markdown."""
        yield "| Try | Tries | Ended as | Effects |"
        yield "|---|---|---|---|"
        for kind, found in self.outcomes.items():
            ended = "; ".join(f"{outcome} {count:,}" for outcome, count in found.most_common())
            effects = sum(1 for each in self.wrong if each.startswith(f"{kind}: "))
            yield f"| {kind} | {sum(found.values()):,} | {ended} | {effects} |"


@dataclass(frozen=True)
class Kind:
    """One way to try: `share` says how often beside the others; `once` tries and says how it
    ended, with whether it may end so."""

    name: str
    share: float
    once: Callable[[Random], Awaitable[tuple[str, bool]]]


def shared_out(total: int, shares: Iterable[float]) -> list[int]:
    """Return how many of `total` each gets: at least one, and all of them together."""
    weights = list(shares)
    found = [max(1, int(total * weight / sum(weights))) for weight in weights]
    number = 0
    while sum(found) < total:
        found[number % len(found)] += 1
        number += 1
    return found
