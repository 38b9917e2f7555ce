"""The panel of alerts on the dashboard, and the playbooks to which its lines lead."""

import re
from collections.abc import Iterator, Mapping

from litestar import Response
from markdown_it import MarkdownIt
from markupsafe import Markup
from msgspec import Struct

from app.view.watch import ALERTS, AWAY, Alert, AlertWatch, rising
from app.web.language import Text, as_is, number, pgettext
from app.web.language import gettext as _
from app.web.requests import AnyRequest
from app.web.site import APP, anchor, cached_page, digest_of

PLAYBOOKS = (APP / "view" / "pages" / "playbooks.md").read_text()

NAMES: Mapping[str, Text] = {
    "lag": _("分区最大延迟（秒）"),
    "held-up": _("来源未结束的事务（秒）"),
    "halted": _("等待放行的分区"),
    "parked": _("被停放的来源"),
    "held": _("超出来源上限、待批准的事件"),
    "not-parked": _("停放名额已满"),
    "letters": _("一小时内的死信"),
    "partitioner": _("分区方式不符的记录"),
    "not-authentic": _("来源不明的记录"),
    "strange": _("变更日志中来历不明的行"),
    "set-aside": _("读模型搁置的记录"),
    "leapt": _("版本跳跃的码"),
    "dropped": _("看不到拒收记录的来源"),
    "overfull": _("超出容量的个人记录"),
    "cut": _("被截断的个人历史"),
    "shorter": _("输入主题变短"),
    "gone": _("未读即被删除的记录"),
    "replaced": _("更换的生产者"),
    "refused": _("入口拒收的事件"),
    "displays": _("亮码失败占比（%）"),
    "logins": _("登录失败（系统原因）"),
    "tokens": _("本系统令牌逾期未换（天）"),
    "messages": _("未发出的验证码短信"),
    "queue": _("待推送全国平台"),
}
"""The name of each alert's line."""

MEANINGS: Mapping[str, Text] = {
    AWAY: _("有进程没有应答，或尚未就绪。先看它的日志末尾。"),
    "partitions-stand-still": _("部分人员的码停止更新；五分钟后不再显示颜色。"),
    "a-source-holds-an-input-up": _("某来源的事务一直没有结束，其后的事件都在等待。"),
    "a-source-is-parked": _("该来源报来的一切都不再生效，直到人工放行。"),
    "a-source-is-above-its-limit": _(
        "某来源一小时内上报的红码事由超过上限；超出部分暂不生效，须经两名操作员批准。"
    ),
    "sources-cannot-see-all-that-was-refused": _("死信的来源过多，有些来源看不到自己的。"),
    "a-source-uses-another-partitioner": _("没有丢失，但该来源的记录要转送一次。"),
    "records-are-not-authentic": _(
        "有记录不是由其来源的密钥生成，一律不生效；查明谁在写消息服务器，或哪一方密钥有误。"
    ),
    "a-row-is-overfull": _("某人的事件多于容量，全部仍然有效，但会变慢。"),
    "histories-are-cut": _("某人最早的历史提前删除；码不受影响。"),
    "a-partition-waits-for-an-operator": _(
        "该分区停在一条记录处，不跳过任何记录，其余照常；其中人员的码五分钟后不再显示颜色。须人工放行。"
    ),
    "records-were-deleted-unread": _("请来源重发这段时间的事件；加长保留时间或加快处理。"),
    "producers-are-replaced": _("没有丢失；若持续增加，检查消息服务器与网络。"),
    "an-input-topic-is-shorter-than-what-was-applied-of-it": _(
        "输入主题丢失了末尾；须查明并重送。"
    ),
    "a-dead-letter-is-to-be-mended": _("有事件不能生效，等待来源或人工修正。"),
    "the-gateway-refuses-events": _("入口当场拒收，已告知来源原因。"),
    "codes-cannot-be-shown": _("有人在卡口看到“亮码失败”。"),
    "logins-fail": _("实名认证平台或本系统一侧的原因，居民不能登录。"),
    "a-token-of-ours-ends": _("页面访问入口所用的令牌即将到期；到期后居民不能登录。"),
    "messages-with-codes-do-not-go-out": _("运营商不收短信，行程卡无法查询。"),
    "data-wait-to-be-pushed": _("本省绿码、全国平台高风险；数据须推送。"),
    "a-source-asks-what-became-of-its-events": _("来源可以自己查询。"),
}
"""What each part of the playbooks is about, in one sentence, by the anchor of its heading."""

PROCESSES: Mapping[str, Text] = {
    "worker": _("处理进程"),
    "projection": _("读模型进程"),
    "submissions-worker": _("直报事件检查进程"),
    "lists-worker": _("健康信息处理进程"),
    "rows": _("健康信息读模型进程"),
    "replica": _("本机码副本进程"),
    "audit-log": _("审计日志进程"),
    "gateway": _("事件入口"),
    "view": _("页面与接口"),
}

STATES = {"ready": pgettext("进程", "正常"), "unready": _("未就绪"), "away": _("没有应答")}


class StatusLine(Struct, frozen=True):
    """One line of the panel. `bad` is None while it is not known."""

    name: Text
    value: Text
    bad: bool | None
    anchor: str


def status_lines(watch: AlertWatch) -> list[StatusLine]:
    """Return all lines: those that are bad first, then as they are listed."""
    watched = watch.watched()
    lines = [
        StatusLine(PROCESSES.get(name) or as_is(name), STATES[state], state != "ready", AWAY)
        for name, state in sorted(watched.states.items())
    ]
    lines += [_line(*found) for found in rising(watched)]
    return sorted(lines, key=lambda line: not line.bad)


def _line(alert: Alert, figure: float | None, rises: bool) -> StatusLine:
    if figure is None:
        return StatusLine(NAMES[alert.name], _("未知"), None, alert.anchor)
    return StatusLine(NAMES[alert.name], number(figure, "#,##0.#"), rises, alert.anchor)


class PlaybookPart(Struct, frozen=True):
    """A heading of the playbooks with its text as HTML. The first has no heading."""

    anchor: str
    title: str
    says: Text | None
    body: Markup


def playbook_parts() -> Iterator[PlaybookPart]:
    """Yield the parts of the playbooks, in order."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    for part in re.split(r"(?m)^#{1,2} ", PLAYBOOKS)[1:]:
        title, _sep, text = part.partition("\n")
        where = anchor(title)
        # A wide table and a long line of code scroll by themselves, which the keyboard reaches too.
        body = markdown.render(text).replace("<pre>", '<pre tabindex="0">')
        table = '<div class="scroll" tabindex="0" role="group"><table>'
        body = body.replace("<table>", table).replace("</table>", "</table></div>")
        yield PlaybookPart(where, title, MEANINGS.get(where), Markup(body))


def playbooks_page(request: AnyRequest) -> Response[bytes]:
    """Answer with the playbooks: English, with a sentence of the reader's before each."""

    def context() -> Mapping[str, object]:
        first, *parts = playbook_parts()
        return {"first": first, "parts": parts, "alerts": len(ALERTS)}

    return cached_page(request, "playbooks.html", digest_of(PLAYBOOKS), context)
