"""What holds for every page: nothing comes from elsewhere, the keyboard reaches all of it."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from support.browsing import EVERY, Where
from support.stage import Spot, Stage


def test_a_release_notice_is_printed_without_what_leads_elsewhere(
    stage: Stage, informed: str, page: Page
) -> None:
    Spot(stage, "/me/release-notices", informed).open(page)
    page.emulate_media(media="print")
    notice = page.locator("main")
    expect(notice).to_contain_text("解除医学观察电子告知书")
    expect(notice).to_contain_text(re.compile(r"\d{4}年\d+月\d+日"))
    for elsewhere in (".head", ".own"):
        expect(page.locator(elsewhere)).to_be_hidden()


@pytest.mark.parametrize("which", EVERY)
def test_nothing_comes_from_elsewhere_and_nothing_is_refused(
    where: Where, kept: BrowserContext, which: str
) -> None:
    page = kept.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = where(which).open(page)
    page.wait_for_timeout(300)
    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert all(url.startswith(where(which).stage.url) for url in asked)
    # Chromium complains of every answer that is an error; the page's own is meant.
    assert not [line for line in complaints if "the server responded with" not in line]


@pytest.mark.parametrize("which", EVERY)
def test_keyboard_reaches_everything_and_shows_where_it_is(
    where: Where, page: Page, which: str
) -> None:
    where(which).open(page)
    controls = "a[href], button, summary, select, input:not([type=hidden]), [tabindex='0']"
    reachable = page.locator(controls).filter(visible=True)
    wanted = min(reachable.count(), 12)
    # From the top, also where the page has put the focus on what is wrong.
    page.evaluate("document.body.tabIndex = -1, document.body.focus()")
    reached = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                    const [e, all] = [document.activeElement, document.querySelectorAll("*")];
                    const { outlineStyle: style, outlineWidth: width } = getComputedStyle(e);
                    const plain = style === "solid" || style === "auto";
                    return plain && parseFloat(width) >= 2 ? [...all].indexOf(e) : -1;
                }"""
            )
        )
    assert -1 not in reached
    assert len(reached) == wanted
