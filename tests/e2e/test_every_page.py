"""What holds for every page and state: accessible, narrow enough, nothing from elsewhere."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from support import people
from support.browsing import SMALL_TARGETS, assert_accessible, forms
from support.stage import Spot, Stage

OWN = ["/me", *(f"/me/{name}" for name in ("nat-results", "certificates", "declarations"))]

EVERY = [
    *OWN,
    "/me-empty",
    "/me-failed",
    "/",
    "/dashboard",
    "/api",
    "/api/events",
    "red",
    "green",
    "none",
    "/login/failed/denied",
    "/logged-out",
    "stale",
    "failed",
    "/offline",
    "dashboard-failed",
    "declare",
    "declare-form",
    "declare-unit",
    "declare-faults",
    "declare-sent",
    "travel-phone",
    "travel-phone-faults",
    "travel-away",
    "travel-code",
]

Where = Callable[[str], Spot]


@pytest.fixture(scope="package")
def where(stage: Stage, informed: str, stale: tuple[Stage, str], failing: Stage) -> Where:
    """Where to find each page and state."""
    red = people.red(people.someone(), people.close_contact(), people.abroad())
    spots = {
        "red": Spot(stage, person=stage.put(red)),
        "green": Spot(stage, person=stage.put(people.green(people.someone()))),
        "none": Spot(stage, person=people.someone()),
        "stale": Spot(stale[0], person=stale[1]),
        "failed": Spot(failing, person=people.someone()),
        "dashboard-failed": Spot(failing, "/dashboard"),
        "/me-failed": Spot(failing, "/me", people.someone()),
        "/me-empty": Spot(stage, "/me/border-entries", informed),
        **forms(stage),
    }
    spots |= {address: Spot(stage, address, informed) for address in OWN}
    return lambda which: spots.get(which) or Spot(stage, which)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("which", EVERY)
def test_320_px_are_enough_and_axe_finds_nothing(
    where: Where, narrow: Page, which: str, language: str
) -> None:
    where(which).open(narrow, f"?lang={language}")
    # 200% on a screen of 640 px is 320 px too (WCAG 2.2, 1.4.4 and 1.4.10).
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 320
    assert narrow.evaluate(SMALL_TARGETS) == []
    if not which.startswith("/api"):  # one look at these takes axe seconds; they get it below
        assert_accessible(narrow)


@pytest.mark.parametrize("which", EVERY)
def test_axe_finds_nothing_on_a_desk_at_night(where: Where, browser: Browser, which: str) -> None:
    with browser.new_context(color_scheme="dark", reduced_motion="reduce") as context:
        page = context.new_page()
        where(which).open(page)
        assert_accessible(page)
        assert page.evaluate("document.getAnimations().length") == 0


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


def test_axe_finds_nothing_where_the_colour_was_taken_away(
    where: Where, page: Page, phone: BrowserContext
) -> None:
    where("green").open(page)
    phone.set_offline(True)
    page.clock.run_for(26_000)
    expect(page.locator("h1 .first")).to_have_text("亮码失败")
    page.clock.resume()
    assert_accessible(page)


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
    reachable = page.locator("a[href], button, select, input:not([type=hidden]), [tabindex='0']")
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
