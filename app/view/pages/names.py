"""Chinese and English names that the pages show: reasons, conditions, owners, places.

The Chinese terms are the manual's (三（一）, 四.3, 四.4); places are GB/T 2260.
"""

from app.view.pages.language import Words
from models.codes import Colour, ConditionKind, Owner, Reason

REASONS: dict[Reason, Words] = {
    Reason.CONFIRMED_OR_POSITIVE: Words(
        "确诊病例或核酸检测阳性", "Confirmed case or positive nucleic acid test"
    ),
    Reason.SUSPECTED_CASE: Words("疑似病例", "Suspected case"),
    Reason.CLOSE_CONTACT: Words("密切接触者", "Close contact"),
    Reason.OUT_OF_PROVINCE_CODE: Words(
        "外省健康码红黄码人员", "Red or yellow code in another province"
    ),
    Reason.CENTRALISED_QUARANTINE: Words("集中隔离人员", "In centralised quarantine"),
    Reason.HOME_QUARANTINE: Words("居家隔离人员", "In home quarantine"),
}

COLOURS: dict[Colour, Words] = {
    Colour.RED: Words("红码", "Red code"),
    Colour.GREEN: Words("绿码", "Green code"),
    Colour.NONE: Words("无码", "No code"),
}

CONDITIONS: dict[ConditionKind, Words] = {
    ConditionKind.TIME: Words("规定期限届满", "The set period has ended"),
    ConditionKind.NEGATIVE_TEST: Words("核酸检测阴性", "A negative nucleic acid test"),
    ConditionKind.DISCHARGE: Words("出院", "Discharge from hospital"),
    ConditionKind.EXCLUSION: Words("排除疑似诊断", "The suspected diagnosis is excluded"),
    ConditionKind.PROVINCE_GREEN: Words(
        "{province}健康码转为绿码", "The code of {province} turns green"
    ),
    ConditionKind.RELEASE_NOTICE: Words("解除医学观察电子告知书", "Notice of release"),
}

OWNERS: dict[Owner, Words] = {
    Owner.TIME: Words("到期自动满足，无需办理", "Met by itself on that day"),
    Owner.LABORATORY: Words("核酸检测机构上报结果", "Reported by the testing laboratory"),
    Owner.CDC: Words("由疾控中心上报", "Reported by the CDC"),
    Owner.QUARANTINE_COMMAND: Words("由隔离管理部门出具", "Issued by the quarantine command"),
    Owner.PROVINCE: Words("由{province}上报", "Reported by {province}"),
}

SOURCES: dict[str, Words] = {
    "laboratories": Words("核酸检测机构", "laboratory"),
    "cdc": Words("疾控中心", "CDC"),
    "quarantine-commands": Words("隔离管理部门", "quarantine command"),
    "provinces": Words("外省健康码", "another province"),
    "identity-providers": Words("实名认证", "identity provider"),
}
"""The first part of a CloudEvents source, as the one who reported."""

OTHER_SOURCE = Words("其他部门", "another agency")

CITIES: dict[str, Words] = {
    "440100": Words("广州", "Guangzhou"),
    "440200": Words("韶关", "Shaoguan"),
    "440300": Words("深圳", "Shenzhen"),
    "440400": Words("珠海", "Zhuhai"),
    "440500": Words("汕头", "Shantou"),
    "440600": Words("佛山", "Foshan"),
    "440700": Words("江门", "Jiangmen"),
    "440800": Words("湛江", "Zhanjiang"),
    "440900": Words("茂名", "Maoming"),
    "441200": Words("肇庆", "Zhaoqing"),
    "441300": Words("惠州", "Huizhou"),
    "441400": Words("梅州", "Meizhou"),
    "441500": Words("汕尾", "Shanwei"),
    "441600": Words("河源", "Heyuan"),
    "441700": Words("阳江", "Yangjiang"),
    "441800": Words("清远", "Qingyuan"),
    "441900": Words("东莞", "Dongguan"),
    "442000": Words("中山", "Zhongshan"),
    "445100": Words("潮州", "Chaozhou"),
    "445200": Words("揭阳", "Jieyang"),
    "445300": Words("云浮", "Yunfu"),
}
"""The 21 prefecture-level cities of Guangdong."""

PROVINCES: dict[str, Words] = {
    "11": Words("北京", "Beijing"),
    "12": Words("天津", "Tianjin"),
    "13": Words("河北", "Hebei"),
    "14": Words("山西", "Shanxi"),
    "15": Words("内蒙古", "Inner Mongolia"),
    "21": Words("辽宁", "Liaoning"),
    "22": Words("吉林", "Jilin"),
    "23": Words("黑龙江", "Heilongjiang"),
    "31": Words("上海", "Shanghai"),
    "32": Words("江苏", "Jiangsu"),
    "33": Words("浙江", "Zhejiang"),
    "34": Words("安徽", "Anhui"),
    "35": Words("福建", "Fujian"),
    "36": Words("江西", "Jiangxi"),
    "37": Words("山东", "Shandong"),
    "41": Words("河南", "Henan"),
    "42": Words("湖北", "Hubei"),
    "43": Words("湖南", "Hunan"),
    "44": Words("广东", "Guangdong"),
    "45": Words("广西", "Guangxi"),
    "46": Words("海南", "Hainan"),
    "50": Words("重庆", "Chongqing"),
    "51": Words("四川", "Sichuan"),
    "52": Words("贵州", "Guizhou"),
    "53": Words("云南", "Yunnan"),
    "54": Words("西藏", "Tibet"),
    "61": Words("陕西", "Shaanxi"),
    "62": Words("甘肃", "Gansu"),
    "63": Words("青海", "Qinghai"),
    "64": Words("宁夏", "Ningxia"),
    "65": Words("新疆", "Xinjiang"),
    "71": Words("台湾", "Taiwan"),
    "81": Words("香港", "Hong Kong"),
    "82": Words("澳门", "Macao"),
}
"""The first two digits of GB/T 2260."""


def city(code: str | None) -> Words:
    """The name of a division: its city in Guangdong, else its province, else the code itself."""
    if code is None:
        return Words("未知", "unknown")
    known = CITIES.get(code[:4] + "00") or PROVINCES.get(code[:2])
    return known or Words(code, code)


def province(code: str | None) -> Words:
    """The name of a province, or words for one that an event did not name."""
    return PROVINCES.get(code or "") or Words("外省", "the other province")


def source(path: str) -> Words:
    """Who speaks as `path`, such as /cdc/440100."""
    kind, *rest = path.strip("/").split("/")
    who = SOURCES.get(kind, OTHER_SOURCE)
    if kind == "provinces" and rest:
        return province(rest[0])
    return who
