"""`GET /people/{person}`: the page that a resident shows at a gate (亮码)."""

from datetime import datetime, timedelta
from typing import Any

from litestar import Response

from app.view.pages import texts
from app.view.pages.language import Language, Words, clock, exactly, moment, today
from app.view.pages.ports import PagePort, Read, Unavailable
from app.view.pages.sheet import Sheet, sheet
from app.view.pages.site import page
from models.codes import Colour
from models.events import PERSON_KEY
from models.policy import ZONE, policy_at

RELOAD_S = 10
"""Without scripts a page is loaded again this often, unless its reader stops that."""

Context = dict[str, Any]


async def code_page(
    port: PagePort, person: str, language: Language, *, reload: bool
) -> Response[str]:
    """Answer with one of four pages: a colour, no code (200), 亮码失败 (503), no such address."""
    if not PERSON_KEY.fullmatch(person):
        return page("grey.html", language, _no_such_address(), status=404)
    context: Context = {"person": person, "reload_s": RELOAD_S if reload else None}
    try:
        read = await port.read(person)
    except Unavailable as failure:
        headers = {"retry-after": str(failure.retry_after_s)}
        failed = {**context, **_failed(failure)}
        if reload:
            failed["reload_s"] = max(RELOAD_S, failure.retry_after_s)
        return page("grey.html", language, failed, status=503, headers=headers)
    says = sheet(read.code, read.at, policy_at(read.at).version)
    if says.colour is Colour.NONE:
        return page("grey.html", language, {**context, **_no_code(read.at)})
    qr = port.qr_svg(person, says.colour, read.at)
    shown = {**_coloured(says, read), "qr": qr, "qr_valid_s": port.token_valid_s}
    return page("coloured.html", language, {**context, **shown})


def _coloured(says: Sheet, read: Read) -> Context:
    reasons = [reason.name for reason in says.reasons]
    ranks = ",".join(str(reason.rank) for reason in says.reasons)
    return _frame(says.colour.value, says.state, read.at) | {
        # What a script compares with the JSON answer, to know whether this page still holds.
        "key": f"{says.colour.value} {says.version} {ranks} {str(read.stale).lower()}",
        "said": _now(says.state, *reasons),
        "sheet": says,
        "stale": read.stale,
        "as_of": exactly(read.as_of) if read.as_of else None,
        "lag": None if read.lag_s is None else f"{read.lag_s:.1f}",
        "changes_at": says.changes_at,
        "changes": moment(says.changes_at) if says.changes_at else None,
    }


def _no_code(at: datetime) -> Context:
    return _frame("none", texts.TEXTS["no_code"], at) | {
        "key": "none",
        "says": texts.SAYS[Colour.NONE],
        "story": (texts.TEXTS["no_code_why"], texts.TEXTS["no_code_do"]),
        "steps": texts.LOG_IN,
    }


def _failed(failure: Unavailable) -> Context:
    at = datetime.now(ZONE)
    retry_at = at + timedelta(seconds=failure.retry_after_s)
    retry = texts.TEXTS["retry"].filled(when=clock(retry_at))
    return _frame("unavailable", texts.TEXTS["unavailable"], at) | {
        "says": texts.CAUSES[failure.cause],
        "story": (retry, texts.TEXTS["retry_by_itself"], texts.TEXTS["unavailable_not_red"]),
        "retry_at": retry_at,
    }


def _no_such_address() -> Context:
    return _frame("not-found", texts.TEXTS["not_found"], datetime.now(ZONE)) | {
        "person": None,
        "reload_s": None,
        "says": texts.TEXTS["not_found_why"],
        "story": (texts.TEXTS["not_found_do"],),
    }


def _frame(state: str, title: Words, at: datetime) -> Context:
    """What every state's page has; the others add to it."""
    absent = ("changes_at", "retry_at", "qr_valid_s", "steps")
    return dict.fromkeys(absent) | {
        "state": state,
        "key": state,
        "title": title,
        "said": _now(title),
        "at": at.astimezone(ZONE),
        "hands": clock(at),
        "date": today(at),
    }


def _now(*parts: Words) -> Words:
    """What a screen reader says when the page turns into another."""
    joined = Words("，".join(p.zh for p in parts), ", ".join(p.en for p in parts))
    return texts.TEXTS["turned"].filled(state=joined)
