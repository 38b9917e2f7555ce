"""What holds for every page and state: accessible, and narrow enough. By night: test_at_night."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from support.browsing import EVERY, SMALL_TARGETS, Where, assert_accessible


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


def test_axe_finds_nothing_where_the_colour_was_taken_away(
    where: Where, page: Page, phone: BrowserContext
) -> None:
    where("green").open(page)
    phone.set_offline(True)
    page.clock.run_for(26_000)
    expect(page.locator("h1 .first")).to_have_text("亮码失败")
    page.clock.resume()
    assert_accessible(page)
