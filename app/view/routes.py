"""The addresses of the view."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from litestar import Litestar, Response, get
from litestar.config.compression import CompressionConfig
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import PathParameter, QueryParameter
from litestar.types import ASGIApp
from redis.exceptions import RedisError

from app.audit.entries import Act
from app.credentials.routes import credential_routes, status_routes
from app.login.duty import DUTY_COOKIE, NotOnDuty, on_not_on_duty
from app.login.guards import HOME, SessionsAway
from app.login.routes import exception_handlers, login_routes, on_sessions_away
from app.login.sessions import COOKIE
from app.process.clock import Clock
from app.projection.state import read_state
from app.topics.catalogue import HEALTH_CODES
from app.travel.routes import travel_routes
from app.view import codes, counts, limits, problems
from app.view.codes import CodeAnswer
from app.view.duty import duty_routes
from app.view.explanations import ExplanationAnswer
from app.view.hot_path import HotPath
from app.view.me import me_routes
from app.view.pages.code_page import failed_page
from app.view.pages.missing import on_page_missing, on_page_unknown
from app.view.pages.routes import page_routes, resident_routes
from app.view.reading import Unavailable
from app.view.reconciliation import RECONCILIATION, ReconciliationAnswer
from app.view.refusing import SESSIONS_AWAY
from app.view.services import Services, ViewOptions
from app.view.shedding import Shedding
from app.view.terminals import terminal_routes
from app.web.head import answering_head
from app.web.headers import hardened
from app.web.openapi import LICENSE, Served, document_of
from app.web.operator import operator_of
from app.web.probes import probes
from app.web.problems import Refused, on_failure, on_refused
from app.web.refusals import explanation, refusals
from app.web.requests import AnyRequest
from app.web.security_txt import security_txt
from app.web.site import keep_language, language_of
from app.web.strict import StrictRequest
from app.web.tokens import Role
from models.events import PERSON_KEY

ENDLESS = frozenset({"/v1/changes"})
"""Addresses whose answer is a stream."""


_OPENAPI = OpenAPIConfig(
    title="Yuekang view",
    version="1",
    license=LICENSE,
    description=(
        "The read side. Every answer says until when all events are judged and here (`as_of`); "
        "beyond a limit there is no colour at all. A resident, who is logged in, has what is under "
        "/v1/me; operators alone may ask about others. Problems are RFC 9457."
    ),
    use_handler_docstrings=True,
    # No page is rendered, which would load files from elsewhere.
    path="/openapi.json",
    render_plugins=[Served(document_of)],
    components=Components(
        security_schemes={
            "terminalToken": SecurityScheme(
                type="http",
                scheme="bearer",
                description="A token of one terminal, made by `yuekang token /terminals/…`.",
            ),
            "operatorToken": SecurityScheme(
                type="http",
                scheme="bearer",
                description=(
                    "An operator's token, made by `yuekang token /operators/NAME --role ROLE`; the "
                    "role is `read`, for an explanation `explain`."
                ),
            ),
            "duty": SecurityScheme(
                type="apiKey",
                name=DUTY_COOKIE,
                security_scheme_in="cookie",
                description="The cookie of an officer who is on duty; begins at `/duty/login`.",
            ),
            "session": SecurityScheme(
                type="apiKey",
                name=COOKIE,
                security_scheme_in="cookie",
                description="The cookie of a person who is logged in; begins at `/login`.",
            ),
        }
    ),
)


_COMPRESSION = CompressionConfig(
    "gzip",
    minimum_size=1_000,
    gzip_compress_level=4,
    # Only pages and their files are compressed: on a slow network people wait for them. A code over
    # the API is short, and a stream must not wait for a block to fill.
    exclude=["^/v1/", "^/metrics"],
)


def create_face(options: ViewOptions) -> ASGIApp:
    """Make all that a view serves: what is refused in a rush, the hot path, the framework."""
    view = Services(options)
    app = framework(view, options)
    return Shedding(HotPath(view), app, view.view_url, view.now)


def framework(view: Services, options: ViewOptions) -> Litestar:
    """Make the framework's application over `view`, which it starts and stops."""
    app = Litestar(
        route_handlers=[
            *_people(view),
            *terminal_routes(view),
            *duty_routes(view),
            *_probes(view),
            *security_txt(options.security_txt, options.now),
            explanation,
            *login_routes(view.login),
            *status_routes(view.statuses, view.credential_keys),
            view.login.guard.protect(
                *me_routes(view),
                *credential_routes(view.issuer),
                *travel_routes(view.cards, view.now),
                *resident_routes(view),
            ),
            *page_routes(view, cache(lambda: document_of(app))),
        ],
        lifespan=[view.running],
        before_send=[keep_language, hardened(view.view_url)],
        exception_handlers={
            Refused: on_refused,
            Unavailable: problems.on_unavailable,
            **exception_handlers(view.login),
            NotOnDuty: on_not_on_duty,
            SessionsAway: _on_sessions_away(view.now),
            ValidationException: on_page_unknown,
            HTTPException: on_page_missing,
            Exception: on_failure,
        },
        openapi_config=_OPENAPI,
        compression_config=_COMPRESSION,
        request_class=StrictRequest,
        request_max_body_size=limits.VIEW_BODY_BYTES_MAX,
        logging_config=None,
    )
    app.asgi_handler = answering_head(app.asgi_handler, endless=ENDLESS)
    return app


def _on_sessions_away(now: Clock) -> Callable[[AnyRequest, SessionsAway], Response[str]]:
    """Return what answers 亮码失败 if a code was asked for, otherwise the login's page."""

    def answer(request: AnyRequest, failure: SessionsAway) -> Response[str]:
        if request.url.path != HOME:
            return on_sessions_away(request, failure)
        reload = request.query_params.get("reload") != "off"
        return failed_page(SESSIONS_AWAY, language_of(request), now(), reload=reload)

    return answer


Person = Annotated[str, PathParameter(pattern=PERSON_KEY.pattern, description="A person key.")]
INSTANT = {"format": "date-time"}
At = Annotated[
    str | None,
    QueryParameter(
        description="The instant asked about, RFC 3339 with its zone; now if left out.",
        schema_extra=INSTANT,
    ),
]
KnownAt = Annotated[
    str | None,
    QueryParameter(
        description="Whose knowledge answers: that of this instant, RFC 3339; now if left out.",
        schema_extra=INSTANT,
    ),
]


def _people(view: Services) -> list[Any]:
    @get(
        "/v1/people/{person:str}/code",
        operation_id="readCode",
        summary="Read a person's code now",
        response_description="The code, with the reasons that are open and how each lifts.",
        security=[{"operatorToken": []}],
        responses=refusals(
            "invalid", "unauthenticated", "no-operator", "audit-away", "code-unavailable"
        ),
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
    async def code(request: AnyRequest, person: Person) -> CodeAnswer:
        """A person who is unknown gets the same answer as one who is not verified: the colour
        none. Whoever asks is written down."""
        by = await operator_of(view.tokens, request, Role.READ)
        await view.trail.note(by, Act.CODE_READ, person)
        return codes.code_answer(person, await view.codes.read(person))

    @get(
        "/v1/people/{person:str}/explanation",
        operation_id="explainCode",
        summary="Say why a person's code is, or was, what it is",
        response_description="What held then, by which events, and what was shown.",
        security=[{"operatorToken": []}],
        responses=refusals(
            "invalid", "unauthenticated", "no-operator", "audit-away", "code-unavailable"
        ),
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
    async def explained(
        request: AnyRequest, person: Person, at: At = None, known_at: KnownAt = None
    ) -> ExplanationAnswer:
        """Says what held at one instant, as known at another, and by which events.

        Also says what was shown then, what is known now about then, and which events make the two
        differ. Whoever asks is written down.
        """
        by = await operator_of(view.tokens, request, Role.EXPLAIN)
        return await view.explanations.explain(by, person, at, known_at)

    @get(
        RECONCILIATION,
        operation_id="readReconciliation",
        summary="List who is green here and of high risk on the national platform",
        response_description="Who waits, the longest first.",
        security=[{"operatorToken": []}],
        responses=refusals("unauthenticated", "no-operator", "audit-away", "code-unavailable"),
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
    async def waiting(request: AnyRequest) -> ReconciliationAnswer:
        """Their data wait to be pushed to the platform; those who wait longest come first.

        Whoever asks is written down.
        """
        by = await operator_of(view.tokens, request, Role.READ)
        return await view.reconciliation.waiting(by)

    return [code, explained, waiting]


def _probes(view: Services) -> list[Any]:
    def check() -> None:
        """Raise if the process no longer follows changes and logouts, writes or records."""
        view.changes.check()
        view.writer.check()
        view.recorder.check()
        view.login.ended.check()
        view.check_register()

    async def unready() -> list[str]:
        """Say if Redis is away, or a partition is not projected up to a moment ago."""
        try:
            state = await read_state(view.redis)
        except (RedisError, OSError, TimeoutError):
            return ["Redis does not answer."]
        if state is None:
            return ["Redis holds no read model."]
        return [
            f"Partition {lag.partition} of {HEALTH_CODES} is "
            + ("not projected." if lag.lag_s is None else f"{lag.lag_s:.0f} s behind.")
            for lag in counts.lags_of(state, view.now())
            if lag.lag_s is None or lag.lag_s > limits.STALE_SECONDS
        ]

    return probes(check, unready)
