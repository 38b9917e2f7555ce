"""Which address leads to which page of the duty officer's. All need somebody who is on duty."""

from typing import Any

from litestar import MediaType, Response, get
from litestar.params import FromQuery

from app.view.counts import CountsAnswer, counts_answer
from app.view.pages.dashboard import chart_part, counts_part, dashboard
from app.view.pages.newest import changes_part
from app.view.pages.status import playbooks_page
from app.view.pages.trends import By, Span, trend_figures, trends_part
from app.view.services import Services
from app.web.requests import AnyRequest
from app.web.site import HEADERS, language_of


def duty_pages(view: Services) -> list[Any]:
    """Return the handlers, for a router that lets in those alone who are on duty."""

    @get("/dashboard", media_type=MediaType.HTML)
    async def show_dashboard(request: AnyRequest) -> Response[str]:
        filters = request.query_params
        language = language_of(request)
        officer = view.duty.officer_of(request)
        return await dashboard(
            view.counting,
            view.trend_reader,
            view.watch,
            view.changes,
            language,
            filters,
            view.now(),
            officer,
        )

    @get("/dashboard/changes", media_type=MediaType.HTML)
    async def show_changes(request: AnyRequest) -> Response[str]:
        filters = request.query_params
        return await changes_part(view.changes, language_of(request), filters, view.now())

    @get("/dashboard/counts", media_type=MediaType.HTML)
    async def show_counts(request: AnyRequest) -> Response[str]:
        language = language_of(request)
        return await counts_part(view.counting, view.trend_reader, view.watch, language)

    @get("/dashboard/chart.svg")
    async def show_chart(request: AnyRequest) -> Response[bytes]:
        return await chart_part(
            view.counting, language_of(request), request.query_params.get("size", "wide")
        )

    @get("/dashboard/trends", media_type=MediaType.HTML)
    async def show_trends(request: AnyRequest) -> Response[str]:
        return await trends_part(view.trend_reader, language_of(request))

    @get("/duty/trends.json")
    async def give_trends(
        request: AnyRequest, span: FromQuery[Span] = "hour", by: FromQuery[By] = "all"
    ) -> Response[dict[str, Any]]:
        return await trend_figures(view.trend_reader, language_of(request), span, by)

    @get("/duty/counts.json")
    async def give_counts() -> Response[CountsAnswer]:
        answer = counts_answer(await view.counting.counts(), await view.counting.minutes())
        return Response(answer, headers={**HEADERS, "cache-control": "no-store"})

    @get("/duty/playbooks", media_type=MediaType.HTML)
    async def show_playbooks(request: AnyRequest) -> Response[bytes]:
        return playbooks_page(request)

    return [
        show_playbooks,
        show_dashboard,
        show_changes,
        show_counts,
        show_chart,
        show_trends,
        give_trends,
        give_counts,
    ]
