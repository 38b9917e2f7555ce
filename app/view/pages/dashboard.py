"""`GET /dashboard`: the duty officer's page, and the parts of it that are fetched again."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from litestar import Response
from msgspec import Struct

from app.login.duty import OnDuty
from app.view.changes import Changes
from app.view.counts import Counting
from app.view.pages import names
from app.view.pages.chart import chart, described
from app.view.pages.map import HEIGHT, PLACED, WIDTH, tiles
from app.view.pages.newest import FILTERS, change_rows
from app.view.pages.status import status_lines
from app.view.pages.trends import trend_context
from app.view.reading import CityCount, Counts, PartitionLag, Unavailable
from app.view.trends import TrendReader, Trends, sources_of
from app.view.watch import AlertWatch
from app.web.language import Language, Text, as_is, exactly, number, today
from app.web.language import gettext as _
from app.web.site import HEADERS, page
from models.codes import Colour, Reason

ELSEWHERE_MAX = 10
"""The most cities outside of Guangdong in the table: those with the most red codes. All of
Guangdong's are there, and the API has all."""

LAG_WARN_S = 5.0
"""A partition further behind than this is marked; 1 s is the promise at p99."""


class Bar(Struct, frozen=True):
    """One line of a table with its share of the largest."""

    name: Text
    count: int
    most: int
    more: int = 0


class ShownLag(Struct, frozen=True):
    """A partition's lag in words, and whether the officer should look at it."""

    partition: int
    seconds: Text
    late: bool


async def dashboard(
    counting: Counting,
    trends: TrendReader,
    watch: AlertWatch,
    changes: Changes,
    language: Language,
    filters: Mapping[str, str],
    now: datetime,
    officer: OnDuty | None,
) -> Response[str]:
    """The whole page, with the filters that its address names."""
    context = {
        **await _counted(counting, trends),
        **await trend_context(trends),
        "status": status_lines(watch),
        **await change_rows(changes, filters, now),
        "officer": "" if officer is None else officer.officer,
        "filters": {name: filters.get(name, "") for name in FILTERS},
        "cities_known": names.CITIES,
        "reasons_known": names.REASONS,
        "places_known": names.PLACES,
        "sources_known": names.SOURCES,
        "other_source": names.OTHER_SOURCE,
        "wall": "wall" in filters,
        "day": today(now),
        "known_sources": await _known_sources(trends),
        "picture": await _pictured(counting),
    }
    return page("dashboard.html", language, context)


async def counts_part(
    counting: Counting, trends: TrendReader, watch: AlertWatch, language: Language
) -> Response[str]:
    """The counts alone, which the page puts in place; 503 if there are none."""
    context = {
        **await _counted(counting, trends),
        **await trend_context(trends),
        "status": status_lines(watch),
    }
    status = 200 if context["counts"] else 503
    return page("counts.html", language, context, status=status)


async def chart_part(counting: Counting, language: Language, size: str) -> Response[bytes]:
    """The picture of the last hour; 503 and an empty picture if nothing can be read."""
    try:
        minutes, status = await counting.minutes(), 200
    except Unavailable:
        minutes, status = [], 503
    headers = {**HEADERS, "cache-control": "no-store", "vary": "accept-language"}
    headers["content-security-policy"] = "default-src 'none'"  # a picture needs nothing else
    picture = chart(minutes, language, size)
    return Response(picture, status_code=status, media_type="image/svg+xml", headers=headers)


async def _known_sources(trends: TrendReader) -> list[str]:
    try:
        return sources_of(await trends.trends())
    except Unavailable:
        return []


async def _pictured(counting: Counting) -> Text:
    try:
        return described(await counting.minutes())
    except Unavailable:
        return _("暂时无法取得数据")


async def _counted(counting: Counting, trends: TrendReader) -> dict[str, object]:
    try:
        counts = await counting.counts()
    except Unavailable as failure:
        return {"counts": None, "cause": names.CAUSES[failure.cause]}
    known: Trends | None = None
    with suppress(Unavailable):
        known = await trends.trends()
    return {
        "counts": counts,
        "counted_at": exactly(counts.at),
        "red": counts.colours.get(Colour.RED, 0),
        "green": counts.colours.get(Colour.GREEN, 0),
        "without": counts.colours.get(Colour.NONE, 0),
        "total": sum(counts.colours.values()),
        "reasons": _reasons(counts),
        "cities": _cities(counts),
        "tiles": tiles(counts.cities, known),
        "map_width": WIDTH * len(PLACED[0]),
        "map_height": HEIGHT * len(PLACED),
        "lags": [_lag(lag) for lag in counts.lags],
    }


def _reasons(counts: Counts) -> Sequence[Bar]:
    most = max(counts.reasons.values(), default=0) or 1
    return [Bar(names.REASONS[r], counts.reasons.get(r, 0), most) for r in Reason]


def _cities(counts: Counts) -> Sequence[Bar]:
    known = {**{code: CityCount(0, 0) for code in names.CITIES}, **counts.cities}
    ranked = sorted(known.items(), key=lambda item: (-item[1].red, item[0]))
    most = ranked[0][1].red or 1
    away = [code for code, _ in ranked if code not in names.CITIES][ELSEWHERE_MAX:]
    return [Bar(names.city(code), c.red, most, c.green) for code, c in ranked if code not in away]


def _lag(lag: PartitionLag) -> ShownLag:
    return ShownLag(
        lag.partition,
        as_is("—") if lag.lag_s is None else number(lag.lag_s, "0.0"),
        late=lag.lag_s is None or lag.lag_s > LAG_WARN_S,
    )
