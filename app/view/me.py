"""What a logged-in resident has over HTTP: their own code and health information, and nothing else.

Every handler takes the session that the login's guard found (app.login.guards). None takes a
person, so nobody can ask about another.
"""

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, delete, get, patch, post, put
from litestar.params import FromPath, HeaderParameter, JSONBody
from msgspec import Struct

from app.login.guards import FRESH, LoggedIn
from app.login.sessions import Session
from app.view import codes
from app.view.codes import CodeAnswer
from app.view.declarations import (
    DeclarationAnswer,
    DeclarationRequest,
    refuse_change,
)
from app.view.information import InformationAnswer, may_see
from app.view.limits import DISPLAY_SECONDS
from app.view.reading import SectionAnswer
from app.view.services import Services
from app.view.showing import DisplayAnswer, Shown, display_answer, read_to_show
from app.web.problems import Refused
from app.web.refusals import refusals
from models.codes import Colour
from models.information import Section

EXPORT = "yuekang-health-information.json"
EPOCH_HEADER = "x-epoch"
DISPLAY = "/v1/me/display"


Before = Annotated[
    Shown | None,
    HeaderParameter(name="X-Before", description="The state that is shown already."),
]


class TokenAnswer(Struct, frozen=True):
    """The token that a QR of ours holds, and how long it is good."""

    token: str
    valid_s: int


class ExportAnswer(Struct, frozen=True):
    """All that is shown to a resident, as one file to keep."""

    made_at: datetime
    name: str
    code: CodeAnswer
    information: InformationAnswer


def me_routes(view: Services) -> list[Any]:
    """Return the handlers, which the login's guard must protect."""

    @get(
        "/v1/me/code",
        operation_id="readMyCode",
        summary="Read my code now",
        response_description="My code, with the reasons that are open and how each lifts.",
        responses=refusals("no-session", "sessions-away", "code-unavailable"),
    )
    async def code(session: LoggedIn) -> Response[CodeAnswer]:
        """Says why it is red, since when, what is missing, who must act, and when it lifts.

        The header `x-epoch` names what is known of credentials. When it changes, those of before
        are unknown here.
        """
        answer = codes.code_answer(session.person, await view.codes.read(session.person))
        return Response(answer, headers={EPOCH_HEADER: view.holdings.epoch})

    @get(
        DISPLAY,
        operation_id="showMyCode",
        summary="Show my code: all that a phone needs for it in one answer",
        response_description="My code, and a token that was made now, to be drawn as a QR.",
        responses=refusals("no-session", "sessions-away", "invalid", "code-unavailable"),
    )
    async def display(session: LoggedIn, before: Before = None) -> Response[DisplayAnswer]:
        """It is recorded as a display (亮码), or as one that failed.

        Whoever asks again by themselves says in `x-before` which state they show: that is no new
        display. The header `x-epoch` is that of `readMyCode`.
        """
        read = await read_to_show(view, session, before)
        return Response(
            display_answer(view, session, read), headers={EPOCH_HEADER: view.holdings.epoch}
        )

    @get(
        "/v1/me/token",
        operation_id="readMyToken",
        summary="Get a fresh display token, to be drawn as a QR",
        response_description="A token that was made now.",
        responses=refusals("no-session", "sessions-away", "no-code", "code-unavailable"),
    )
    async def token(session: LoggedIn) -> TokenAnswer:
        """It fits into a QR of version 8 with level M."""
        await _colour(view, session)
        token = view.displays.token(session.person, session.name, session.ending)
        return TokenAnswer(token, DISPLAY_SECONDS)

    @get(
        "/v1/me/code.svg",
        operation_id="drawMyCode",
        summary="Draw my QR",
        response_description="The QR as a drawing, in the colour of my code.",
        media_type="image/svg+xml",
        responses=refusals("no-session", "sessions-away", "no-code", "code-unavailable"),
    )
    async def drawing(session: LoggedIn) -> str:
        """For those without scripts, and for print."""
        colour = await _colour(view, session)
        return view.displays.qr_svg(session.person, session.name, session.ending, colour)

    @get(
        "/v1/me/information",
        opt=FRESH,
        operation_id="readMyInformation",
        summary="Read all of my health information",
        response_description="Every section that could be read.",
        responses=refusals("no-session", "login-again", "sessions-away", "code-unavailable"),
    )
    async def everything(session: LoggedIn) -> InformationAnswer:
        """The sections of the manual, in its order."""
        return await information_of(view, session)

    @get(
        "/v1/me/information/{section:str}",
        opt=FRESH,
        operation_id="readMySection",
        summary="Read one section of my health information",
        response_description="The section, its newest line first.",
        responses=refusals(
            "no-session",
            "login-again",
            "sessions-away",
            "invalid",
            "adults-only",
            "code-unavailable",
        ),
    )
    async def one(session: LoggedIn, section: FromPath[Section]) -> SectionAnswer:
        """Displays are shown to adults only (manual, 四.2)."""
        if not may_see(section, session, view.now()):
            raise Refused("adults-only", "Only adults see their displays (亮码记录).")
        return await view.information.section(session.person, section)

    @get(
        "/v1/me/export",
        opt=FRESH,
        operation_id="exportMine",
        summary="Take along all of it as one file",
        response_description="My code and my health information, to be kept as a file.",
        responses=refusals("no-session", "login-again", "sessions-away", "code-unavailable"),
    )
    async def export(session: LoggedIn) -> Response[ExportAnswer]:
        """Code and health information, as JSON."""
        content = ExportAnswer(
            view.now(),
            session.name,
            codes.code_answer(session.person, await view.codes.read(session.person)),
            await information_of(view, session),
        )
        headers = {"content-disposition": f'attachment; filename="{EXPORT}"'}
        return Response(content, headers=headers)

    @post(
        "/v1/me/declarations",
        status_code=202,
        operation_id="declare",
        summary="Submit a health declaration",
        response_description="The declaration is on the log, under the id of its form.",
        responses=refusals(
            "bad-request",
            "too-deep",
            "no-session",
            "cross-site",
            "sessions-away",
            "invalid",
            "append-only",
            "declared-too-often",
            "too-slow",
            "body-too-large",
            "busy",
            "kafka-away",
        ),
    )
    async def declare(session: LoggedIn, data: JSONBody[DeclarationRequest]) -> DeclarationAnswer:
        """It is safe to send the same again. Do so after a 503.

        What was submitted is neither changed nor deleted. If it is wrong, submit a new one; the
        newest is what holds.
        """
        return await view.declarations.submit(session.person, data)

    async def unchanging(session: LoggedIn, id: FromPath[str]) -> None:
        """Declarations are append-only: the answer says what to do instead."""
        raise refuse_change()

    changes = [
        method("/v1/me/declarations/{id:str}", include_in_schema=False, status_code=409)(unchanging)
        for method in (put, patch, delete)
    ]
    return [code, display, token, drawing, everything, one, export, declare, *changes]


async def information_of(view: Services, session: Session) -> InformationAnswer:
    """Return all sections that the holder of a session may see; raise `Unavailable`."""
    wanted = [section for section in Section if may_see(section, session, view.now())]
    sections = await view.information.sections(session.person, wanted)
    status = await view.information.national_status(session.person)
    return InformationAnswer(view.now(), tuple(sections), status)


async def _colour(view: Services, session: Session) -> Colour:
    colour = (await view.codes.read(session.person)).colour
    if colour is Colour.NONE:
        raise Refused("no-code", "Who has no code has nothing to show.")
    return colour
