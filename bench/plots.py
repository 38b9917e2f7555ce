"""A plot of the report: horizontal bars, each with its name and its figure, as an SVG picture."""

from collections.abc import Sequence
from html import escape

WIDTH = 900
ROW = 30
NAMES = 300
"""The width of the column of names, which end where the bars begin."""

FIGURES = 90
TITLE = 36


def bars(title: str, rows: Sequence[tuple[str, float]], form: str) -> str:
    """Draw `rows` from the top; `form` is how a figure is written."""
    height = TITLE + ROW * len(rows) + 8
    scale = (WIDTH - NAMES - FIGURES) / (max((value for _, value in rows), default=0) or 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" fill="#1f2328"'
        ' font-family="system-ui, sans-serif" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{NAMES}" y="24">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(rows):
        top, length = TITLE + ROW * place, round(value * scale, 1)
        middle = top + ROW / 2
        lines += [
            f'<text x="{NAMES - 8}" y="{middle:g}" dy="0.35em" text-anchor="end">'
            f"{escape(name)}</text>",
            f'<rect x="{NAMES}" y="{top + 4}" width="{length:g}" height="{ROW - 8}"'
            ' fill="#1d4ed8"/>',
            f'<text x="{NAMES + length + 8:g}" y="{middle:g}" dy="0.35em">{value:{form}}</text>',
        ]
    bottom = height - 8
    lines += [f'<path d="M{NAMES} {TITLE}V{bottom}" stroke="#1f2328"/>', "</svg>"]
    return "\n".join(lines) + "\n"
