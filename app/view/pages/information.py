"""`GET /me` and `GET /me/{section}`: a resident's own health information (我的粤康码信息)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Response
from msgspec import Struct

from app.login.sessions import Session
from app.sources.register import Register
from app.view.information import may_see
from app.view.pages import names
from app.view.pages.advice import Advice, advice_of
from app.view.pages.contacts import institution
from app.view.reading import SectionAnswer, Unavailable
from app.view.services import Services
from app.web.language import Language, Text, day, exactly, joined, moment, number, pgettext
from app.web.language import gettext as _
from app.web.site import FORM_HEADERS, page
from models.codes import Colour, EventRef, reference_of
from models.events import (
    BorderEntryData,
    DeclarationData,
    DisplayData,
    EntryRegistrationData,
    HealthCertificateData,
    IggResultData,
    NationalStatusData,
    NatResultDataV2,
    QuarantineReleasedData,
    Result,
    ResultStatus,
    TemperatureData,
)
from models.information import (
    NEGATIVE_SHOWN_FOR,
    Item,
    Section,
    recent_negative,
    waits_for_push,
    waits_for_single_test,
)
from models.policy import policy_at
from models.results import single_test_due

Said = Text | str
"""A text in the reader's language, or one that stands as the event had it."""

Facts = list[tuple[Text, Said]]
"""The facts of a line: names and values."""

SECTIONS: dict[Section, Text] = {
    Section.NAT_RESULTS: _("核酸检测记录"),
    Section.IGG_RESULTS: _("血清特异性 IgG 抗体检测记录"),
    Section.CERTIFICATES: _("持有健康证明情况"),
    Section.RELEASE_NOTICES: _("解除医学观察电子告知书"),
    Section.ENTRY_REGISTRATIONS: _("入粤登记历史记录"),
    Section.BORDER_ENTRIES: _("入境情况记录"),
    Section.DECLARATIONS: _("健康申报记录"),
    Section.DISPLAYS: _("亮码记录"),
    Section.TEMPERATURES: _("体温检测记录"),
}

NOTES: dict[Section, Text] = {
    Section.IGG_RESULTS: _("抗体检测结果不影响码的颜色。"),
    Section.CERTIFICATES: _("健康证明与“健康状态”来自全国一体化政务服务平台，不影响码的颜色。"),
    Section.RELEASE_NOTICES: _("由隔离管理部门出具。每份可以打开、打印，并由他人核验。"),
    Section.DECLARATIONS: _(
        "申报不能修改或删除；如有错误，请重新申报，同一种类、同一单位以最新一条为准。"
    ),
    Section.DISPLAYS: _("今天和此前两天的亮码记录。"),
    Section.TEMPERATURES: _("公共场所的体温检测记录，不影响码的颜色。"),
}
"""What a reader should know about a section, beside its lines."""

YES, NO = _("是"), _("否")


class Told(Struct, frozen=True):
    """What one line says: what it is, its number if it has one, and its facts.

    `shape` draws the kind of a result: nobody should have to tell a positive by reading.
    """

    title: Said
    facts: Facts
    number: str | None = None
    shape: str | None = None


ADVISED_FOR = timedelta(days=1)
"""How long the advice on a declaration stands above the list of them."""


class SectionLine(Struct, frozen=True):
    """One line of a section as it is shown; `marks` say what its reader looks for."""

    told: Told
    newest: bool
    marks: tuple[Text, ...]
    link: str | None = None


class SectionPrinted(Struct, frozen=True):
    """A section among others: its title, until when its data are, its lines."""

    title: Text
    as_of: Text
    lines: tuple[SectionLine, ...]


async def information_page(view: Services, session: Session, language: Language) -> Response[str]:
    """Answer with the list of sections: how much is in each, or why that is unknown."""
    wanted = [section for section in Section if may_see(section, session, view.now())]
    failure = None
    found: dict[Section, SectionAnswer] = {}
    try:
        found = {a.section: a for a in await view.information.sections(session.person, wanted)}
    except Unavailable as unavailable:
        failure = unavailable
    doors = [(section, SECTIONS[section], _summary(section, found, failure)) for section in Section]
    context = {"name": session.name, "doors": doors, "failure": failure}
    # The page has the form to log out.
    return page("me.html", language, context, status=503 if failure else 200, headers=FORM_HEADERS)


async def everything_page(view: Services, session: Session, language: Language) -> Response[str]:
    """Answer with all sections on one page, to be printed or kept as a file by the browser."""
    at = view.now()
    wanted = [section for section in Section if may_see(section, session, at)]
    context: dict[str, Any] = {"name": session.name, "ending": session.ending, "at": exactly(at)}
    try:
        found = await view.information.sections(session.person, wanted)
    except Unavailable as failure:
        headers = {"retry-after": str(failure.retry_after_s)}
        context |= {"failure": failure, "sections": ()}
        return page("everything.html", language, context, status=503, headers=headers)
    shown = [
        SectionPrinted(
            SECTIONS[answer.section], exactly(answer.as_of), _lines(answer, at, view.register)
        )
        for answer in found
    ]
    return page("everything.html", language, {**context, "failure": None, "sections": shown})


async def section_page(
    view: Services, session: Session, section: Section, language: Language
) -> Response[str]:
    """Answer with one section: its lines, that it is empty, or that it cannot be fetched."""
    at = view.now()
    context: dict[str, Any] = {
        "section": section,
        "title": SECTIONS[section],
        "note": NOTES.get(section),
        "lines": [],
        "answer": None,
        "failure": None,
        "adults_only": not may_see(section, session, at),
        "age_known": session.adult_from is not None,
        "status": None,
        "waits": False,
        "advice": (),
        "since": day(policy_at(at).nat_results_from),
    }
    headers: dict[str, str] = {}
    if not context["adults_only"]:
        try:
            [answer] = await view.information.sections(session.person, [section])
            if section is Section.CERTIFICATES:
                status = await view.information.national_status(session.person)
                context["status"] = status and _status(status)
                read = await view.codes.read(session.person)
                context["waits"] = waits_for_push(read.colour is Colour.GREEN, status)
        except Unavailable as failure:
            context["failure"] = failure
            headers["retry-after"] = str(failure.retry_after_s)
        else:
            context["answer"] = answer
            context["as_of"] = exactly(answer.as_of)
            context["lines"] = _lines(answer, at, view.register)
            if section is Section.DECLARATIONS:
                context["advice"] = _advice(answer, at)
    status_code = 503 if context["failure"] else 200
    return page("section.html", language, context, status=status_code, headers=headers)


def _advice(answer: SectionAnswer, at: datetime) -> list[Advice]:
    """Return what to tell who declared something worrying within the last day, each thing once."""
    told: list[Advice] = []
    for item in answer.items:
        if item.newest and at - item.at < ADVISED_FOR:
            data = msgspec.json.decode(item.data, type=DeclarationData)
            told += [advice for advice in advice_of(data) if advice not in told]
    return told


def _summary(
    section: Section, found: dict[Section, SectionAnswer], failure: Unavailable | None
) -> Text:
    if section is Section.DISPLAYS and section not in found and failure is None:
        return _("仅成年人可查看")
    if section not in found:
        return _("暂时无法取得")
    items = found[section].items
    if not items:
        return _("没有记录")
    text = _("{n} 条，最新 {when}")
    if section is Section.NAT_RESULTS and waits_for_single_test(items):
        text = _("{n} 条，最新 {when}；需单人单管复核")
    return text.filled(n=number(len(items)), when=day(items[0].at))


def _status(status: NationalStatusData) -> tuple[Text, Text]:
    return names.NATIONAL_STATUSES[status.status], moment(status.reported_at)


def _lines(answer: SectionAnswer, at: datetime, register: Register) -> tuple[SectionLine, ...]:
    decode, say = _SAYS[answer.section]
    recent = None
    if answer.section is Section.NAT_RESULTS:
        recent = recent_negative(answer.items, at)

    def line(item: Item) -> SectionLine:
        data = msgspec.json.decode(item.data, type=decode)
        marks = []
        if item.newest:
            marks.append(_("最新"))
        if item is recent:
            hours = NEGATIVE_SHOWN_FOR.total_seconds() / 3_600
            marks.append(_("{n} 小时内").filled(n=number(hours)))
        if isinstance(data, HealthCertificateData) and data.valid_until <= at:
            marks.append(pgettext("certificate", "已过期"))
        link = None
        if answer.section is Section.RELEASE_NOTICES:
            link = f"/me/notices/{reference_of(EventRef(item.source, item.id))}"
        told = _with_names(say(data), register)
        return SectionLine(told, item.newest, tuple(marks), link)

    return tuple(line(item) for item in answer.items)


def _with_names(told: Told, register: Register) -> Told:
    """Put names in place of what a line has as codes of the register."""

    def named(said: Said) -> Said:
        return institution(said, register) if isinstance(said, str) else said

    facts = [(what, named(said)) for what, said in told.facts]
    return Told(named(told.title), facts, told.number, told.shape)


def _nat(data: NatResultDataV2) -> Told:
    result = names.RESULTS[data.result]
    if data.status is ResultStatus.PRELIMINARY:
        result = _("{result}（初筛，未出最终结果）").filled(result=result)
    elif single_test_due(data):
        result = _("{result}（混检，不影响码的颜色；需单人单管复核）").filled(result=result)
    facts = _test(data)
    if data.pooled is not None:
        facts.append((_("同管人数"), number(data.pooled)))
    if data.specimen is not None:
        facts.append((_("样本编号"), data.specimen))
    return Told(result, facts, shape=_SHAPES.get(data.result))


def _igg(data: IggResultData) -> Told:
    return Told(names.RESULTS[data.result], _test(data))


def _test(data: NatResultDataV2 | IggResultData) -> Facts:
    return [
        (_("检测机构"), data.institution),
        (_("采样时间"), moment(data.sampled_at)),
        (_("报告时间"), moment(data.reported_at)),
    ]


def _certificate(data: HealthCertificateData) -> Told:
    facts: Facts = [
        (_("签发单位"), data.issuer),
        (_("签发日期"), day(data.issued_at)),
        (_("有效期至"), day(data.valid_until)),
    ]
    return Told(_("健康证明"), facts, number=data.certificate)


def _notice(data: QuarantineReleasedData) -> Told:
    facts: Facts = [
        (_("隔离通知书编号"), data.order),
        (_("解除时间"), moment(data.released_at)),
    ]
    return Told(_("解除医学观察告知书"), facts, number=data.notice)


def _registration(data: EntryRegistrationData) -> Told:
    way = _("{origin} → {destination}").filled(
        origin=names.city(data.origin), destination=names.city(data.destination)
    )
    facts: Facts = [
        (_("登记编号"), data.registration),
        (_("交通方式"), names.TRANSPORTS[data.transport]),
        (_("到达时间"), moment(data.arrives_at)),
        (_("登记时间"), moment(data.registered_at)),
    ]
    return Told(way, facts)


def _entry(data: BorderEntryData) -> Told:
    facts: Facts = [
        (_("来自"), names.country(data.origin)),
        (_("入境时间"), moment(data.entered_at)),
    ]
    return Told(data.port, facts)


def _declaration(data: DeclarationData) -> Told:
    return Told(names.DECLARATION_KINDS[data.kind], declaration_facts(data))


def declaration_facts(data: DeclarationData) -> Facts:
    """Return what was declared; symptoms in the order of the form."""
    symptoms = [text for symptom, text in names.SYMPTOMS.items() if symptom in data.symptoms]
    unit: Facts = [(_("单位"), data.unit)] if data.unit else []
    return [
        *unit,
        (_("申报时间"), moment(data.declared_at)),
        (_("所在城市"), names.city(data.city)),
        (_("体温"), _celsius(data.celsius)),
        (_("症状"), joined(_("、"), symptoms) if symptoms else _("无")),
        (_("14 天内接触确诊或疑似病例"), YES if data.contact else NO),
        (_("14 天内到过中高风险地区或境外"), YES if data.travelled else NO),
    ]


def _display(data: DisplayData) -> Told:
    facts: Facts = [
        (_("时间"), exactly(data.displayed_at)),
        (_("内容"), names.DISPLAY_DETAILS[data.detail]),
    ]
    return Told(names.OUTCOMES[data.outcome], facts)


def _temperature(data: TemperatureData) -> Told:
    facts: Facts = [
        (_("地点"), data.place),
        (_("时间"), moment(data.measured_at)),
    ]
    return Told(_celsius(data.celsius), facts)


def _celsius(value: float) -> Text:
    return _("{n} ℃").filled(n=number(value, "0.0"))


_SHAPES = {Result.POSITIVE: "unavailable", Result.NEGATIVE: "green"}
"""The sign of a result: a triangle that warns, a ticked circle."""

_SAYS: dict[Section, tuple[Any, Callable[[Any], Told]]] = {
    Section.NAT_RESULTS: (NatResultDataV2, _nat),
    Section.IGG_RESULTS: (IggResultData, _igg),
    Section.CERTIFICATES: (HealthCertificateData, _certificate),
    Section.RELEASE_NOTICES: (QuarantineReleasedData, _notice),
    Section.ENTRY_REGISTRATIONS: (EntryRegistrationData, _registration),
    Section.BORDER_ENTRIES: (BorderEntryData, _entry),
    Section.DECLARATIONS: (DeclarationData, _declaration),
    Section.DISPLAYS: (DisplayData, _display),
    Section.TEMPERATURES: (TemperatureData, _temperature),
}
