"""What several rounds found of one figure."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct


class Spread(Struct, frozen=True):
    """Median and range of what the rounds found."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(median(values), min(values), max(values))

    def text(self, form: str) -> str:
        """Write it: median (least to most)."""
        middle, least, most = (format(v, form) for v in (self.median, self.least, self.most))
        return f"{middle} ({least}–{most})"
