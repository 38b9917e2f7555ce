"""The duty officer's page in Chromium: changes as they come, counts, gaps, filters."""

import io
import json
import re
from datetime import timedelta

import pytest
from msgspec.structs import replace
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from app.view.trends import KEPT_SECONDS
from models.codes import Cause, Colour, Reason, Status, StatusChange
from support import people
from support.stage import Stage
from support.views import now, someone

GREEN = Status(Colour.GREEN)
RED = Status(Colour.RED, (Reason.CLOSE_CONTACT,))


def change(city: str = "440300", source: str = "/cdc/440300") -> StatusChange:
    cause = Cause(source, "listing-9", "yuekang.contact.listed.v1")
    return StatusChange(someone(), 2, 1, now(), GREEN, RED, cause, city)


def told(city: str = "440300") -> tuple[str, str]:
    """The same as it is streamed."""
    data = {
        "at": now().isoformat(),
        "before": {"colour": "green", "reasons": []},
        "after": {"colour": "red", "reasons": [3]},
        "cause": {"source": "/cdc/440300", "type": "yuekang.contact.listed.v1"},
        "city": city,
    }
    return "change", json.dumps(data)


NOTHING = "?source=/cdc/nowhere"
"""A filter that lets nothing through, so that the page opens with an empty list."""


def serve(page: Page, *events: tuple[str, str]) -> None:
    """Answer /v1/changes with `events`, once; later tries fail."""
    body = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.abort()
        else:
            route.fulfill(body=f"retry: 60000\n\n{body}", content_type="text/event-stream")

    page.route(re.compile(r".*/v1/changes.*"), answer)


def open_live(stage: Stage, page: Page, query: str = "") -> None:
    stage.open(page, None, f"/dashboard{query}")
    expect(page.locator("#connection")).to_have_text(re.compile("实时"))


def test_a_change_appears_while_the_page_is_open(stage: Stage, desk: Page) -> None:
    open_live(stage, desk)
    stage.tell(change())
    row = desk.locator("#changes tbody tr").first
    expect(row).to_contain_text("深圳")
    expect(row).to_contain_text("密切接触者")
    expect(row).to_contain_text("疾控中心")
    expect(row.locator(".chip")).to_have_text(["绿码", "红码"])


def test_nobody_can_be_recognised_on_it(stage: Stage, desk: Page) -> None:
    open_live(stage, desk)
    one = change()
    stage.tell(one)
    expect(desk.locator("#changes tbody")).to_contain_text("深圳")
    assert one.person not in desk.content()
    assert "listing-9" not in desk.content()


def test_filters_choose_what_is_listed(stage: Stage, desk: Page) -> None:
    open_live(stage, desk, "?city=440500")
    expect(desk.get_by_role("combobox", name="城市")).to_have_value("440500")
    stage.tell(change(city="440600"))
    stage.tell(change(city="440500"))
    rows = desk.locator("#changes tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("汕头")
    desk.get_by_role("combobox", name="城市").select_option("440700")
    desk.get_by_role("combobox", name="原因").select_option("3")
    desk.get_by_role("combobox", name="来源", exact=True).fill("/cdc/440700")
    desk.get_by_role("button", name="应用").click()
    expect(desk).to_have_url(re.compile("city=440700&reason=3&source=%2Fcdc%2F440700"))
    expect(desk.locator("#connection")).to_have_text(re.compile("实时"))
    stage.tell(change(city="440700", source="/cdc/440100"))
    stage.tell(change(city="440700", source="/cdc/440700"))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("/cdc/440700")


def test_counts_are_shown_and_renewed(stage: Stage, desk: Page) -> None:
    person = stage.put(people.green(someone()))
    stage.open(desk, None, "/dashboard")
    shown = desk.locator("[data-count=red]")
    before = int(shown.inner_text().replace(",", ""))
    stage.put(people.red(person, version=2))
    desk.clock.fast_forward(5_000)
    expect(shown).to_have_text(f"{before + 1:,}")
    expect(desk.locator(".figures h2")).to_contain_text(
        ["现有人数", "各分区延迟", "按原因", "各市地图", "各市"]
    )
    expect(desk.locator(".lags")).to_contain_text("正常")


def test_51_reds_in_ten_minutes_are_marked_and_stand_out_from_the_logins(
    stage: Stage, desk: Page
) -> None:
    laboratory = "/laboratories/440900-903"
    many = [change(city="440900", source=laboratory) for _ in range(51)]
    before = now() - timedelta(minutes=3)
    logins = [
        replace(one, before=Status(Colour.NONE), after=GREEN)
        for one in (change() for _ in range(2_000))
    ]
    stage.tell(*logins, *(replace(one, at=before) for one in many))
    stage.open(desk, None, "/dashboard?source=" + laboratory)
    expect(desk.locator("[data-at]").nth(49)).to_be_attached()
    desk.wait_for_timeout(KEPT_SECONDS * 1_000)  # the view's own time, in which it reads once
    desk.clock.fast_forward(21_000)
    marks = desk.locator(".marks li")
    expect(marks.filter(has_text="茂名")).to_contain_text("10 分钟 +51")
    expect(marks.filter(has_text=laboratory)).to_contain_text("通常 0")
    expect(desk.locator(".tile.red .unusual")).to_contain_text("异常")
    for span in ("hour", "day"):
        desk.get_by_label("时段").select_option(span)
        desk.wait_for_timeout(500)
        assert highest(desk, "#chart-red canvas", (255, 143, 135)) > 20
    desk.locator("select[name=by]").select_option("city")
    expect(desk.locator("#chart-red .u-legend")).to_contain_text("茂名")
    desk.locator(".tables summary").click()
    row = desk.locator(".tables tr").filter(has_text="茂名")
    expect(row.locator("td").first).to_have_text("51")


def highest(page: Page, canvas: str, colour: tuple[int, int, int]) -> int:
    """How many pixels of this colour stand in one column at most."""
    picture = Image.open(io.BytesIO(page.locator(canvas).screenshot())).convert("RGB")
    width, height = picture.size
    return max(sum(picture.getpixel((x, y)) == colour for y in range(height)) for x in range(width))


def test_the_wall_has_large_figures_and_nothing_to_touch(stage: Stage, desk: Page) -> None:
    stage.put(people.green(someone()))
    stage.open(desk, None, "/dashboard?wall")
    expect(desk.locator("#connection")).to_have_text(re.compile("实时"))
    expect(desk.locator("[data-day]")).to_contain_text("星期")
    for none in ("#filters", "#choice", "#hold"):
        expect(desk.locator(none)).to_be_hidden()
    size = desk.locator("[data-count=red]").evaluate(
        "e => parseFloat(getComputedStyle(e).fontSize)"
    )
    assert size >= 48


def test_everybody_is_the_sum_of_the_colours(stage: Stage, desk: Page) -> None:
    stage.put(people.green(someone()))
    stage.open(desk, None, "/dashboard")
    red, green, none, total = (
        int(desk.locator(f"[data-count={which}]").inner_text().replace(",", ""))
        for which in ("red", "green", "none", "total")
    )
    assert total == red + green + none > 0


@pytest.mark.parametrize(("width", "language"), [(390, "en"), (1440, "zh")])
def test_the_map_has_all_cities_each_of_which_leads_to_its_changes(
    stage: Stage, desk: Page, width: int, language: str
) -> None:
    stage.put(people.red(someone()))
    stage.tell(change(city="445300", source="/cdc/map"))
    desk.wait_for_timeout(KEPT_SECONDS * 1_000)
    desk.set_viewport_size({"width": width, "height": 900})
    stage.open(desk, None, f"/dashboard?lang={language}")
    tiles = desk.locator(".map a")
    expect(tiles).to_have_count(21)
    # All at once: the map is drawn again with each change that comes.
    spans = desk.evaluate(
        """() => [...document.querySelectorAll(".map a")].map((tile) =>
            [tile.querySelector("rect"), ...tile.querySelectorAll("text")].map((each) => {
                const { left, right } = each.getBoundingClientRect();
                return [left, right];
            }))"""
    )
    assert len(spans) == 21
    for (left, right), *texts in spans:
        assert 0 <= left < right <= width
        assert all(left <= begin < end <= right for begin, end in texts)
    yunfu = desk.locator('.map [data-city="445300"]')
    expect(yunfu.locator(".day")).to_have_text(re.compile(r"\+[1-9]"))
    expect(yunfu.locator(".share")).to_have_text(re.compile(r"\d\.\d\d"))
    assert desk.locator("section[aria-labelledby=by-city] tbody tr").count() >= 21
    yunfu.click()
    expect(desk).to_have_url(re.compile(f"city=445300&lang={language}"))
    expect(desk.locator("select[name=city]")).to_have_value("445300")


def test_each_line_of_the_status_leads_to_its_playbook(stage: Stage, desk: Page) -> None:
    stage.open(desk, None, "/dashboard")
    desk.clock.fast_forward(6_000)
    away = desk.locator(".status .bad").filter(has_text="没有应答").first
    expect(away).to_be_visible()  # of the processes of this machine, tests run two elsewhere
    expect(away).to_contain_text("告警")
    away.locator("a").click()
    expect(desk.locator(":target")).to_contain_text("A process does not answer")
    expect(desk.locator(":target")).to_contain_text("有进程没有应答")


def test_without_scripts_the_reds_of_the_hour_are_a_picture_with_words(
    stage: Stage, browser: Browser
) -> None:
    with browser.new_context(java_script_enabled=False, locale="zh-CN") as context:
        page = context.new_page()
        stage.open(page, None, "/dashboard")
        picture = page.locator("img.picture")
        expect(picture).to_be_visible()
        assert "最近一小时" in (picture.get_attribute("alt") or "")
        expect(page.locator("#changes tbody tr").first).to_be_visible()


@pytest.mark.parametrize(("size", "width"), [("wide", 900), ("narrow", 420)])
def test_the_picture_needs_no_more_than_its_answer_allows(
    stage: Stage, desk: Page, size: str, width: int
) -> None:
    complaints: list[str] = []
    desk.on("console", lambda line: complaints.append(line.text))
    answer = stage.open(desk, None, f"/dashboard/chart.svg?size={size}")
    assert answer is not None
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert desk.locator("svg").bounding_box() == {"x": 0, "y": 0, "width": width, "height": 240}
    ground = desk.locator("svg > rect").evaluate("e => getComputedStyle(e).fill")
    assert ground == "rgb(22, 27, 34)"
    assert complaints == []


def test_without_figures_the_picture_says_so(failing: Stage, desk: Page) -> None:
    answer = failing.open(desk, None, "/dashboard/chart.svg")
    assert answer is not None
    assert answer.status == 503
    expect(desk.locator("svg > text")).to_have_text("暂时无法取得数据")


def test_a_gap_is_told_where_it_is(stage: Stage, desk: Page) -> None:
    serve(desk, told(), ("gap", "{}"), told())
    stage.open(desk, None, f"/dashboard{NOTHING}")
    rows = desk.locator("#changes tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("有变化未能收到")


def test_at_most_200_rows_are_kept_and_what_is_left_out_is_said(stage: Stage, desk: Page) -> None:
    serve(desk, *(told() for _ in range(450)), told("440100"))
    stage.open(desk, None, f"/dashboard{NOTHING}")
    rows = desk.locator("#changes tbody tr")
    expect(rows.first).to_contain_text("广州")
    assert rows.count() == 200


def test_a_lost_connection_is_shown(stage: Stage, desk: Page) -> None:
    serve(desk)
    stage.open(desk, None, "/dashboard")
    expect(desk.locator("#connection")).to_contain_text("正在重连")


def test_the_list_can_be_held_still(stage: Stage, desk: Page) -> None:
    open_live(stage, desk)
    desk.get_by_role("button", name="暂停列表").click()
    resume = desk.get_by_role("button", name="继续")
    expect(desk.locator("#held")).to_have_text(re.compile(r"已于 \d\d:\d\d:\d\d 暂停，另有 0 条"))
    stage.tell(change(city="441900", source="/cdc/held"))
    expect(desk.locator("#held")).to_contain_text("另有 1 条")
    expect(desk.locator("#changes tbody")).not_to_contain_text("/cdc/held")
    resume.click()
    expect(desk.locator("#changes tbody")).to_contain_text("/cdc/held")
    expect(desk.locator("#held")).to_be_empty()
    expect(desk.get_by_role("button", name="暂停列表")).to_be_visible()


def test_it_opens_with_the_last_50_changes_and_goes_on_from_there(stage: Stage, desk: Page) -> None:
    where = "?source=/cdc/opening"
    rows = desk.locator("#changes tbody tr")
    open_live(stage, desk, where)
    stage.tell(*(change(source="/cdc/opening") for _ in range(60)))
    expect(desk.locator("[data-at]")).to_have_count(60)
    open_live(stage, desk, where)
    expect(desk.locator("[data-at]")).to_have_count(50)
    stage.tell(change(city="441900", source="/cdc/opening"))
    expect(rows.first).to_contain_text("东莞")
    expect(rows).to_have_count(51)
    desk.reload()
    expect(rows.first).to_contain_text("东莞")
    expect(rows).to_have_count(50)


def test_what_happened_while_the_page_was_away_is_there_when_it_is_loaded_again(
    stage: Stage, desk: Page
) -> None:
    where = "?source=/cdc/away"
    open_live(stage, desk, where)
    desk.goto("about:blank")
    stage.tell(change(source="/cdc/away"))
    open_live(stage, desk, where)
    expect(desk.locator("[data-at]")).to_have_count(1)


def test_rows_stand_by_when_they_happened_not_by_when_they_came(stage: Stage, desk: Page) -> None:
    open_live(stage, desk, "?source=/cdc/order")
    for seconds in (9, 3, 6, 1):
        told_late = replace(
            change(source="/cdc/order"), at=now() - timedelta(minutes=5, seconds=seconds)
        )
        stage.tell(told_late)
    rows = desk.locator("#changes tbody tr")
    expect(rows).to_have_count(4)
    times = rows.locator(".time").all_inner_texts()
    assert times == sorted(times, reverse=True)
    desk.reload()
    assert rows.locator(".time").all_inner_texts() == times


def test_a_row_that_was_told_looks_like_one_that_the_page_came_with(
    stage: Stage, desk: Page
) -> None:
    open_live(stage, desk, "?source=/provinces/43")
    stage.tell(change(city="430100", source="/provinces/43"))
    row = desk.locator("#changes tbody tr").first
    expect(row).to_contain_text("湖南 /provinces/43")
    normal = "e => e.outerHTML.replace(/ data-(at|number)=.\\d+./g, '').replace(/\\s+</g, '<')"
    told_row = row.evaluate(normal)
    desk.reload()
    assert row.evaluate(normal) == told_row


def test_a_filter_that_nothing_fits_says_so_and_can_be_cleared(stage: Stage, desk: Page) -> None:
    stage.tell(change())
    open_live(stage, desk, NOTHING)
    rows = desk.locator("#changes tbody")
    expect(rows).to_have_text("没有符合的变化，仍在等待。")
    desk.get_by_role("combobox", name="来源", exact=True).fill("nonsense")
    desk.get_by_role("button", name="应用").click()
    expect(rows).to_have_text("来源应写作 /cdc/440100 的样子。")
    desk.get_by_role("link", name="清除筛选").click()
    expect(rows).to_contain_text("密切接触者")
    expect(desk.get_by_role("combobox", name="来源", exact=True)).to_have_value("")


def test_a_change_is_one_line_on_a_desk(stage: Stage, desk: Page) -> None:
    serve(desk, told("440300"))
    stage.open(desk, None, "/dashboard?lang=en&source=/cdc/nowhere")
    row = desk.locator("#changes tbody tr")
    expect(row).to_contain_text("Shenzhen")
    box = row.bounding_box()
    assert box is not None
    assert box["height"] < 48


def test_without_figures_the_dashboard_says_so(failing: Stage, desk: Page) -> None:
    failing.open(desk, None, "/dashboard")
    expect(desk.locator("#counts")).to_contain_text("暂时无法取得数据")
    expect(desk.locator("#connection")).to_contain_text("没有数据")


def test_a_partition_that_is_behind_is_marked(stale: tuple[Stage, str], desk: Page) -> None:
    stale[0].open(desk, None, "/dashboard")
    expect(desk.locator(".lags .late").first).to_contain_text("落后")
