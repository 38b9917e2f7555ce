"""Three short pages that a public service owes its readers: contact, privacy, accessibility."""

from litestar import Response
from msgspec import Struct

from app.web.language import Text
from app.web.language import gettext as _
from app.web.requests import AnyRequest
from app.web.site import cached_page


class Statement(Struct, frozen=True):
    """A page of words: its title, and paragraphs under headings."""

    title: Text
    parts: tuple[tuple[Text, tuple[Text, ...]], ...]


STATEMENTS: dict[str, Statement] = {
    "contact": Statement(
        _("联系我们"),
        (
            (
                _("电话"),
                (
                    _("拨打 12345，说明您在使用粤康码，以及本页或出错页面的标题。"),
                    _("身体不适、呼吸困难，请拨打 120。"),
                ),
            ),
            (
                _("对红码有异议"),
                (_("红码页上每个原因都写有上报单位、电话和编号，请直接联系该单位核实。"),),
            ),
            (
                _("不能登录"),
                (
                    _(
                        "本系统只接受居民身份证、港澳台居民居住证和港澳居民来往内地通行证。"
                        "持护照等其他证件的，请按查验处的要求出示纸质证明，或拨打 12345。"
                    ),
                ),
            ),
        ),
    ),
    "privacy": Statement(
        _("隐私说明"),
        (
            (
                _("谁能看到"),
                (
                    _("您的码和健康信息，登录后只有您自己能看到。"),
                    _("查验处看到颜色、遮住一部分的姓名和证件号码末四位。"),
                    _("值班人员看到的变化不带姓名。工作人员查询某个人的码，每次都有记录。"),
                ),
            ),
            (
                _("保存什么"),
                (
                    _("证件号码在登录时换成一个代号，此后不再保存。"),
                    _("行程卡的手机号不保存；短信验证码五分钟后失效。"),
                    _(
                        "浏览器里保存登录信息、语言、申报草稿和最后一次亮码；退出登录即删除，语言除外。"
                    ),
                ),
            ),
            (
                _("不做什么"),
                (_("不使用第三方的统计、广告或跟踪；页面的全部内容都来自本站。"),),
            ),
        ),
    ),
    "accessibility": Statement(
        _("无障碍说明"),
        (
            (
                _("做到了什么"),
                (
                    _("页面按 WCAG 2.2 的 AA 级制作：键盘可以操作全部功能，放大到两倍仍可使用。"),
                    _("红码和绿码除颜色外，还有文字、形状和花纹。"),
                    _("亮码和填表不需要启用脚本。"),
                ),
            ),
            (
                _("没有做到什么"),
                (_("接口和事件的说明以英文为主。没有请视障人士实地试用过。"),),
            ),
            (_("遇到困难"), (_("请拨打 12345，或在查验处请工作人员协助。"),)),
        ),
    ),
}
"""By the last part of their addresses."""


def statement_page(request: AnyRequest, which: str) -> Response[bytes]:
    """Answer with a page of `STATEMENTS`."""
    return cached_page(request, "statement.html", which, lambda: {"statement": STATEMENTS[which]})
