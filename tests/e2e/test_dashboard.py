"""The duty officer's page in Chromium: changes as they come, counts, gaps, filters."""

import json
import re

from e2e import people
from e2e.stage import Stage, as_json
from playwright.sync_api import Page, Route, expect

from models.codes import Cause, Colour, Reason, Status, StatusChange, changed

GREEN = Status(Colour.GREEN)
RED = Status(Colour.RED, (Reason.CLOSE_CONTACT,))
LISTED = Cause("/cdc/440300", "listing-9", "yuekang.contact.listed.v1")


def change(person: str, version: int = 2, city: str = "440300") -> StatusChange:
    return StatusChange(person, version, version - 1, people.now(), GREEN, RED, LISTED, city)


def stream(*events: tuple[str, str]) -> str:
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)


def serve(page: Page, body: str) -> list[str]:
    """Answer /v1/changes with `body`, once; later tries fail. Returns the addresses asked."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.abort()
        else:
            route.fulfill(body=body, headers={"content-type": "text/event-stream"})

    page.route(re.compile(r".*/v1/changes.*"), answer)
    return asked


def test_a_change_appears_while_the_page_is_open(stage: Stage, desk: Page) -> None:
    desk.goto(f"{stage.url}/dashboard")
    expect(desk.locator("#connection")).to_contain_text("实时")
    person = people.someone()
    stage.tell(change(person))
    row = desk.locator("#changes tbody tr", has_text=person[-4:])
    expect(row).to_be_visible(timeout=5000)
    expect(row).to_contain_text("深圳")
    expect(row).to_contain_text("密切接触者")
    expect(row).to_contain_text("疾控中心")
    expect(row.locator(".chip.red")).to_have_text("红码")


def test_filters_choose_what_is_listed(stage: Stage, desk: Page) -> None:
    desk.goto(f"{stage.url}/dashboard?city=440300")
    expect(desk.locator("#connection")).to_contain_text("实时")
    elsewhere, here = people.someone(), people.someone()
    stage.tell(change(elsewhere, city="440100"))
    stage.tell(change(here))
    expect(desk.locator("#changes tbody tr", has_text=here[-4:])).to_be_visible(timeout=5000)
    expect(desk.locator("#changes tbody tr", has_text=elsewhere[-4:])).to_have_count(0)
    desk.get_by_role("combobox", name="城市").select_option("440100")
    expect(desk).to_have_url(re.compile("city=440100"))


def test_counts_are_shown_and_renewed(stage: Stage, desk: Page) -> None:
    desk.goto(f"{stage.url}/dashboard")
    shown = desk.locator("[data-count=red]")
    before = int(shown.inner_text().replace(",", ""))
    person = people.someone()
    stage.put(people.green(person))
    stage.put(people.red(person, version=2))
    expect(shown).to_have_text(f"{before + 1:,}", timeout=8000)
    assert desk.locator("#by-reason").is_visible()
    assert desk.locator("#by-city").is_visible()
    assert desk.locator("#lag").is_visible()


def test_chart_of_the_last_hour_is_a_picture_with_words(stage: Stage, desk: Page) -> None:
    desk.goto(f"{stage.url}/dashboard")
    picture = desk.locator("#chart img")
    assert picture.evaluate("e => e.complete && e.naturalWidth > 0")
    assert "最近一小时" in (picture.get_attribute("alt") or "")


def test_a_gap_is_told_where_it_is(stage: Stage, desk: Page) -> None:
    first, second = people.someone(), people.someone()
    told = [("change", as_json(changed(change(p))).decode()) for p in (first, second)]
    serve(desk, stream(told[0], ("gap", json.dumps({"missed": 5})), told[1]))
    desk.goto(f"{stage.url}/dashboard")
    rows = desk.locator("#changes tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("有变化未能收到")


def test_at_most_200_rows_are_kept_and_what_is_left_out_is_said(stage: Stage, desk: Page) -> None:
    told = [("change", as_json(changed(change(people.someone()))).decode()) for _ in range(450)]
    serve(desk, stream(*told))
    desk.goto(f"{stage.url}/dashboard")
    last = json.loads(told[-1][1])["data"]["person"]
    rows = desk.locator("#changes tbody tr")
    expect(rows.first).to_contain_text(last[-4:])
    assert rows.count() == 200


def test_a_lost_connection_is_shown(stage: Stage, desk: Page) -> None:
    serve(desk, "retry: 60000\n\n")
    desk.goto(f"{stage.url}/dashboard")
    expect(desk.locator("#connection")).to_contain_text("正在重连")


def test_the_list_can_be_held_still(stage: Stage, desk: Page) -> None:
    desk.goto(f"{stage.url}/dashboard")
    expect(desk.locator("#connection")).to_contain_text("实时")
    desk.get_by_role("button", name="暂停列表").click()
    person = people.someone()
    stage.tell(change(person))
    expect(desk.locator("#held")).to_contain_text("1", timeout=5000)
    expect(desk.locator("#changes tbody tr", has_text=person[-4:])).to_have_count(0)
    desk.get_by_role("button", name="继续列表").click()
    expect(desk.locator("#changes tbody tr", has_text=person[-4:])).to_be_visible()


def test_without_figures_the_dashboard_says_so(failing: Stage, desk: Page) -> None:
    desk.goto(f"{failing.url}/dashboard")
    expect(desk.locator("#counts")).to_contain_text("暂时无法取得数据")
