"""Every sentence that the pages say on their own account, in both languages."""

from app.view.pages.language import Words
from models.codes import Colour

PRODUCT = Words("粤康码", "Guangdong Health Code")

SAYS: dict[Colour, Words] = {  # manual, 四.3
    Colour.RED: Words("疫情防控重点人群", "Key person for epidemic control"),
    Colour.GREEN: Words("非疫情防控重点人群", "Not a key person for epidemic control"),
    Colour.NONE: Words("尚未完成实名登录", "Not logged in with a real name yet"),
}

LOG_IN = (  # manual, 二
    Words("打开粤省事，点击“粤康码”。", "Open 粤省事 (Yueshengshi) and choose 粤康码."),
    Words(
        "选择“人脸识别登录”或“微信支付密码登录”完成实名登录；持港澳居民来往内地通行证者按页面指引登录。",
        "Log in with your real name by face recognition or WeChat Pay password; holders of a "
        "Mainland Travel Permit follow the steps shown there.",
    ),
    Words("登录后本页会自动更新。", "After that this page updates by itself."),
)

TEXTS: dict[str, Words] = {
    "languages": Words("语言", "Language"),
    "language": Words("English", "中文"),
    "skip": Words("跳到正文", "Skip to content"),
    "time": Words("北京时间", "Beijing time"),
    "turned": Words("注意：现在是{state}", "Attention: now {state}"),
    # A colour
    "qr_red": Words("红码二维码", "Red QR code"),
    "qr_green": Words("绿码二维码", "Green QR code"),
    "why": Words("红码原因", "Why this code is red"),
    "since": Words("自{when}起", "since {when}"),
    "reported_by": Words("上报：{who}", "reported by {who}"),
    "how": Words("如何解除", "How it lifts"),
    "met": Words("已满足", "Met"),
    "unmet": Words("未满足", "Not met"),
    "evidence": Words("依据编号", "Record"),
    "object": Words(
        "对原因有异议，请凭依据编号联系上报单位核实。",
        "If a reason is wrong, ask the one who reported it, naming the record.",
    ),
    "no_reason": Words("没有记录表明您属于重点人群。", "No record names you as a key person."),
    "changes": Words("本码将于{when}自动变化", "This code changes by itself on {when}"),
    "renews": Words(
        "如有新的记录，本页自动更新。", "This page updates by itself when a new record arrives."
    ),
    "stale": Words("数据可能不是最新", "This may be out of date"),
    "stale_since": Words(
        "数据停在{when}，请稍后再核对。", "Data stands at {when}. Check again soon."
    ),
    "as_of": Words("数据截至", "Data as of"),
    "lag": Words("数据延迟", "Data lag"),
    "seconds": Words("{n} 秒", "{n} s"),
    "policy": Words("判定规则版本", "Rule version"),
    "code_version": Words("码版本", "Code version"),
    # No colour
    "unavailable": Words("亮码失败", "Code cannot be shown"),
    "unavailable_not_red": Words(
        "这不代表您的码变为红码。", "This does not mean that your code is red."
    ),
    "retry": Words("请在 {when} 之后再试", "Try again after {when}"),
    "retry_by_itself": Words("到时本页会自动重试。", "This page then tries again by itself."),
    "retry_now": Words("再试一次", "Try again"),
    "offline": Words("网络中断，不能核对此码", "Connection lost: this code cannot be checked"),
    "offline_since": Words("最后核对时间", "Last checked at"),
    "offline_then": Words(
        "网络恢复后本页会自动亮码。", "The code is shown again once the connection is back."
    ),
    "no_code": Words("无码", "No code"),
    "no_code_why": Words(
        "没有找到经实名认证的记录，因此不显示红码或绿码。",
        "There is no record of a verified identity, so neither red nor green is shown.",
    ),
    "no_code_do": Words("怎么办：", "What to do:"),
    "not_found": Words("地址不正确", "No such address"),
    "not_found_why": Words("这不是粤康码的地址。", "This is not the address of a code."),
    "not_found_do": Words("请从粤省事重新打开。", "Open it again from 粤省事 (Yueshengshi)."),
    # Without scripts
    "reloads": Words(
        "未启用脚本：本页每 {n} 秒自动重新载入。", "Scripts are off: this page reloads every {n} s."
    ),
    "stop_reloading": Words("停止自动重新载入", "Stop reloading"),
    "reloads_not": Words(
        "未启用脚本，自动重新载入已停止；颜色一分钟后隐去。",
        "Scripts are off, and so is reloading; the colour fades after a minute.",
    ),
    "start_reloading": Words("恢复自动重新载入", "Reload automatically"),
}

CAUSES: dict[str, Words] = {
    "store": Words("数据服务暂时无法访问。", "The data service cannot be reached."),
    "stale": Words(
        "数据停留过久，不能据此显示颜色。", "The data is too old to show a colour by it."
    ),
    "busy": Words("访问高峰，系统繁忙。", "Too many people are asking at once."),
}
"""Why a code cannot be shown; the keys are `ports.Cause`."""

DASHBOARD: dict[str, Words] = {
    "title": Words("值班看板", "Duty dashboard"),
    "pages": Words("页面", "Pages"),
    "counts": Words("现有人数", "People now"),
    "red": Words("红码", "Red"),
    "green": Words("绿码", "Green"),
    "by_reason": Words("按原因（红码）", "Red, by reason"),
    "by_reason_note": Words("一人可有多个原因", "one person may have several"),
    "by_city": Words("红码最多的城市", "Cities with the most red codes"),
    "reason": Words("原因", "Reason"),
    "city": Words("城市", "City"),
    "source": Words("来源", "Source"),
    "source_hint": Words("如 /cdc/440100", "such as /cdc/440100"),
    "people": Words("人数", "People"),
    "counted_at": Words("统计时间", "Counted at"),
    "no_counts": Words("暂时无法取得数据", "No figures can be read now"),
    "counts_old": Words("统计已停止更新", "The counts are no longer renewed"),
    "lag": Words("各分区延迟（秒）", "Lag per partition (s)"),
    "partition": Words("分区", "Partition"),
    "late": Words("落后", "behind"),
    "on_time": Words("正常", "on time"),
    "no_lag": Words("没有分区报告进度", "No partition reports its progress"),
    "hour": Words("最近一小时的变化", "Changes in the last hour"),
    "to_red": Words("变为红码", "turned red"),
    "other_changes": Words("其他变化", "other changes"),
    "changes": Words("最新变化", "Newest changes"),
    "changes_note": Words("保留最近 200 条，最新在上", "the newest 200, newest first"),
    "filter": Words("筛选", "Filter"),
    "all": Words("全部", "All"),
    "apply": Words("应用", "Apply"),
    "time": Words("时间", "Time"),
    "change": Words("变化", "Change"),
    "now_reasons": Words("现有原因", "Reasons now"),
    "cause": Words("起因", "Cause"),
    "by_time": Words("到期", "by time"),
    "connection": Words("连接", "Connection"),
    "connecting": Words("正在连接", "Connecting"),
    "live": Words("实时", "Live"),
    "reconnecting": Words("已断开，正在重连", "Disconnected, reconnecting"),
    "starved": Words("已连接，没有数据", "Connected, but no data"),
    "needs_script": Words(
        "实时列表需要启用脚本；统计每 30 秒重新载入。",
        "The live list needs scripts; the counts reload every 30 s.",
    ),
    "hold": Words("暂停列表", "Hold the list"),
    "held": Words("暂停中，另有 {n} 条", "held, {n} more"),
    "waiting": Words("等待新的变化……", "Waiting for changes…"),
    "gap": Words(
        "此处有变化未能收到，请以统计为准。", "Changes are missing here; go by the counts."
    ),
    "dropped": Words(
        "变化过多，略去 {n} 条未显示。", "Too many changes at once: {n} are not shown."
    ),
}

ENTRY: dict[str, Words] = {
    "home": Words("首页", "Home"),
    "title": Words("粤康码", "Guangdong Health Code"),
    "what": Words(
        "本系统接收各部门的事件，按规则判定每个人的健康码，并说明原因与解除条件。",
        "This system takes events from agencies, judges each person's health code by dated rules, "
        "and says why it is red and how that lifts.",
    ),
    "pages": Words("页面", "Pages"),
    "dashboard": Words("值班看板", "Duty dashboard"),
    "dashboard_what": Words("人数、最近一小时、最新变化", "counts, the last hour, newest changes"),
    "api": Words("接口", "HTTP API"),
    "api_what": Words("查询、扫码、变化流", "codes, scans, the stream of changes"),
    "events": Words("事件", "Events"),
    "events_what": Words(
        "各部门发布的事件与主题（AsyncAPI）", "what agencies publish, and where (AsyncAPI)"
    ),
    "samples": Words("示例人员（虚构）", "Sample people (synthetic)"),
    "samples_what": Words(
        "仅在开发环境显示。打开后即为居民出示的页面。",
        "Shown in development only. Each opens the page that a resident shows.",
    ),
}

REFERENCE: dict[str, Words] = {
    "api": Words("接口说明", "HTTP API"),
    "events": Words("事件说明", "Events"),
    "contents": Words("目录", "Contents"),
    "document": Words("机器可读文档", "The document itself"),
    "gateway": Words("事件入口（网关）的文档", "The gateway's document, where events enter"),
    "parameters": Words("参数", "Parameters"),
    "body": Words("请求体", "Request body"),
    "answers": Words("应答", "Answers"),
    "schemas": Words("数据结构", "Schemas"),
    "channels": Words("主题", "Channels"),
    "messages": Words("消息", "Messages"),
    "example": Words("示例", "Example"),
    "field": Words("字段", "Field"),
    "type": Words("类型", "Type"),
    "meaning": Words("说明", "Meaning"),
    "required": Words("必填", "required"),
    "one_of": Words("以下之一", "One of"),
    "where": Words("位置", "In"),
    "name": Words("名称", "Name"),
    "link": Words("链接到此处", "Link to this"),
}
