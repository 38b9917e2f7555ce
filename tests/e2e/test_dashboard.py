"""The duty officer's page in Chromium: changes as they come, counts, gaps, filters."""

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

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
    page.goto(f"{stage.url}/dashboard{query}")
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
    desk.get_by_label("来源").fill("/cdc/440700")
    desk.get_by_role("button", name="应用").click()
    expect(desk).to_have_url(re.compile("city=440700&reason=3&source=%2Fcdc%2F440700"))
    expect(desk.locator("#connection")).to_have_text(re.compile("实时"))
    stage.tell(change(city="440700", source="/cdc/440100"))
    stage.tell(change(city="440700", source="/cdc/440700"))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("/cdc/440700")


def test_counts_are_shown_and_renewed(stage: Stage, desk: Page) -> None:
    person = stage.put(people.green(someone()))
    desk.goto(f"{stage.url}/dashboard")
    shown = desk.locator("[data-count=red]")
    before = int(shown.inner_text().replace(",", ""))
    stage.put(people.red(person, version=2))
    desk.clock.fast_forward(5_000)
    expect(shown).to_have_text(f"{before + 1:,}")
    expect(desk.locator(".figures h2")).to_contain_text(
        ["现有人数", "各分区延迟", "按原因", "红码最多的城市"]
    )
    expect(desk.locator(".lags")).to_contain_text("正常")


def test_chart_of_the_last_hour_is_a_picture_with_words(stage: Stage, desk: Page) -> None:
    desk.goto(f"{stage.url}/dashboard")
    picture = desk.locator("#chart img")
    assert picture.evaluate("e => e.complete && e.naturalWidth > 0")
    assert "最近一小时" in (picture.get_attribute("alt") or "")


@pytest.mark.parametrize(("size", "width"), [("wide", 900), ("narrow", 420)])
def test_the_picture_needs_no_more_than_its_answer_allows(
    stage: Stage, desk: Page, size: str, width: int
) -> None:
    complaints: list[str] = []
    desk.on("console", lambda line: complaints.append(line.text))
    answer = desk.goto(f"{stage.url}/dashboard/chart.svg?size={size}")
    assert answer is not None
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert desk.locator("svg").bounding_box() == {"x": 0, "y": 0, "width": width, "height": 240}
    ground = desk.locator("svg > rect").evaluate("e => getComputedStyle(e).fill")
    assert ground == "rgb(22, 27, 34)"
    assert complaints == []


def test_without_figures_the_picture_says_so(failing: Stage, desk: Page) -> None:
    answer = desk.goto(f"{failing.url}/dashboard/chart.svg")
    assert answer is not None
    assert answer.status == 503
    expect(desk.locator("svg > text")).to_have_text("暂时无法取得数据")


def test_a_gap_is_told_where_it_is(stage: Stage, desk: Page) -> None:
    serve(desk, told(), ("gap", "{}"), told())
    desk.goto(f"{stage.url}/dashboard")
    rows = desk.locator("#changes tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("有变化未能收到")


def test_at_most_200_rows_are_kept_and_what_is_left_out_is_said(stage: Stage, desk: Page) -> None:
    serve(desk, *(told() for _ in range(450)), told("440100"))
    desk.goto(f"{stage.url}/dashboard")
    rows = desk.locator("#changes tbody tr")
    expect(rows.first).to_contain_text("广州")
    assert rows.count() == 200


def test_a_lost_connection_is_shown(stage: Stage, desk: Page) -> None:
    serve(desk)
    desk.goto(f"{stage.url}/dashboard")
    expect(desk.locator("#connection")).to_contain_text("正在重连")


def test_the_list_can_be_held_still(stage: Stage, desk: Page) -> None:
    open_live(stage, desk)
    hold = desk.get_by_role("button", name="暂停列表")
    hold.click()
    expect(hold).to_have_attribute("aria-pressed", "true")
    stage.tell(change(city="441900"))
    expect(desk.locator("#held")).to_contain_text("1")
    expect(desk.locator("#changes tbody")).not_to_contain_text("东莞")
    hold.click()
    expect(desk.locator("#changes tbody")).to_contain_text("东莞")


def test_without_figures_the_dashboard_says_so(failing: Stage, desk: Page) -> None:
    desk.goto(f"{failing.url}/dashboard")
    expect(desk.locator("#counts")).to_contain_text("暂时无法取得数据")
    expect(desk.locator("#connection")).to_contain_text("没有数据")


def test_a_partition_that_is_behind_is_marked(stale: tuple[Stage, str], desk: Page) -> None:
    desk.goto(f"{stale[0].url}/dashboard")
    expect(desk.locator(".lags .late").first).to_contain_text("落后")
