"""What makes the code page an app on a phone: installable, there without a network, light."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from models.codes import HealthCode
from support import people
from support.browsing import assert_accessible, is_grey, word
from support.stage import Stage
from support.views import now, someone

SLOW_3G_BYTES_A_SECOND = 50_000
SLOW_3G_ROUND_TRIP_S = 0.4
USABLE_S = 1.0
"""Slow 3G as WebPageTest has it: 400 kbit/s, 400 ms."""


def shown_once(stage: Stage, context: BrowserContext) -> Page:
    """A page that has shown a green code, whose service worker is ready."""
    page = context.new_page()
    stage.open(page, stage.put(people.green(someone())))
    assert word(page) == "绿码"
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.wait_for_function("caches.keys().then(names => names.length === 1)")
    return page


def test_without_a_network_the_last_code_is_old_and_has_no_colour(
    stage: Stage, kept: BrowserContext
) -> None:
    page = shown_once(stage, kept)
    kept.set_offline(True)
    page.goto(f"{stage.url}/code")
    assert word(page) == "亮码失败"
    expect(page.locator("main")).to_contain_text("旧记录，不能出示")
    expect(page.locator("[data-last-first]")).to_have_text("绿码")
    expect(page.locator("[data-last-second]")).to_have_text("Green code")
    expect(page.locator("[data-last-holder]")).to_have_text("样*甲")
    today = now()
    expect(page.locator("[data-last-at]")).to_contain_text(
        f"{today.year}年{today.month}月{today.day}日"
    )
    expect(page.locator("[data-qr], .plate, .band")).to_have_count(0)
    assert is_grey(page)
    kept.set_offline(False)
    expect(page.locator("h1 .first")).to_have_text("绿码", timeout=15_000)


def test_without_a_network_every_address_says_so(stage: Stage, kept: BrowserContext) -> None:
    page = shown_once(stage, kept)
    kept.set_offline(True)
    for address in ("/me", "/declare/personal", "/"):
        page.goto(stage.url + address)
        assert word(page) == "没有网络", "no code was asked for"
        expect(page.locator(".says")).to_contain_text("要有网络才能打开")
        expect(page.locator("[data-then]")).to_contain_text("草稿仍在本机")
        assert_accessible(page)
    page.goto(f"{stage.url}/code")
    assert word(page) == "亮码失败"


def test_without_a_network_a_red_person_still_has_what_to_do(
    stage: Stage, kept: BrowserContext
) -> None:
    page = kept.new_page()
    stage.open(page, stage.put(people.red(someone(), people.close_contact())))
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    steps = page.locator(".tasks strong").all_inner_texts()
    assert steps
    kept.set_offline(True)
    for address in ("/code", "/me"):
        page.goto(stage.url + address)
        expect(page.locator("[data-steps] li")).to_have_text(steps)
        assert is_grey(page)
        assert_accessible(page)


def test_a_code_of_yesterday_is_not_shown_as_the_last(stage: Stage, kept: BrowserContext) -> None:
    page = shown_once(stage, kept)
    page.evaluate(
        """() => {
            const told = JSON.parse(localStorage.getItem("last"));
            localStorage.setItem("last", JSON.stringify({ ...told, at: told.at - 86400000 }));
        }"""
    )
    kept.set_offline(True)
    page.goto(f"{stage.url}/code")
    expect(page.locator("[data-no-last]")).to_be_visible()
    expect(page.locator("[data-last]")).to_be_hidden()


def test_logging_out_leaves_nothing_of_a_person(stage: Stage, kept: BrowserContext) -> None:
    page = shown_once(stage, kept)
    page.wait_for_function("localStorage.length === 2")  # its words, and its credential
    page.goto(f"{stage.url}/me")
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/logged-out")
    assert page.evaluate("localStorage.length") == 0


def test_what_is_kept_is_of_nobody(stage: Stage, kept: BrowserContext) -> None:
    page = shown_once(stage, kept)
    addresses = page.evaluate(
        """async () => {
            const cache = await caches.open((await caches.keys())[0]);
            return (await cache.keys()).map(request => new URL(request.url).pathname);
        }"""
    )
    assert "/offline" in addresses
    assert all(a == "/offline" or a.startswith("/static/") for a in addresses)


def test_the_language_of_the_page_is_that_without_a_network(
    stage: Stage, kept: BrowserContext
) -> None:
    page = kept.new_page()
    stage.open(page, stage.put(people.green(someone())), "/code?lang=en")
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    kept.set_offline(True)
    page.goto(f"{stage.url}/code")
    assert word(page) == "Code cannot be shown"
    expect(page.locator("[data-last-first]")).to_have_text("Green code")


def test_chromium_finds_it_installable(stage: Stage, kept: BrowserContext) -> None:
    page = shown_once(stage, kept)
    session = kept.new_cdp_session(page)
    found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # A context of tests is a private window, which installs nothing.
    assert {error["errorId"] for error in found} <= {"in-incognito"}
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert '"粤康码"' in manifest["data"]


BLOCKING = """() => Object.fromEntries(
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
        .filter(e => e.entryType === "navigation" || e.renderBlockingStatus === "blocking")
        .map(e => [new URL(e.name).pathname, e.transferSize]))"""
"""What a page waits for before it is drawn: bytes with headers, by address."""


@pytest.mark.parametrize("make", [people.red, people.green])
def test_code_is_light_enough_for_slow_3g(
    stage: Stage, phone: BrowserContext, make: Callable[[str], HealthCode]
) -> None:
    page = phone.new_page()
    stage.open(page, stage.put(make(someone())))
    sizes = page.evaluate(BLOCKING)
    assert {address.rpartition(".")[2] for address in sizes} == {"/code", "css"}
    assert all(sizes.values()), "nothing was kept from before"
    # The page, and then its style sheets together: two round trips. Nothing else is waited for.
    first_s = 2 * SLOW_3G_ROUND_TRIP_S + sum(sizes.values()) / SLOW_3G_BYTES_A_SECOND
    assert first_s <= USABLE_S, sizes
    # Style sheets are kept for ever: from then on the page comes alone.
    again_s = SLOW_3G_ROUND_TRIP_S + sizes["/code"] / SLOW_3G_BYTES_A_SECOND
    assert again_s <= USABLE_S / 1.5, sizes
