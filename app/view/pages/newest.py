"""The list of the newest changes on the dashboard, as it is when the page opens.

Later changes are put in by static/dashboard.js, into rows of the same form: it copies the row that
stands in templates/dashboard.html.
"""

from collections.abc import Mapping
from datetime import datetime

from litestar import Response
from msgspec import Struct

from app.projection.changes import PublicCause, PublicChange
from app.view.changes import REASON_WORDS, ChangeFilter, Changes
from app.view.pages import names
from app.view.reading import Unavailable
from app.web.language import Language, Text, as_is, clock, joined
from app.web.language import gettext as _
from app.web.site import page
from models.codes import Colour
from models.events import DIVISION, SOURCE, SOURCE_LENGTH_MAX
from models.policy import ZONE

FILTERS = ("city", "reason", "source")
"""The fields of the filter's form."""


class ListedChange(Struct, frozen=True):
    """One row: when, from which colour to which, where, why, by whom and what.

    `number` is its place in the order of arrival. `path` is the source as it names itself.
    """

    number: int
    at: datetime
    when: str
    before: Colour
    after: Colour
    city: Text
    reasons: Text
    cause: Text
    path: str | None
    type: str | None


async def change_rows(
    changes: Changes, filters: Mapping[str, str], now: datetime
) -> dict[str, object]:
    """Return what changes.html needs: the rows, newest first, and the words if there are none.

    Rows stand by when the change happened, and by arrival where that is equal. Those of one
    partition may arrive some seconds after those of another.
    """
    known = {"colours_known": names.COLOURS}
    wanted = filter_of(filters)
    if wanted is None:
        return {**known, "rows": (), "last": "", "nothing": _("来源应写作 /cdc/440100 的样子。")}
    try:
        newest = await changes.newest(wanted)
    except Unavailable as failure:
        words = _("暂时无法取得数据") if failure.cause != "store" else names.CAUSES["store"]
        return {**known, "rows": None, "last": "", "nothing": words}
    nothing = _("还没有变化，仍在等待。")
    if wanted != ChangeFilter():
        nothing = _("没有符合的变化，仍在等待。")
    rows = sorted((_row(*one, now) for one in newest.changes), key=_by_time, reverse=True)
    return {**known, "rows": rows, "last": str(newest.place), "nothing": nothing}


async def changes_part(
    changes: Changes, language: Language, filters: Mapping[str, str], now: datetime
) -> Response[str]:
    """The list alone, for a page whose filter was changed; 503 if nothing can be read."""
    context = await change_rows(changes, filters, now)
    return page("changes.html", language, context, status=503 if context["rows"] is None else 200)


def filter_of(filters: Mapping[str, str]) -> ChangeFilter | None:
    """Return the filter that a page's address names; None if nothing can fit it."""
    city, reason, source = (filters.get(name, "").strip() for name in FILTERS)
    if city and not DIVISION.fullmatch(city):
        return None
    if reason and reason not in REASON_WORDS:
        return None
    if source and (len(source) > SOURCE_LENGTH_MAX or not SOURCE.fullmatch(source)):
        return None
    return ChangeFilter(city or None, REASON_WORDS[reason] if reason else None, source or None)


def _by_time(change: ListedChange) -> tuple[datetime, int]:
    return change.at, change.number


def _row(number: int, change: PublicChange, now: datetime) -> ListedChange:
    reasons = [names.REASONS[reason] for reason in change.after.reasons]
    return ListedChange(
        number,
        change.at,
        _when(change.at, now),
        change.before.colour,
        change.after.colour,
        as_is("—") if change.city is None else names.city(change.city),
        joined(as_is(" · "), reasons) if reasons else as_is("—"),
        _cause(change.cause),
        change.cause.source,
        change.cause.type,
    )


def _cause(cause: PublicCause) -> Text:
    return _("到期") if cause.source is None else names.source(cause.source)


def _when(at: datetime, now: datetime) -> str:
    """The time of day; with the day before it where that is not today's."""
    local = at.astimezone(ZONE)
    if local.date() == now.astimezone(ZONE).date():
        return clock(at)
    return f"{local:%m-%d} {clock(at)}"
