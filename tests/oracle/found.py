"""What was found wrong."""

from collections import Counter, defaultdict

TOLD_PER_CHECK = 5


class Differences:
    """What was found wrong, by the check that found it; of each the first few in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)

    def add(self, check: str, what: str) -> None:
        """Note one difference."""
        self.counts[check] += 1
        if len(self.examples[check]) < TOLD_PER_CHECK:
            self.examples[check].append(what)

    def take(self, other: "Differences") -> None:
        """Add those of another."""
        self.counts += other.counts
        for check, found in other.examples.items():
            self.examples[check] += found

    def __bool__(self) -> bool:
        return bool(self.counts)
