"""`/declare`: the four kinds of health declaration (健康申报; manual, 三（三）) as forms.

A browser checks a form by its attributes. The same bounds are checked here again, so a form works
the same without scripts. A form gets its id when it is made; sent twice it is one declaration
(app.view.declarations).
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import msgspec
from litestar import MediaType, Response, get, post
from litestar.datastructures import FormMultiDict
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from msgspec import Struct

from app.login.guards import LoggedIn
from app.process import metrics
from app.view.declarations import KEPT_SECONDS, DeclarationRequest, Declared
from app.view.pages import names
from app.view.pages.advice import advice_of
from app.view.pages.information import declaration_facts
from app.view.reading import Unavailable
from app.view.services import Services
from app.web.language import Language, Text
from app.web.language import gettext as _
from app.web.problems import KINDS, Refused
from app.web.requests import AnyRequest
from app.web.site import FORM_HEADERS, language_of, page
from models.codes import read_reference
from models.events import DeclarationData, DeclarationKind, Symptom
from models.information import Section

CELSIUS_MIN, CELSIUS_MAX = Decimal("35.0"), Decimal("42.0")
"""The range for a person who can fill in a form; the event's own bounds are wider by a degree."""

UNIT_LENGTH_MAX = 100

DRAFT_HOURS = KEPT_SECONDS // 3_600
"""How long the browser keeps a draft: as long as its id is known when it is sent again."""

FOR_WHOM: dict[DeclarationKind, Text] = {
    DeclarationKind.ENTERPRISE_EMPLOYEE: _("向所在企业单位申报"),
    DeclarationKind.ORGANISATION_MEMBER: _("向所在社区、社团或其他机构申报"),
    DeclarationKind.STUDENT_OR_STAFF: _("向就读或任教的学校申报"),
    DeclarationKind.PERSONAL: _("自己留存，不需要填写单位"),
}

UNITS: dict[DeclarationKind, Text] = {
    DeclarationKind.ENTERPRISE_EMPLOYEE: _("企业单位名称"),
    DeclarationKind.ORGANISATION_MEMBER: _("组织机构名称"),
    DeclarationKind.STUDENT_OR_STAFF: _("学校名称"),
}
"""Whom a declaration is made to; a personal one is made to nobody."""

APPEND_ONLY = _("当前不支持删除或修改，可重新申报提交。")

ASKED: dict[str, Text] = {
    "contact": _("过去 14 天内，是否接触过确诊病例、疑似病例或无症状感染者？"),
    "travelled": _("过去 14 天内，是否到过中高风险地区或境外？"),
}
"""The questions to answer with yes or no."""

HOW = (
    _("提交后几秒内，可在“健康申报记录”里看到。"),
    _("当前不支持删除或修改，可重新申报提交；同一种类、同一单位，以最新的一份为准。"),
    _("填写时草稿保存在本机浏览器。网络中断后可以接着填；重复点击提交，也只算一份。"),
)

READS_UNIT = _("提交申报不能代替就医或报告：身体不适或情况有变，请按当地的要求办理。")
READS_NOBODY = _("自查申报由您自己留存，不会有人据此联系您；身体不适，请就医。")

RECORDS = "/me/declarations"


class Filled(Struct, frozen=True):
    """A form as it came: its values, to be shown again, and the faults by field."""

    id: str
    values: Mapping[str, Any]
    faults: Mapping[str, Text]
    asked: DeclarationRequest | None


def declare_routes(view: Services) -> list[Any]:
    """Return the handlers, which the login's guard must protect."""

    @get("/declare", media_type=MediaType.HTML, include_in_schema=False)
    async def show_kinds(request: AnyRequest, session: LoggedIn) -> Response[str]:
        context = {
            "kinds": names.DECLARATION_KINDS,
            "for_whom": FOR_WHOM,
            "how": HOW,
            "records": RECORDS,
        }
        return page("declare.html", language_of(request), context)

    @get("/declare/sent/{reference:str}", media_type=MediaType.HTML, include_in_schema=False)
    async def show_sent(
        request: AnyRequest, session: LoggedIn, reference: FromPath[str]
    ) -> Response[str]:
        language = language_of(request)
        written = read_reference(reference)
        try:
            taken = await view.declarations.taken(session.person, written) if written else None
        except Refused as refused:
            return unread_page(language, refused)
        if written is None or taken is None:
            raise NotFoundException
        return sent_page(language, written, taken)

    def of_kind(kind: DeclarationKind) -> list[Any]:
        address = f"/declare/{kind.value}"

        @get(address, media_type=MediaType.HTML, include_in_schema=False)
        async def show_form(request: AnyRequest, session: LoggedIn) -> Response[str]:
            unit = await _last_unit(view, session.person, kind) if kind in UNITS else ""
            return form_page(kind, language_of(request), session.person, unit=unit)

        @post(address, media_type=MediaType.HTML, status_code=200, include_in_schema=False)
        async def submit(request: AnyRequest, session: LoggedIn) -> Response[Any]:
            filled = read_form(kind, await request.form())
            language = language_of(request)
            if filled.asked is None:
                return form_page(kind, language, session.person, filled)
            try:
                answer = await view.declarations.submit(session.person, filled.asked)
            except Refused as refused:
                return _refused(kind, language, session.person, filled, refused)
            address = f"/declare/sent/{answer.reference}?lang={language.code}"
            return Redirect(address, status_code=303)

        return [show_form, submit]

    return [
        show_kinds,
        show_sent,
        *(handler for kind in names.DECLARATION_KINDS for handler in of_kind(kind)),
    ]


def read_form(kind: DeclarationKind, form: FormMultiDict) -> Filled:
    """Read what was filled in; `asked` is None if there is a fault."""
    values: dict[str, Any] = {
        "unit": " ".join(_text(form, "unit").split()),
        "city": _text(form, "city"),
        "celsius": _text(form, "celsius"),
        "symptoms": [text for text in form.getall("symptoms", []) if isinstance(text, str)],
        **{name: _text(form, name) for name in ASKED},
    }
    celsius, faults = _celsius(values["celsius"]), dict[str, Text]()
    symptoms = [symptom for symptom in Symptom if symptom.value in values["symptoms"]]
    if kind in UNITS:
        if not values["unit"]:
            faults["unit"] = _("请填写{what}。").filled(what=UNITS[kind])
        elif len(values["unit"]) > UNIT_LENGTH_MAX or not values["unit"].isprintable():
            faults["unit"] = _("请填写不超过 {n} 个字的名称。").filled(n=str(UNIT_LENGTH_MAX))
    if values["city"] not in names.CITY_CODES:
        faults["city"] = _("请选择目前所在的城市。")
    if celsius is None:
        meant = _without_point(values["celsius"])
        bounds = {"low": str(CELSIUS_MIN), "high": str(CELSIUS_MAX)}
        faults["celsius"] = (
            _("请填写 {low} 至 {high} 之间的体温，最多一位小数。").filled(**bounds)
            if meant is None
            else _("体温是不是 {meant}？请填写 {low} 至 {high} 之间，最多一位小数。").filled(
                meant=meant, **bounds
            )
        )
    if len(symptoms) < len(set(values["symptoms"])):
        faults["symptoms"] = _("请从所列症状中选择。")
    for name in ASKED:
        if values[name] not in ("yes", "no"):
            faults[name] = _("“{question}”：请选择“是”或“否”。").filled(question=ASKED[name])
    id = _id(_text(form, "id"))
    if id is None:
        faults["form"] = _("表单不完整，请核对后再提交一次。")
    if faults or celsius is None or id is None:
        return Filled(id or str(uuid4()), values, faults, None)
    asked = DeclarationRequest(
        id=id,
        kind=kind,
        city=values["city"],
        celsius=float(celsius),
        contact=values["contact"] == "yes",
        travelled=values["travelled"] == "yes",
        symptoms=tuple(symptoms),
        unit=values["unit"] if kind in UNITS else None,
    )
    return Filled(id, values, {}, asked)


def form_page(
    kind: DeclarationKind,
    language: Language,
    person: str,
    filled: Filled | None = None,
    *,
    unit: str = "",
    status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """Answer with an empty form (200), or with what was filled in and its faults.

    In an empty form stands the `unit` to which the person declared last.
    """
    empty: dict[str, Any] = dict.fromkeys(("city", "celsius", *ASKED), "") | {"unit": unit}
    context = {
        "kind": kind.value,
        "title": names.DECLARATION_KINDS[kind],
        "unit": UNITS.get(kind),
        "unit_length_max": UNIT_LENGTH_MAX,
        "celsius_min": str(CELSIUS_MIN),
        "celsius_max": str(CELSIUS_MAX),
        "places": list(names.places()),
        "symptoms": {symptom.value: text for symptom, text in names.SYMPTOMS.items()},
        "asked": ASKED,
        "append_only": APPEND_ONLY,
        "id": filled.id if filled else str(uuid4()),
        "values": filled.values if filled else {**empty, "symptoms": []},
        "faults": filled.faults if filled else {},
        "owner": owner_of(person),
        "draft_hours": DRAFT_HOURS,
        "records": RECORDS,
    }
    return page(
        "declare_form.html",
        language,
        context,
        status=status if filled else HTTPStatus.OK,
        headers={**FORM_HEADERS, **(headers or {})},
    )


def sent_page(language: Language, reference: str, taken: Declared) -> Response[str]:
    """Say that a declaration was taken: what to do now, its reference, and what it says."""
    asked = taken.asked
    data = DeclarationData(
        kind=asked.kind,
        declared_at=taken.declared_at,
        city=asked.city,
        celsius=asked.celsius,
        contact=asked.contact,
        travelled=asked.travelled,
        symptoms=asked.symptoms,
        unit=asked.unit,
    )
    context = {
        "advice": advice_of(asked),
        "reference": reference,
        "title": names.DECLARATION_KINDS[asked.kind],
        "facts": declaration_facts(data),
        "reads": READS_NOBODY if asked.unit is None else READS_UNIT,
        "append_only": APPEND_ONLY,
        "links": (
            (RECORDS, _("查看健康申报记录")),
            ("/declare", _("再申报一份")),
            ("/code", _("出示粤康码")),
        ),
    }
    return page("declare_sent.html", language, context)


def unread_page(language: Language, refused: Refused) -> Response[str]:
    """Say that what was declared cannot be shown now."""
    notice = {
        "title": _("申报内容暂时不能显示"),
        "says": _("已提交的申报没有丢失，可以在健康申报记录里看到。"),
        "steps": (),
    }
    links = ((f"{RECORDS}?lang={language.code}", _("查看健康申报记录")),)
    return page(
        "notice.html",
        language,
        {"n": notice, "links": links},
        status=KINDS[refused.code].status,
        headers=refused.headers,
    )


async def _last_unit(view: Services, person: str, kind: DeclarationKind) -> str:
    """Return to whom the person made their last declaration of this kind; empty if unknown."""
    try:
        answer = await view.information.section(person, Section.DECLARATIONS)
    except Unavailable:
        return ""
    for item in answer.items:
        data = msgspec.json.decode(item.data, type=DeclarationData)
        if data.kind is kind and data.unit:
            return data.unit
    return ""


def owner_of(person: str) -> str:
    """Return a mark, not the person key, by which a browser tells apart the drafts of people."""
    return hashlib.sha256(f"draft {person}".encode()).hexdigest()[:16]


def _refused(
    kind: DeclarationKind, language: Language, person: str, filled: Filled, refused: Refused
) -> Response[str]:
    """Answer with the form, all that was filled in, and why it was refused."""
    id, faults = filled.id, dict[str, Text]()
    match refused.code:
        case "append-only":  # it was sent before; the person went back and changed the answers
            id = str(uuid4())
            faults["form"] = _(
                "这份申报此前已提交，不能再修改。下面是新的一份：核对后提交，以最新的为准。"
            )
        case "kafka-away" | "busy":
            faults["form"] = _(
                "暂时没有送达。填写的内容都在，请稍后再点“提交申报”；重复提交也只算一份。"
            )
        case "declared-too-often":
            faults["form"] = _("24 小时内的申报次数已达上限，请稍后再申报；以最近一份为准。")
        case "invalid" if any(error.field == "unit" for error in refused.errors):
            faults["unit"] = _("名称里不能有证件号码或特殊字符。")
        case "invalid":
            faults["form"] = _("内容没有通过核对，请检查后再提交。")
        case _:
            raise refused
    metrics.HTTP_REQUESTS_REFUSED.labels(refused.code).inc()
    again = Filled(id, filled.values, faults, None)
    status = HTTPStatus(KINDS[refused.code].status)
    return form_page(kind, language, person, again, status=status, headers=refused.headers)


def _text(form: FormMultiDict, name: str) -> str:
    """Return a field as it is meant: a file counts as empty, full-width figures as figures."""
    value = form.get(name, "")
    return unicodedata.normalize("NFKC", value).strip() if isinstance(value, str) else ""


def _celsius(text: str) -> Decimal | None:
    try:
        celsius = Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None
    if not celsius.is_finite() or not CELSIUS_MIN <= celsius <= CELSIUS_MAX:
        return None
    return celsius if celsius == round(celsius, 1) else None


def _without_point(text: str) -> str | None:
    """Return 36.5 for 365, which somebody typed without its point."""
    if not re.fullmatch(r"[0-9]{3}", text):
        return None
    meant = f"{text[:2]}.{text[2]}"
    return meant if _celsius(meant) is not None else None


def _id(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
