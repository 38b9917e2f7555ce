"""The page shown at a gate, in Chromium: what a resident and a guard see, and when it changes."""

import io
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import zxingcpp
from e2e import people
from e2e.stage import PHONE, Stage
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from models.codes import HealthCode

TURNS_MS = 8000
"""A page asks every 3 s, and has then to fetch itself."""


def background(page: Page) -> tuple[int, ...]:
    """Red, green and blue of the page's ground."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return tuple(int(n) for n in re.findall(r"\d+", colour)[:3])


def test_red_page_has_a_red_background_the_reason_and_the_checklist(
    stage: Stage, page: Page
) -> None:
    person = stage.put(people.red(people.someone()))
    page.goto(stage.code_page(person))
    r, g, b = background(page)
    assert r > 150
    assert max(g, b) < 60
    expect(page.get_by_role("heading", level=1)).to_contain_text("红码")
    reason = page.locator("[data-reason='3']")
    expect(reason.get_by_role("heading", level=3)).to_contain_text("密切接触者")
    expect(reason.locator("li.met")).to_have_count(2)
    expect(reason.locator("li.unmet")).to_have_count(3)
    expect(reason.locator("li.unmet").first).to_contain_text("未满足")
    expect(reason.locator("li.unmet").first).to_contain_text("核酸检测机构")
    expect(reason.locator("li.unmet").first).to_contain_text("起采样")


def test_green_page_is_blue_with_a_green_qr(stage: Stage, page: Page) -> None:
    person = stage.put(people.green(people.someone()))
    page.goto(stage.code_page(person))
    r, _, b = background(page)
    assert b > 120
    assert r < 60
    expect(page.get_by_role("heading", level=1)).to_contain_text("绿码")
    counted = picture(page).convert("RGB").getcolors(1 << 20) or []
    dark = [(n, c) for n, c in counted if isinstance(c, tuple) and sum(c) < 500]
    _, (r, g, b) = max(dark, key=lambda pair: pair[0])
    assert g > r
    assert g > b


def test_word_shape_and_pattern_differ_without_colour(stage: Stage, page: Page) -> None:
    shapes, patterns = set(), set()
    for build in (people.red, people.green):
        page.goto(stage.code_page(stage.put(build(people.someone()))))
        shapes.add(page.locator(".verdict svg").inner_html())
        patterns.add(
            page.locator(".pattern").first.evaluate(
                "e => getComputedStyle(e).backgroundImage.split('(')[0]"
            )
        )
    assert len(shapes) == 2
    assert len(patterns) == 2


def picture(page: Page) -> Image.Image:
    """The QR as it stands on the screen."""
    page.locator("[data-qr] svg").wait_for()
    return Image.open(io.BytesIO(page.locator("[data-qr]").screenshot()))


@pytest.mark.parametrize("make", [people.red, people.green])
def test_qr_on_the_screen_decodes_to_a_token_that_a_terminal_may_scan(
    stage: Stage, page: Page, make: Callable[[str], HealthCode]
) -> None:
    code = make(people.someone())
    page.goto(stage.code_page(stage.put(code)))
    (read,) = zxingcpp.read_barcodes(picture(page))
    assert stage.scan(read.text)["colour"] == code.colour.value


def test_clock_runs_with_seconds(stage: Stage, page: Page) -> None:
    page.goto(stage.code_page(stage.put(people.green(people.someone()))))
    hands = page.locator("[data-hands]")
    before = hands.inner_text()
    assert re.fullmatch(r"\d\d:\d\d:\d\d", before)
    expect(hands).not_to_have_text(before, timeout=2500)
    today = people.now()
    expect(page.locator("[data-date]")).to_contain_text(f"{today.month}月{today.day}日 星期")


def test_page_turns_red_while_it_is_open_and_says_so(stage: Stage, page: Page) -> None:
    person = stage.put(people.green(people.someone()))
    page.goto(stage.code_page(person))
    expect(page.get_by_role("heading", level=1)).to_contain_text("绿码")
    stage.put(people.red(person, version=2))
    expect(page.get_by_role("heading", level=1)).to_contain_text("红码", timeout=TURNS_MS)
    assert background(page)[0] > 150
    expect(page.locator("[aria-live]")).to_contain_text("密切接触者")
    assert "红码" in page.title()


def test_a_reason_that_ends_by_time_lifts_while_the_page_is_open(stage: Stage, page: Page) -> None:
    end = people.now() + timedelta(seconds=4)
    person = stage.put(people.red(people.someone(), people.quarantined_until(end)))
    page.goto(stage.code_page(person))
    expect(page.get_by_role("heading", level=1)).to_contain_text("红码")
    expect(page.get_by_role("heading", level=1)).to_contain_text("绿码", timeout=TURNS_MS)


def test_all_reasons_are_shown_the_highest_rank_first(stage: Stage, page: Page) -> None:
    code = people.red(people.someone(), people.abroad(), people.close_contact())
    page.goto(stage.code_page(stage.put(code)))
    ranks = page.locator("[data-reason]").evaluate_all("all => all.map(e => e.dataset.reason)")
    assert ranks == ["3", "4"]
    expect(page.locator("[data-reason='4']")).to_contain_text("湖南")
    expect(page.locator("[data-reason='4']")).to_contain_text("日期未定")


def test_pausing_stops_the_motion_and_the_renewal_of_the_qr(stage: Stage, page: Page) -> None:
    page.goto(stage.code_page(stage.put(people.green(people.someone()))))
    page.get_by_role("button", name="暂停更新").click()
    expect(page.locator(".halted")).to_be_visible()
    state = page.locator(".pattern").first.evaluate("e => getComputedStyle(e).animationPlayState")
    assert state == "paused"
    page.get_by_role("button", name="继续更新").click()
    expect(page.locator(".halted")).to_be_hidden()


def test_qr_is_renewed_while_the_page_is_open(stage: Stage, browser: Browser) -> None:
    with browser.new_context(viewport=PHONE, locale="zh-CN") as context:
        page = context.new_page()
        page.clock.install()
        page.goto(stage.code_page(stage.put(people.green(people.someone()))))
        with page.expect_response("**/code.svg*") as answer:
            page.clock.fast_forward(31_000)
        assert answer.value.ok
        expect(page.locator("[data-qr] svg")).to_be_visible()


def test_reduced_motion_is_respected(stage: Stage, browser: Browser) -> None:
    with browser.new_context(viewport=PHONE, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(stage.code_page(stage.put(people.green(people.someone()))))
        name = page.locator(".pattern").first.evaluate("e => getComputedStyle(e).animationName")
        assert name == "none"


def test_a_page_that_lost_its_connection_says_so_and_then_shows_no_colour(
    stage: Stage, browser: Browser
) -> None:
    with browser.new_context(viewport=PHONE, locale="zh-CN") as context:
        page = context.new_page()
        page.clock.install()
        page.goto(stage.code_page(stage.put(people.green(people.someone()))))
        context.set_offline(True)
        page.clock.run_for(12_000)
        expect(page.locator("[data-offline]")).to_contain_text("网络中断")
        page.clock.run_for(60_000)
        expect(page.get_by_role("heading", level=1)).to_contain_text("亮码失败")
        assert len(set(background(page))) == 1
        context.set_offline(False)
        page.clock.run_for(10_000)
        expect(page.get_by_role("heading", level=1)).to_contain_text("绿码")


def test_without_scripts_the_page_shows_all_and_reloads_itself(
    stage: Stage, browser: Browser
) -> None:
    person = stage.put(people.red(people.someone()))
    with browser.new_context(viewport=PHONE, locale="zh-CN", java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(stage.code_page(person))
        expect(page.get_by_role("heading", level=1)).to_contain_text("红码")
        expect(page.locator("[data-hands]")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
        assert zxingcpp.read_barcodes(picture(page))
        assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
        expect(page.locator("[data-pause]")).to_be_hidden()
        page.get_by_role("link", name="停止自动重新载入").click()
        assert page.locator("noscript meta[http-equiv=refresh]").count() == 0


def test_no_code_says_what_to_do_in_neutral_grey(stage: Stage, page: Page) -> None:
    page.goto(stage.code_page(people.someone()))
    expect(page.get_by_role("heading", level=1)).to_contain_text("无码")
    expect(page.get_by_text("实名登录").first).to_be_visible()
    assert len(set(background(page))) == 1


def test_page_turns_green_after_the_real_name_login(stage: Stage, page: Page) -> None:
    person = people.someone()
    page.goto(stage.code_page(person))
    expect(page.get_by_role("heading", level=1)).to_contain_text("无码")
    stage.put(people.green(person))
    expect(page.get_by_role("heading", level=1)).to_contain_text("绿码", timeout=TURNS_MS)


def test_failure_page_has_no_colour_and_says_when_to_try_again(
    failing: Stage, browser: Browser
) -> None:
    with browser.new_context(viewport=PHONE, locale="zh-CN") as context:
        page = context.new_page()
        answer = page.goto(failing.code_page(people.someone()))
        assert answer is not None
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        expect(page.get_by_role("heading", level=1)).to_contain_text("亮码失败")
        expect(page.get_by_text("之后再试")).to_be_visible()
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        assert all(max(c) - min(c) <= 8 for _, c in shot.getcolors(1 << 20) or [])  # type: ignore[arg-type,type-var]


def test_an_address_that_is_no_person_key_is_not_found(stage: Stage, page: Page) -> None:
    answer = page.goto(stage.code_page("nobody"))
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_contain_text("地址不正确")


def test_english_comes_first_where_it_is_asked_for(stage: Stage, browser: Browser) -> None:
    person = stage.put(people.red(people.someone()))
    with browser.new_context(viewport=PHONE, locale="en-GB") as context:
        page = context.new_page()
        page.goto(stage.code_page(person))
        assert page.locator("html").get_attribute("lang") == "en"
        first = page.locator("h1 .first")
        expect(first).to_have_text("Red code")
        page.get_by_role("link", name="中文").click()
        expect(page.locator("h1 .first")).to_have_text("红码")


def test_text_is_legible_at_arms_length(stage: Stage, page: Page) -> None:
    page.goto(stage.code_page(stage.put(people.red(people.someone()))))
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("header *, main *")]
            .filter(e => e.checkVisibility() && [...e.childNodes].some(
                n => n.nodeType === 3 && n.textContent.trim()))
            .map(e => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 18
    word = page.locator("h1 .first").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert word >= 48
