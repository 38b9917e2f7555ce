"""`GET /`: what this site is, and links to its pages."""

from collections.abc import Sequence

from litestar import Response

from app.view.reading import Sample
from app.web.language import Language
from app.web.language import gettext as _
from app.web.site import page


def entry_page(samples: Sequence[Sample], language: Language) -> Response[str]:
    """The short page that leads to the others. Only in development there are `samples`."""
    links = (
        ("/dashboard", _("值班看板"), _("人数、最近一小时、最新变化")),
        ("/api", _("接口"), _("查询、扫码、变化流")),
        ("/api/events", _("事件"), _("各部门发布的事件与主题（AsyncAPI）")),
    )
    context = {"links": links, "samples": samples}
    return page("entry.html", language, context)
