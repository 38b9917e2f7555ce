"""A release notice and a recent negative as papers that others take, and the page that checks them.

GET /me/notices/{reference}   解除医学观察电子告知书
GET /me/negative                      a negative of the last 48 hours
GET /check                            for anybody: does what was shown to me stand?
"""

import io
from datetime import datetime
from typing import Any
from urllib.parse import quote

import segno
from litestar import Response
from litestar.exceptions import NotFoundException
from markupsafe import Markup

from app.login.sessions import Session
from app.sources.register import Register
from app.view.pages import names
from app.view.pages.contacts import contact_of, institution
from app.view.proofs import Checked, ProofKind, Standing, expiry
from app.view.reading import Unavailable
from app.view.services import Services
from app.web.addresses import address_of
from app.web.language import Language, Text, exactly, moment, number
from app.web.language import gettext as _
from app.web.requests import AnyRequest
from app.web.site import language_of, page
from models.codes import EventRef, reference_of
from models.events import NatResultDataV2, QuarantineKind
from models.information import (
    NEGATIVE_SHOWN_FOR,
    ReleaseNotice,
    nat_results,
    recent_negative,
    standing_negative,
    standing_notices,
)

Context = dict[str, Any]
Rows = list[tuple[Text, Text | str]]

RELEASE = _("解除医学观察电子告知书")
NEGATIVE = _("核酸检测阴性证明")

QUARANTINES: dict[QuarantineKind, Text] = {
    QuarantineKind.CENTRALISED: _("集中隔离医学观察"),
    QuarantineKind.HOME: _("居家隔离医学观察"),
}

SAYS: dict[Standing, tuple[str, Text, Text]] = {
    Standing.STANDS: (
        "green",
        _("有效"),
        _("本系统有这份记录，没有被撤回。请核对姓名、证件尾号与本人证件。"),
    ),
    Standing.EXPIRED: ("unavailable", _("已过期"), _("这份阴性结果的采样时间已超过 48 小时。")),
    Standing.TAKEN_BACK: (
        "unavailable",
        _("已失效"),
        _("这份记录已被撤回、更正，或已有新的记录，不能再作为证明。"),
    ),
    Standing.UNKNOWN: (
        "not-found",
        _("无法核验"),
        _("这不是本系统出具的核验码，或者已被改动。"),
    ),
}
"""What each finding looks like, is called, and means."""


async def notice_page(
    view: Services, session: Session, reference: str, language: Language
) -> Response[str]:
    """Answer with a release notice; raise `NotFoundException` if this person has no such."""
    try:
        row, _as_of = await view.information.row(session.person)
    except Unavailable as failure:
        return _away(RELEASE, failure, language)
    for notice in standing_notices(row):
        if reference_of(notice.event) == reference:
            context = _paper(view, session, ProofKind.RELEASE, notice.event)
            return page("proof.html", language, context | _released(notice))
    raise NotFoundException


async def negative_page(view: Services, session: Session, language: Language) -> Response[str]:
    """Answer with the newest negative if it is recent, or say that there is no such."""
    at = view.now()
    try:
        row, _as_of = await view.information.row(session.person)
    except Unavailable as failure:
        return _away(NEGATIVE, failure, language)
    found = recent_negative(nat_results(row, at).items, at)
    data = None if found is None else standing_negative(row, EventRef(found.source, found.id))
    if found is None or data is None:
        hours = number(NEGATIVE_SHOWN_FOR.total_seconds() / 3_600)
        return page("no_proof.html", language, {"title": NEGATIVE, "hours": hours, "failure": None})
    event = EventRef(found.source, found.id)
    context = _paper(view, session, ProofKind.NEGATIVE, event)
    return page("proof.html", language, context | _tested(data, at, view.register))


def _away(title: Text, failure: Unavailable, language: Language) -> Response[str]:
    headers = {"retry-after": str(failure.retry_after_s)}
    context = {"title": title, "failure": failure}
    return page("no_proof.html", language, context, status=503, headers=headers)


def _paper(view: Services, session: Session, kind: ProofKind, event: EventRef) -> Context:
    at = view.now()
    code = view.proofs.code(kind, session, event, at)
    address = f"{view.view_url.rstrip('/')}/check?c={quote(code)}"
    return {
        "name": session.name,
        "ending": session.ending,
        "issuer": contact_of(event.source, view.register),
        "reference": reference_of(event),
        "address": address,
        "qr": _qr(address),
        "made_at": exactly(at),
    }


def _qr(address: str) -> Markup:
    """Draw an address: with level M, as large as it needs to be."""
    out = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        out,
        kind="svg",
        light="#ffffff",
        omitsize=True,
        xmldecl=False,
        nl=False,
        svgclass=None,
        lineclass=None,
    )
    return Markup(out.getvalue().decode())


def _released(notice: ReleaseNotice) -> Context:
    kind = QUARANTINES[notice.kind] if notice.kind else _("医学观察")
    facts: Rows = [
        (_("告知书编号"), notice.notice),
        (_("隔离通知书编号"), notice.order),
        (_("开始时间"), moment(notice.started_at) if notice.started_at else _("没有记录")),
        (_("解除时间"), moment(notice.released_at)),
    ]
    said = _("上述人员的{kind}已于{when}解除。").filled(kind=kind, when=moment(notice.released_at))
    return {"title": RELEASE, "facts": facts, "says": said, "until": None}


def _tested(data: NatResultDataV2, at: datetime, register: Register) -> Context:
    left = expiry(data.sampled_at) - at
    facts: Rows = [
        (_("检测结果"), names.RESULTS[data.result]),
        (_("检测机构"), institution(data.institution, register)),
        (_("采样时间"), moment(data.sampled_at)),
        (_("报告时间"), moment(data.reported_at)),
    ]
    said = _("上述人员于{when}采样的核酸检测结果为阴性。").filled(when=moment(data.sampled_at))
    until = _("48 小时内有效，至{when}为止，还有 {n} 小时。").filled(
        when=moment(expiry(data.sampled_at)), n=number(int(left.total_seconds() // 3_600))
    )
    return {"title": NEGATIVE, "facts": facts, "says": said, "until": until}


async def check_page(view: Services, request: AnyRequest) -> Response[str]:
    """Answer whether the proof stands whose code is in the query; without one, with the form."""
    language = language_of(request)
    code = request.query_params.get("c", "")
    context: Context = {"checked": None, "sign": None, "word": None, "says": None, "facts": ()}
    if not code:
        return page("check.html", language, context)
    if not await view.proofs.may_check(address_of(request)):
        context["says"] = _("核验过于频繁，请一分钟后再试。")
        return page("check.html", language, context, status=429, headers={"retry-after": "60"})
    try:
        checked = await view.proofs.check(code, view.now())
    except Unavailable as failure:
        context["says"] = _("记录暂时无法取得，请稍后再核验。这不表示证明无效。")
        headers = {"retry-after": str(failure.retry_after_s)}
        return page("check.html", language, context, status=503, headers=headers)
    sign, word, says = SAYS[checked.standing]
    context |= {"checked": checked, "sign": sign, "word": word, "says": says}
    return page("check.html", language, context | {"facts": _found(checked, view.register)})


def _found(checked: Checked, register: Register) -> Rows:
    """What a check tells: whose record it is, by the masked name, and what that says."""
    proof = checked.proof
    if proof is None or checked.as_of is None:
        return []
    title = RELEASE if proof.kind is ProofKind.RELEASE else NEGATIVE
    facts: Rows = [(_("证明"), title), (_("姓名"), proof.name), (_("证件尾号"), proof.ending)]
    if checked.notice is not None:
        facts.append((_("告知书编号"), checked.notice.notice))
        facts.append((_("解除时间"), moment(checked.notice.released_at)))
    if checked.sampled_at is not None and checked.until is not None:
        facts.append((_("采样时间"), moment(checked.sampled_at)))
        facts.append((_("有效期至"), moment(checked.until)))
    issuer = contact_of(proof.source, register)
    facts.append((_("出具单位"), issuer.name))
    facts.append((_("电话"), issuer.telephone))
    facts.append((_("数据截至"), exactly(checked.as_of)))
    return facts
