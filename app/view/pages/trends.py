"""The trends on the dashboard: marks and tables as words, and figures for static/charts.js."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from litestar import Response
from msgspec import Struct

from app.projection.trends import OTHER_SOURCES
from app.view.pages import names
from app.view.reading import Unavailable
from app.view.trends import Mark, TrendReader, Trends
from app.web.language import Language, Text, as_is, joined, number
from app.web.language import gettext as _
from app.web.site import HEADERS, page
from models.codes import Reason

Span = Literal["hour", "day"]
By = Literal["all", "reason", "city", "source"]

LINES_MAX = 6
"""The most lines in one chart: more cannot be told apart."""

TABLE_MAX = 20
"""The most lines in one table of a part: those with the most reds of a day."""

SPANS: dict[Span, Text] = {"hour": _("最近一小时"), "day": _("最近一天")}
PARTS: dict[By, Text] = {
    "all": _("合计"),
    "reason": _("按原因"),
    "city": _("按城市"),
    "source": _("按来源"),
}


class ShownMark(Struct, frozen=True):
    """Where something is unusual, in words."""

    where: Text
    count: Text
    usual: Text


class TableLine(Struct, frozen=True):
    """A reason, a city or a source with its reds of the hour and of the day."""

    name: Text
    hour: int
    day: int


async def trend_context(reader: TrendReader) -> dict[str, object]:
    """Return what trends.html and the tile of reds need; without figures they say so."""
    known = {"parts": PARTS, "spans": SPANS}
    try:
        trends = await reader.trends()
    except Unavailable:
        return {**known, "trends": None, "marks": (), "tables": {}}
    return {
        **known,
        "trends": trends,
        "marks": [_mark(mark) for mark in trends.marks],
        "tables": {PARTS[by]: _table(trends, by) for by in PARTS if by != "all"},
    }


async def trends_part(reader: TrendReader, language: Language) -> Response[str]:
    """The marks and tables alone, which the page puts in place; 503 if there are none."""
    context = await trend_context(reader)
    return page("trends.html", language, context, status=200 if context["trends"] else 503)


async def trend_figures(
    reader: TrendReader, language: Language, span: Span, by: By
) -> Response[dict[str, Any]]:
    """The figures of one chart: `start` (s since 1970), `step`, and counts one after another.

    `lines` has the reds of each reason, city or source, those with the most first, at most
    `LINES_MAX`; of everything together, nothing.
    """
    trends = await reader.trends()
    series = trends.hour if span == "hour" else trends.day
    parts = {} if by == "all" else series.by[by]
    figures = {
        "start": int(series.start.timestamp()),
        "step": series.step_s,
        "red": series.red,
        "lifted": series.lifted,
        "first": series.first,
        "lines": [
            {"name": _name(by, key).of(language), "red": parts[key]}
            for key in _ranked(parts)[:LINES_MAX]
        ],
    }
    return Response(figures, headers={**HEADERS, "cache-control": "no-store"})


def _ranked(parts: Mapping[str, Sequence[int]]) -> list[str]:
    return sorted(parts, key=lambda key: (-sum(parts[key]), key))


def _table(trends: Trends, by: str) -> list[TableLine]:
    hour, day = trends.hour.by[by], trends.day.by[by]
    return [
        TableLine(_name(by, key), sum(hour.get(key, ())), sum(day[key]))
        for key in _ranked(day)[:TABLE_MAX]
    ]


def _mark(mark: Mark) -> ShownMark:
    where = _("全省") if not mark.by else _name(mark.by, mark.key)
    return ShownMark(where, number(mark.count), number(mark.usual, "#,##0.#"))


def _name(by: str, key: str) -> Text:
    """The name of what is told apart; a source with its path, since several have one name."""
    if key == "-":
        return _("到期") if by == "source" else _("未知")
    match by:
        case "reason":
            return names.REASONS[Reason(int(key))]
        case "city":
            return names.city(key)
        case _ if key == OTHER_SOURCES:
            return _("其余来源")
        case _:
            return joined(as_is(" "), (names.source(key), as_is(key)))
