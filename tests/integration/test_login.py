"""Logging in with the development provider, page by page: sessions that are whose they are."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from msgspec import structs
from redis.asyncio import Redis

from app.development.provider.people import IDENTITIES_FILE, write_people
from app.login import registration
from app.login.routes import LOGIN_COOKIE_PREFIX, LOGINS_AT_ONCE_MAX, STATE_LETTERS
from app.login.sessions import COOKIE, IDLE, RENEW, SESSION_LIFE, Sessions
from app.process.ports import free_port
from support.logins import (
    CARD,
    DEVELOPMENT,
    PEOPLE,
    PERMIT,
    SESSION_KEY,
    VIEW,
    Browser,
    Development,
    Site,
    development,
    person_of,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = structs.replace(registration.PATIENCE, first_wait_seconds=0.0)
    monkeypatch.setattr(registration, "PATIENCE", patience)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / IDENTITIES_FILE
    write_people(path, PEOPLE)
    return path


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url.replace("/0", "/2")) as client:
        yield client


@pytest.fixture
def provider(people: Path) -> Development:
    return Development(people)


@pytest.fixture
def site(redis: Redis, provider: Development) -> Site:
    return Site(redis, development(), provider)


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[Browser]:
    async with site.browser() as browser:
        yield browser


# Logging in


@pytest.mark.parametrize(
    ("who", "number", "name"),
    [("red", CARD, "陈*明"), ("1", PERMIT, "C*** T** M**"), ("2", "810000199408230021", "李*")],
)
async def test_both_documents_and_residence_permits_log_in(
    site: Site, browser: Browser, who: str, number: str, name: str
) -> None:
    page = await browser.log_in(who)
    assert (page.url.path, page.status_code) == ("/code", 200)
    assert page.text == f"code of {person_of(number)}, {name}"
    assert [event["data"]["document"]["number"] for event in site.gateway.events] == [number]
    session = Sessions(SESSION_KEY, site.clock).read(browser.cookies[COOKIE])
    assert session.ending == number[-4:]


@pytest.mark.parametrize("secret", ["", "s3cret+/=& of theirs"])
async def test_a_client_with_and_without_a_secret_logs_in(
    redis: Redis, people: Path, secret: str
) -> None:
    provider = Development(people, secret)
    async with Site(redis, development(secret), provider).browser() as browser:
        assert (await browser.log_in()).url.path == "/code"


@pytest.mark.parametrize(
    ("number", "person"),
    [("11010119900307803x", "110101199003078031"), ("M7654321001", "M76543210")],
)
async def test_any_document_that_can_exist_may_be_typed(
    site: Site, browser: Browser, number: str, person: str
) -> None:
    from stdnum.iso7064 import mod_11_2

    if number[0] == "1":
        number = number[:17] + mod_11_2.calc_check_digit(number[:17])
        person = number
    asked = await browser.get("/login")
    form = {"other": "1", "number": number.lower(), "name": "王五", "birthdate": ""}
    page = await browser.post(asked.url, data=form)
    assert page.text == f"code of {person_of(person)}, 王*"


async def test_a_document_that_cannot_exist_is_told_on_the_providers_page(
    browser: Browser,
) -> None:
    asked = await browser.get("/login")
    page = await browser.post(asked.url, data={"other": "1", "number": CARD[:-1] + "1"})
    assert page.status_code == 422
    assert "没有这样的证件号码" in page.text
    assert 'role="alert"' in page.text


async def test_who_has_a_code_is_not_published_again(redis: Redis, provider: Development) -> None:
    site = Site(redis, development(), provider, known=True)
    async with site.browser() as browser:
        await browser.log_in()
    assert site.gateway.events == []


async def test_a_hint_puts_its_person_first(browser: Browser) -> None:
    page = await browser.get("/login?hint=2")
    first = re.search(r'name="who" value="([^"]+)"([^>]*)>', page.text)
    assert first is not None
    assert first[1] == "2"
    assert "autofocus" in first[2]


async def test_the_session_says_who_it_is_of(browser: Browser) -> None:
    await browser.log_in("1")
    answer = await browser.get("/v1/session")
    said = answer.json()
    assert said["name"] == "C*** T** M**"
    assert said["document_type"] == "mainland-travel-permit"
    assert said["adult"] is False
    assert said["idle_seconds_max"] == IDLE.total_seconds()
    assert answer.headers["cache-control"] == "no-store"


async def test_a_login_leads_back_to_where_it_began(browser: Browser) -> None:
    await browser.get("/code?x=1&y=%E4%B8%AD")  # leads to the provider's page
    page = await browser.log_in(path="/login?return_to=%2Fcode%3Fx%3D1%26y%3D%25E4%25B8%25AD")
    assert str(page.url) == f"{VIEW}/code?x=1&y=%E4%B8%AD"


@pytest.mark.parametrize(
    "return_to", ["//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0aX: y"]
)
async def test_a_login_never_leads_to_another_site(browser: Browser, return_to: str) -> None:
    page = await browser.log_in(path=f"/login?return_to={return_to}")
    assert str(page.url) == f"{VIEW}/code"


async def test_a_page_without_a_session_leads_to_the_login_and_back(browser: Browser) -> None:
    asked = await browser.get("/code?x=1")
    assert str(asked.url).startswith(DEVELOPMENT)
    page = await browser.post(asked.url, data={"who": "red"})
    assert str(page.url) == f"{VIEW}/code?x=1"


async def test_the_api_without_a_session_is_told_so(browser: Browser) -> None:
    for headers in ({}, {"accept": "application/json"}):
        answer = await browser.get("/v1/me/name", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "no-session")
    script = {"sec-fetch-mode": "cors", "accept": "*/*"}
    answer = await browser.get("/code", headers=script)
    assert (answer.status_code, answer.json()["code"]) == (401, "no-session")


async def test_a_form_without_a_session_is_not_taken_and_says_so(browser: Browser) -> None:
    page = await browser.post("/me/declarations")
    assert page.status_code == 401
    assert "登录已结束" in page.text
    await browser.log_in()
    assert (await browser.post("/me/declarations")).text == "declared"


async def test_a_form_of_another_site_is_not_taken_though_there_is_a_session(
    browser: Browser,
) -> None:
    await browser.log_in()
    for site in ("cross-site", "same-site"):
        answer = await browser.post("/me/declarations", headers={"sec-fetch-site": site})
        assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")


# Whose session it is


async def test_two_people_never_see_each_others_page(site: Site) -> None:
    async with site.browser() as one, site.browser() as other:
        await asyncio.gather(one.log_in("red"), other.log_in("1"))
        for _ in range(20):
            pages = await asyncio.gather(one.get("/v1/me/name"), other.get("/v1/me/name"))
            assert [page.json()["person"] for page in pages] == [person_of(CARD), person_of(PERMIT)]


async def test_the_cookies_are_as_owasp_has_them(site: Site) -> None:
    async with site.browser() as browser:
        browser.follow_redirects = False
        begun = await browser.get("/login")
        [login] = begun.headers.get_list("set-cookie")
        state = httpx.URL(begun.headers["location"]).params["state"]
        asked = await browser.get(begun.headers["location"])
        given = await browser.post(asked.url, data={"who": "red"})
        done = await browser.get(given.headers["location"])
        used, session = done.headers.get_list("set-cookie")
    for cookie, name, seconds in (
        (login, f"{LOGIN_COOKIE_PREFIX}{state[:STATE_LETTERS]}", 600),
        (used, f"{LOGIN_COOKIE_PREFIX}{state[:STATE_LETTERS]}", 0),
        (session, COOKIE, int(IDLE.total_seconds())),
    ):
        assert cookie.startswith(f"{name}=")
        words = {word.strip().lower() for word in cookie.split(";")[1:]}
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= words
        assert not any(word.startswith("domain") for word in words)
        [age] = [int(word.partition("=")[2]) for word in words if word.startswith("max-age")]
        assert seconds - 3 <= age <= seconds
    for answer in (begun, done):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_no_cookie_holds_anything_that_names_a_person(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.log_in("red")
        sealed = browser.cookies[COOKIE]
        session = Sessions(SESSION_KEY, site.clock).read(sealed)
        whole = repr([getattr(session, name) for name in session.__struct_fields__])
        assert CARD not in whole
        assert "小" not in whole
        assert all(CARD not in str(answer.url) for answer in (*page.history, page))


async def test_a_cookie_that_was_changed_or_is_of_another_key_is_none(
    site: Site, browser: Browser
) -> None:
    await browser.log_in()
    good = browser.cookies[COOKIE]
    other = Sessions(bytes(32), site.clock)
    session = Sessions(SESSION_KEY, site.clock).read(good)
    for cookie in (good[:-4] + "AAAA", good[1:], str(other.cookie(session).value), "", "x"):
        headers = {"cookie": f"{COOKIE}={cookie}"}
        async with site.browser() as stranger:
            answer = await stranger.get("/v1/me/name", headers=headers)
            assert answer.status_code == 401


async def test_a_login_leaves_no_former_session_behind(site: Site, browser: Browser) -> None:
    await browser.log_in("red")
    former = browser.cookies[COOKIE]
    await browser.log_in("1")
    async with site.browser() as thief:
        answer = await thief.get("/v1/me/name", headers={"cookie": f"{COOKIE}={former}"})
        assert answer.status_code == 401
    assert (await browser.get("/v1/me/name")).json()["person"] == person_of(PERMIT)


# When it ends


async def test_it_is_renewed_by_use_and_over_without(site: Site, browser: Browser) -> None:
    await browser.log_in()
    first = browser.cookies[COOKIE]
    answer = await browser.get("/v1/me/name")
    assert "set-cookie" not in answer.headers, "not with every answer"
    site.clock.ahead = RENEW + timedelta(minutes=1)
    await browser.get("/v1/me/name")
    assert browser.cookies[COOKIE] != first
    site.clock.ahead = IDLE + timedelta(minutes=1)
    assert (await browser.get("/v1/me/name")).status_code == 200
    site.clock.ahead += IDLE
    assert (await browser.get("/v1/me/name")).status_code == 401


async def test_a_copied_cookie_is_over_after_twelve_hours(site: Site, browser: Browser) -> None:
    await browser.log_in()
    for minutes in range(25, 12 * 60, 25):
        site.clock.ahead = timedelta(minutes=minutes)
        assert (await browser.get("/v1/me/name")).status_code == 200
    site.clock.ahead = SESSION_LIFE
    assert (await browser.get("/v1/me/name")).status_code == 401


async def test_logging_out_ends_every_copy(site: Site, browser: Browser) -> None:
    await browser.log_in()
    copied = {"cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    async with site.browser() as elsewhere:
        assert (await elsewhere.get("/v1/me/name", headers=copied)).status_code == 200
        page = await browser.post("/logout")
        assert (page.url.path, page.status_code) == ("/logged-out", 200)
        assert COOKIE not in browser.cookies
        assert page.history[0].headers["clear-site-data"] == '"storage"'
        assert (await elsewhere.get("/v1/me/name", headers=copied)).status_code == 401
    assert (await browser.get("/v1/me/name")).status_code == 401


async def test_a_logout_has_the_last_word_on_a_cookie_that_was_to_be_renewed(
    site: Site, browser: Browser
) -> None:
    await browser.log_in()
    site.clock.ahead = RENEW + timedelta(minutes=1)
    await browser.post("/logout")
    assert COOKIE not in browser.cookies


async def test_another_site_cannot_log_anyone_out(browser: Browser) -> None:
    await browser.log_in()
    answer = await browser.post("/logout", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert (await browser.get("/logout")).status_code == 405
    assert (await browser.get("/v1/me/name")).status_code == 200


async def test_logging_out_without_a_session_is_fine(browser: Browser) -> None:
    assert (await browser.post("/logout")).url.path == "/logged-out"


async def test_the_logged_out_page_leads_to_the_providers_logout_and_back(
    browser: Browser,
) -> None:
    page = await browser.get("/logged-out")
    [address] = re.findall(rf'href="({DEVELOPMENT}/end-session[^"]*)"', page.text)
    back = await browser.get(address.replace("&amp;", "&"))
    assert str(back.url) == f"{VIEW}/logged-out"


async def test_the_provider_leads_back_to_nobody_else(browser: Browser) -> None:
    query = "?client_id=yuekang&post_logout_redirect_uri=https%3A%2F%2Fevil.example"
    answer = await browser.get(f"{DEVELOPMENT}/end-session{query}", follow_redirects=False)
    assert answer.headers["location"] == VIEW


# What goes wrong


async def failed(browser: Browser, why: str, status: int, page: httpx.Response) -> None:
    assert page.url.path == f"/login/failed/{why}"
    assert page.status_code == status
    assert COOKIE not in browser.cookies
    for language, word in (("zh", "重新登录"), ("en", "Log in again")):
        shown = await browser.get(f"{page.url.path}?lang={language}")
        assert word in shown.text
        assert CARD not in shown.text


async def test_who_cancels_is_not_logged_in(browser: Browser) -> None:
    asked = await browser.get("/login")
    await failed(browser, "denied", 403, await browser.post(asked.url, data={"cancel": "1"}))


async def answer_of(browser: Browser) -> str:
    """The address with which the provider sends the browser back."""
    asked = await browser.get("/login")
    given = await browser.post(asked.url, data={"who": "red"}, follow_redirects=False)
    return str(given.headers["location"])


def login_cookie(browser: Browser) -> tuple[str, str]:
    """Name and value of the cookie of the only login under way."""
    [(name, value)] = [c for c in browser.cookies.items() if c[0].startswith(LOGIN_COOKIE_PREFIX)]
    return name, value


async def test_an_answer_to_no_login_of_this_browser_is_refused(
    site: Site, browser: Browser
) -> None:
    """Login CSRF: the victim follows the attacker's link, with and without a login of their own."""
    async with site.browser() as attacker:
        address = await answer_of(attacker)
    await failed(browser, "expired", 400, await browser.get(address))
    await browser.get("/login")
    await failed(browser, "expired", 400, await browser.get(address))
    assert site.gateway.asked == 0


async def test_two_tabs_may_log_in_at_once(browser: Browser) -> None:
    first, second = await answer_of(browser), await answer_of(browser)
    for address in (first, second):
        assert (await browser.get(address)).url.path == "/code"


async def test_of_logins_under_way_a_browser_keeps_a_few(browser: Browser) -> None:
    first = await answer_of(browser)
    newest = [await answer_of(browser) for _ in range(LOGINS_AT_ONCE_MAX)]
    kept = [name for name in browser.cookies if name.startswith(LOGIN_COOKIE_PREFIX)]
    assert len(kept) == LOGINS_AT_ONCE_MAX
    await failed(browser, "expired", 400, await browser.get(first))
    assert (await browser.get(newest[0])).url.path == "/code"


async def test_an_answer_is_good_once(site: Site, browser: Browser) -> None:
    address = await answer_of(browser)
    name, state = login_cookie(browser)
    assert (await browser.get(address)).url.path == "/code"
    assert name not in browser.cookies
    async with site.browser() as thief:
        # With the cookie stolen too, the provider still takes its code once.
        again = await thief.get(
            address, headers={"cookie": f"{name}={state}"}, follow_redirects=False
        )
        assert again.headers["location"] == "/login/failed/expired"


async def test_an_answer_after_ten_minutes_is_refused(site: Site, browser: Browser) -> None:
    address = await answer_of(browser)
    site.clock.ahead = timedelta(minutes=11)
    await failed(browser, "expired", 400, await browser.get(address))


async def test_a_tampered_state_cookie_is_none(site: Site, browser: Browser) -> None:
    address = await answer_of(browser)
    name, state = login_cookie(browser)
    async with site.browser() as other:
        for changed in (state[:-4] + "AAAA", "x", ""):
            answer = await other.get(
                address, headers={"cookie": f"{name}={changed}"}, follow_redirects=False
            )
            assert answer.headers["location"] == "/login/failed/expired"


async def test_a_session_cookie_is_no_state_and_a_state_no_session(
    site: Site, browser: Browser
) -> None:
    address = await answer_of(browser)
    name, state = login_cookie(browser)
    async with site.browser() as other:
        answer = await other.get("/v1/me/name", headers={"cookie": f"{COOKIE}={state}"})
        assert answer.status_code == 401
        await browser.get(address)
        session = browser.cookies[COOKIE]
        answer = await other.get(
            address, headers={"cookie": f"{name}={session}"}, follow_redirects=False
        )
        assert answer.headers["location"] == "/login/failed/expired"


async def test_a_gateway_that_is_away_is_told_and_a_second_login_works(
    site: Site, browser: Browser
) -> None:
    site.gateway.fails = [0, 503]
    await failed(browser, "gateway", 503, await browser.log_in())
    assert (await browser.log_in()).url.path == "/code"


async def test_a_provider_that_is_away_hinders_nothing_but_logins(
    site: Site, browser: Browser, provider: Development
) -> None:
    await browser.log_in()
    async with site.browser() as other:
        provider.up = False
        assert site.login._party is not None
        site.login._party._metadata = None
        page = await other.get("/login")
        await failed(other, "provider-away", 503, page)
        assert page.headers["retry-after"]
        assert (await browser.get("/v1/me/name")).status_code == 200
        assert "end-session" not in (await browser.get("/logged-out")).text
        provider.up = True
        assert (await other.log_in()).url.path == "/code"


async def test_without_redis_no_page_of_a_person_is_shown(provider: Development) -> None:
    url = f"redis://127.0.0.1:{free_port()}/2"
    async with (
        Redis.from_url(url, socket_timeout=1) as away,
        Site(away, development(), provider).browser() as browser,
    ):
        page = await browser.log_in()
        assert page.status_code == 503
        assert "现在不能确认登录状态" in page.text
        assert "code of" not in page.text
        assert page.headers["retry-after"]
        answer = await browser.get("/v1/me/name")
        assert (answer.status_code, answer.json()["code"]) == (503, "sessions-away")
        page = await browser.post("/logout")
        assert page.status_code == 503
        assert "已在此浏览器退出" in page.text
        assert COOKIE not in browser.cookies, "this browser forgets it all the same"


async def test_no_log_line_has_a_number_a_name_or_a_code(
    site: Site,
    browser: Browser,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.INFO):
        await browser.log_in()
        site.gateway.fails = [0, 0]
        await browser.log_in()
        address = await answer_of(browser)
        await browser.get(address.replace("code=", "code=x"))
    shown = caplog.text + "".join(capsys.readouterr())
    own = "\n".join(line for line in shown.splitlines() if "HTTP Request: " not in line)
    assert "login_failed" in own
    code = parse_qs(urlsplit(address).query)["code"][0]
    for secret in (CARD, "陈", person_of(CARD), code, browser.cookies[COOKIE]):
        assert secret not in own
