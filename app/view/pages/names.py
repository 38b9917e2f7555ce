"""Names that the pages show: colours, reasons, conditions, owners, places.

The terms are the manual's (三（一）, 四.3, 四.4); places are GB/T 2260.
"""

from collections.abc import Iterator

from app.view.pages.divisions import PREFECTURES
from app.view.reading import UnavailableCause
from app.web.language import Text, as_is
from app.web.language import gettext as _
from models.codes import Colour, ConditionKind, Owner, Reason
from models.events import (
    DeclarationKind,
    DisplayDetail,
    NationalStatus,
    Outcome,
    Result,
    Symptom,
    Transport,
)
from models.travel import city_of

REASONS: dict[Reason, Text] = {
    Reason.CONFIRMED_OR_POSITIVE: _("确诊病例或核酸检测阳性"),
    Reason.SUSPECTED_CASE: _("疑似病例"),
    Reason.CLOSE_CONTACT: _("密切接触者"),
    Reason.OUT_OF_PROVINCE_CODE: _("外省健康码红黄码人员"),
    Reason.CENTRALISED_QUARANTINE: _("集中隔离人员"),
    Reason.HOME_QUARANTINE: _("居家隔离人员"),
}

COLOURS: dict[Colour, Text] = {
    Colour.RED: _("红码"),
    Colour.GREEN: _("绿码"),
    Colour.NONE: _("无码"),
}

SAYS: dict[Colour, Text] = {  # manual, 四.3
    Colour.RED: _("疫情防控重点人群"),
    Colour.GREEN: _("非疫情防控重点人群"),
    Colour.NONE: _("尚未完成实名登录"),
}

CAUSES: dict[UnavailableCause, Text] = {
    "store": _("数据服务暂时无法访问。"),
    "stale": _("数据停留过久，不能据此显示颜色。"),
    "busy": _("访问高峰，系统繁忙。"),
}
"""Why a code cannot be shown."""

CONDITIONS: dict[ConditionKind, Text] = {
    ConditionKind.TIME: _("规定期限届满"),
    ConditionKind.NEGATIVE_TEST: _("核酸检测阴性"),
    ConditionKind.DISCHARGE: _("出院"),
    ConditionKind.EXCLUSION: _("排除疑似诊断"),
    ConditionKind.PROVINCE_GREEN: _("{province}健康码转为绿码"),
    ConditionKind.RELEASE_NOTICE: _("解除医学观察电子告知书"),
}

OWNERS: dict[Owner, Text] = {
    Owner.TIME: _("到期自动满足，无需办理"),
    Owner.LABORATORY: _("核酸检测机构上报结果"),
    Owner.CDC: _("由疾控中心上报"),
    Owner.QUARANTINE_COMMAND: _("由隔离管理部门出具"),
    Owner.PROVINCE: _("由{province}上报"),
}

SOURCES: dict[str, Text] = {
    "laboratories": _("核酸检测机构"),
    "cdc": _("疾控中心"),
    "quarantine-commands": _("隔离管理部门"),
    "provinces": _("外省健康码"),
    "identity-providers": _("实名认证"),
}
"""Who reported, by the first part of a CloudEvents source."""

OTHER_SOURCE = _("其他部门")

CITIES: dict[str, Text] = {
    "440100": _("广州"),
    "440200": _("韶关"),
    "440300": _("深圳"),
    "440400": _("珠海"),
    "440500": _("汕头"),
    "440600": _("佛山"),
    "440700": _("江门"),
    "440800": _("湛江"),
    "440900": _("茂名"),
    "441200": _("肇庆"),
    "441300": _("惠州"),
    "441400": _("梅州"),
    "441500": _("汕尾"),
    "441600": _("河源"),
    "441700": _("阳江"),
    "441800": _("清远"),
    "441900": _("东莞"),
    "442000": _("中山"),
    "445100": _("潮州"),
    "445200": _("揭阳"),
    "445300": _("云浮"),
}
"""The 21 prefecture-level cities of Guangdong."""

PROVINCES: dict[str, Text] = {
    "11": _("北京"),
    "12": _("天津"),
    "13": _("河北"),
    "14": _("山西"),
    "15": _("内蒙古"),
    "21": _("辽宁"),
    "22": _("吉林"),
    "23": _("黑龙江"),
    "31": _("上海"),
    "32": _("江苏"),
    "33": _("浙江"),
    "34": _("安徽"),
    "35": _("福建"),
    "36": _("江西"),
    "37": _("山东"),
    "41": _("河南"),
    "42": _("湖北"),
    "43": _("湖南"),
    "44": _("广东"),
    "45": _("广西"),
    "46": _("海南"),
    "50": _("重庆"),
    "51": _("四川"),
    "52": _("贵州"),
    "53": _("云南"),
    "54": _("西藏"),
    "61": _("陕西"),
    "62": _("甘肃"),
    "63": _("青海"),
    "64": _("宁夏"),
    "65": _("新疆"),
    "71": _("台湾"),
    "81": _("香港"),
    "82": _("澳门"),
}
"""The first two digits of GB/T 2260."""


def city(code: str | None) -> Text:
    """The name of a division: its city, outside of Guangdong with the province.

    Where there is no such city it is the province's, else the code itself.
    """
    if code is None:
        return _("未知")
    home = PROVINCES.get(code[:2])
    if home is None:
        return as_is(code)
    place = city_of(code)
    if place in CITIES:
        return CITIES[place]
    known = PREFECTURES.get(place)
    return home if known is None else _("{province}{city}").filled(province=home, city=known)


def places() -> Iterator[tuple[Text, dict[str, Text]]]:
    """Yield each province with its cities by code, Guangdong first.

    A municipality, Hong Kong, Macao and Taiwan are one place each.
    """
    yield PROVINCES["44"], CITIES
    for number, province in PROVINCES.items():
        if number != "44":
            own = {code: name for code, name in PREFECTURES.items() if code[:2] == number}
            yield province, own or {f"{number}0000": province}


PLACES: dict[str, Text] = {**PROVINCES, **{code: city(code) for code in PREFECTURES}, **CITIES}
"""The names of all that `city` tells apart, by code, for a page that names them itself."""

CITY_CODES = frozenset(code for _province, cities in places() for code in cities)
"""The codes of all cities that one can be in."""


def province(code: str | None) -> Text:
    """The name of a province, or words for one that an event did not name."""
    return PROVINCES.get(code or "") or _("外省")


def source(path: str) -> Text:
    """Who speaks as `path`, such as /cdc/440100."""
    kind, *rest = path.strip("/").split("/")
    who = SOURCES.get(kind, OTHER_SOURCE)
    if kind == "provinces" and rest:
        return province(rest[0])
    return who


RESULTS: dict[Result, Text] = {
    Result.POSITIVE: _("阳性"),
    Result.NEGATIVE: _("阴性"),
    Result.INCONCLUSIVE: _("无法判定"),
}

NATIONAL_STATUSES: dict[NationalStatus, Text] = {
    NationalStatus.LOW: _("低风险"),
    NationalStatus.MEDIUM: _("中风险"),
    NationalStatus.HIGH: _("高风险"),
}

TRANSPORTS: dict[Transport, Text] = {
    Transport.ROAD: _("公路"),
    Transport.RAIL: _("铁路"),
    Transport.AIR: _("航空"),
    Transport.WATER: _("水路"),
}

DECLARATION_KINDS: dict[DeclarationKind, Text] = {
    DeclarationKind.ENTERPRISE_EMPLOYEE: _("企业单位员工健康申报"),
    DeclarationKind.ORGANISATION_MEMBER: _("组织机构成员健康申报"),
    DeclarationKind.STUDENT_OR_STAFF: _("学生/教职工个人健康申报"),
    DeclarationKind.PERSONAL: _("个人自查申报"),
}
"""The kinds of health declaration (manual, 三（三）)."""

SYMPTOMS: dict[Symptom, Text] = {
    Symptom.FEVER: _("发热"),
    Symptom.COUGH: _("咳嗽"),
    Symptom.FATIGUE: _("乏力"),
    Symptom.SORE_THROAT: _("咽痛"),
    Symptom.BREATHLESSNESS: _("呼吸困难"),
    Symptom.DIARRHOEA: _("腹泻"),
    Symptom.LOSS_OF_TASTE_OR_SMELL: _("嗅觉或味觉减退"),
}

OUTCOMES: dict[Outcome, Text] = {
    Outcome.SHOWN: _("亮码成功"),
    Outcome.FAILED: _("亮码失败"),
}

DISPLAY_DETAILS: dict[DisplayDetail, Text] = {
    DisplayDetail.RED: COLOURS[Colour.RED],
    DisplayDetail.GREEN: COLOURS[Colour.GREEN],
    DisplayDetail.STORE: CAUSES["store"],
    DisplayDetail.STALE: CAUSES["stale"],
    DisplayDetail.BUSY: CAUSES["busy"],
}


def country(code: str) -> Text:
    """The name of a country or region (ISO 3166-1 alpha-2), as CLDR has it."""
    return Text(lambda language: language.locale.territories.get(code, code))
