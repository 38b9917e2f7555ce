"""What holds for every page: accessible, narrow enough for a phone, nothing from elsewhere."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e import people
from e2e.stage import NARROW, Stage
from playwright.sync_api import Browser, Page

PATHS = ["/", "/dashboard", "/api", "/api/events"]
CODES = {
    "red": lambda person: people.red(person, people.close_contact(), people.abroad()),
    "green": people.green,
    "none": None,
}
EVERY = [*PATHS, *CODES, "not-found"]
LANGUAGES = ["zh", "en"]


def address(stage: Stage, which: str) -> str:
    if which in PATHS:
        return stage.url + which
    if which == "not-found":
        return stage.code_page("nobody")
    make = CODES[which]
    person = people.someone()
    return stage.code_page(stage.put(make(person)) if make else person)


@pytest.fixture
def narrow(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=NARROW, locale="zh-CN") as context:
        yield context.new_page()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("which", EVERY)
def test_axe_finds_no_serious_violation(
    stage: Stage, page: Page, which: str, language: str
) -> None:
    page.goto(f"{address(stage, which)}?lang={language}")
    assert_accessible(page)


def test_axe_finds_no_serious_violation_on_the_failure_page(failing: Stage, page: Page) -> None:
    page.goto(failing.code_page(people.someone()))
    assert_accessible(page)


def assert_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in serious]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("which", EVERY)
def test_320_px_is_wide_enough(stage: Stage, narrow: Page, which: str, language: str) -> None:
    narrow.goto(f"{address(stage, which)}?lang={language}")
    assert narrow.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


@pytest.mark.parametrize("which", EVERY)
def test_nothing_comes_from_elsewhere_and_nothing_is_refused(
    stage: Stage, page: Page, which: str
) -> None:
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = page.goto(address(stage, which))
    page.wait_for_timeout(300)
    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert all(url.startswith(stage.url) for url in asked)
    assert not [line for line in complaints if "404" not in line or which != "not-found"]


@pytest.mark.parametrize("which", EVERY)
def test_targets_are_large_enough(stage: Stage, narrow: Page, which: str) -> None:
    """2.5.8 of WCAG 2.2; links within a sentence or a table are exempt."""
    narrow.goto(address(stage, which))
    small = narrow.evaluate(
        """() => [...document.querySelectorAll("a, button, select, input:not([type=hidden])")]
            .filter(e => e.checkVisibility() && !e.closest("p, td, .skip") && !e.matches(".skip"))
            .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect().height])
            .filter(([, height]) => height < 24)"""
    )
    assert small == []


@pytest.mark.parametrize("which", EVERY)
def test_focus_is_visible(stage: Stage, page: Page, which: str) -> None:
    page.goto(address(stage, which))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = page.evaluate(
        "(s => [s.outlineStyle, parseFloat(s.outlineWidth)])"
        "(getComputedStyle(document.activeElement))"
    )
    if page.evaluate("document.activeElement !== document.body"):
        assert focused[0] == "solid"
        assert focused[1] >= 2
