"""Every sentence of the provider's own."""

from app.web.language import gettext as _

PROVIDER = {
    "title": _("实名认证（开发环境）"),
    "what": _("代替真正的实名认证平台，不核实任何人的身份。人员均为虚构。"),
    "sample": _("以示例人员登录"),
    "other": _("以其他证件登录"),
    "number": _("证件号码（居民身份证、港澳台居民居住证或通行证）"),
    "name": _("姓名"),
    "birthdate": _("出生日期（可不填）"),
    "go": _("登录"),
    "cancel": _("取消"),
    "wrong": _("没有这样的证件号码。"),
}
