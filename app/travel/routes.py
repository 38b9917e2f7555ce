"""The addresses of the travel card, for a person who is logged in.

The login's guard must protect them; it gives them the session.
"""

from typing import Annotated, Any

from litestar import post
from litestar.datastructures import ResponseHeader
from litestar.params import JSONBody
from msgspec import Meta, Struct

from app.login.guards import LoggedIn
from app.process.clock import Clock
from app.travel.bounds import CODE_DIGITS
from app.travel.cards import CodeSent, TravelCardAnswer, TravelCards
from app.web.addresses import address_of
from app.web.language import negotiate
from app.web.refusals import refusals
from app.web.requests import AnyRequest
from models.phones import WRITTEN

NO_STORE = [ResponseHeader(name="cache-control", value="no-store")]


Phone = Annotated[
    str,
    Meta(
        description="As it is dialled in the mainland, with +86 or without.",
        extra_json_schema={"pattern": rf"^\s*{WRITTEN.pattern.strip('^$')}\s*$"},
    ),
]
Code = Annotated[
    str,
    Meta(
        description="As it is in the message.",
        extra_json_schema={"pattern": rf"^[ -]*([0-9][ -]*){{{CODE_DIGITS}}}$"},
    ),
]


class CodeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The phone to send a code to."""

    phone: Phone

    def __repr__(self) -> str:
        return "CodeRequest()"


class CardRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The phone, and the code that was sent to it."""

    phone: Phone
    code: Code

    def __repr__(self) -> str:
        return "CardRequest()"


def travel_routes(cards: TravelCards, now: Clock) -> list[Any]:
    """Return the handlers."""

    @post(
        "/v1/me/travel-card/code",
        status_code=202,
        operation_id="sendTravelCode",
        summary="Have a code sent to a phone, for its travel card",
        response_description="The code is on its way.",
        responses=refusals(
            "bad-request",
            "too-deep",
            "body-too-large",
            "invalid",
            "no-session",
            "cross-site",
            "sessions-away",
            "phone",
            "asked-too-often",
            "message-not-sent",
            "travel-card-unavailable",
        ),
        response_headers=NO_STORE,
    )
    async def send_code(
        request: AnyRequest, session: LoggedIn, data: JSONBody[CodeRequest]
    ) -> CodeSent:
        """The code is good for five minutes and five tries, for whoever asked for it and nobody
        else. It replaces the one before."""
        language = negotiate(None, request.headers.get("accept-language", ""))
        return await cards.send_code(session.person, address_of(request), data.phone, language)

    @post(
        "/v1/me/travel-card",
        status_code=200,
        operation_id="readTravelCard",
        summary="Get the travel card of a phone, for the code that was sent to it",
        response_description="The cities of the phone, and by what reports.",
        responses=refusals(
            "bad-request",
            "too-deep",
            "body-too-large",
            "invalid",
            "no-session",
            "cross-site",
            "sessions-away",
            "phone",
            "code-wrong",
            "code-spent",
            "code-expired",
            "code-used",
            "no-code-sent",
            "asked-too-often",
            "travel-card-unavailable",
        ),
        response_headers=NO_STORE,
    )
    async def card(session: LoggedIn, data: JSONBody[CardRequest]) -> TravelCardAnswer:
        """Cities that the phone reached or passed since the day 14 days before today. A code gives
        one card; an answer of 503 does not use it up."""
        return await cards.card(session.person, data.phone, data.code, now())

    return [send_code, card]
