"""What whoever types an address meets: the door, a wrong address, a language, HEAD."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import AsyncTestClient

from app.login.sessions import SEEN_FOR, Sessions
from app.view.routes import ENDLESS
from app.web.site import LANGUAGE_COOKIE
from models.events import DocumentType
from support.brokers import NO_BROKERS
from support.views import SESSION_KEY, Http, create_view, now, options_over, resident, someone

OPENED = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none", "accept": "text/html"}
"""What a browser says of an address that was typed."""
FETCHED = {"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}
"""And of one that a script of a page asks for."""


@pytest.fixture
async def http(redis_url: str) -> AsyncIterator[Http]:
    client = AsyncTestClient(create_view(options_over(redis_url, now, brokers=NO_BROKERS)))
    client.follow_redirects = False
    client.headers.update({**OPENED, "accept-language": "zh-CN"})
    # The cookie is secure; a browser sends it over plain HTTP to a loopback address too.
    client.base_url = client.base_url.copy_with(scheme="https")
    async with client:
        yield client


def kept_language(answer: Any) -> str | None:
    """The language that an answer lets the browser keep."""
    cookies: Sequence[str] = answer.headers.get_list("set-cookie")
    found = [cookie for cookie in cookies if cookie.startswith(f"{LANGUAGE_COOKIE}=")]
    return found[0].partition(";")[0].partition("=")[2] if found else None


# The language


async def test_a_language_that_was_chosen_once_is_that_of_every_page(http: Http) -> None:
    assert (await http.get("/")).headers["content-language"] == "zh-Hans-CN"
    chosen = await http.get("/?lang=en")
    assert kept_language(chosen) == "en"
    for address in ("/", "/offline", "/logged-out"):
        answer = await http.get(address)
        assert answer.headers["content-language"] == "en-GB", address
        assert "cookie" in answer.headers["vary"]
        assert kept_language(answer) is None, "it is kept already"
    back = await http.get("/?lang=zh")
    assert kept_language(back) == "zh"
    assert (await http.get("/logged-out")).headers["content-language"] == "zh-Hans-CN"


async def test_the_cookie_is_kept_for_a_year_and_says_the_language_alone(http: Http) -> None:
    answer = await http.get("/?lang=en")
    [cookie] = answer.headers.get_list("set-cookie")
    words = {word.strip().lower() for word in cookie.split(";")}
    assert words == {
        "__host-lang=en",
        "path=/",
        "max-age=31536000",
        "secure",
        "httponly",
        "samesite=lax",
    }


async def test_a_language_that_was_chosen_on_the_way_to_the_login_is_kept(http: Http) -> None:
    answer = await http.get("/me?lang=en")
    assert answer.status_code == 303
    assert kept_language(answer) == "en"


@pytest.mark.parametrize("lang", ["", "fr", "en%0d%0aX:%20y", "e" * 2000])
async def test_a_language_that_there_is_not_is_not_kept(http: Http, lang: str) -> None:
    answer = await http.get(f"/logged-out?lang={lang}")
    assert answer.status_code == 200
    assert kept_language(answer) is None


async def test_what_a_script_fetches_chooses_no_language(http: Http) -> None:
    """A service worker fetches its page in the language of the page that installed it."""
    assert kept_language(await http.get("/offline?lang=en", headers=FETCHED)) is None


async def test_a_cookie_of_no_language_is_as_none(http: Http) -> None:
    for value in ("fr", "", "\x7f"):
        answer = await http.get("/logged-out", headers={"cookie": f"{LANGUAGE_COOKIE}={value}"})
        assert answer.headers["content-language"] == "zh-Hans-CN"


async def test_who_is_logged_in_has_both_cookies(http: Http) -> None:
    person = someone()
    answer = await http.get("/declare?lang=en", headers=resident(person))
    assert kept_language(answer) == "en"
    cookie = f"{resident(person)['cookie']}; {LANGUAGE_COOKIE}=en"
    answer = await http.get("/declare", headers={"cookie": cookie})
    assert answer.headers["content-language"] == "en-GB"


# HEAD


def addresses_of(app: Litestar) -> list[str]:
    """Every address without a parameter that takes GET."""
    return sorted(
        route.path
        for route in app.routes
        if isinstance(route, HTTPRoute) and "GET" in route.methods and "{" not in route.path
    )


async def test_head_has_the_status_and_the_headers_of_get(http: Http) -> None:
    addresses = addresses_of(http.app)
    assert len(addresses) > 30
    for address in [*addresses, "/nope", "/static/plain.css", "/me/nat-results"]:
        if address in ENDLESS:
            continue
        for headers in ({}, {"accept": "*/*", "if-none-match": "*"}):
            answer, head = [
                await http.request(method, address, headers=headers) for method in ("GET", "HEAD")
            ]
            assert head.status_code == answer.status_code, address
            assert head.content == b"", address
            assert set(head.headers) == set(answer.headers), address
            assert head.headers.get("etag") == answer.headers.get("etag"), address
            assert head.headers.get("content-type") == answer.headers.get("content-type"), address


async def test_head_of_a_stream_without_an_end_is_refused(http: Http) -> None:
    assert (await http.head("/v1/changes")).status_code == 405


async def test_head_needs_a_session_where_get_does(http: Http) -> None:
    assert (await http.head("/me")).status_code == 303
    assert (await http.head("/declare", headers=resident(someone()))).status_code == 200


# The door, and a wrong address

DOORS = ("/code", "/me", "/declare", "/travel-card")


async def test_the_front_door_leads_a_resident_first_and_staff_after(http: Http) -> None:
    answer = await http.get("/")
    assert answer.headers["cache-control"] == "public, max-age=60"
    main = answer.text.partition("<main")[2]
    places = [
        main.index(f'href="{address}?lang=zh"')
        for address in (*DOORS, "/dashboard", "/counts", "/agency", "/api")
    ]
    assert places == sorted(places)
    again = await http.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


WRONG = ("/nope", "/declare/nope", "/api/nope", "/login/failed/nope", "/static/nope.css")


@pytest.mark.parametrize("address", WRONG)
async def test_a_wrong_address_is_a_page_with_the_doors(http: Http, address: str) -> None:
    answer = await http.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "没有这个页面" in answer.text
    assert all(f'href="{door}?lang=zh"' in answer.text for door in DOORS)
    assert "There is no such page" in (await http.get(f"{address}?lang=en")).text


async def test_a_wrong_section_is_a_page_for_who_is_logged_in(http: Http) -> None:
    answer = await http.get("/me/foo", headers=resident(someone()))
    assert (answer.status_code, "没有这个页面" in answer.text) == (404, True)


async def test_an_address_that_takes_forms_alone_is_no_page_to_open(http: Http) -> None:
    answer = await http.get("/logout")
    assert (answer.status_code, "没有这个页面" in answer.text) == (405, True)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("/nope", {"accept": "application/json"}),
        ("/nope", {"accept": "*/*"}),
        ("/nope", FETCHED),
        ("/v1/nope", {}),
        ("/v1/me/information/nope", {}),
    ],
)
async def test_a_program_gets_a_problem(http: Http, address: str, headers: dict[str, str]) -> None:
    answer = await http.get(address, headers={**resident(someone()), **headers})
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["code"] in ("not-found", "invalid")


# Who was seen long ago


def seen(ago: timedelta) -> dict[str, str]:
    """A session in use, of someone whom the provider saw so long ago."""
    sessions = Sessions(SESSION_KEY, now)
    kind = DocumentType.RESIDENT_IDENTITY_CARD
    session = sessions.begin(someone(), "样*甲", None, kind, "1234", seen_at=now() - ago)
    cookie = sessions.cookie(session)
    return {"cookie": f"{cookie.key}={cookie.value}"}


async def test_health_information_asks_who_was_seen_long_ago_to_log_in_again(http: Http) -> None:
    headers = seen(SEEN_FOR)
    for address in ("/me", "/me/everything", "/me/nat-results"):
        answer = await http.get(f"{address}?lang=en", headers=headers)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?return_to=%2Fme")
    for address in ("/v1/me/information", "/v1/me/information/nat-results", "/v1/me/export"):
        answer = await http.get(address, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "login-again")


async def test_what_is_shown_at_a_gate_and_forms_do_not_ask_again(http: Http) -> None:
    for address in ("/declare", "/declare/personal", "/travel-card", "/me/devices", "/v1/session"):
        answer = await http.get(address, headers=seen(timedelta(days=20)))
        assert answer.status_code == 200, address
    # Redis holds no read model here: what matters is that it is not the login that refuses.
    assert (await http.get("/code", headers=seen(timedelta(days=20)))).status_code == 503


async def test_who_was_seen_a_short_while_ago_is_not_asked_again(http: Http) -> None:
    answer = await http.get("/me", headers=seen(SEEN_FOR - timedelta(minutes=1)))
    assert answer.status_code != 303
