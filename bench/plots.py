"""Plots of the report, as SVG pictures: horizontal bars, each with its name and its figure, and
curves by size."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

from msgspec import Struct

from bench.spread import Spread

WIDTH = 900
ROW = 30
NAMES = 300
"""The width of the column of names, which end where the bars begin."""

FIGURES = 90
TITLE = 36


def head(title: str, width: int, height: int, font_size: int) -> list[str]:
    """Return what a plot begins with: its size in pixels, its title, its ground."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" fill="#1f2328"'
        f' font-family="system-ui, sans-serif" font-size="{font_size}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]


def bars(title: str, rows: Sequence[tuple[str, float]], form: str) -> str:
    """Draw `rows` from the top; `form` is how a figure is written."""
    height = TITLE + ROW * len(rows) + 8
    scale = (WIDTH - NAMES - FIGURES) / (max((value for _, value in rows), default=0) or 1)
    lines = [
        *head(title, WIDTH, height, 14),
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


PANEL = 190
PANEL_GAP = 44
LEFT = 70
RIGHT = 24
INKS = ("#1d4ed8", "#b45309")
LEGEND = 260


class Curve(Struct, frozen=True):
    """One line: what several rounds found at each size."""

    name: str
    values: Mapping[int, Spread]


def by_size(sizes: str, panels: Mapping[str, Sequence[Curve]]) -> str:
    """Draw panels, each from 0 on a scale of its own, above one logarithmic axis of `sizes`. A line
    goes through the medians, and a bar from the least to the most at each."""
    found = sorted({size for curves in panels.values() for c in curves for size in c.values})
    height = TITLE + len(panels) * (PANEL + PANEL_GAP) + 40
    first, last = (log10(found[0]), log10(found[-1])) if found else (0.0, 1.0)
    to_x = (WIDTH - LEFT - RIGHT - 60) / ((last - first) or 1.0)

    def x_of(size: int) -> float:
        return LEFT + 30 + (log10(size) - first) * to_x

    title = ", ".join(panels)
    lines = [
        *head(title, WIDTH, height, 13),
    ]
    names = dict.fromkeys(curve.name for curves in panels.values() for curve in curves)
    ink_of = {name: INKS[number % len(INKS)] for number, name in enumerate(names)}
    for number, (name, ink) in enumerate(ink_of.items()):
        left = LEFT + number * LEGEND
        lines += [
            f'<rect x="{left}" y="12" width="12" height="12" fill="{ink}"/>',
            f'<text x="{left + 18}" y="23">{escape(name)}</text>',
        ]
    for number, (unit, curves) in enumerate(panels.items()):
        top = TITLE + number * (PANEL + PANEL_GAP) + 24
        floor = top + PANEL
        most = max((s.most for curve in curves for s in curve.values.values()), default=0.0) or 1.0
        lines.append(f'<text x="{LEFT}" y="{top - 10}">{escape(unit)}</text>')
        for quarter in range(5):
            y = floor - PANEL * quarter / 4
            lines += [
                f'<path d="M{LEFT} {y:g}H{WIDTH - RIGHT}" stroke="#d6d3d1"/>',
                f'<text x="{LEFT - 6}" y="{y:g}" dy="0.35em" text-anchor="end">'
                f"{most * quarter / 4:.3g}</text>",
            ]
        for curve in curves:
            ink, points = ink_of[curve.name], list[str]()
            for size, spread in sorted(curve.values.items()):
                x = x_of(size)
                middle, least, highest = (
                    floor - PANEL * value / most
                    for value in (spread.median, spread.least, spread.most)
                )
                points.append(f"{x:.1f} {middle:.1f}")
                lines += [
                    f'<path d="M{x:.1f} {least:.1f}V{highest:.1f}" stroke="{ink}"/>',
                    f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="4" fill="{ink}"/>',
                ]
            if points:
                path = "L".join(points)
                lines.append(f'<path d="M{path}" fill="none" stroke="{ink}" stroke-width="2"/>')
    foot = height - 26
    lines += [
        f'<text x="{x_of(size):.1f}" y="{foot}" text-anchor="middle">{size:,}</text>'
        for size in found
    ]
    lines += [
        f'<text x="{LEFT}" y="{height - 8}" fill="#57534e">{escape(sizes)}, logarithmic</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
