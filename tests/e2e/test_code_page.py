"""The page shown at a gate, in Chromium: what a resident and a guard see, and when it changes."""

import io
import re
import string
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest
import segno
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, Route, expect

from app.view.displays import QR_ERROR, QR_MASK, QR_VERSION
from models.codes import HealthCode, read_reference, reference_of
from support import people
from support.browsing import Colour, colours, is_grey, word
from support.stage import Stage
from support.views import now, someone

POLL_MS = 5_000
"""A page asks this often whether it still holds."""

LOST_MS = 26_000
"""Beyond the 20 s after which a colour that nobody confirms is taken away."""

PAGE = re.compile(r"://[^/]+/code(\?|$)")
"""The page itself, and not what it asks."""


def background(page: Page) -> Colour:
    """Red, green and blue of the page's ground."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    r, g, b = (int(n) for n in re.findall(r"\d+", colour)[:3])
    return r, g, b


def open_code(stage: Stage, page: Page, code: HealthCode) -> HealthCode:
    stage.open(page, stage.put(code))
    return code


def pass_time(page: Page, seconds: int) -> None:
    """Let time pass by leaps of 15 s; after each the page asks, and is answered."""
    for _ in range(0, seconds, 15):
        page.clock.fast_forward(15_000)
        page.wait_for_timeout(300)


def test_red_is_red_and_says_why_and_how_it_lifts(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.red(someone()))
    r, g, b = background(page)
    assert r > 150 > 60 > max(g, b)
    assert word(page) == "红码"
    r, g, b = ink(page)
    assert r > max(g, b)
    expect(page.locator(".says")).to_contain_text("疫情防控重点人群")
    reason = page.locator("[data-reason='3']")
    expect(reason.get_by_role("heading", level=3)).to_contain_text("密切接触者")
    expect(reason.locator("li.unmet").first).to_be_hidden()
    reason.locator("summary").click()
    expect(reason.locator("li.unmet").first).to_contain_text("第 3 次，共 4 次")
    expect(reason).to_contain_text("上报：广州市疾病预防控制中心")
    expect(reason.locator("a[href='tel:02012345']")).to_have_text("020-12345")
    expect(reason).to_contain_text(reference_of(people.LISTING))
    expect(reason).to_contain_text("/cdc/440100 listing-1")
    expect(reason.locator(".lead")).to_have_text(re.compile("最早.*，且须各项满足"))
    expect(reason.locator("li.met")).to_have_count(2)
    expect(reason.locator("li.unmet")).to_have_count(3)
    expect(reason.locator("li.unmet").first).to_contain_text("未满足")
    expect(reason.locator("li.unmet").first).to_contain_text("核酸检测机构")
    expect(reason.locator("li.unmet").first).to_contain_text("起采样")


def test_green_is_blue_with_a_green_qr(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.green(someone()))
    r, _, b = background(page)
    assert b > 120 > 60 > r
    assert word(page) == "绿码"
    r, g, b = ink(page)
    assert g > max(r, b)


def test_red_and_green_differ_in_word_shape_and_pattern(stage: Stage, page: Page) -> None:
    words, shapes, patterns = set(), set(), set()
    for build in (people.red, people.green):
        open_code(stage, page, build(someone()))
        words.add(word(page))
        shapes.add(page.locator(".verdict path").get_attribute("d"))
        patterns.add(
            page.locator(".band").first.evaluate(
                "e => getComputedStyle(e).backgroundImage.split('(')[0]"
            )
        )
    assert [len(words), len(shapes), len(patterns)] == [2, 2, 2]


def qr(page: Page) -> bytes:
    """The QR as it stands on the screen."""
    page.locator("[data-qr] svg").wait_for()
    return page.locator("[data-qr]").screenshot()


def ink(page: Page) -> Colour:
    """The colour of the QR's dark modules."""
    _, colour = max((n, c) for n, c in colours(qr(page)) if sum(c) < 500)
    return colour


def scanned(page: Page) -> str:
    """What a camera reads from the whole screen."""
    # As a gate does, which takes no other form: in a picture's lines some find a barcode of goods.
    picture = Image.open(io.BytesIO(page.screenshot()))
    (read,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.barcode_formats_from_str("QRCode"))
    return read.text


@pytest.mark.parametrize("make", [people.red, people.green])
def test_qr_is_read_from_the_screen_and_answered_at_the_gate(
    stage: Stage, page: Page, make: Callable[[str], HealthCode]
) -> None:
    code = open_code(stage, page, make(someone()))
    answer = stage.scan(scanned(page))
    assert answer.is_success, answer.text
    assert answer.json()["colour"] == code.colour.value


TEXTS = 200
QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
BASE64 = string.ascii_letters + string.digits + "-_"
ALPHANUMERIC = string.digits + string.ascii_uppercase + " $%*+-./:"

LONGEST = {(6, "byte"): 106, (8, "byte"): 152, (12, "byte"): 287, (12, "alphanumeric"): 419}
"""The characters that each version takes at level M (ISO/IEC 18004, table 7)."""


def drawn(page: Page, texts: list[str], version: int) -> list[set[tuple[int, int]]]:
    """The dark modules of each text's QR, as the script draws them: row, column."""
    paths = page.evaluate(
        "([texts, version]) => texts.map(text => qrPath(text, version))", [texts, version]
    )
    return [
        {
            (int(y), int(x) + n)
            for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)", path)
            for n in range(int(width))
        }
        for path in paths
    ]


@pytest.fixture
def drawing(stage: Stage, page: Page) -> Page:
    """A page that has the script which draws, and nothing else."""
    stage.open_empty(page, "qr.js")
    return page


@pytest.mark.parametrize(("version", "mode"), LONGEST)
def test_qr_is_the_servers_module_by_module(drawing: Page, version: int, mode: str) -> None:
    # As long as fits: where the standard's filling begins, segno writes a byte more than it asks
    # for, which no reader minds.
    random, letters = Random(version), BASE64 if mode == "byte" else ALPHANUMERIC
    texts = ["".join(random.choices(letters, k=LONGEST[version, mode])) for _ in range(TEXTS)]
    for text, dark in zip(texts, drawn(drawing, texts, version), strict=True):
        qr = segno.make(
            text,
            version=version,
            error=QR_ERROR,
            mode=mode,
            mask=QR_MASK,
            boost_error=False,
            micro=False,
        )
        matrix = enumerate(qr.matrix)
        assert dark == {(y, x) for y, row in matrix for x, bit in enumerate(row) if bit}


@pytest.mark.parametrize(("version", "mode"), LONGEST)
def test_qr_of_any_length_is_read_as_its_text(drawing: Page, version: int, mode: str) -> None:
    random, letters = Random(version), BASE64 if mode == "byte" else ALPHANUMERIC
    lengths = [*range(1, 40), *random.sample(range(40, LONGEST[version, mode]), 40)]
    texts = ["".join(random.choices(letters, k=length)) for length in lengths]
    side = 17 + 4 * version + 8
    for text, dark in zip(texts, drawn(drawing, texts, version), strict=True):
        picture = Image.new("L", (side, side), 255)
        for y, x in dark:
            picture.putpixel((x + 4, y + 4), 0)
        larger = picture.resize((3 * side, 3 * side), Image.Resampling.BOX)
        (read,) = zxingcpp.read_barcodes(larger, formats=QR)
        assert read.text == text


@pytest.mark.parametrize(("version", "mode"), LONGEST)
def test_a_text_too_long_for_its_qr_is_not_drawn(drawing: Page, version: int, mode: str) -> None:
    letter = "a" if mode == "byte" else "A"
    with pytest.raises(Error, match="too long"):
        drawn(drawing, [letter * (LONGEST[version, mode] + 1)], version)


def test_the_page_draws_the_version_that_the_server_draws(stage: Stage, page: Page) -> None:
    page.route("**/v1/me/credential", lambda route: route.abort())  # or the phone draws its own
    open_code(stage, page, people.green(someone()))
    side = segno.make("", version=QR_VERSION, micro=False).symbol_size(border=4)[0]
    expect(page.locator("[data-qr] svg")).to_have_attribute("viewBox", f"-4 -4 {side} {side}")


def test_below_the_code_are_the_other_pages(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.green(someone()))
    for name in ("我的粤康码信息", "健康申报", "行程卡"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        page.go_back()
        expect(page.locator("h1 .first")).to_have_text("绿码")


def test_print_has_words_and_checklist_and_no_ground(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.red(someone()))
    expect(page.locator(".printed")).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator(".printed")).to_contain_text("不能代替亮码")
    expect(page.locator(".own")).to_be_hidden()
    expect(page.locator("[data-qr]")).to_be_visible()
    expect(page.locator("[data-reason='3'] li.unmet")).to_have_count(3)
    transparent = "rgba(0, 0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == transparent
    ink = page.locator("h1 .first").evaluate("e => getComputedStyle(e).color")
    assert ink == "rgb(23, 25, 28)"


def test_clock_runs_with_seconds_over_the_date(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.green(someone()))
    hands = page.locator("[data-hands]")
    before = hands.inner_text()
    assert re.fullmatch(r"\d\d:\d\d:\d\d", before)
    expect(hands).not_to_have_text(before, timeout=2500)
    today = now()
    expect(page.locator(".date")).to_contain_text(f"{today.month}月{today.day}日星期")


def next_polls(page: Page, shown: Locator) -> None:
    """Put the clock forward, poll by poll, until something is shown: lists follow codes, within a
    quarter of a second."""
    for _ in range(5):
        page.clock.fast_forward(POLL_MS)
        with suppress(AssertionError):
            expect(shown).to_be_visible(timeout=1_000)
            return
    raise AssertionError(f"{shown} is not shown")


def test_page_turns_red_while_it_is_open_and_says_so(stage: Stage, page: Page) -> None:
    code = open_code(stage, page, people.green(someone()))
    assert word(page) == "绿码"
    stage.put(people.red(code.person, version=2))
    next_polls(page, page.locator("h1 .first", has_text="红码"))
    assert background(page)[0] > 150
    expect(page.get_by_role("status")).to_contain_text("密切接触者")
    assert "红码" in page.title()


def test_page_renews_its_reasons_though_it_stays_red(stage: Stage, page: Page) -> None:
    code = open_code(stage, page, people.red(someone()))
    stage.put(people.red(code.person, people.close_contact(), people.abroad(), version=2))
    next_polls(page, page.locator("[data-reason='4']"))


def test_a_reason_that_was_opened_stays_open_when_the_page_renews_itself(
    stage: Stage, page: Page
) -> None:
    code = open_code(stage, page, people.red(someone()))
    page.locator("[data-reason='3'] summary").click()
    stage.put(people.red(code.person, people.close_contact(), people.abroad(), version=2))
    next_polls(page, page.locator("[data-reason='4']"))
    assert page.locator("[data-reason='3']").evaluate("e => e.open") is True
    assert page.locator("[data-reason='4']").evaluate("e => e.open") is False


def test_page_that_still_holds_is_not_fetched_again(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.red(someone(), people.abroad()))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    pass_time(page, seconds=45)
    assert asked.count(f"{stage.url}/v1/me/display") >= 3
    assert f"{stage.url}/code" not in asked


def test_a_reason_that_ends_by_time_lifts_at_its_instant(stage: Stage, page: Page) -> None:
    page.route(
        "**/v1/me/display", lambda route: route.abort()
    )  # nothing but the clock can tell the page
    lost = iter([True])

    def lose_the_first(route: Route) -> None:
        route.abort() if next(lost, False) else route.continue_()

    end = now() + timedelta(seconds=5)
    open_code(stage, page, people.red(someone(), people.quarantined_until(end)))
    assert word(page) == "红码"
    page.route(PAGE, lose_the_first)
    expect(page.locator("h1 .first")).to_have_text("绿码", timeout=12_000)
    assert next(lost, None) is None
    assert now() >= end


def test_all_reasons_are_shown_the_highest_rank_first(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.red(someone(), people.abroad(), people.close_contact()))
    ranks = page.locator("[data-reason]").evaluate_all("all => all.map(e => e.dataset.reason)")
    assert ranks == ["3", "4"]
    expect(page.locator("[data-reason='4']")).to_contain_text("湖南")
    expect(page.locator("[data-reason='4']")).to_contain_text("日期未定")


def test_qr_is_drawn_again_before_its_token_expires(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.green(someone()))
    before = scanned(page)
    page.wait_for_timeout(1_100)  # a token says in which second it was made
    pass_time(page, seconds=110)
    after = scanned(page)
    assert after != before
    assert stage.scan(after).is_success


def test_nothing_moves_but_the_clock(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.green(someone()))
    assert page.evaluate("document.getAnimations().length") == 0


def test_colour_that_cannot_be_confirmed_is_taken_away_until_it_can(
    stage: Stage, page: Page, phone: BrowserContext
) -> None:
    open_code(stage, page, people.green(someone()))
    phone.set_offline(True)
    page.clock.run_for(LOST_MS)
    expect(page.locator("h1 .first")).to_have_text("亮码失败")
    expect(page.locator("main")).to_contain_text("网络中断")
    expect(page.locator("[data-qr]")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("亮码失败")
    assert is_grey(page)
    phone.set_offline(False)
    page.clock.run_for(6_000)
    expect(page.locator("h1 .first")).to_have_text("绿码")


def test_page_that_slept_shows_no_colour_when_it_wakes_without_a_network(
    stage: Stage, page: Page, phone: BrowserContext
) -> None:
    open_code(stage, page, people.green(someone()))
    phone.set_offline(True)
    page.clock.fast_forward(3_600_000)  # no timer ran meanwhile
    assert is_grey(page)


def test_view_that_fails_while_the_page_is_open_takes_the_colour_away(
    stage: Stage, page: Page
) -> None:
    open_code(stage, page, people.green(someone()))
    for address in ("**/v1/me/display", "**/v1/s/*"):
        page.route(address, lambda route: route.fulfill(status=503, body="{}"))
    page.route(PAGE, lambda route: route.fulfill(status=502, body="proxy"))
    page.clock.run_for(LOST_MS)
    expect(page.locator("h1 .first")).to_have_text("亮码失败")


def test_without_scripts_the_page_shows_all_and_reloads_itself(
    stage: Stage, browser: Browser
) -> None:
    code = people.red(someone())
    with browser.new_context(locale="zh-CN", java_script_enabled=False) as context:
        page = context.new_page()
        open_code(stage, page, code)
        assert word(page) == "红码"
        expect(page.locator("[data-hands]")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
        assert stage.scan(scanned(page)).is_success
        refresh = page.locator("noscript meta[http-equiv=refresh]")
        assert (refresh.get_attribute("content") or "").startswith(
            "10; url=?lang=zh&before=red&at="
        )
        page.get_by_role("link", name="停止自动重新载入").click()
        assert refresh.count() == 0
        fading = "document.getAnimations().map(a => [a.animationName, a.effect.getTiming().delay])"
        assert ["fade", 60_000] in page.evaluate(fading)
        page.evaluate("document.getAnimations().forEach(a => a.finish())")
        assert len(set(background(page))) == 1
        expect(page.locator("[data-qr]")).to_be_hidden()


def test_no_code_says_what_to_do_and_shows_no_colour(stage: Stage, page: Page) -> None:
    stage.open(page, someone())
    assert word(page) == "无码"
    expect(page.get_by_text("实名登录").first).to_be_visible()
    assert is_grey(page)


def test_page_turns_green_after_the_real_name_login(stage: Stage, page: Page) -> None:
    person = someone()
    stage.open(page, person)
    assert word(page) == "无码"
    stage.put(people.green(person))
    page.clock.fast_forward(POLL_MS)
    expect(page.locator("h1 .first")).to_have_text("绿码")


def test_failure_page_says_why_and_when_to_try_again_and_shows_no_colour(
    failing: Stage, page: Page
) -> None:
    answer = failing.open(page, someone())
    assert answer is not None
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert word(page) == "亮码失败"
    expect(page.locator(".says")).to_contain_text("数据服务暂时无法访问")
    expect(page.get_by_text("之后再试")).to_be_visible()
    expect(page.get_by_text("这不代表您的码变为红码")).to_be_visible()
    assert is_grey(page)


def test_failure_page_tries_again_by_itself(failing: Stage, page: Page) -> None:
    failing.open(page, someone())
    with page.expect_response(PAGE) as answer:
        page.clock.fast_forward(POLL_MS)  # beyond the 2 s that it says
    assert answer.value.status == 503


def test_old_data_are_marked_with_their_time(stale: tuple[Stage, str], page: Page) -> None:
    stage, person = stale
    stage.open(page, person)
    assert word(page) == "绿码"
    expect(page.locator(".notice")).to_contain_text("数据可能不是最新")
    expect(page.locator(".notice")).to_contain_text(re.compile(r"数据停在.*\d\d:\d\d:\d\d"))
    expect(page.locator(".notice")).to_contain_text("请等一分钟再看")
    notice, qr = page.locator(".notice").bounding_box(), page.locator("[data-qr]").bounding_box()
    assert notice is not None
    assert qr is not None
    assert notice["y"] >= qr["y"] + qr["height"], "below the QR"


def test_english_comes_first_where_it_is_asked_for(stage: Stage, browser: Browser) -> None:
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        open_code(stage, page, people.red(someone()))
        assert page.locator("html").get_attribute("lang") == "en-GB"
        assert word(page) == "Red code"
        expect(page.locator("h1 .second")).to_have_text("红码")
        page.get_by_role("link", name="中文").click()
        assert word(page) == "红码"


def test_text_is_legible_at_arms_length(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.red(someone()))
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("header *, main *")]
            .filter(e => e.checkVisibility() && [...e.childNodes].some(
                n => n.nodeType === 3 && n.textContent.trim()))
            .map(e => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 18
    assert page.locator("h1 .first").evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 48


FIRST_SIGHT = ("[data-hands]", "#word .first", ".verdict svg", "[data-qr]")
"""What a guard needs on the first screen."""


def assert_on_first_screen(page: Page) -> None:
    size = page.viewport_size
    assert size is not None
    for part in FIRST_SIGHT:
        box = page.locator(part).bounding_box()
        assert box is not None, part
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= size["width"], part
        assert box["y"] + box["height"] <= size["height"], part
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


SCREENS: list[tuple[int, int, bool]] = [
    (390, 844, False),
    (375, 667, False),
    (320, 640, False),
    (844, 390, False),  # on its side
    (195, 422, False),  # zoomed to 200 %
    (390, 844, True),  # a font of twice the size
]


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
@pytest.mark.parametrize(("width", "height", "large"), SCREENS)
def test_clock_word_and_qr_are_on_the_first_screen(
    stage: Stage, browser: Browser, width: int, height: int, large: bool, locale: str
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": height}, locale=locale, bypass_csp=True
    ) as context:
        page = context.new_page()
        open_code(stage, page, people.red(someone()))
        if large:
            page.add_style_tag(content="html { font-size: 200% }")
        assert_on_first_screen(page)


def test_the_three_answers_stand_on_the_first_screen_below_the_card(
    stage: Stage, page: Page
) -> None:
    open_code(stage, page, people.red(someone(), *people.four_reasons()))
    expect(page.locator("[data-reason]")).to_have_count(4)
    card = page.locator(".side").bounding_box()
    assert card is not None
    below = card["y"] + card["height"]
    expect(page.locator(".answer h2")).to_have_text(
        ["什么时候变为绿码", "您现在做什么", "您在等什么、等谁"]
    )
    for answer in page.locator(".answer").all():
        box = answer.bounding_box()
        assert box is not None
        assert below <= box["y"]
        assert box["y"] + box["height"] <= below + 844
        assert box["y"] + box["height"] <= 2 * 844


def test_who_is_waited_for_can_be_called_and_the_reference_copied(
    stage: Stage, page: Page, phone: BrowserContext
) -> None:
    phone.grant_permissions(["clipboard-read", "clipboard-write"])
    open_code(stage, page, people.red(someone(), *people.four_reasons()))
    waits = page.locator("#sum")
    expect(waits).to_contain_text("湖南健康码管理部门 0731-12345")
    expect(waits).to_contain_text("深圳市隔离管理部门 0755-12345")
    expect(waits).to_contain_text("已超过最早日期 2 天")
    button = waits.get_by_role("button", name="复制").last
    said = button.get_attribute("data-copy")
    button.click()
    expect(waits.get_by_role("button", name="已复制")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == said
    assert read_reference(said or "") == said


def test_paper_has_what_is_folded_on_the_screen(stage: Stage, page: Page) -> None:
    open_code(stage, page, people.red(someone()))
    step = page.locator("[data-reason='3'] li.unmet").first
    assert not step.evaluate("e => e.checkVisibility({contentVisibilityAuto: true})")
    page.emulate_media(media="print")
    assert step.evaluate("e => e.checkVisibility({contentVisibilityAuto: true})")
    box = page.locator("[data-qr]").bounding_box()
    assert box is not None
    assert box["height"] < 160
