"""Every sentence of the login's own."""

from typing import Literal

from msgspec import Struct

from app.login.failures import Why
from app.web.language import Text
from app.web.language import gettext as _

Page = Why | Literal["over", "logout", "logged-out"]


class NoticePage(Struct, frozen=True):
    """A page of words: what happened, why, and what to do."""

    title: Text
    says: Text
    steps: tuple[Text, ...] = ()


LOG_IN = _("登录")
AGAIN = _("重新登录")
BACK_TO_START = _("回到首页")
AT_PROVIDER = _("同时退出实名认证平台")

DEVICES_AWAY = _("现在不能确认您有哪些手机，请稍后再试。")

_LATER = _("请稍等一分钟，再重新登录。")
_HELP = _("仍不能登录，请拨打 12345，说明本页的标题。")
_NOT_RED = _("这不代表您的码变为红码。")

NOTICES: dict[Page, NoticePage] = {
    "not-set-up": NoticePage(
        _("暂不能登录"),
        _("本系统还没有连接实名认证平台。"),
        (_("请联系系统运营单位。"),),
    ),
    "denied": NoticePage(
        _("没有登录"),
        _("实名认证被取消，或没有通过。"),
        (
            _("如果是误点了取消，请重新登录。"),
            _("如果认证没有通过，请按认证平台的提示办理。"),
        ),
    ),
    "expired": NoticePage(
        _("这次登录已失效"),
        _("登录须在十分钟内、在同一个浏览器里完成，而且只能用一次。"),
        (
            _("请重新登录，中途不要关闭页面。"),
            _("如果浏览器禁用了 Cookie，请先允许。"),
        ),
    ),
    "provider-away": NoticePage(
        _("实名认证平台没有应答"),
        _("现在不能核实您的身份。"),
        (_LATER, _HELP, _NOT_RED),
    ),
    "provider": NoticePage(
        _("实名认证平台的应答不可信"),
        _("为了您的安全，没有登录。"),
        (
            _("请从首页重新登录，不要使用别人发来的链接。"),
            _HELP,
        ),
    ),
    "document": NoticePage(
        _("证件不能使用"),
        _("认证平台没有提供有效的居民身份证、港澳台居民居住证或港澳居民来往内地通行证号码。"),
        (
            _("请在认证平台核对您登记的证件，再重新登录。"),
            _HELP,
        ),
    ),
    "gateway": NoticePage(
        _("登录没有完成"),
        _("您的身份已核实，但本系统的登记服务没有应答。"),
        (_LATER, _HELP, _NOT_RED),
    ),
    "sessions": NoticePage(
        _("现在不能确认登录状态"),
        _("无法核对这次登录是否已被退出，因此不显示任何个人信息。"),
        (
            _("请稍等片刻，再打开本页。"),
            _HELP,
            _NOT_RED,
        ),
    ),
    "over": NoticePage(
        _("登录已结束"),
        _("三十分钟没有使用，或登录满十二小时，或已退出。刚才提交的内容没有被接收。"),
        (_("请重新登录，再提交一次。"),),
    ),
    "logout": NoticePage(
        _("已在此浏览器退出"),
        _(
            "但退出没有能够登记。如果登录信息被复制到别处，最迟三十分钟不用、或登录满十二小时后失效。"
        ),
        (_("这不常见。如果您用的是公共设备，请关闭浏览器。"),),
    ),
    "logged-out": NoticePage(
        _("已退出"),
        _("此浏览器里不再保留您的登录信息。"),
        (_("如果您用的是公共设备，请同时退出实名认证平台。"),),
    ),
}
