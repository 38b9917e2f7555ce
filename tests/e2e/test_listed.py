"""A page that shows its code by itself asks for nothing but its status list; when that does not
confirm the code, it asks the view at once."""

import io
import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from app.credentials.proofs import PROOF_PREFIX
from bench.view.phones import AS_OLD_AS_THEY_ARE
from models.codes import HealthCode
from support import people
from support.stage import Stage
from support.views import now, someone

POLL_MS = 5_000
AS_NOW_SECONDS = 6.5
"""A poll of five seconds, what a projection takes, and the answers."""

DISPLAY, LIST = "/v1/me/display", "/v1/s/"
LISTS = "**/v1/s/*"


class Asked:
    """What a page asks for, in order: the path, and the status of the answer."""

    def __init__(self, page: Page) -> None:
        self.paths: list[str] = []
        self.statuses: list[int] = []
        page.on("requestfinished", self._note)

    def _note(self, request: Request) -> None:
        path = urlsplit(request.url).path
        if path.startswith("/v1/"):
            self.paths.append(path)
            answer = request.response()
            self.statuses.append(0 if answer is None else answer.status)

    def clear(self) -> None:
        self.paths.clear()
        self.statuses.clear()


def polled(page: Page, times: int = 1) -> None:
    """Let a page ask so often."""
    for _ in range(times):
        page.clock.run_for(POLL_MS)
        page.wait_for_timeout(300)


def own_qr(page: Page) -> str:
    """What the QR holds, once it is the phone's own."""
    for _ in range(100):
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        found = zxingcpp.read_barcodes(picture)
        if found and found[0].text.startswith(PROOF_PREFIX):
            return found[0].text
        page.wait_for_timeout(100)
    raise AssertionError("the phone shows nothing by itself")


def opened(stage: Stage, page: Page, code: HealthCode) -> Asked:
    """Open a code, until the phone shows it by itself. Nothing that it asks before that is kept."""
    page.add_init_script(AS_OLD_AS_THEY_ARE)
    asked = Asked(page)
    stage.open(page, stage.put(code))
    own_qr(page)
    page.wait_for_timeout(100)
    asked.clear()
    return asked


@pytest.mark.parametrize("make", [people.green, people.red])
def test_it_asks_for_the_list_alone_and_a_terminal_sees_the_colour_of_the_page(
    stage: Stage, page: Page, make: Callable[[str], HealthCode]
) -> None:
    code = make(someone())
    asked = opened(stage, page, code)
    polled(page)
    answer = stage.scan(own_qr(page)).json()  # before the page's clock is another than ours
    assert answer["outcome"] == page.locator("#state").get_attribute("data-state")
    polled(page, times=11)
    assert len(asked.paths) in range(11, 14)
    assert all(path.startswith(LIST) for path in asked.paths), asked.paths
    assert set(asked.statuses) <= {200, 304}


def test_while_nothing_changes_the_list_is_not_sent_again(stage: Stage, page: Page) -> None:
    asked = opened(stage, page, people.green(someone()))
    polled(page, times=6)
    # Once to begin with, and again where it was signed again meanwhile.
    assert asked.statuses.count(304) >= 4, asked.statuses


def test_the_list_is_asked_for_without_a_cookie(stage: Stage, page: Page) -> None:
    opened(stage, page, people.green(someone()))
    with page.expect_request(LISTS) as asked:
        page.clock.run_for(POLL_MS)
    assert "cookie" not in asked.value.all_headers()


def turns_red(stage: Stage, page: Page, person: str) -> float:
    """Return how many seconds a page takes, by its own clock of real time, to show a red."""
    stage.append(people.red(person, version=2))
    begun = time.monotonic()
    expect(page.locator("h1 .first")).to_have_text("红码", timeout=30_000)
    return time.monotonic() - begun


@pytest.mark.parametrize("alone", [True, False])
def test_a_red_is_shown_within_the_same_time_with_the_list_and_without(
    stage: Stage, phone: BrowserContext, alone: bool
) -> None:
    page = phone.new_page()
    person = someone()
    if alone:
        asked = opened(stage, page, people.green(person))
    else:
        page.route("**/v1/me/credential", lambda route: route.abort())
        asked = Asked(page)
        stage.open(page, stage.put(people.green(person)))
    took = turns_red(stage, page, person)
    print(f"red after {took:.1f} s")
    assert took < AS_NOW_SECONDS
    first = asked.paths.index(DISPLAY)
    assert all(path.startswith(LIST) for path in asked.paths[:first])
    assert bool(first) is alone or not alone


def aborted(route: Route) -> None:
    route.abort()


def gone(route: Route) -> None:
    route.fulfill(status=404, content_type="application/problem+json", body="{}")


def without_instant(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, headers={**answer.headers, "x-as-of": ""})


def too_old(route: Route) -> None:
    answer = route.fetch()
    at = int((now().timestamp() - 12) * 1_000)
    route.fulfill(response=answer, headers={**answer.headers, "x-as-of": str(at)})


def no_list(route: Route) -> None:
    route.fulfill(status=200, body="<h1>A proxy's</h1>", headers={"x-as-of": "9999999999999"})


@pytest.mark.parametrize("answer", [aborted, gone, without_instant, too_old, no_list])
def test_a_list_that_says_nothing_has_the_view_asked_at_once(
    stage: Stage, page: Page, answer: Callable[[Route], None]
) -> None:
    asked = opened(stage, page, people.green(someone()))
    page.route(LISTS, answer)
    with page.expect_response(f"**{DISPLAY}", timeout=3_000):
        page.clock.run_for(POLL_MS)
    polled(page, times=5)
    expect(page.locator("h1 .first")).to_have_text("绿码")
    assert asked.paths.count(DISPLAY) >= 5
    page.unroute(LISTS)
    polled(page, times=12)  # it does not look again at once where lists are old
    asked.clear()
    polled(page, times=3)
    assert all(path.startswith(LIST) for path in asked.paths), asked.paths


def test_while_lists_are_old_one_question_is_asked_at_a_time(stage: Stage, page: Page) -> None:
    """Data are old when most is asked. Two questions in place of one would make them no younger."""
    asked = opened(stage, page, people.green(someone()))
    page.route(LISTS, too_old)
    polled(page)
    asked.clear()
    polled(page, times=10)
    assert set(asked.paths) == {DISPLAY}
    polled(page, times=3)
    assert sum(path.startswith(LIST) for path in asked.paths) == 1, "after a minute it looks again"


def test_without_a_credential_it_asks_as_before(stage: Stage, page: Page) -> None:
    page.route("**/v1/me/credential", lambda route: route.abort())
    asked = Asked(page)
    stage.open(page, stage.put(people.green(someone())))
    asked.clear()
    polled(page, times=4)
    assert set(asked.paths) == {DISPLAY}


def test_after_a_quarter_of_an_hour_the_session_is_used(stage: Stage, page: Page) -> None:
    asked = opened(stage, page, people.green(someone()))
    page.clock.fast_forward(15 * 60_000)
    page.wait_for_timeout(300)
    polled(page)
    assert DISPLAY in asked.paths
    asked.clear()
    polled(page, times=3)
    assert DISPLAY not in asked.paths


def test_what_a_page_was_confirmed_by_is_the_lists_own_instant(stage: Stage, page: Page) -> None:
    opened(stage, page, people.green(someone()))

    def older(route: Route) -> None:
        answer = route.fetch()
        at = int(answer.headers["x-as-of"]) - 5_000
        route.fulfill(response=answer, headers={**answer.headers, "x-as-of": str(at)})

    page.route(LISTS, older)
    polled(page)
    at = page.evaluate("JSON.parse(localStorage.getItem('last')).at - Date.now()")
    assert -12_000 < at < -5_000


@pytest.fixture
def elsewhere(browser: Browser) -> Iterator[BrowserContext]:
    """Another device."""
    with browser.new_context(locale="zh-CN", service_workers="block") as context:
        yield context


def test_a_logout_in_another_tab_takes_the_page_away(
    stage: Stage, phone: BrowserContext, page: Page
) -> None:
    opened(stage, page, people.green(someone()))
    other = phone.new_page()
    other.goto(f"{stage.url}/me")
    other.get_by_role("button", name="退出登录").click()
    other.wait_for_url("**/logged-out")
    page.clock.run_for(POLL_MS)
    page.wait_for_url(re.compile("/login"))


def test_a_copied_session_that_logs_out_elsewhere_takes_the_page_away(
    stage: Stage, phone: BrowserContext, page: Page, elsewhere: BrowserContext
) -> None:
    """Nothing in this browser is deleted: the list says it."""
    opened(stage, page, people.green(someone()))
    elsewhere.add_cookies(phone.cookies(stage.url.replace("http:", "https:")))  # type: ignore[arg-type]
    other = elsewhere.new_page()
    other.goto(f"{stage.url}/me")
    other.get_by_role("button", name="退出登录").click()
    other.wait_for_url("**/logged-out")
    page.wait_for_timeout(300)  # as long as a list is not read again
    page.clock.run_for(POLL_MS)
    page.wait_for_url(re.compile("/login"))
    assert page.evaluate("localStorage.getItem('credential')") is None
