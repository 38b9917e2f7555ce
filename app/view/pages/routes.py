"""Which address leads to which page."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson
from litestar import MediaType, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.static_files import create_static_files_router

from app.login.duty import duty_login_routes
from app.login.guards import FRESH, LoggedIn
from app.topics.schemas import asyncapi
from app.view.pages.agency import agency_page
from app.view.pages.code_page import code_page, reloading
from app.view.pages.course import course_page
from app.view.pages.declare import declare_routes
from app.view.pages.duty import duty_pages
from app.view.pages.entry import entry_page
from app.view.pages.figures import figures_page
from app.view.pages.gate import gate_routes
from app.view.pages.information import everything_page, information_page, section_page
from app.view.pages.installed import manifest, offline_page, worker_script
from app.view.pages.proof import check_page, negative_page, notice_page
from app.view.pages.reference import api_page, event_page, events_page
from app.view.pages.statements import STATEMENTS, statement_page
from app.view.pages.travel import travel_card_routes
from app.view.services import Services
from app.view.showing import BEFORE
from app.web.requests import AnyRequest
from app.web.site import HEADERS, STATIC, language_of
from models.information import Section

PATH_LENGTH_MAX = 200
"""Of a static file's address; the longest has some 40."""


def page_routes(view: Services, openapi: Callable[[], Mapping[str, Any]]) -> list[Router]:
    """The pages for anybody, for the application's `route_handlers`.

    `openapi` gives the view's own OpenAPI 3.1 document, which is there once the application is.
    """

    @get("/", media_type=MediaType.HTML)
    async def show_entry(request: AnyRequest) -> Response[Any]:
        return entry_page(request, view.samples())

    @get([f"/{name}" for name in STATEMENTS], media_type=MediaType.HTML)
    async def show_statement(request: AnyRequest) -> Response[bytes]:
        return statement_page(request, request.url.path.strip("/"))

    @get("/manifest.webmanifest")
    async def show_manifest(request: AnyRequest) -> Response[bytes]:
        return manifest(language_of(request))

    @get("/service-worker.js")
    async def show_worker_script() -> Response[bytes]:
        return worker_script()

    @get("/offline", media_type=MediaType.HTML)
    async def show_offline(request: AnyRequest) -> Response[str]:
        return offline_page(language_of(request))

    @get("/check", media_type=MediaType.HTML)
    async def show_check(request: AnyRequest) -> Response[str]:
        return await check_page(view, request)

    @get("/api", media_type=MediaType.HTML)
    async def show_api(request: AnyRequest) -> Response[bytes]:
        return api_page(request, openapi(), view.gateway_docs_url)

    @get("/api/events", media_type=MediaType.HTML)
    async def show_events(request: AnyRequest) -> Response[Any]:
        return events_page(request, asyncapi())

    @get("/api/events/{event:str}", media_type=MediaType.HTML)
    async def show_event(request: AnyRequest, event: FromPath[str]) -> Response[bytes]:
        return event_page(request, asyncapi(), event)

    @get("/agency", media_type=MediaType.HTML)
    async def show_agency(request: AnyRequest) -> Response[bytes]:
        return agency_page(request, view.gateway_url, view.gateway_docs_url)

    # As bytes, written once: anybody may ask, in the loop that answers at the gates.
    documents = cache(lambda: (orjson.dumps(openapi()), orjson.dumps(asyncapi())))

    @get("/api/openapi.json")
    async def openapi_document() -> Response[bytes]:
        return Response(documents()[0], media_type=MediaType.JSON, headers=HEADERS)

    @get("/api/asyncapi.json")
    async def asyncapi_document() -> Response[bytes]:
        return Response(documents()[1], media_type=MediaType.JSON, headers=HEADERS)

    @get("/counts", media_type=MediaType.HTML)
    async def show_figures(request: AnyRequest) -> Response[bytes] | Response[str]:
        return await figures_page(view.releases, request)

    handlers = [
        # For anybody
        show_entry,
        show_statement,
        show_manifest,
        show_worker_script,
        show_offline,
        show_check,
        show_figures,
        # For a guard
        *gate_routes(),
        # For the duty officer
        *duty_login_routes(view.duty, view.trail),
        view.duty.protect(*duty_pages(view)),
        # For agencies
        show_api,
        show_events,
        show_event,
        show_agency,
        openapi_document,
        asyncapi_document,
    ]
    pages = Router("/", route_handlers=handlers, include_in_schema=False)
    files = create_static_files_router(
        "/static",
        directories=[*STATIC],
        include_in_schema=False,
        before_request=_may_be_a_file,
        after_request=_keep,
    )
    return [pages, files]


async def _may_be_a_file(request: AnyRequest) -> None:
    """Refuse what can be no file's name: the system raises `ValueError` for it, or `OSError`."""
    path = request.scope["path"]
    if "\0" in path or len(path) > PATH_LENGTH_MAX:
        raise NotFoundException


async def _keep(response: Response[Any]) -> Response[Any]:
    """Let browsers keep a static file: its address changes with its content."""
    response.headers.update({**HEADERS, "cache-control": "public, max-age=31536000, immutable"})
    return response


def resident_routes(view: Services) -> list[Any]:
    """The pages for a resident who is logged in; the login's guard gives them the session."""

    @get("/code", media_type=MediaType.HTML, include_in_schema=False)
    async def show_code(request: AnyRequest, session: LoggedIn) -> Response[str]:
        reload = request.query_params.get("reload") != "off"
        before = request.headers.get(BEFORE) or reloading(request.query_params, view.now())
        return await code_page(view, session, language_of(request), reload=reload, before=before)

    @get("/me", media_type=MediaType.HTML, include_in_schema=False, opt=FRESH)
    async def show_information(request: AnyRequest, session: LoggedIn) -> Response[str]:
        return await information_page(view, session, language_of(request))

    @get("/me/everything", media_type=MediaType.HTML, include_in_schema=False, opt=FRESH)
    async def show_everything(request: AnyRequest, session: LoggedIn) -> Response[str]:
        return await everything_page(view, session, language_of(request))

    @get(
        "/me/notices/{reference:str}", media_type=MediaType.HTML, include_in_schema=False, opt=FRESH
    )
    async def show_notice(
        request: AnyRequest, session: LoggedIn, reference: FromPath[str]
    ) -> Response[str]:
        return await notice_page(view, session, reference, language_of(request))

    @get("/me/negative", media_type=MediaType.HTML, include_in_schema=False, opt=FRESH)
    async def show_negative(request: AnyRequest, session: LoggedIn) -> Response[str]:
        return await negative_page(view, session, language_of(request))

    @get("/me/code-changes", media_type=MediaType.HTML, include_in_schema=False, opt=FRESH)
    async def show_course(request: AnyRequest, session: LoggedIn) -> Response[str]:
        return await course_page(view, session, language_of(request))

    @get("/me/{section:str}", media_type=MediaType.HTML, include_in_schema=False, opt=FRESH)
    async def show_section(
        request: AnyRequest, session: LoggedIn, section: FromPath[Section]
    ) -> Response[str]:
        return await section_page(view, session, section, language_of(request))

    return [
        show_code,
        show_information,
        show_everything,
        show_notice,
        show_negative,
        show_course,
        show_section,
        *declare_routes(view),
        *travel_card_routes(view.cards, view.now),
    ]
