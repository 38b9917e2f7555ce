"""`GET /`: the front door. What a resident comes for stands first, what is for staff below."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from litestar import Response

from app.view.pages import names
from app.view.reading import Sample
from app.web.language import Text
from app.web.language import gettext as _
from app.web.requests import AnyRequest
from app.web.site import OWN_PAGES, cached_page, language_of, page
from models.codes import Colour

DOORS: tuple[tuple[str, Text, Text], ...] = (
    ("/code", _("出示粤康码"), _("在查验处出示，也可以查看红码的原因和解除条件")),
    ("/me", OWN_PAGES["/me"], _("核酸检测、隔离解除告知书、亮码记录等")),
    ("/declare", OWN_PAGES["/declare"], _("向单位或学校申报，或自己留存")),
    ("/travel-card", OWN_PAGES["/travel-card"], _("前 14 天内到达或途经的城市")),
)
"""What a resident comes for: address, name, what it is for."""

STAFF: tuple[tuple[str, Text], ...] = (
    ("/gate", _("查验终端")),
    ("/dashboard", _("值班看板")),
    ("/counts", _("统计")),
    ("/agency", _("机构接入")),
    ("/api", _("接口说明")),
    ("/api/events", _("事件说明")),
)
"""What is for those who work here, or with us, or want to know how it stands; smaller."""

COLOUR_NOTES: dict[Colour, Text] = {
    Colour.NONE: _("这些人还没有实名登录。登录就是实名：之后按已有的记录显示绿码或红码。"),
}
"""What a sample's group of this colour needs to have said."""


def entry_page(request: AnyRequest, samples: Sequence[Sample]) -> Response[bytes] | Response[str]:
    """Answer with the front door. Only in development there are `samples`."""
    context = {"doors": DOORS, "staff": STAFF, "samples": list(_grouped(samples))}
    if samples:  # they change with the sample day
        return page("entry.html", language_of(request), context)
    return cached_page(request, "entry.html", "", lambda: context)


def _grouped(samples: Sequence[Sample]) -> Iterator[tuple[Text, Text | None, list[Sample]]]:
    order = list(names.COLOURS)
    by_colour = sorted(samples, key=lambda sample: order.index(sample.colour))
    for colour, group in groupby(by_colour, key=lambda sample: sample.colour):
        yield names.COLOURS[colour], COLOUR_NOTES.get(colour), list(group)
