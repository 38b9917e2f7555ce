"""`GET /me/code-changes`: when a resident's code changed, why, and what lifted it (码的变化)."""

from typing import Any

from litestar import Response
from msgspec import Struct

from app.login.sessions import Session
from app.sources.register import Register
from app.view.pages import names
from app.view.pages.contacts import Contact, contact_of
from app.view.reading import Unavailable
from app.view.services import Services
from app.web.language import Language, Text, exactly, moment, number
from app.web.language import gettext as _
from app.web.site import page
from models.codes import Colour, EventRef, Interval, reference_of
from models.course import COURSE, Lifted, Lifting, Turn

HOW: dict[Lifting, Text] = {
    Lifting.MET: _("解除条件已满足"),
    Lifting.BY_TIME: _("到期自动解除"),
    Lifting.TAKEN_BACK: _("上报单位撤回或更正了记录"),
}


class ReasonTurned(Struct, frozen=True):
    """A reason that began or ended: its name, how it ended, who reported it, and the reference."""

    name: Text
    how: Text | None
    by: Contact
    reference: str


class TurnShown(Struct, frozen=True):
    """A change as it is shown."""

    at: Text
    before: Text
    after: Text
    state: Colour
    began: tuple[ReasonTurned, ...]
    lifted: tuple[ReasonTurned, ...]


async def course_page(view: Services, session: Session, language: Language) -> Response[str]:
    """Answer with the changes, the newest first."""
    context: dict[str, Any] = {
        "days": number(COURSE.days),
        "failure": None,
        "turns": (),
        "answer": None,
    }
    try:
        answer = await view.explanations.course(session.person)
    except Unavailable as failure:
        headers = {"retry-after": str(failure.retry_after_s)}
        context["failure"] = failure
        return page("course.html", language, context, status=503, headers=headers)
    context |= {
        "answer": answer,
        "as_of": exactly(answer.as_of),
        "turns": [_shown(turn, view.register) for turn in reversed(answer.turns)],
    }
    return page("course.html", language, context)


def _shown(turn: Turn, register: Register) -> TurnShown:
    return TurnShown(
        at=moment(turn.at),
        before=names.COLOURS[turn.before.colour],
        after=names.COLOURS[turn.after.colour],
        state=turn.after.colour,
        began=tuple(_turned(interval, None, register) for interval in turn.began),
        lifted=tuple(_ended(lifted, register) for lifted in turn.lifted),
    )


def _ended(lifted: Lifted, register: Register) -> ReasonTurned:
    return _turned(lifted.interval, HOW[lifted.lifting], register)


def _turned(interval: Interval, how: Text | None, register: Register) -> ReasonTurned:
    event: EventRef = interval.opened_by
    by = contact_of(event.source, register)
    return ReasonTurned(names.REASONS[interval.reason], how, by, reference_of(event))
