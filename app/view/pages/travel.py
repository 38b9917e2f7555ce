"""`/travel-card`: the travel card (行程卡; manual, 三（四）): a phone, its code, its cities.

There are four addresses, with ordinary forms. `GET /travel-card` shows the card, or asks for the
phone if the session keeps none; `GET /travel-card/new` asks for it anyhow. `POST
/travel-card/code` has the code sent and asks for it. `POST /travel-card` takes the code, and leads
to the card: it can be loaded again. No address contains the number; only the forms carry it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from babel.dates import format_skeleton
from litestar import MediaType, Response, get, post
from litestar.response import Redirect

from app.login.guards import LoggedIn
from app.process import metrics
from app.process.clock import Clock
from app.travel.bounds import CODE_DIGITS, CODE_SECONDS, PHONE_TEXT_MAX, TRIES_MAX, Bounds
from app.travel.cards import CodeSent, TravelCardAnswer, TravelCards
from app.travel.refusals import CodeWrong
from app.view.pages import names
from app.view.reading import Unavailable
from app.web.addresses import address_of
from app.web.language import Language, Text, clock, day, exactly, ngettext
from app.web.language import gettext as _
from app.web.problems import KINDS, Refused
from app.web.requests import AnyRequest
from app.web.site import FORM_HEADERS, language_of, page
from models.events import Visit
from models.phones import PhoneError, parse_phone
from models.policy import ZONE

SEND_AGAIN_SECONDS = Bounds().sends[0].get_expiry()
"""How long an asker waits before another code can be sent."""

AWAY = _("行程卡暂时不能查询")

VISITS: dict[Visit, Text] = {Visit.REACHED: _("到达"), Visit.PASSED: _("途经")}

SENTENCES: dict[str, Text] = {
    "phone": _("这不是内地手机号码。请填写 13 至 19 开头的 11 位号码。"),
    "invalid": _("验证码是短信里的 6 位数字。这次不计入次数。"),
    "code-spent": _("这个验证码已输错 {tries} 次，不能再用。请重新获取。").filled(
        tries=str(TRIES_MAX)
    ),
    "code-expired": _("验证码已过 {minutes} 分钟，不能再用。请重新获取。").filled(
        minutes=str(CODE_SECONDS // 60)
    ),
    "code-used": _("这个验证码已用过。一个验证码只能查询一次，请重新获取。"),
    "no-code-sent": _("没有给您发送过这个号码的验证码，或已过去很久。请重新获取。"),
    "message-not-sent": _("短信没有发出，不计入次数。请稍后再试。"),
    "travel-card-unavailable": _("行程卡暂时不能查询，不计入次数。请稍后再试。"),
}
"""Every refusal except two: how many tries are left, and when one may ask again."""

OF_THE_PHONE = frozenset({"phone"})
OF_THE_CODE = frozenset(
    {"invalid", "code-wrong", "code-spent", "code-expired", "code-used", "no-code-sent"}
)


def travel_card_routes(cards: TravelCards, now: Clock) -> list[Any]:
    """Return the handlers, which the login's guard must protect."""

    @get("/travel-card", media_type=MediaType.HTML, include_in_schema=False)
    async def show_card(request: AnyRequest, session: LoggedIn) -> Response[str]:
        language = language_of(request)
        try:
            card = await cards.again(request, session, now())
        except Unavailable as failure:
            return away_page(language, failure)
        return phone_form(language, at=now()) if card is None else card_page(language, card)

    @get("/travel-card/new", media_type=MediaType.HTML, include_in_schema=False)
    async def show_form(request: AnyRequest, session: LoggedIn) -> Response[str]:
        return phone_form(language_of(request), at=now())

    @get("/travel-card/code", include_in_schema=False)
    async def begin_again(request: AnyRequest, session: LoggedIn) -> Redirect:
        """A form's page opened by its address, as when reloaded or in another language."""
        query = urlencode({"lang": language_of(request).code})
        return Redirect(f"/travel-card/new?{query}", status_code=303)

    @post("/travel-card/code", media_type=MediaType.HTML, status_code=200, include_in_schema=False)
    async def send_code(request: AnyRequest, session: LoggedIn) -> Response[str]:
        language, form = language_of(request), await request.form()
        phone = _text(form, "phone")
        # Asked again in the form for the code; the code before stays good meanwhile.
        again = _text(form, "again") == "yes"
        try:
            sent = await cards.send_code(session.person, address_of(request), phone, language)
        except Refused as refused:
            too_often = refused.code == "asked-too-often"
            answer = code_form if again or too_often else phone_form
            return answer(language, phone, refused=refused, at=now())
        return code_form(language, phone, sent=sent, at=now())

    @post("/travel-card", media_type=MediaType.HTML, status_code=200, include_in_schema=False)
    async def take_code(request: AnyRequest, session: LoggedIn) -> Response[Any]:
        language, form = language_of(request), await request.form()
        phone, code = _text(form, "phone"), _text(form, "code")
        try:
            kept = await cards.open(session, phone, code, now())
        except Unavailable as failure:
            refused = Refused(
                "travel-card-unavailable",
                "What telecoms told cannot be read now.",
                headers={"Retry-After": str(failure.retry_after_s)},
            )
            return code_form(language, phone, refused=refused, at=now())
        except Refused as refused:
            answer = phone_form if refused.code in OF_THE_PHONE else code_form
            return answer(language, phone, refused=refused, at=now())
        address = f"/travel-card?{urlencode({'lang': language.code})}"
        return Redirect(address, status_code=303, cookies=[kept])

    return [show_card, show_form, begin_again, send_code, take_code]


def phone_form(
    language: Language,
    phone: str = "",
    *,
    refused: Refused | None = None,
    at: datetime,
) -> Response[str]:
    """Ask for the phone."""
    return _form("travel_phone.html", language, {"phone": phone}, refused, at)


def code_form(
    language: Language,
    phone: str,
    *,
    sent: CodeSent | None = None,
    refused: Refused | None = None,
    at: datetime,
) -> Response[str]:
    """Ask for the code that was sent; `sent` is None if that was before, not just now."""
    try:
        masked = parse_phone(phone).masked
    except PhoneError:  # it was made up: no form of ours sends that
        return phone_form(language, phone, refused=refused, at=at)
    again_s = 0
    if sent is not None:
        again_s = SEND_AGAIN_SECONDS
    elif refused is not None and refused.code == "asked-too-often":
        again_s = _seconds(refused)
    context = {
        "phone": phone,
        "masked": masked,
        "sent": sent is not None,
        "until": clock(sent.good_until) if sent else None,
        "tries": TRIES_MAX,
        "digits": CODE_DIGITS,
        "again_s": again_s,
    }
    return _form("travel_code.html", language, context, refused, at)


def card_page(language: Language, card: TravelCardAnswer) -> Response[str]:
    """Show the card."""
    since = datetime.combine(card.since, datetime.min.time(), ZONE)
    context = {
        "masked": card.phone,
        "at": card.updated_at,
        "hands": clock(card.updated_at),
        "updated_at": exactly(card.updated_at),
        "as_of": exactly(card.as_of),
        "since": day(since),
        "more": card.more,
        "cities": [
            (names.city(c.division), c.high_risk, VISITS[c.visit], _day_of_year(c.first_seen_at))
            for c in card.cities
        ],
    }
    return page("travel_card.html", language, context, headers=FORM_HEADERS)


def away_page(language: Language, failure: Unavailable) -> Response[str]:
    """Say that the card cannot be read now; the phone is kept, so it need not be asked again."""
    lang = f"?lang={language.code}"
    notice = {"title": AWAY, "says": _("手机号仍然保留，恢复后不需要再收短信。"), "steps": ()}
    links = ((f"/travel-card{lang}", _("再试一次")), (f"/code{lang}", _("出示粤康码")))
    return page(
        "notice.html",
        language,
        {"n": notice, "links": links},
        status=503,
        headers={"retry-after": str(failure.retry_after_s)},
    )


def sentence(refused: Refused, at: datetime) -> Text:
    """Say why something was refused, and what to do."""
    match refused:
        case CodeWrong(left=left):
            return ngettext(
                "验证码不对。请核对最新一条短信；还可以试 {n} 次。",
                "验证码不对。请核对最新一条短信；还可以试 {n} 次。",
                left,
            )
        case Refused(code="asked-too-often"):
            again = at + timedelta(seconds=_seconds(refused))
            today = again.astimezone(ZONE).date() == at.astimezone(ZONE).date()
            return _(
                "获取得太频繁了。请在 {when} 之后再试；此前收到的验证码在有效期内仍可使用。"
            ).filled(when=clock(again) if today else exactly(again))
        case _:
            return SENTENCES[refused.code]


def _form(
    template: str,
    language: Language,
    context: Mapping[str, object],
    refused: Refused | None,
    at: datetime,
) -> Response[str]:
    faults, status, headers = dict[str, Text](), 200, dict[str, str]()
    if refused is not None:
        if refused.code not in SENTENCES.keys() | {"code-wrong", "asked-too-often"}:
            raise refused
        metrics.HTTP_REQUESTS_REFUSED.labels(refused.code).inc()
        code = refused.code
        field = "phone" if code in OF_THE_PHONE else "code" if code in OF_THE_CODE else "form"
        faults[field] = sentence(refused, at)
        status, headers = KINDS[code].status, refused.headers
    more = {"faults": faults, "phone_length_max": PHONE_TEXT_MAX}
    return page(
        template, language, {**context, **more}, status=status, headers={**FORM_HEADERS, **headers}
    )


def _day_of_year(instant: datetime) -> Text:
    """Month and day: within 14 days nobody needs the year."""
    date = instant.astimezone(ZONE).date()
    return Text(lambda language: format_skeleton("MMMd", date, locale=language.locale))


def _seconds(refused: Refused) -> int:
    return int(refused.headers.get("Retry-After", SEND_AGAIN_SECONDS))


def _text(form: Mapping[str, Any], name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
