"""A phone that shows its code by itself, and a terminal that believes it, with and without us."""

import base64
import io
import time
from collections.abc import Iterator

import httpx
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from app.credentials.claims import Claims, read_claims
from app.credentials.keys import IssuerKeys
from app.credentials.proofs import PROOF_PREFIX, Proof, read_proof
from bench.view.phones import AS_OLD_AS_THEY_ARE
from models.codes import Colour
from support import people
from support.browsing import PHONE, assert_accessible, is_grey
from support.credentials import Phone
from support.stage import Stage
from support.terminals import begin, take
from support.views import CREDENTIAL_KEY, now, resident_cookie, someone

KEYS = IssuerKeys(CREDENTIAL_KEY)
OWN = "[data-qr] svg, [data-proof] svg"


def picture(page: Page) -> Image.Image:
    """What stands on the screen, from its top to its bottom."""
    return Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")


def held(page: Page) -> str:
    """What the QR on the screen holds."""
    page.locator(OWN).wait_for()
    (read,) = zxingcpp.read_barcodes(picture(page))
    text: str = read.text
    return text


def proved(page: Page) -> Proof:
    """What the phone shows by itself, once it does."""
    for _ in range(100):
        text = held(page)
        if text.startswith(PROOF_PREFIX):
            return read_proof(text, KEYS)
        page.wait_for_timeout(100)
    raise AssertionError("the phone shows nothing by itself")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def said(claims: Claims) -> tuple[Colour, str, str]:
    return claims.colour, claims.name, claims.ending


@pytest.fixture
def gate(browser: Browser, stage: Stage) -> Iterator[Page]:
    """A terminal with the keys and the lists of now."""
    with browser.new_context(viewport=PHONE, locale="zh-CN", service_workers="block") as context:
        yield context.new_page()


def follows(gate: Page, stage: Stage) -> None:
    """Set a terminal up, and return when it has the lists of now."""
    with gate.expect_response("**/v1/s/*"):
        begin(stage, gate)
    gate.wait_for_timeout(300)


def judged(gate: Page, shown: Image.Image) -> str | None:
    """The outcome that a terminal shows for what it is handed."""
    take(gate, shown)
    gate.locator("#shown").wait_for()
    outcome: str | None = gate.evaluate("document.body.dataset.outcome")
    return outcome


# The phone


def test_the_phone_shows_its_code_by_itself_and_the_gate_answers(stage: Stage, page: Page) -> None:
    for make, colour in ((people.green, Colour.GREEN), (people.red, Colour.RED)):
        stage.open(page, stage.put(make(someone())))
        assert said(proved(page).claims) == (colour, "样*甲", "1234")
        answer = stage.scan(held(page)).json()
        assert (answer["outcome"], answer["name"]) == (colour.value, "样*甲")


def test_the_qr_turns_by_itself_and_asks_for_nothing_but_the_list(stage: Stage, page: Page) -> None:
    page.add_init_script(AS_OLD_AS_THEY_ARE)
    stage.open(page, stage.put(people.green(someone())))
    first = proved(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(stage.url)))
    for _ in range(5):
        page.clock.run_for(4_500)
        page.wait_for_timeout(200)  # for an answer, or the colour would be taken away
    second = proved(page)
    assert second.claims == first.claims
    assert 20 <= (second.shown_at - first.shown_at).total_seconds() <= 30
    assert set(asked) == {f"/v1/s/{first.claims.place.chunk}"}


def test_each_refresh_has_a_place_of_its_own_and_a_new_load_has_the_one_of_before(
    stage: Stage, page: Page
) -> None:
    stage.open(page, stage.put(people.green(someone())))
    first = proved(page).claims.place
    page.reload()
    assert proved(page).claims.place == first
    page.wait_for_timeout(5_000)  # the view gives a session one in five seconds
    page.evaluate(
        """() => {
            const found = JSON.parse(localStorage.getItem("credential"));
            found.at -= 3600000;
            localStorage.setItem("credential", JSON.stringify(found));
        }"""
    )
    with page.expect_response("**/v1/me/credential"):
        page.clock.run_for(6_000)
    page.wait_for_timeout(300)
    text = page.evaluate("JSON.parse(localStorage.getItem('credential')).credential")
    assert read_claims(KEYS.verified(decoded(text))).place != first


def test_with_another_colour_it_has_another_credential(stage: Stage, page: Page) -> None:
    person = stage.put(people.green(someone()))
    stage.open(page, person)
    assert proved(page).claims.colour is Colour.GREEN
    page.wait_for_timeout(5_000)  # the view gives a session one in five seconds
    stage.put(people.red(person, version=2))
    page.clock.run_for(6_000)
    expect(page.locator("h1 .first")).to_have_text("红码")
    for _ in range(20):
        page.clock.run_for(1_000)
        page.wait_for_timeout(100)
        text = held(page)
        if text.startswith(PROOF_PREFIX):
            break
    assert read_proof(text, KEYS).claims.colour is Colour.RED


def test_of_two_people_in_one_browser_each_has_their_own(stage: Stage, page: Page) -> None:
    stage.open(page, stage.put(people.green(someone())))
    first = proved(page).claims
    stage.open(page, stage.put(people.green(someone())))
    assert proved(page).claims.place != first.place


def test_of_somebody_before_nothing_is_left_though_the_next_one_gets_none(
    stage: Stage, page: Page
) -> None:
    stage.open(page, stage.put(people.green(someone())))
    proved(page)
    page.route("**/v1/me/credential", lambda route: route.fulfill(status=503))
    stage.open(page, stage.put(people.green(someone())))
    page.wait_for_function("localStorage.getItem('credential') === null")
    assert page.evaluate("wallet.show()") is None


@pytest.mark.parametrize(
    "missing",
    [
        "delete Crypto.prototype.subtle",
        "IDBFactory.prototype.open = () => { throw new Error('forbidden'); }",
    ],
)
def test_whoever_has_no_such_phone_has_the_servers_qr(
    stage: Stage, page: Page, missing: str
) -> None:
    page.add_init_script(missing)
    stage.open(page, stage.put(people.green(someone())))
    page.wait_for_timeout(500)
    text = held(page)
    assert not text.startswith(PROOF_PREFIX)
    assert stage.scan(text).json()["outcome"] == "green"


# Without a network


def test_without_a_network_a_terminal_reads_the_page_that_shows_no_colour(
    stage: Stage, kept: BrowserContext, gate: Page
) -> None:
    page = kept.new_page()
    page.clock.install()
    stage.open(page, stage.put(people.green(someone())))
    proved(page)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.wait_for_function("caches.keys().then(names => names.length === 1)")
    follows(gate, stage)
    kept.set_offline(True)
    gate.context.set_offline(True)
    page.goto(f"{stage.url}/code")
    expect(page.locator("h1 .first")).to_have_text("亮码失败")
    expect(page.get_by_text("没有网络，查验终端仍可扫码核验")).to_be_visible()
    page.locator(OWN).wait_for()
    assert is_grey(page)
    assert_accessible(page)
    assert judged(gate, picture(page)) == "green"
    expect(gate.locator("[data-name]")).to_have_text("样*甲")
    expect(gate.locator("[data-ending] b")).to_have_text("1234")
    expect(gate.locator("[data-as-of]")).to_be_visible()
    first = held(page)
    page.clock.run_for(21_000)
    for _ in range(50):  # another is signed first
        if held(page) != first:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the QR does not turn")


def test_an_open_page_that_loses_its_network_still_shows_what_a_terminal_reads(
    stage: Stage, page: Page, phone: BrowserContext, gate: Page
) -> None:
    stage.open(page, stage.put(people.red(someone())))
    proved(page)
    follows(gate, stage)
    phone.set_offline(True)
    gate.context.set_offline(True)
    page.clock.run_for(25_000)
    expect(page.locator("h1 .first")).to_have_text("亮码失败")
    expect(page.locator("[data-qr]")).to_have_count(0)
    page.locator(OWN).wait_for()
    assert is_grey(page)
    assert read_proof(held(page), KEYS).claims.colour is Colour.RED


def credential_of(stage: Stage, person: str, phone: Phone) -> bytes:
    """A credential for a phone that is no browser."""
    cookie = resident_cookie(person)
    answer = httpx.post(
        f"{stage.url}/v1/me/credential",
        json={"key": phone.jwk},
        headers={"origin": stage.url, "cookie": f"{cookie.key}={cookie.value}"},
    )
    assert answer.is_success, answer.text
    return decoded(answer.json()["credential"])


def test_within_a_minute_of_a_red_no_terminal_believes_the_green_of_before(
    stage: Stage, gate: Page
) -> None:
    """The phone has no network. The terminal has one, and is not asked to use it."""
    phones = {stage.put(people.green(someone())): Phone() for _ in range(2)}
    credentials = {person: credential_of(stage, person, phone) for person, phone in phones.items()}
    follows(gate, stage)

    def outcomes() -> list[str]:
        shown = [phone.show(credentials[person], now()) for person, phone in phones.items()]
        found: list[str] = gate.evaluate(
            "texts => Promise.all(texts.map(text => verify(text).then(f => f.outcome)))", shown
        )
        return found

    assert outcomes() == ["green", "green"]
    stage.put(people.red(next(iter(phones)), version=2))
    red_at = time.monotonic()
    while outcomes() == ["green", "green"]:
        assert time.monotonic() - red_at < 60
        gate.wait_for_timeout(1_000)
    print(f"turned off after {time.monotonic() - red_at:.0f} s")
    assert outcomes() == ["expired", "green"]


def test_a_model_that_was_built_again_is_asked_for_another_credential(
    stage: Stage, page: Page
) -> None:
    stage.open(page, stage.put(people.green(someone())))
    first = proved(page).claims.place
    page.wait_for_timeout(5_000)  # the view gives a session one in five seconds

    def answer(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, headers={**response.headers, "x-epoch": "another"})

    page.route("**/v1/me/display", answer)
    page.route("**/v1/s/*", lambda route: route.fulfill(status=404, body="{}"))
    with page.expect_response("**/v1/me/credential"):
        page.clock.run_for(6_000)
    page.wait_for_timeout(500)
    assert proved(page).claims.place != first
