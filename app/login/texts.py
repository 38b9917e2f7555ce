"""Every sentence that a login says on its own account, in both languages."""

from typing import Literal

from msgspec import Struct

from app.login.failures import Why
from app.view.pages.language import Words

Page = Why | Literal["over", "logout", "logged-out"]


class Notice(Struct, frozen=True):
    """A page of words: what is so, why, and what to do."""

    title: Words
    says: Words
    steps: tuple[Words, ...] = ()


LOG_IN = Words("登录", "Log in")
AGAIN = Words("重新登录", "Log in again")
HOME = Words("回到首页", "To the start page")
AT_PROVIDER = Words("同时退出实名认证平台", "Log out at the identity provider too")

_LATER = Words("请稍等一分钟，再重新登录。", "Wait a minute, then log in again.")
_HELP = Words(
    "仍不能登录，请告诉工作人员本页的标题。",
    "If that does not help, tell the staff the title of this page.",
)
_NOT_RED = Words("这不代表您的码变为红码。", "This does not mean that your code is red.")

NOTICES: dict[Page, Notice] = {
    "not-set-up": Notice(
        Words("暂不能登录", "Nobody can log in yet"),
        Words("本系统还没有连接实名认证平台。", "This system has no identity provider yet."),
        (Words("请联系系统运营单位。", "Ask whoever operates it."),),
    ),
    "denied": Notice(
        Words("没有登录", "You are not logged in"),
        Words(
            "实名认证被取消，或没有通过。",
            "The identity check was cancelled, or it did not succeed.",
        ),
        (
            Words("如果是误点了取消，请重新登录。", "If you cancelled by mistake, log in again."),
            Words(
                "如果认证没有通过，请按认证平台的提示办理。",
                "If the check failed, do what the identity provider says.",
            ),
        ),
    ),
    "expired": Notice(
        Words("这次登录已失效", "This login is no longer valid"),
        Words(
            "登录须在十分钟内、在同一个浏览器里完成，而且只能用一次。",
            "A login has to be completed within ten minutes, in one browser, and works once.",
        ),
        (
            Words("请重新登录，中途不要关闭页面。", "Log in again, and keep the page open."),
            Words(
                "如果浏览器禁用了 Cookie，请先允许。", "If your browser blocks cookies, allow them."
            ),
        ),
    ),
    "provider-away": Notice(
        Words("实名认证平台没有应答", "The identity provider does not answer"),
        Words("现在不能核实您的身份。", "Your identity cannot be checked now."),
        (_LATER, _HELP, _NOT_RED),
    ),
    "provider": Notice(
        Words("实名认证平台的应答不可信", "The identity provider's answer cannot be trusted"),
        Words(
            "为了您的安全，没有登录。",
            "For your safety you are not logged in.",
        ),
        (
            Words(
                "请从首页重新登录，不要使用别人发来的链接。",
                "Log in again from the start page, not by a link that someone sent you.",
            ),
            _HELP,
        ),
    ),
    "document": Notice(
        Words("证件不能使用", "Your document cannot be used"),
        Words(
            "认证平台没有提供有效的居民身份证、港澳台居民居住证或港澳居民来往内地通行证号码。",
            "The identity provider gave no valid number of a resident identity card, a residence "
            "permit of Hong Kong, Macao and Taiwan residents, or a Mainland Travel Permit.",
        ),
        (
            Words(
                "请在认证平台核对您登记的证件，再重新登录。",
                "Check at the identity provider which document you are registered with, then log "
                "in again.",
            ),
            _HELP,
        ),
    ),
    "gateway": Notice(
        Words("登录没有完成", "The login was not completed"),
        Words(
            "您的身份已核实，但本系统的登记服务没有应答。",
            "Your identity was checked, but our own registry does not answer.",
        ),
        (_LATER, _HELP, _NOT_RED),
    ),
    "sessions": Notice(
        Words("现在不能确认登录状态", "Your login cannot be confirmed now"),
        Words(
            "无法核对这次登录是否已被退出，因此不显示任何个人信息。",
            "It cannot be checked whether this login was ended, so nothing personal is shown.",
        ),
        (
            Words("请稍等片刻，再打开本页。", "Wait a moment, then open this page again."),
            _HELP,
            _NOT_RED,
        ),
    ),
    "over": Notice(
        Words("登录已结束", "Your login has ended"),
        Words(
            "三十分钟没有使用，或登录满十二小时，或已退出。刚才提交的内容没有被接收。",
            "It was not used for 30 minutes, is 12 hours old, or was ended. What you just sent was "
            "not taken.",
        ),
        (Words("请重新登录，再提交一次。", "Log in again, and send it once more."),),
    ),
    "logout": Notice(
        Words("已在此浏览器退出", "You are logged out in this browser"),
        Words(
            "但退出没有能够登记。如果登录信息被复制到别处，最迟三十分钟不用、或登录满十二小时后失效。",
            "But the logout could not be stored. If someone copied this login elsewhere, it ends "
            "after 30 minutes without use, or 12 hours after the login, at the latest.",
        ),
        (
            Words(
                "这不常见。如果您用的是公共设备，请关闭浏览器。",
                "This is rare. On a shared device, close the browser.",
            ),
        ),
    ),
    "logged-out": Notice(
        Words("已退出", "You are logged out"),
        Words(
            "此浏览器里不再保留您的登录信息。",
            "This browser no longer keeps anything of your login.",
        ),
        (
            Words(
                "如果您用的是公共设备，请同时退出实名认证平台。",
                "On a shared device, log out at the identity provider too.",
            ),
        ),
    ),
}

PROVIDER = {
    "title": Words("实名认证（开发环境）", "Identity provider (development)"),
    "what": Words(
        "代替真正的实名认证平台，不核实任何人的身份。人员均为虚构。",
        "Stands for a real identity provider, and checks nobody's identity. All people are "
        "synthetic.",
    ),
    "sample": Words("以示例人员登录", "Log in as a sample person"),
    "other": Words("以其他证件登录", "Log in with another document"),
    "number": Words(
        "证件号码（居民身份证、港澳台居民居住证或通行证）",
        "Document number (identity card, residence permit or travel permit)",
    ),
    "name": Words("姓名", "Name"),
    "birthdate": Words("出生日期（可不填）", "Birthday (optional)"),
    "go": Words("登录", "Log in"),
    "cancel": Words("取消", "Cancel"),
    "wrong": Words("没有这样的证件号码。", "There is no such document number."),
}
"""Of the provider for development."""
