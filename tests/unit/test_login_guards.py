"""Where a request comes from, and where a login may lead."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, get, post
from litestar.testing import TestClient

from app.login.ended import Ended
from app.login.guards import HOME, Guard, origin_of, own_path
from app.login.sessions import Sessions
from app.web.problems import Refused, on_refused
from support.logins import SESSION_KEY, VIEW, Clock


@pytest.mark.parametrize(
    "path",
    ["/", "/code", "/me/nat?lang=en", "/me/declarations/new?kind=%E4%B8%AD", "/logins", "/a//b"],
)
def test_a_path_of_ours_is_gone_back_to(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "code",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/code\\..\\x",
        "https://evil.example/code",
        "https:evil.example",
        "javascript:alert(1)",
        " /code",
        "/code x",
        "/中",
        "/login",
        "/login/callback?code=1",
        "/logout",
        "/logged-out",
        "/" + "x" * 600,
        "//[evil",
    ],
)
def test_anything_else_leads_home(path: str | None) -> None:
    assert own_path(path) == HOME


@given(st.text(alphabet="/\\.:@?#%x \t\r\n", max_size=12))
def test_no_path_is_ever_another_sites_address(text: str) -> None:
    path = own_path(text)
    # As a browser reads it: without tabs and line ends, a backslash being a slash.
    read = path.translate({9: None, 10: None, 13: None}).replace("\\", "/")
    assert read.startswith("/")
    assert not read.startswith("//")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Code.Example:443/x?y", "https://code.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://a.example:80", "http://a.example"),
    ],
)
def test_an_origin_is_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


# Cross-site requests


@pytest.fixture(scope="module")
def http() -> Any:
    store: Any = None
    guard = Guard(Sessions(SESSION_KEY, Clock()), Ended(store, store), VIEW)

    @get("/thing", guards=[guard.same_origin])
    async def read() -> str:
        return "read"

    @post("/thing", guards=[guard.same_origin], status_code=200)
    async def change() -> str:
        return "changed"

    app = Litestar([read, change], exception_handlers={Refused: on_refused}, openapi_config=None)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": VIEW},
        {"origin": VIEW},
    ],
    ids=str,
)
def test_a_page_of_ours_may_change_things(http: Any, headers: dict[str, str]) -> None:
    assert http.post("/thing", headers=headers).text == "changed"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://code.example"},
        {"origin": VIEW + ".evil.example"},
        {"origin": VIEW + ":8443"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": VIEW},
        {"referer": VIEW + "/code"},
        {"host": "code.example"},
    ],
    ids=str,
)
def test_nobody_else_may(http: Any, headers: dict[str, str]) -> None:
    answer = http.post("/thing", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")
    assert http.get("/thing", headers=headers).text == "read", "reading changes nothing"
