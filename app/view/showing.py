"""To show one's code (亮码): the code is read, and what became of it is recorded as a display.

Whoever asks again by themselves says which state they had (`X-Before`): that is no new display.
"""

from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from app.login.sessions import Session
from app.view.codes import CodeAnswer, code_answer
from app.view.limits import DISPLAY_SECONDS
from app.view.reading import Read, Unavailable
from app.view.services import Services
from models.codes import Colour
from models.events import DisplayDetail

BEFORE = "x-before"
"""In this header a script that asks again says which state its page had."""

Shown = Literal["red", "green", "none", "unavailable"]
STATES: frozenset[str] = frozenset(get_args(Shown))

FAILED: Shown = "unavailable"

_DETAILS = {colour: DisplayDetail(colour.value) for colour in Colour if colour is not Colour.NONE}


class DisplayAnswer(Struct, frozen=True):
    """All that a phone shows: the code with its reasons, and a token for the QR.

    The token was made now and is good for `valid_s`. It is null where there is no code.
    """

    code: CodeAnswer
    token: str | None
    valid_s: int


async def read_to_show(view: Services, session: Session, before: str | None) -> Read:
    """Return the code of a session's person; raise `Unavailable`. Either way it is recorded."""
    try:
        read = await view.codes.read(session.person)
    except Unavailable as failure:
        record_failed(view, session, failure, before)
        raise
    record_shown(view, session, read.at, read.colour, before)
    return read


def record_failed(
    view: Services, session: Session, failure: Unavailable, before: str | None
) -> None:
    """Record that a code cannot be shown, unless the page that asks again has said so."""
    if before != FAILED:
        view.recorder.record(session.person, view.now(), DisplayDetail(failure.cause))


def record_shown(
    view: Services, session: Session, at: datetime, colour: Colour, before: str | None
) -> None:
    """Record that a code is shown, unless it has none to show or was shown just before."""
    if colour is not Colour.NONE and before != colour.value:
        view.recorder.record(session.person, at, _DETAILS[colour])


def display_answer(view: Services, session: Session, read: Read) -> DisplayAnswer:
    """Return a code that was read as a phone shows it."""
    code = code_answer(session.person, read)
    token = None
    if code.colour is not Colour.NONE:
        token = view.displays.token(session.person, session.name, session.ending)
    return DisplayAnswer(code, token, DISPLAY_SECONDS)
