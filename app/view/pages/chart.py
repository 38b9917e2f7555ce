"""The last hour of changes per minute, as an SVG picture without script."""

from collections.abc import Sequence
from typing import Any

from pygal import Config, StackedBar  # type: ignore[import-untyped]
from pygal.style import Style  # type: ignore[import-untyped]

from app.view.reading import ChangesOfMinute
from app.web.language import Language, Text, ngettext, number
from app.web.language import gettext as _
from models.policy import ZONE

SIZES = {"wide": (900, 240), "narrow": (420, 240)}
"""Width and height by name; a phone gets a picture whose letters it can read."""

_STEPS = (1, 2, 4, 6, 8)

_NIGHT = Style(  # the values of static/tokens.css; a picture cannot read them from there
    background="#161b22",
    plot_background="#161b22",
    foreground="#a3adb8",
    foreground_strong="#e6edf3",
    foreground_subtle="#30363d",
    guide_stroke_color="#30363d",
    major_guide_stroke_color="#30363d",
    colors=("#ff8f87", "#4f74b3"),
    opacity="1",
    opacity_hover="1",
    transition="0s",
    font_family="system-ui, 'Noto Sans CJK SC', sans-serif",
    label_font_size=14,
    major_label_font_size=14,
    no_data_font_size=20,
)


def chart(minutes: Sequence[ChangesOfMinute], language: Language, size: str = "wide") -> bytes:
    """Draw `minutes`, oldest first, as stacked bars with the changes to red at the bottom.

    No minutes at all: a picture that says that there are no figures.
    """
    width, height = SIZES.get(size, SIZES["wide"])
    top = _round_up(max((m.all for m in minutes), default=0))
    config = Config(
        width=width,
        height=height,
        style=_NIGHT,
        js=(),
        no_prefix=True,
        show_legend=False,
        truncate_label=-1,
        x_labels_major_every=10,
        show_minor_x_labels=False,
        range=(0, top),
        margin=8,
        spacing=8,
        no_data_text=_("暂时无法取得数据").of(language),
    )
    bars = StackedBar(config)
    bars.add_xml_filter(_bare)
    bars.x_labels = [f"{m.start.astimezone(ZONE):%H:%M}" for m in minutes]
    bars.y_labels = [0, top // 2, top] if top % 2 == 0 else [0, top]
    bars.value_formatter = lambda value: number(value).of(language)
    bars.add(_("变为红码").of(language), [m.to_red for m in minutes])
    bars.add(_("其他变化").of(language), [m.other for m in minutes])
    return bytes(bars.render())


def described(minutes: Sequence[ChangesOfMinute]) -> Text:
    """What the picture says, in a sentence."""
    red, other = sum(m.to_red for m in minutes), sum(m.other for m in minutes)
    most = max((m.all for m in minutes), default=0)
    return _("最近一小时每分钟的变化：变为红码 {red} 次，{other}，一分钟最多 {most} 次。").filled(
        red=number(red),
        other=ngettext("其他 {n} 次", "其他 {n} 次", other),
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


def _bare(root: Any) -> Any:
    """Take out the script that pygal writes for its own tooltips, and its name as the title."""
    for parent in list(root.iter()):
        for child in list(parent):
            if str(child.tag).endswith(("script", "title")):
                parent.remove(child)
    return root
