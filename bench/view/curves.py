"""A plot over time, as an SVG picture: answers a second by kind above, latency below, and marks of
what was done when."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, log10
from math import floor as floor_of

from msgspec import Struct

from bench.plots import head

WIDTH, LEFT, RIGHT, TOP = 900, 70, 20, 64
UPPER, LOWER, GAP, FOOT = 200, 120, 34, 34
COLOURS = ("#1d4ed8", "#0b6b2e", "#b45309", "#b00f1b", "#6d28d9", "#57534e", "#0e7490")
LEGEND = 168


class Curve(Struct, frozen=True):
    """One line: a value for each second, None where nothing came."""

    name: str
    values: Sequence[float | None]


def over_time(
    title: str, upper: Sequence[Curve], lower: Curve, marks: Mapping[float, str], unit: str
) -> str:
    """Draw `upper` on one scale from 0, and `lower`, in `unit`, on a logarithmic one beneath."""
    seconds = max((len(curve.values) for curve in (*upper, lower)), default=1)
    floor = TOP + UPPER + GAP + LOWER
    height = floor + FOOT
    to_x = (WIDTH - LEFT - RIGHT) / max(1, seconds)
    lines = [
        *head(title, WIDTH, height, 13),
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for second, what in marks.items():
        x = LEFT + second * to_x
        lines += [
            f'<path d="M{x:.1f} {TOP}V{floor}" stroke="#57534e" stroke-dasharray="4 3"/>',
            f'<text x="{x + 4:.1f}" y="{TOP + 12}" fill="#57534e">{escape(what)}</text>',
        ]
    most = max((v for c in upper for v in c.values if v is not None), default=0.0) or 1.0
    for value in _ticks(most):
        lines += _level(TOP + UPPER * (1 - value / most), f"{value:,.0f}")
    for number, curve in enumerate(upper):
        x, ink = LEFT + number * LEGEND, COLOURS[number % len(COLOURS)]
        heights = [None if v is None else TOP + UPPER * (1 - v / most) for v in curve.values]
        lines += [
            f'<rect x="{x}" y="36" width="12" height="12" fill="{ink}"/>',
            f'<text x="{x + 18}" y="47">{escape(curve.name)}</text>',
            _path(heights, to_x, ink),
        ]
    slowest = max((v for v in lower.values if v is not None), default=0.0)
    decades = ceil(log10(max(slowest, 10.0)))
    for decade in range(decades + 1):
        lines += _level(floor - LOWER * decade / decades, f"{10**decade:,} {unit}")
    heights = [
        None if v is None else floor - LOWER * log10(max(v, 1.0)) / decades for v in lower.values
    ]
    lines.append(_path(heights, to_x, "#1f2328"))
    for second in range(0, seconds + 1, 10):
        x = LEFT + second * to_x
        lines.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{second} s</text>')
    lines += [f'<text x="{LEFT}" y="{floor - LOWER - 8}">{escape(lower.name)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _ticks(most: float) -> list[float]:
    step = 10.0 ** floor_of(log10(most))
    while most / step < 3:
        step /= 2
    return [step * number for number in range(int(most / step) + 1)]


def _level(y: float, text: str) -> list[str]:
    return [
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d6d3d1"/>',
        f'<text x="{LEFT - 6}" y="{y:.1f}" dy="0.35em" text-anchor="end">{escape(text)}</text>',
    ]


def _path(heights: Sequence[float | None], to_x: float, ink: str) -> str:
    """Join the seconds that follow each other; one that stands alone is a dot."""
    parts, before = list[str](), None
    for second, y in enumerate(heights):
        if y is not None:
            x = LEFT + (second + 0.5) * to_x
            parts.append(f"{'M' if before is None else 'L'}{x:.1f} {y:.1f}")
            if before is None and (second + 1 == len(heights) or heights[second + 1] is None):
                parts.append("h0.1")
        before = y
    return (
        f'<path d="{"".join(parts)}" fill="none" stroke="{ink}" stroke-width="2"'
        ' stroke-linecap="round" stroke-linejoin="round"/>'
    )
