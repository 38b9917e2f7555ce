"""The changes as they come, for the duty officer, and the public counts."""

from functools import partial
from typing import Annotated, Any

from litestar import get
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from app.projection.changes import PublicChange
from app.view import limits
from app.view.changes import REASON_WORDS, ChangeFilter, place_of
from app.view.figures import PublicCountsAnswer, figures_answer
from app.view.services import Services
from app.web.problems import Refused
from app.web.refusals import refusals
from app.web.requests import AnyRequest
from app.web.streams import while_let_in
from models.events import DIVISION, SOURCE, SOURCE_LENGTH_MAX

NO_STORE = {"cache-control": "no-store"}

City = Annotated[
    str | None,
    QueryParameter(
        pattern=DIVISION.pattern,
        description="GB/T 2260; 440100 takes in its districts, 440000 the province.",
    ),
]
ReasonName = Annotated[
    str | None,
    QueryParameter(pattern=f"^({'|'.join(REASON_WORDS)})$", description="A reason's name or rank."),
]
Publisher = Annotated[
    str | None,
    QueryParameter(
        pattern=SOURCE.pattern,
        max_length=SOURCE_LENGTH_MAX,
        description="A source, such as /cdc/440100, or a whole kind of them, such as /cdc.",
    ),
]


After = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        description="Where to begin: an event's id. Last-Event-ID goes before it.",
    ),
]


def duty_routes(view: Services) -> list[Any]:
    """Return the handlers, for the application's `route_handlers`."""

    @get(
        "/v1/changes",
        operation_id="followChanges",
        summary="Follow changes of status as Server-Sent Events",
        media_type="text/event-stream",
        responses={
            200: ResponseSpec(
                PublicChange,
                generate_examples=False,
                description="The stream, which has no end. The data of each event is a change.",
                media_type="text/event-stream",
            ),
            **refusals("invalid", "unauthenticated", "no-operator", "too-many-clients"),
        },
    )
    async def changes(
        request: AnyRequest,
        last_event_id: Annotated[
            str | None, HeaderParameter(name="Last-Event-ID", description="Where to resume.")
        ] = None,
        after: After = None,
        city: City = None,
        reason: ReasonName = None,
        source: Publisher = None,
    ) -> Stream:
        """The changes name nobody.

        Event `change` has at, before, after, city and cause; event `gap` says that changes were
        missed, and how many if that is known. After 15 s without an event a comment is sent.
        """
        if view.changes.full():
            raise Refused(
                "too-many-clients",
                f"Try again, or ask another view. One has at most {limits.CLIENTS_MAX:,} clients.",
                headers={"retry-after": str(limits.RETRY_STALE_SECONDS)},
            )
        wanted = ChangeFilter(city, None if reason is None else REASON_WORDS[reason], source)
        told = view.changes.stream(place_of(last_event_id or after), wanted)
        return Stream(
            while_let_in(told, partial(view.duty.lets_in, request)),
            media_type="text/event-stream",
            headers={**NO_STORE, "x-accel-buffering": "no"},
        )

    @get(
        "/v1/counts",
        operation_id="count",
        summary="Count people by colour, reason and city, rounded",
        response_description="The figures of this quarter of an hour.",
        responses=refusals("code-unavailable"),
        response_headers=[ResponseHeader(name="cache-control", value="public, max-age=60")],
    )
    async def count() -> PublicCountsAnswer:
        """The same that the page `/counts` shows to everybody.

        Taken at most once a quarter of an hour, rounded, and so that no group under five can be
        computed. Everybody may read it: the changes one by one need an officer.
        """
        return figures_answer(await view.releases.figures())

    return [view.duty.protect(changes), count]
