"""The terminal of a guard, in Chromium: with a camera that sees the real pages, and without one."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from app.view.displays import Displays
from app.view.pages.gate import VERDICTS
from models.codes import HealthCode
from support import people
from support.brokers import Kafka
from support.browsing import assert_accessible, colours
from support.stage import Log, Stage
from support.terminals import SIZE, TERMINAL, begin, camera, drawn, shown_by, take, token_of
from support.tokens import OTHER_TOKENS, TOKENS
from support.views import DISPLAY_KEY, now, someone
from support.workers import everything

GROUNDS = {"red": "rgb(179, 18, 29)", "green": "rgb(11, 107, 46)"}
OUTCOMES = [words.outcome for words in VERDICTS]

FELT = """
    window.played = []; window.buzzed = [];
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (at) {
        window.played.push(this.frequency.value);
        return start.call(this, at);
    };
    navigator.vibrate = (pattern) => window.buzzed.push(pattern.join(" "));
"""
"""Writes down what is heard and felt."""


def word(page: Page) -> str:
    """The large word of the outcome, once there is one."""
    page.locator("#shown").wait_for()
    return page.locator("#shown .word .first").inner_text()


@pytest.fixture
def gate(phone: BrowserContext) -> Page:
    """A terminal without a camera: it is handed photos."""
    page = phone.new_page()
    page.add_init_script(FELT)
    return page


def recorded(log: Log, kafka: Kafka, person: str) -> list[Any]:
    """The scans of a person on the log."""
    found = log.run(everything(kafka, "scans"))
    return [record for record in found if record.key == person.encode()]


@pytest.mark.parametrize(("make", "outcome"), [(people.red, "red"), (people.green, "green")])
def test_the_camera_reads_a_code_from_the_real_page_and_the_screen_says_whose_it_is(
    stage: Stage,
    browser: Browser,
    tmp_path: Path,
    kafka: Kafka,
    log: Log,
    make: Callable[[str], HealthCode],
    outcome: str,
) -> None:
    person = someone()
    with camera(browser, tmp_path / "film.mjpeg", shown_by(stage, browser, make(person))) as page:
        page.add_init_script(FELT)
        begin(stage, page)
        assert word(page) == {"red": "红码", "green": "绿码"}[outcome]
        expect(page.locator("[data-name]")).to_have_text("样*甲")
        expect(page.locator("[data-ending]")).to_contain_text("1234")
        expect(page.locator("[data-server] time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
        ground = "getComputedStyle(document.querySelector('#shown')).backgroundColor"
        assert page.evaluate(ground) == GROUNDS[outcome]
        most = max(colours(page.screenshot()))[1]
        assert f"rgb{most}" == GROUNDS[outcome], "the screen is full of it"
        assert len(page.evaluate("played")) > 1
        assert len(page.evaluate("buzzed")) == 1
        [record] = recorded(log, kafka, person)
        assert "东门".encode() in record.value


def answered(page: Page, outcome: str, **fields: Any) -> None:
    """Let the view answer every scan with an outcome."""
    told = {
        "outcome": outcome,
        "name": None if outcome == "forged" else "样*甲",
        "ending": None if outcome == "forged" else "1234",
        "at": now().isoformat(),
        "again": False,
        **fields,
    }

    def answer(route: Route) -> None:
        if outcome == "unreachable":
            route.abort()
        else:
            route.fulfill(json=told)

    page.route("**/v1/scans", answer)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_fills_the_screen_and_differs_in_word_shape_sound_and_vibration(
    stage: Stage, gate: Page, outcome: str
) -> None:
    begin(stage, gate)
    others: dict[str, Any] = {}
    for other in OUTCOMES:
        page_of = gate.locator(f"template#outcome-{other}")
        shape, said = page_of.evaluate(
            """t => [t.content.querySelector("path").getAttribute("d"),
                     t.content.querySelector(".word .first").textContent]"""
        )
        others[other] = shape, said
    assert len({shape for shape, _ in others.values()}) == len(OUTCOMES)
    answered(gate, outcome)
    take(gate, drawn("x" * 100))
    assert word(gate) == others[outcome][1]
    assert gate.locator("#shown path").get_attribute("d") == others[outcome][0]
    expect(gate.locator("[data-name]")).to_be_visible(
        visible=outcome not in ("forged", "unreachable")
    )
    felt = gate.evaluate("Object.entries(OUTCOMES).map(([o, w]) => [o, w.buzz.join(' '), w.notes])")
    assert [name for name, *_ in felt] == OUTCOMES
    assert len({buzz for _, buzz, _ in felt}) == len({str(notes) for *_, notes in felt}) == 8
    [(_, buzz, notes)] = [each for each in felt if each[0] == outcome]
    assert gate.evaluate("buzzed") == [buzz]
    assert gate.evaluate("played") == [hertz for hertz, _ in notes if hertz]
    box, screen = gate.locator("#next").bounding_box(), gate.viewport_size
    assert box
    assert screen
    assert box["height"] >= screen["height"] / 4
    assert box["width"] == screen["width"]


@pytest.mark.parametrize("query", ["", "?lang=en"])
def test_every_screen_is_accessible_narrow_and_worked_by_keys(
    stage: Stage, narrow: Page, query: str
) -> None:
    begin(stage, narrow, query=query)
    assert_accessible(narrow)
    for outcome in OUTCOMES:
        narrow.unroute("**/v1/scans")
        answered(narrow, outcome)
        take(narrow, drawn("x" * 100))
        narrow.locator("#shown").wait_for()
        assert_accessible(narrow)
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 320
        expect(narrow.locator("#next")).to_be_focused()
        narrow.keyboard.press("Space" if outcome == "red" else "Enter")
        expect(narrow.locator("#shown")).to_be_hidden()


def test_the_outcome_stays_until_next(stage: Stage, gate: Page) -> None:
    gate.clock.install()
    begin(stage, gate)
    answered(gate, "green")
    take(gate, drawn("x" * 100))
    assert word(gate) == "绿码"
    gate.clock.run_for(600_000)
    expect(gate.locator("#shown")).to_be_visible()


def test_a_picture_sent_by_a_friend_has_the_friends_name_and_then_expires(
    stage: Stage, gate: Page
) -> None:
    friend = stage.put(people.green(someone()))
    begin(stage, gate)
    take(gate, drawn(Displays(DISPLAY_KEY).token(friend, "陈*明", "567X")))
    assert word(gate) == "绿码"
    expect(gate.locator("[data-holder]")).to_contain_text("陈*明")
    expect(gate.locator("[data-holder]")).to_contain_text("567X")
    gate.locator("#next").click()
    take(gate, drawn(token_of(friend, lambda: now() - timedelta(seconds=61))))
    assert word(gate) == "已过期"
    expect(gate.locator("[data-name]")).to_have_text("样*甲")


def test_the_camera_tells_a_film_of_before_from_a_code(
    stage: Stage, browser: Browser, tmp_path: Path, kafka: Kafka, log: Log
) -> None:
    person = stage.put(people.green(someone()))
    old = drawn(token_of(person, lambda: now() - timedelta(seconds=65)))
    with camera(browser, tmp_path / "film.mjpeg", old) as page:
        begin(stage, page)
        assert word(page) == "已过期"
        assert not recorded(log, kafka, person)


@pytest.mark.parametrize(
    ("text", "said"), [("https://example.org/", "无效码"), ("x" * 500, "无效码")]
)
def test_any_other_qr_is_not_genuine(stage: Stage, gate: Page, text: str, said: str) -> None:
    begin(stage, gate)
    take(gate, drawn(text))
    assert word(gate) == said


def test_a_terminal_ten_seconds_slow_is_told_so_with_both_times(stage: Stage, gate: Page) -> None:
    person = stage.put(people.green(someone()))
    gate.clock.set_system_time(now() - timedelta(seconds=10))
    begin(stage, gate)
    take(gate, drawn(token_of(person)))
    assert word(gate) == "时间不准"
    for time in ("[data-server] time", "[data-own] time"):
        expect(gate.locator(time)).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    assert gate.locator("[data-server] time").inner_text() != (
        gate.locator("[data-own] time").inner_text()
    )


def test_without_a_network_a_scan_shows_no_colour_waits_and_is_sent_once(
    stage: Stage, gate: Page, phone: BrowserContext, kafka: Kafka, log: Log
) -> None:
    person = stage.put(people.green(someone()))
    begin(stage, gate)
    phone.set_offline(True)
    expect(gate.locator("[data-offline]")).to_be_visible()
    take(gate, drawn(token_of(person)))
    assert word(gate) == "无法核验"
    assert gate.evaluate("document.body.dataset.outcome") == "unreachable"
    gate.locator("#next").click()
    expect(gate.locator("[data-waiting] b")).to_have_text("1")
    assert not recorded(log, kafka, person)
    phone.set_offline(False)
    expect(gate.locator("[data-waiting]")).to_be_hidden()
    gate.evaluate("dispatchEvent(new Event('online'))")
    gate.wait_for_timeout(500)
    assert len(recorded(log, kafka, person)) == 1


def test_the_installed_terminal_opens_without_a_network_and_keeps_what_waits(
    stage: Stage, kept: BrowserContext, kafka: Kafka, log: Log
) -> None:
    person = stage.put(people.green(someone()))
    gate = kept.new_page()
    begin(stage, gate)
    gate.evaluate("navigator.serviceWorker.ready.then(() => null)")
    kept.set_offline(True)
    gate.reload()
    expect(gate.locator("#place")).to_have_value("东门")
    expect(gate.locator("[data-known] code")).to_have_text("440100-001")
    gate.locator("#begin [type=submit]").click()
    take(gate, drawn(token_of(person)))
    assert word(gate) == "无法核验"
    gate.reload()
    expect(gate.locator("[data-waiting] b")).to_have_text("1")
    kept.set_offline(False)
    expect(gate.locator("[data-waiting]")).to_be_hidden()
    assert len(recorded(log, kafka, person)) == 1


def test_a_resident_and_a_guard_on_one_phone_keep_their_files_apart(
    stage: Stage, kept: BrowserContext
) -> None:
    page = kept.new_page()
    begin(stage, page)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    stage.open(page, stage.put(people.green(someone())))
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    assert page.evaluate("caches.keys().then(names => names.length)") == 2
    kept.set_offline(True)
    page.goto(f"{stage.url}/gate")
    expect(page.locator("#setup")).to_be_visible()
    page.goto(f"{stage.url}/code")
    expect(page.locator("h1 .first")).to_have_text("亮码失败")


def test_what_waited_for_more_than_a_day_is_dropped_and_counted(
    stage: Stage, gate: Page, phone: BrowserContext, kafka: Kafka, log: Log
) -> None:
    person = stage.put(people.green(someone()))
    begin(stage, gate)
    phone.set_offline(True)
    take(gate, drawn(token_of(person)))
    word(gate)
    gate.clock.set_system_time(now() + timedelta(hours=25))
    gate.locator("#next").click()
    phone.set_offline(False)
    expect(gate.locator("[data-dropped] b")).to_have_text("1")
    expect(gate.locator("[data-waiting]")).to_be_hidden()
    assert not recorded(log, kafka, person)


def test_a_scan_that_kafka_did_not_confirm_is_sent_again_as_the_same(
    stage: Stage, gate: Page
) -> None:
    sent: list[Any] = []

    def answer(route: Route) -> None:
        sent.append(route.request.post_data_json)
        told = {"outcome": "green", "name": None, "ending": None, "at": now().isoformat()}
        route.fulfill(json={**told, "again": len(sent) < 3})

    begin(stage, gate)
    gate.route("**/v1/scans", answer)
    take(gate, drawn("x" * 100))
    assert word(gate) == "绿码"
    gate.locator("#next").click()
    expect(gate.locator("[data-waiting] b")).to_have_text("1")
    for _ in range(2):
        gate.evaluate("dispatchEvent(new Event('online'))")
        gate.wait_for_timeout(200)
    expect(gate.locator("[data-waiting]")).to_be_hidden()
    first, *others = ({**each, "sent_at": None} for each in sent)
    assert others == [first, first]


def test_a_scan_that_the_view_fails_at_holds_up_no_other(
    stage: Stage, gate: Page, phone: BrowserContext
) -> None:
    sent: list[str] = []

    def answer(route: Route) -> None:
        scan = route.request.post_data_json
        assert scan is not None
        sent.append(scan["token"])
        if scan["token"].startswith("y"):
            return route.fulfill(status=500, json={})
        told = {"outcome": "expired", "name": None, "ending": None, "at": now().isoformat()}
        return route.fulfill(json={**told, "again": False})

    begin(stage, gate)
    gate.route("**/v1/scans", answer)
    phone.set_offline(True)
    for text in ("y" * 100, "x" * 100, "z" * 100):
        take(gate, drawn(text))
        word(gate)
        gate.locator("#next").click()
    expect(gate.locator("[data-waiting] b")).to_have_text("3")
    phone.set_offline(False)
    expect(gate.locator("[data-waiting] b")).to_have_text("1")
    assert [text[0] for text in sent] == ["y", "x", "z"]


def test_where_a_browser_keeps_nothing_the_guard_still_gets_an_outcome(
    stage: Stage, gate: Page, phone: BrowserContext
) -> None:
    gate.add_init_script("IDBFactory.prototype.open = () => { throw new Error('refused'); };")
    begin(stage, gate)
    phone.set_offline(True)
    for count in ("1", "2"):
        take(gate, drawn("x" * 100))
        assert word(gate)
        gate.locator("#next").click()
        expect(gate.locator("[data-dropped] b")).to_have_text(count)
    expect(gate.locator("[data-waiting]")).to_be_hidden()


def test_token_and_place_are_entered_once_and_can_be_deleted(stage: Stage, gate: Page) -> None:
    begin(stage, gate, place="地铁站 A 口")
    gate.goto(f"{stage.url}/gate")
    assert TERMINAL not in gate.url
    expect(gate.locator("#token")).to_be_hidden()
    expect(gate.locator("#place")).to_have_value("地铁站 A 口")
    gate.locator("#forget").click()
    expect(gate.locator("#token")).to_be_focused()
    assert TERMINAL not in gate.evaluate("JSON.stringify(localStorage)")


def test_the_token_may_be_read_from_a_qr(stage: Stage, gate: Page) -> None:
    gate.goto(f"{stage.url}/gate")
    gate.locator("#scan-token").click()
    expect(gate.locator("#looking h1")).to_contain_text("令牌")
    take(gate, drawn(TERMINAL))
    expect(gate.locator("[data-known] code")).to_have_text("440100-001")


def test_what_is_no_token_and_what_the_view_refuses_are_said(stage: Stage, gate: Page) -> None:
    gate.goto(f"{stage.url}/gate")
    gate.locator("#token").fill(TOKENS.token_for("/laboratories/1"))
    gate.locator("#place").fill("东门")
    gate.locator("#begin [type=submit]").click()
    expect(gate.get_by_role("alert")).to_contain_text("不是查验终端的令牌")
    gate.locator("#token").fill(OTHER_TOKENS.token_for("/terminals/1"))
    gate.locator("#begin [type=submit]").click()
    take(gate, drawn("x" * 100))
    expect(gate.get_by_role("alert")).to_contain_text("不接受此令牌")
    expect(gate.locator("#shown")).to_be_hidden()
    gate.locator("#forget").click()
    begin(stage, gate, place="11010519491231002X")
    take(gate, drawn(token_of(someone())))
    expect(gate.get_by_role("alert")).to_contain_text("不接受此地点")


def test_the_browsers_own_detector_is_used_where_there_is_one_and_zxing_where_it_fails(
    stage: Stage, gate: Page
) -> None:
    gate.add_init_script(
        """window.BarcodeDetector = class {
            static getSupportedFormats() { return Promise.resolve(["qr_code"]); }
            detect() {
                if (window.broken) return Promise.reject(new Error("no service"));
                return Promise.resolve([{ rawValue: "by the browser" }]);
            }
        };"""
    )
    asked: list[str] = []
    gate.on("request", lambda request: asked.append(request.url))
    begin(stage, gate)
    answered(gate, "red")
    with gate.expect_request("**/v1/scans") as sent:
        take(gate, drawn("x" * 100))
    assert (sent.value.post_data_json or {})["token"] == "by the browser"
    assert not [url for url in asked if "wasm" in url]
    gate.locator("#next").click()
    gate.evaluate("window.broken = true")
    with gate.expect_request("**/v1/scans") as sent:
        take(gate, drawn("x" * 100))
    assert (sent.value.post_data_json or {})["token"] == "x" * 100


def test_the_torch_is_there_where_the_camera_has_one(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    with camera(browser, tmp_path / "film.mjpeg", Image.new("RGB", SIZE)) as page:
        page.add_init_script(
            """window.lit = [];
            MediaStreamTrack.prototype.getCapabilities = () => ({ torch: true });
            MediaStreamTrack.prototype.applyConstraints = (wanted) => {
                window.lit.push(wanted.advanced[0].torch);
                return Promise.resolve();
            };"""
        )
        begin(stage, page)
        torch = page.get_by_role("button", name="手电筒")
        torch.click()
        expect(torch).to_have_attribute("aria-pressed", "true")
        torch.click()
        expect(torch).to_have_attribute("aria-pressed", "false")
        assert page.evaluate("lit") == [True, False]


def test_without_a_camera_it_says_what_to_do(stage: Stage, gate: Page) -> None:
    begin(stage, gate)
    expect(gate.locator("[data-no-camera]")).to_contain_text("拍照识别")
    expect(gate.locator("#torch")).to_be_hidden()
    take(gate, Image.new("RGB", (100, 100)))
    expect(gate.locator("[data-no-code]")).to_be_visible()


def test_chromium_finds_the_terminal_installable(stage: Stage, kept: BrowserContext) -> None:
    page = kept.new_page()
    answer = page.goto(f"{stage.url}/gate")
    assert answer
    assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
    assert "camera=(self)" in answer.headers["permissions-policy"]
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    session = kept.new_cdp_session(page)
    found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in found} <= {"in-incognito"}
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert '"scope":"/gate"' in manifest["data"]
    wasm = page.evaluate(
        "fetch(document.body.dataset.wasm).then(a => a.headers.get('content-type'))"
    )
    assert wasm == "application/wasm"
    elsewhere = page.goto(f"{stage.url}/")
    assert elsewhere
    assert "wasm" not in elsewhere.headers["content-security-policy"]
    assert "camera=()" in elsewhere.headers["permissions-policy"]
