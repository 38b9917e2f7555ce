"""Every page and state on a desk, as it looks by night.

A file of its own: with test_accessible.py it would be the last that runs, alone.
"""

import pytest
from playwright.sync_api import Browser

from support.browsing import EVERY, Where, assert_accessible


@pytest.mark.parametrize("which", EVERY)
def test_axe_finds_nothing_on_a_desk_at_night(where: Where, browser: Browser, which: str) -> None:
    with browser.new_context(color_scheme="dark", reduced_motion="reduce") as context:
        page = context.new_page()
        where(which).open(page)
        assert_accessible(page)
        assert page.evaluate("document.getAnimations().length") == 0
