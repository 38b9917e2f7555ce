"""`GET /counts`: the figures for everybody, and how they are counted."""

from collections.abc import Mapping

import msgspec
from litestar import Response

from app.view.figures import ELSEWHERE, Rounded
from app.view.pages import names
from app.view.reading import Unavailable
from app.view.releases import Releases
from app.web.language import Text, exactly, number
from app.web.language import gettext as _
from app.web.requests import AnyRequest
from app.web.site import cached_page, digest_of, language_of, page

HOW: tuple[Text, ...] = (
    _(
        "每刻钟至多统计一次，以统计时刻系统中的码为准；"
        "上次统计后变化不足 5 次的，仍显示上次的数字。"
    ),
    _("不足 10 人（含 0 人）的一律写作“不足 10”。"),
    _(
        "其余人数向下取整到 10 的倍数；合计和原因按需要取整得更粗，"
        "使任何不足 5 人的分组都不能推算出来。"
    ),
    _("一人可同时有多个红码原因，因此各原因之和可大于红码人数。"),
    _("城市按实名登录时登记的城市计，不是现在所在的城市。"),
    _(
        "一个来源一小时内上报的红码事由超过上限时，超出部分暂不生效，"
        "须经两名操作员批准；此处只公布件数。"
    ),
)
"""How the figures are made, in sentences."""


async def figures_page(releases: Releases, request: AnyRequest) -> Response[bytes] | Response[str]:
    """Answer with the page, the same for all readers of a language; 503 if there are no figures."""
    try:
        figures = await releases.figures()
    except Unavailable as failure:
        context = {"failed": names.CAUSES[failure.cause], "how": HOW}
        return page("figures.html", language_of(request), context, status=503)

    def filled() -> Mapping[str, object]:
        places = [city for city in figures.red if city != ELSEWHERE]
        return {
            "failed": None,
            "how": HOW,
            "made_at": exactly(figures.made_at),
            "colours": [(names.COLOURS[c], said(n)) for c, n in figures.colours.items()],
            "reasons": [(names.REASONS[r], said(n)) for r, n in figures.reasons.items()],
            "held": said(figures.held),
            "cities": [
                *((names.city(c), said(figures.red[c]), said(figures.green[c])) for c in places),
                (_("其他或未知"), said(figures.red[ELSEWHERE]), said(figures.green[ELSEWHERE])),
            ],
        }

    return cached_page(
        request, "figures.html", digest_of(msgspec.to_builtins(figures.made_at)), filled
    )


def said(cell: Rounded) -> Text:
    """A rounded number in words."""
    if cell.hidden:
        return _("不足 {n}").filled(n=number(cell.most + 1))
    return _("约 {n}").filled(n=number(cell.least))
