"""`GET /code`: the page that a resident shows at a gate (亮码)."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from litestar import Response

from app.login.sessions import Session
from app.view.displays import QR_VERSION
from app.view.limits import DISPLAY_SECONDS, NOTICE_SECONDS
from app.view.pages import names
from app.view.pages.sheet import Sheet, sheet
from app.view.pages.sum import in_words, sum_of
from app.view.reading import Read, Unavailable
from app.view.services import Services
from app.view.showing import read_to_show
from app.web.language import Language, Text, clock, exactly, joined, moment, number, today
from app.web.language import gettext as _
from app.web.site import ms, page
from models.codes import Colour
from models.policy import ZONE, policy_at

COLOURED = "coloured.html"
"""The template of the page of a red or green code."""

RELOAD_S = 10
"""How often a page without scripts is loaded again, unless its reader stops that."""

RELOADING_SECONDS = 3 * RELOAD_S
"""A page that loads itself again is at most this old, on a slow network too. If it is older,
somebody opens it."""

LOG_IN = (  # manual, 二
    _("打开粤省事，点击“粤康码”。"),
    _(
        "选择“人脸识别登录”或“微信支付密码登录”完成实名登录；持港澳居民来往内地通行证者按页面指引登录。"
    ),
    _("登录后本页会自动更新。"),
)

Context = dict[str, Any]


async def code_page(
    view: Services,
    session: Session,
    language: Language,
    *,
    reload: bool,
    before: str | None = None,
) -> Response[str]:
    """Answer with one of three pages: a colour, no code (200), 亮码失败 (503).

    Each is recorded as a display. It is not recorded if the page asks again by itself and had the
    same state `before` (a colour, or none).
    """
    reload_s = RELOAD_S if reload else None
    try:
        read = await read_to_show(view, session, before)
    except Unavailable as failure:
        return failed_page(failure, language, view.now(), reload=reload)
    says = sheet_of(view, read)
    if says.colour is Colour.NONE:
        return page("grey.html", language, {**_no_code(read.at), "reload_s": reload_s})
    return page(COLOURED, language, coloured(view, session, read, says, reload_s))


def reloading(query: Mapping[str, str], now: datetime) -> str | None:
    """Return the state of a page without scripts before it loaded itself again.

    Its address says it (`before`, `at`). None if `at` is too long ago: then somebody opened it.
    """
    at = query.get("at", "")
    if not re.fullmatch(r"\d{1,15}", at):
        return None
    age = now.timestamp() - int(at) / 1_000
    return query.get("before") if 0 <= age < RELOADING_SECONDS else None


def failed_page(
    failure: Unavailable, language: Language, at: datetime, *, reload: bool
) -> Response[str]:
    """Answer 亮码失败: why, and when to try again. It shows no colour and nobody's name."""
    reload_s = max(RELOAD_S, failure.retry_after_s) if reload else None
    headers = {"retry-after": str(failure.retry_after_s)}
    context = {**_failed(failure, at), "reload_s": reload_s}
    return page("grey.html", language, context, status=503, headers=headers)


def sheet_of(view: Services, read: Read) -> Sheet:
    """Return what a code says at the instant at which it was read."""
    return sheet(read.code, read.at, policy_at(read.at).version, view.register)


def coloured(
    view: Services, session: Session, read: Read, says: Sheet, reload_s: int | None
) -> Context:
    """Return what stands on the page of a red or green code, with what differs between people as
    words (app.web.blanks)."""
    ranks = ",".join(str(reason.rank) for reason in says.reasons)
    old = read.lag_s > NOTICE_SECONDS
    changes_at = says.changes_at
    return (
        _frame(says.colour, says.state)  # the enum: templates decide by it
        | {
            "reload_s": reload_s,
            "qr_valid_s": DISPLAY_SECONDS,
            "qr_version": QR_VERSION,
            "notice_s": NOTICE_SECONDS,
            "said": _now(says.state, *(reason.name for reason in says.reasons)),
            "says": names.SAYS[says.colour],
            "reasons": says.reasons,
            "sum": sum_of(read.code, read.at, view.register)
            if read.code and says.reasons
            else None,
            "in_words": in_words,
            "old": old,
            "changes": None if changes_at is None else moment(changes_at),
            "changes_ms": None if changes_at is None else str(ms(changes_at)),
            "name": session.name,
            "ending": session.ending,
            "token": view.displays.token(session.person, session.name, session.ending),
            "epoch": view.holdings.epoch,
            "holder": view.credential_keys.tag_of(session.person),
            # A script compares this with the JSON answer, to know whether the page still holds.
            "key": f"{says.colour.value} {says.version} {ranks} {str(old).lower()}",
            "version": str(says.version),
            "policy": says.policy,
            "as_of": exactly(read.as_of),
            "lag": number(round(read.lag_s, 1), "0.0"),
        }
        | _instant(read.at)
    )


def _no_code(at: datetime) -> Context:
    return (
        _frame("none", _("无码"))
        | _instant(at)
        | {
            "key": "none",
            "says": names.SAYS[Colour.NONE],
            "story": (_("没有找到经实名认证的记录，因此不显示红码或绿码。"), _("怎么办：")),
            "steps": LOG_IN,
        }
    )


def _failed(failure: Unavailable, at: datetime) -> Context:
    retry_at = at + timedelta(seconds=failure.retry_after_s)
    retry = _("请在 {when} 之后再试").filled(when=clock(retry_at))
    return (
        _frame("unavailable", _("亮码失败"))
        | _instant(at)
        | {
            "says": names.CAUSES[failure.cause],
            "story": (retry, _("到时本页会自动重试。"), _("这不代表您的码变为红码。")),
            "retry_at": retry_at,
        }
    )


def _frame(state: str, title: Text) -> Context:
    """What the pages of all states have; each state adds its own."""
    absent = ("changes_ms", "retry_at", "qr_valid_s", "notice_s", "steps", "token")
    return dict.fromkeys(absent) | {
        "state": state,
        "key": state,
        "title": title,
        "said": _now(title),
    }


def _instant(at: datetime) -> dict[str, str | Text]:
    return {
        "now_ms": str(ms(at)),
        "at_iso": at.astimezone(ZONE).isoformat(),
        "hands": clock(at),
        "date": today(at),
    }


def _now(*parts: Text) -> Text:
    """What a screen reader says when the page changes to another state."""
    return _("注意：现在是{state}").filled(state=joined(_("，"), parts))
