"""The page of a green code, as bytes: nearly everybody's, and the same in all but a dozen places.

The template is rendered once for each language, with a mark in each of these places; a page is the
pieces between them, and what belongs there now. So it is the template's page, in a hundredth of the
time.
"""

import re
from datetime import datetime
from functools import cache

from app.login.sessions import Session
from app.sources.register import Register
from app.view.limits import NOTICE_SECONDS
from app.view.pages.code_page import RELOAD_S, changing, lasting
from app.view.pages.sheet import Sheet, sheet
from app.view.reading import Read
from app.view.services import Services
from app.web.language import Language
from app.web.site import printed, render
from models.codes import Colour
from models.policy import ZONE, policy_at

_SAYS = Sheet(Colour.GREEN, 0, (), None, "")
_READ = Read(None, datetime.fromtimestamp(0, ZONE), datetime.fromtimestamp(0, ZONE), 0.0, False)
"""Any green code that is fresh."""

_MARK = "\ue000{}\ue001"  # of Unicode's private use: no text has it
_MARKED = re.compile("\ue000(.*?)\ue001")


def green_page(view: Services, session: Session, read: Read, language: Language) -> bytes | None:
    """Return the page of a code; None unless it is green, stays so, and its page has no notice."""
    if read.lag_s > NOTICE_SECONDS:
        return None
    says = sheet(read.code, read.at, policy_at(read.at).version, view.register)
    if says.colour is not Colour.GREEN or says.changes_at is not None:
        return None
    found = changing(view, session, read, says)
    values = [value.encode() for value in printed(found.values(), language)]
    pieces, places = _pieces(language, *found, has_ending=bool(session.ending))
    page = [*pieces]
    page[1::2] = [values[place] for place in places]
    return b"".join(page)


@cache
def _pieces(language: Language, *places: str, has_ending: bool) -> tuple[list[bytes], list[int]]:
    """Return the page in pieces, and for every second of them which of `places` stands there."""
    marks = {place: _MARK.format(place) for place in places}
    if not has_ending:
        marks["ending"] = ""
    context = {**lasting(_SAYS, _READ, Register(), RELOAD_S), **marks}
    pieces = _MARKED.split(render("coloured.html", language, context))
    return [piece.encode() for piece in pieces], [places.index(place) for place in pieces[1::2]]
