"""Logging in and out in a browser: view, gateway and identity provider as they are run."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.development.provider.people import IDENTITIES_FILE, write_people
from app.development.stack.processes import HttpProcess
from app.login.sessions import COOKIE, DEVICE_COOKIE
from app.process.kafka import Brokers
from app.process.ports import free_ports
from support.brokers import Kafka
from support.browsing import SMALL_TARGETS, assert_accessible
from support.gateways import SECRET, command
from support.logins import CARD, PEOPLE
from support.redis_users import as_user
from support.stage import Log
from support.tokens import OF_THE_VIEW
from support.up import answers
from support.views import CREDENTIAL_KEY, DISPLAY_KEY, SESSION_KEY

WHY = ("denied", "expired", "provider-away", "provider", "document", "gateway", "sessions")


@pytest.fixture(scope="module")
def own_topics(broker: Brokers, worker_id: str, log: Log) -> Kafka:
    """Topics of its own: who logs in is not judged here, since no worker runs, and the codes of
    other pages would grow old behind it."""
    kafka = Kafka(broker, f"e2e-{worker_id}-login-")
    log.run(kafka.create_topics())
    return kafka


@pytest.fixture(scope="module")
def site(
    own_topics: Kafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where the view is. Nothing that ran may have a document number in its log."""
    directory = tmp_path_factory.mktemp("login")
    write_people(directory / IDENTITIES_FILE, PEOPLE)
    view, gateway, provider = free_ports(3)
    environment = {
        **own_topics.environment,
        "YUEKANG_ENVIRONMENT": "development",
        "YUEKANG_REDIS_URL": as_user("view", redis_url.replace("/0", "/4")),
        "YUEKANG_DATA_DIR": str(directory),
        "YUEKANG_VIEW_PORT": str(view),
        "YUEKANG_GATEWAY_PORT": str(gateway),
        "YUEKANG_IDENTITY_PROVIDER_PORT": str(provider),
        "YUEKANG_PERSON_KEY_SECRET": SECRET.hex(),
        **OF_THE_VIEW,
        "YUEKANG_DISPLAY_KEY": DISPLAY_KEY.hex(),
        "YUEKANG_CREDENTIAL_KEY": CREDENTIAL_KEY.hex(),
        "YUEKANG_SESSION_KEY": SESSION_KEY.hex(),
        "YUEKANG_OIDC_CLIENT_SECRET": "a secret of theirs",
    }
    ports = {"gateway": gateway, "identity-provider": provider, "view": view}
    processes = [
        HttpProcess(
            name,
            command(name),
            directory,
            {**environment, **own_topics.known_as(name)},
            f"http://127.0.0.1:{port}",
        )
        for name, port in ports.items()
    ]
    for process in processes:
        process.start()
    try:
        for process in processes[:2]:
            process.wait_ready()
        # Without a read model the view is not ready, and its logins work all the same.
        # Set for this one process, not for its class.
        processes[2].ready = lambda: answers(f"http://127.0.0.1:{view}/livez")  # type: ignore[method-assign]
        processes[2].wait_ready()
        yield f"http://127.0.0.1:{view}"
    finally:
        for process in processes:
            process.stop()
    for process in processes:
        assert CARD not in process.log.read_text()
        assert "Traceback" not in process.log.read_text(), process.log.read_text()


def said(page: Page, site: str) -> dict[str, object]:
    """What the browser, with its own cookies, is told of its session."""
    page.goto(f"{site}/logged-out")
    answer: dict[str, object] = page.evaluate(
        "fetch('/v1/session').then(async a => ({status: a.status, ...await a.json()}))"
    )
    return answer


def log_in(page: Page, site: str) -> None:
    page.goto(f"{site}/login?return_to=/")
    page.get_by_role("button", name="陈小明").click()
    page.wait_for_url(f"{site}/")


def test_a_browser_keeps_the_cookie_also_over_http_on_a_loopback_address(
    site: str, page: Page, phone: BrowserContext
) -> None:
    """`__Host-` and Secure need no exception in development: Chromium trusts loopback."""
    log_in(page, site)
    [cookie] = [one for one in phone.cookies() if one["name"] == COOKIE]
    assert cookie["secure"]
    assert cookie["httpOnly"]
    assert (cookie["sameSite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "127.0.0.1")
    assert said(page, site)["name"] == "陈*明"
    assert page.evaluate("document.cookie") == ""


def test_logging_out_by_a_form_ends_the_session(
    site: str, page: Page, phone: BrowserContext
) -> None:
    log_in(page, site)
    page.evaluate(
        """() => {
            const form = document.createElement("form");
            form.method = "post";
            form.action = "/logout";
            document.body.append(form);
            form.submit();
        }"""
    )
    page.wait_for_url(f"{site}/logged-out")
    expect(page.locator("h1")).to_have_text("已退出")
    assert [one for one in phone.cookies() if one["name"] == COOKIE] == []
    assert said(page, site)["status"] == 401
    page.get_by_role("link", name="同时退出实名认证平台").click()
    page.wait_for_url(f"{site}/logged-out")


def forget_session(phone: BrowserContext) -> None:
    """As after thirty minutes without use."""
    phone.clear_cookies(name=COOKIE)


def make_own(page: Page, site: str) -> None:
    log_in(page, site)
    page.goto(f"{site}/me/devices")
    page.get_by_role("button", name="这是我的手机").click()
    expect(page.get_by_text("（这台）")).to_be_visible()


def test_on_ones_own_phone_no_provider_is_asked_again(
    site: str, page: Page, phone: BrowserContext
) -> None:
    make_own(page, site)
    assert_accessible(page)
    forget_session(phone)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/declare?lang=en")
    expect(page.locator("h1")).to_have_text("Health declaration")
    assert all(url.startswith(site) for url in asked)
    assert not [url for url in asked if url.startswith(f"{site}/login?")]
    assert [one for one in phone.cookies() if one["name"] == COOKIE]


def test_a_phone_that_is_no_longer_ones_own_asks_the_provider(site: str, page: Page) -> None:
    make_own(page, site)
    page.get_by_role("button", name="不再是我的手机").first.click()
    expect(page.get_by_role("heading", name="已退出")).to_be_visible()
    page.goto(f"{site}/declare")
    expect(page.get_by_role("button", name="陈小明")).to_be_visible()


def test_the_cookies_of_an_own_phone_open_nothing_in_another_browser(
    site: str, page: Page, phone: BrowserContext, browser: Browser
) -> None:
    make_own(page, site)
    with browser.new_context(locale="zh-CN") as elsewhere:
        elsewhere.add_cookies(
            [
                {
                    "name": one["name"],
                    "value": one["value"],
                    "url": site.replace("http:", "https:"),
                    "secure": True,
                }
                for one in phone.cookies()
                if one["name"] == DEVICE_COOKIE
            ]
        )
        thief = elsewhere.new_page()
        thief.goto(f"{site}/declare")
        expect(thief.get_by_role("button", name="陈小明")).to_be_visible()


def test_without_scripts_an_own_phone_may_log_in_as_any_other(
    site: str, page: Page, phone: BrowserContext, browser: Browser
) -> None:
    make_own(page, site)
    with browser.new_context(
        storage_state=phone.storage_state(), java_script_enabled=False, locale="zh-CN"
    ) as context:
        context.clear_cookies(name=COOKIE)
        plain = context.new_page()
        plain.goto(f"{site}/declare")
        plain.get_by_role("link", name="改用实名认证登录").click()
        expect(plain.get_by_role("button", name="陈小明")).to_be_visible()


def test_who_cancels_may_begin_again(site: str, page: Page) -> None:
    page.goto(f"{site}/login?return_to=/")
    page.get_by_role("button", name="取消").click()
    expect(page.locator("h1")).to_have_text("没有登录")
    page.get_by_role("link", name="重新登录").click()
    expect(page.get_by_role("button", name="陈小明")).to_be_visible()


def test_another_site_can_neither_log_out_nor_use_the_session(
    site: str, page: Page, phone: BrowserContext
) -> None:
    log_in(page, site)
    # localhost and 127.0.0.1 are two sites to a browser.
    other = site.replace("127.0.0.1", "localhost")
    page.goto(other)
    page.evaluate(
        """async site => {
            const form = document.createElement("form");
            form.method = "post";
            form.action = `${site}/logout`;
            document.body.append(form);
        }""",
        site,
    )
    status = page.evaluate(
        "site => fetch(`${site}/logout`, {method: 'POST', credentials: 'include', mode: 'no-cors'})"
        ".then(a => a.type, () => 'refused')",
        site,
    )
    assert status in ("opaque", "refused")
    assert said(page, site)["status"] == 200


def test_a_login_works_without_scripts(site: str, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False, locale="zh-CN") as context:
        page = context.new_page()
        page.goto(f"{site}/login?return_to=/")
        page.get_by_label("证件号码").fill("H12345678")
        page.get_by_label("姓名").fill("CHAN Tai Man")
        page.get_by_role("button", name="登录", exact=True).click()
        page.wait_for_url(f"{site}/")
        assert [one for one in context.cookies() if one["name"] == COOKIE]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_a_login_is_accessible(
    site: str, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_context(
        viewport={"width": 320, "height": 640},
        color_scheme=scheme,
    ) as context:
        page = context.new_page()
        for path in (*(f"/login/failed/{why}" for why in WHY), "/logged-out", "/login"):
            for language in ("zh", "en"):
                page.goto(f"{site}{path}?lang={language}")
                assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
                assert page.evaluate(SMALL_TARGETS) == []
                assert_accessible(page)
