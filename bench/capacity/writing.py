"""How the page writes numbers and tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from bench.capacity.figures import shown

Text = Callable[[], str]
Row = tuple[str, Text, str]


def about(value: float, digits: int = 2) -> str:
    """Write a number with so many digits that count."""
    if value == 0:
        return "0"
    number = float(f"{value:.{digits - 1}e}")
    return f"{number:,.0f}" if abs(number) >= 10 else f"{number:g}"


def size(bytes_: float) -> str:
    """Write bytes with two digits that count, in units of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if float(f"{bytes_:.1e}") < 1_000:
            return f"{about(bytes_)} {unit}"
        bytes_ /= 1_000
    return f"{about(bytes_)} TB"


def bits(a_second: float) -> str:
    """Write bits a second."""
    return f"{about(a_second / 1e9)} Gbit/s"


def lasting(seconds: float) -> str:
    """Write a time with two digits that count."""
    if seconds < 120:
        return f"{about(seconds)} s"
    return f"{about(seconds / 60)} min" if seconds < 7_200 else f"{about(seconds / 3_600)} h"


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a section that is a table."""
    yield from ("", f"## {title}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads))
    yield from (f"| {' | '.join(row)} |" for row in rows)


def computed(title: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a section of what is needed, and how it is computed; what is open says so."""
    yield from table(
        title, ("", "Needed", "How"), ((what, shown(text), how) for what, text, how in rows)
    )
