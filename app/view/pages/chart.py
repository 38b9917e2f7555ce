"""The reds of the last hour per minute, as an SVG picture, for a page without scripts.

templates/chart.svg draws it.
"""

from collections.abc import Sequence
from functools import lru_cache

from app.view.reading import ChangesOfMinute
from app.web.language import Language, Text, ngettext, number
from app.web.language import gettext as _
from app.web.site import render
from models.policy import ZONE

SIZES = {"wide": (900, 240), "narrow": (420, 240)}
"""Width and height by name. The narrow one is for a phone, which can then show legible letters."""

_STEPS = (1, 2, 4, 6, 8)

_MARGIN = 12
_BELOW = 36
"""Height below the axis, for the times and the margin."""

_DIGIT = 9
"""How wide a digit of the picture's 14 px letters is at most."""

_BAR = 0.9
"""A bar's share of its minute's width; the rest is a gap."""


def chart(minutes: Sequence[ChangesOfMinute], language: Language, size: str = "wide") -> bytes:
    """Draw the changes to red of `minutes`, oldest first, as bars on a scale of their own.

    Without any minutes the picture says that there are no figures. The same figures are drawn once.
    """
    return _drawn(tuple(minutes), language, size if size in SIZES else "wide")


@lru_cache(maxsize=16)
def _drawn(minutes: tuple[ChangesOfMinute, ...], language: Language, size: str) -> bytes:
    width, height = SIZES[size]
    most = _round_up(max((m.to_red for m in minutes), default=0))
    left = _MARGIN + _DIGIT * len(number(most).of(language))
    right, bottom = width - _MARGIN, height - _BELOW
    picture = render(
        "chart.svg",
        language,
        {
            "said": described(minutes) if minutes else _("暂时无法取得数据"),
            "minutes": minutes,
            "times": [f"{m.start.astimezone(ZONE):%H:%M}" for m in minutes],
            "counts": (0, most // 2, most),
            "width": width,
            "height": height,
            "left": left,
            "right": right,
            "top": _MARGIN,
            "bottom": bottom,
            "minute_width": (right - left) / max(1, len(minutes)),
            "change_height": (bottom - _MARGIN) / most,
            "bar_width": _BAR,
        },
    )
    return picture.encode()


def described(minutes: Sequence[ChangesOfMinute]) -> Text:
    """A sentence that says what the picture shows."""
    red, other = sum(m.to_red for m in minutes), sum(m.other for m in minutes)
    most = max((m.to_red for m in minutes), default=0)
    return _("最近一小时：变为红码 {red} 次，一分钟最多 {most} 次；{other}。").filled(
        red=number(red),
        other=ngettext("其他 {n} 次变化", "其他 {n} 次变化", other),
        most=number(most),
    )


def _round_up(most: int) -> int:
    """The smallest of 2, 4, 6, 8, 10, 20, 40, … that is not below `most`."""
    power = 1
    while True:
        for step in _STEPS:
            if max(2, most) <= step * power:
                return step * power
        power *= 10
