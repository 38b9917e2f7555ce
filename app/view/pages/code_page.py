"""`GET /people/{person}`: the page that a resident shows at a gate (亮码)."""

import re
from datetime import datetime, timedelta

from litestar import Response

from app.view.pages import texts
from app.view.pages.language import Language, Words, clock, day, exactly, moment, weekday
from app.view.pages.ports import PagePort, Read, Unavailable
from app.view.pages.sheet import Sheet, sheet
from app.view.pages.site import page
from models.codes import Colour
from models.policy import ZONE, policy_at

RELOAD_S = 10
"""Without scripts a page is loaded again this often, unless its reader stops that."""

_PERSON = re.compile(r"p[1-9][0-9]{0,3}-[a-z2-7]{32}")
"""As models.events.PersonKey."""


async def code_page(
    port: PagePort, person: str, language: Language, *, reload: bool
) -> Response[str]:
    """Answer with one of four pages: a colour, no code (200), 亮码失败 (503), no such address."""
    reload_s = RELOAD_S if reload else None
    if not _PERSON.fullmatch(person):
        context = _frame("lost", texts.TEXTS["not_found"], datetime.now(ZONE), None)
        return page("lost.html", language, {**context, "said": "", "person": None}, status=404)
    try:
        read = await port.read(person)
    except Unavailable as failure:
        return _unavailable(failure, person, language, reload_s)
    says = sheet(read.code, read.at, policy_at(read.at).version)
    context = {
        **_frame(says.colour.value, says.state, read.at, reload_s),
        "person": person,
        "said": texts.TEXTS["turned"].filled(state=_said(says)).of(language),
        "says": texts.SAYS[says.colour],
    }
    if says.colour is Colour.NONE:
        return page("none.html", language, context)
    qr = port.qr_svg(person, says.colour, read.at)
    return page("shown.html", language, {**context, **_shown(says, read), "qr": qr})


def _said(says: Sheet) -> Words:
    """What a screen reader hears when the page changes: the state and the reasons."""
    parts = [says.state, *(reason.name for reason in says.reasons)]
    return Words("，".join(p.zh for p in parts), ", ".join(p.en for p in parts))


def _frame(state: str, title: Words, at: datetime, reload_s: int | None) -> dict[str, object]:
    date, of_week = day(at), weekday(at)
    return {
        "state": state,
        "title": title,
        "version": 0,
        "at": at.astimezone(ZONE),
        "now_ms": int(at.timestamp() * 1000),
        "changes_ms": None,
        "retry_ms": None,
        "reload_s": reload_s,
        "clock_words": clock(at),
        "date_words": Words(f"{date.zh} {of_week.zh}", f"{of_week.en}, {date.en}"),
    }


def _shown(says: Sheet, read: Read) -> dict[str, object]:
    changes_at = says.changes_at
    as_of = read.as_of
    return {
        "sheet": says,
        "version": says.version,
        "stale": read.stale,
        "as_of": exactly(as_of) if as_of else None,
        "as_of_iso": as_of.astimezone(ZONE).isoformat() if as_of else "",
        "lag": None if read.lag_s is None else f"{read.lag_s:.1f}",
        "changes": moment(changes_at) if changes_at else None,
        "changes_ms": int(changes_at.timestamp() * 1000) + 1 if changes_at else None,
        "qr_words": texts.TEXTS[f"qr_{says.colour.value}"],
    }


def _unavailable(
    failure: Unavailable, person: str, language: Language, reload_s: int | None
) -> Response[str]:
    at = datetime.now(ZONE)
    retry_at = at + timedelta(seconds=failure.retry_after_s)
    title = texts.TEXTS["unavailable"]
    context = {
        **_frame("unavailable", title, at, reload_s and max(reload_s, failure.retry_after_s)),
        "retry_ms": int(retry_at.timestamp() * 1000),
        "retry_words": clock(retry_at),
        "person": person,
        "said": title.of(language),
        "cause": texts.CAUSES[failure.cause],
    }
    headers = {"retry-after": str(failure.retry_after_s)}
    return page("unavailable.html", language, context, status=503, headers=headers)
