"""The forms of a resident in Chromium: sent once, kept while there is no connection."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect
from redis.asyncio import Redis

from app.development.outbox import Outbox
from app.development.stack.processes import HttpProcess
from app.gateway.person_keys import PersonKeys
from app.process.ports import free_ports
from app.process.settings import Settings
from models.events import (
    ListName,
    TelecomVisitData,
    TelecomVisitReported,
    Visit,
)
from models.lists import EMPTY, Listing, add
from models.phones import Phone
from support import builders as b
from support.brokers import Kafka
from support.browsing import NARROW, PHONE, SMALL_TARGETS, assert_accessible
from support.gateways import SECRET, command
from support.redis_users import as_user
from support.rows import put_rows
from support.stage import Log, Stage
from support.tokens import OF_THE_VIEW
from support.travels import PHONE as NUMBER
from support.travels import another
from support.up import answers
from support.views import CREDENTIAL_KEY, DISPLAY_KEY, SESSION_KEY, now, someone

SENT = re.compile(r"/declare/sent/")
SUBMIT = "提交申报"
KINDS = ("enterprise-employee", "organisation-member", "student-or-staff", "personal")


def fill(page: Page, unit: str | None = None, celsius: str = "36.6") -> None:
    """Fill in a declaration."""
    if unit is not None:
        page.locator("#unit").fill(unit)
    page.get_by_label("目前所在城市").select_option("440300")
    page.get_by_label("今日体温").fill(celsius)
    page.get_by_label("咳嗽").check()
    page.get_by_role("group", name="接触").get_by_label("否").check()
    page.get_by_role("group", name="境外").get_by_label("是").check()


def drafts(page: Page) -> list[str]:
    kept: list[str] = page.evaluate("Object.keys(localStorage)")
    return kept


# Declarations


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_each_kind_is_filled_in_and_sent(
    stage: Stage, browser: Browser, kind: str, scripts: bool
) -> None:
    with browser.new_context(
        viewport=PHONE, locale="zh-CN", java_script_enabled=scripts
    ) as context:
        page = context.new_page()
        stage.open(page, someone(), f"/declare/{kind}")
        assert page.locator("input[type=radio]:checked").count() == 0
        fill(page, None if kind == "personal" else "示例单位")
        page.get_by_role("button", name=SUBMIT).click()
        page.wait_for_url(SENT)
        expect(page.locator("h1")).to_have_text("申报已提交")
        expect(page.locator(".reference")).to_have_text(re.compile(r"^\w{4}-\w{5}$"))
        if scripts:
            assert drafts(page) == []


def test_all_that_is_wrong_is_said_at_once_and_by_the_page(stage: Stage, page: Page) -> None:
    """Not by the browser's bubble, one field at a time and in its own language."""
    stage.open(page, someone(), "/declare/student-or-staff")
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#faults")).to_be_focused()
    expect(page.locator("#faults li")).to_have_count(5)
    expect(page.locator("#faults")).to_contain_text("是否接触过")
    expect(page.locator("#faults")).to_contain_text("是否到过")
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#faults")).to_be_focused()


def test_a_comma_is_a_point_and_a_point_that_was_left_out_is_asked_about(
    stage: Stage, page: Page
) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page, celsius="365")
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#celsius-fault")).to_contain_text("体温是不是 36.5")
    page.get_by_label("今日体温").fill("36,5")
    page.get_by_role("button", name=SUBMIT).click()
    page.wait_for_url(SENT)
    expect(page.locator(".facts")).to_contain_text("36.5 ℃")


def test_whoever_goes_back_to_a_form_that_was_sent_finds_the_records(
    stage: Stage, page: Page
) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    page.get_by_role("button", name=SUBMIT).click()
    page.wait_for_url(SENT)
    page.go_back()
    page.wait_for_url("**/me/declarations*")


def test_a_fever_is_told_what_to_do_before_anything_else(stage: Stage, page: Page) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page, celsius="39.5")
    page.get_by_role("button", name=SUBMIT).click()
    page.wait_for_url(SENT)
    expect(page.locator("h1")).to_have_text("请先做这件事")
    advice = page.locator(".advice").bounding_box()
    assert advice is not None
    assert advice["y"] + advice["height"] < PHONE["height"], "on the first screen"
    assert_accessible(page)


def test_faults_take_the_focus_and_lead_to_their_fields(stage: Stage, page: Page) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    page.get_by_label("今日体温").fill("30")
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#faults")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("今日体温")).to_be_focused()
    expect(page.get_by_label("今日体温")).to_have_value("30")
    expect(page.get_by_label("咳嗽")).to_be_checked()
    described = page.get_by_label("今日体温").get_attribute("aria-describedby")
    assert described == "celsius-hint celsius-fault"
    assert_accessible(page)
    page.get_by_label("今日体温").fill("36.9")
    page.get_by_role("button", name=SUBMIT).click()
    page.wait_for_url(SENT)


def test_a_double_tap_sends_one(stage: Stage, page: Page) -> None:
    posts: list[str] = []
    page.on("request", lambda r: posts.append(r.post_data or "") if r.method == "POST" else None)
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    page.get_by_role("button", name=SUBMIT).dblclick()
    page.wait_for_url(SENT)
    assert len(posts) == 1


def test_a_draft_survives_a_lost_connection_and_a_reload(
    stage: Stage, page: Page, phone: BrowserContext
) -> None:
    stage.open(page, someone(), "/declare/personal")
    id_before = page.locator("[name=id]").input_value()
    fill(page, celsius="37.3")
    phone.set_offline(True)
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#told")).to_contain_text("网络中断")
    assert_accessible(page)
    phone.set_offline(False)
    expect(page.locator("#told")).to_contain_text("网络已恢复")
    page.reload()
    expect(page.locator("#told")).to_contain_text("已恢复本机上没有提交的草稿")
    assert_accessible(page)
    expect(page.get_by_label("今日体温")).to_have_value("37.3")
    expect(page.get_by_label("目前所在城市")).to_have_value("440300")
    expect(page.get_by_label("咳嗽")).to_be_checked()
    expect(page.get_by_label("发热")).not_to_be_checked()
    expect(page.get_by_role("group", name="境外").get_by_label("是")).to_be_checked()
    assert page.locator("[name=id]").input_value() == id_before, "sent again it is the same"
    page.get_by_role("button", name=SUBMIT).click()
    page.wait_for_url(SENT)
    assert drafts(page) == []


def test_an_answer_that_is_lost_leaves_a_draft_that_is_the_same_declaration(
    stage: Stage, page: Page
) -> None:
    """The server took it, and the browser does not know."""
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    page.route("**/declare/personal*", lambda route: (route.fetch(), route.abort()))
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#told")).to_contain_text("网络中断")
    page.unroute_all()
    page.get_by_role("button", name=SUBMIT).click()
    page.wait_for_url(SENT)


def test_a_draft_is_discarded_by_a_button(stage: Stage, page: Page) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    page.clock.run_for(400)
    page.reload()
    page.get_by_role("button", name="清空草稿").click()
    expect(page.get_by_label("今日体温")).to_have_value("")
    assert page.locator(":checked:not(option)").count() == 0
    assert drafts(page) == []
    page.reload()
    expect(page.get_by_label("今日体温")).to_have_value("")


def test_nobody_sees_the_draft_of_another(stage: Stage, page: Page) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    page.clock.run_for(400)
    assert drafts(page) == ["declare:personal"]
    stage.open(page, someone(), "/declare/personal")
    expect(page.get_by_label("今日体温")).to_have_value("")
    assert drafts(page) == []


def test_a_draft_is_of_its_kind_and_of_a_day(stage: Stage, page: Page) -> None:
    person = someone()
    stage.open(page, person, "/declare/personal")
    fill(page)
    page.clock.run_for(400)
    stage.open(page, person, "/declare/student-or-staff")
    expect(page.get_by_label("今日体温")).to_have_value("")
    page.clock.fast_forward(timedelta(hours=25) // timedelta(milliseconds=1))
    page.goto(f"{stage.url}/declare/personal")
    expect(page.get_by_label("今日体温")).to_have_value("")
    assert drafts(page) == []


def test_who_is_no_longer_logged_in_keeps_the_draft(
    stage: Stage, page: Page, phone: BrowserContext
) -> None:
    stage.open(page, someone(), "/declare/personal")
    fill(page)
    phone.clear_cookies()
    page.get_by_role("button", name=SUBMIT).click()
    expect(page.locator("#told")).to_contain_text("登录已结束")
    login = page.locator("#told a")
    expect(login).to_have_attribute("href", "/login?return_to=/declare/personal")
    assert drafts(page) == ["declare:personal"]


# The travel card


@pytest.fixture(scope="module")
def travel(
    kafka: Kafka, redis_url: str, log: Log, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stage, Outbox]]:
    """A view with the gateway that names phones, the outbox for a carrier, and a phone's visits."""
    directory = tmp_path_factory.mktemp("travel")
    view, gateway = free_ports(2)
    environment = {
        **kafka.environment,
        "YUEKANG_ENVIRONMENT": "development",
        "YUEKANG_REDIS_URL": as_user("view", redis_url.replace("/0", "/8")),
        "YUEKANG_DATA_DIR": str(directory),
        "YUEKANG_VIEW_PORT": str(view),
        "YUEKANG_GATEWAY_PORT": str(gateway),
        "YUEKANG_PERSON_KEY_SECRET": SECRET.hex(),
        **OF_THE_VIEW,
        "YUEKANG_DISPLAY_KEY": DISPLAY_KEY.hex(),
        "YUEKANG_CREDENTIAL_KEY": CREDENTIAL_KEY.hex(),
        "YUEKANG_SESSION_KEY": SESSION_KEY.hex(),
    }
    rows_url = Settings(redis_url=redis_url.replace("/0", "/8")).rows_redis_url
    log.run(_put_visits(rows_url, kafka.prefix))
    processes = [
        HttpProcess(
            name,
            command(subcommand),
            directory,
            {**environment, **kafka.known_as(name)},
            f"http://127.0.0.1:{port}",
        )
        for name, subcommand, port in (
            ("gateway", "gateway", gateway),
            ("view", "development-view", view),
        )
    ]
    for process in processes:
        process.start()
    try:
        processes[0].wait_ready()
        url = f"http://127.0.0.1:{view}"
        # Of this one process, not of its class.
        processes[1].ready = lambda: answers(f"{url}/livez")  # type: ignore[method-assign]
        processes[1].wait_ready()
        yield Stage(url, log), Outbox(directory)
    finally:
        for process in processes:
            process.stop()
    for process in processes:
        assert NUMBER not in process.log.read_text()


async def _put_visits(rows_url: str, prefix: str) -> None:
    key = PersonKeys(SECRET, 1).key(Phone(NUMBER))
    listing: Listing = EMPTY
    for days, city, visit in ((9, "440100", Visit.REACHED), (2, "440300", Visit.PASSED)):
        at = now() - timedelta(days=days)
        data = TelecomVisitData(city, visit, at)
        event = b.make(TelecomVisitReported, data, at=at, source="/telecoms/1", person=key)
        listing = add(listing, event, now())
    async with Redis.from_url(rows_url) as redis:
        await put_rows(redis, listings={(key, ListName.TELECOM_VISITS): listing}, prefix=prefix)


def newest_code(outbox: Outbox) -> str:
    [message] = outbox.newest(1)
    match = re.search(r"[0-9]{6}", message.text)
    assert match is not None
    return match[0]


@pytest.mark.parametrize("size", [PHONE, NARROW], ids=["phone", "narrow"])
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_phone_a_code_a_card(
    travel: tuple[Stage, Outbox], browser: Browser, size: ViewportSize, scripts: bool
) -> None:
    stage, outbox = travel
    with browser.new_context(
        viewport=size,
        locale="zh-CN",
        java_script_enabled=scripts,
    ) as context:
        page = context.new_page()
        stage.open(page, someone(), "/travel-card")
        page.get_by_label("手机号").fill(NUMBER)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("输入验证码")
        field = page.get_by_label("验证码", exact=True)
        expect(field).to_be_focused()
        if scripts:
            assert_accessible(page)
        code = newest_code(outbox)
        field.fill(another(code))
        page.keyboard.press("Enter")
        expect(page.locator("#code-fault")).to_contain_text("还可以试 4 次")
        if scripts:
            assert_accessible(page)
        page.get_by_label("验证码", exact=True).fill(code)
        page.keyboard.press("Enter")
        expect(page.locator(".phone")).to_have_text("138****8000")
        assert [s.split("\n")[0] for s in page.locator(".cities strong").all_inner_texts()] == [
            "广州",
            "深圳",
        ]
        if scripts:
            assert_accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert page.evaluate(SMALL_TARGETS) == []
        told = len(outbox.newest())
        page.reload()
        expect(page.locator(".phone")).to_have_text("138****8000")
        page.get_by_role("link", name="English").click()
        expect(page.locator("h1 .first")).to_have_text("Travel card")
        page.goto(f"{stage.url}/travel-card?lang=zh")
        expect(page.locator(".phone")).to_have_text("138****8000")
        assert len(outbox.newest()) == told, "no further message"
        if scripts and size is PHONE:
            card = page.locator(".travel").bounding_box()
            assert card is not None
            assert card["y"] + card["height"] <= PHONE["height"], "on one screen"


def test_seconds_are_counted_until_a_code_may_be_sent_again(
    travel: tuple[Stage, Outbox], page: Page
) -> None:
    stage, outbox = travel
    stage.open(page, someone(), "/travel-card")
    page.get_by_label("手机号").fill(NUMBER)
    page.keyboard.press("Enter")
    again = page.get_by_role("button", name="重新获取验证码")
    expect(again).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_text("秒后可以重新获取")).to_be_visible()
    before = len(outbox.newest())
    again.press("Enter")
    page.clock.run_for(61_000)
    expect(again).not_to_have_attribute("aria-disabled", "true")
    expect(page.get_by_text("秒后可以重新获取")).to_be_hidden()
    assert len(outbox.newest()) == before
    again.click()  # by the server's clock a minute is not over
    expect(page.locator("#faults")).to_contain_text("获取得太频繁了")
    assert_accessible(page)
    assert page.get_by_label("验证码", exact=True).is_visible()


def shown_card(travel: tuple[Stage, Outbox], page: Page) -> None:
    """Have a card shown, as its owner does."""
    stage, outbox = travel
    stage.open(page, someone(), "/travel-card")
    page.get_by_label("手机号").fill(NUMBER)
    page.keyboard.press("Enter")
    field = page.get_by_label("验证码", exact=True)
    expect(field).to_be_focused()
    field.fill(newest_code(outbox))
    page.keyboard.press("Enter")
    expect(page.locator(".phone")).to_have_text("138****8000")
    page.wait_for_load_state()  # with its scripts: without them the clock does not run


def test_no_way_back_or_on_asks_to_send_a_form_again(
    travel: tuple[Stage, Outbox], phone: BrowserContext
) -> None:
    page = phone.new_page()
    shown_card(travel, page)
    page.goto(f"{travel[0].url}/declare")
    for go in (page.go_back, page.reload, page.go_forward, page.go_back):
        answer = go()
        assert answer is not None
        assert answer.request.method == "GET"
    expect(page.locator(".phone")).to_have_text("138****8000")


def test_a_card_has_a_running_clock_and_is_renewed_each_minute(
    travel: tuple[Stage, Outbox], page: Page
) -> None:
    shown_card(travel, page)
    hands = page.locator("[data-hands]")
    before = hands.inner_text()
    page.clock.run_for(2_000)
    assert hands.inner_text() != before
    with page.expect_response("**/travel-card*") as renewed:
        page.clock.run_for(61_000)
    assert renewed.value.request.method == "GET"
    expect(page.locator("[data-old]")).to_be_hidden()


def test_a_card_without_a_network_has_no_running_clock(
    travel: tuple[Stage, Outbox], page: Page, phone: BrowserContext
) -> None:
    shown_card(travel, page)
    phone.set_offline(True)
    page.clock.run_for(160_000)
    expect(page.locator("[data-old]")).to_be_visible()
    expect(page.locator("[data-clock]")).to_be_hidden()
    assert_accessible(page)
    phone.set_offline(False)
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator("[data-clock]")).to_be_visible()
