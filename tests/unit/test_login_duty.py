"""The duty officer's login: whose token lets in, for how long, and where it leads."""

from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.testing import TestClient

from app.audit.entries import Act
from app.audit.trail import Trail, Write
from app.login.duty import (
    DUTY_COOKIE,
    DUTY_LIFE,
    Duty,
    NotOnDuty,
    duty_login_routes,
    duty_path,
    on_not_on_duty,
)
from app.web.problems import Refused, on_refused
from app.web.tokens import Role, Tokens, Trust
from support.audits import Noted
from support.logins import SESSION_KEY, VIEW, Clock
from support.tokens import OPERATOR, OTHER_TOKENS, TOKENS, TRUST, operator_token

TOKEN = operator_token(Role.READ)
EXPLAINS = operator_token(Role.EXPLAIN, Role.RELEASE, Role.APPROVE)
HERE = {"origin": VIEW}
PAGE = {"accept": "text/html"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def duty(clock: Clock) -> Duty:
    return Duty(SESSION_KEY, Tokens(TRUST), VIEW, clock)


def client_of(duty: Duty, write: Write | None = None) -> TestClient[Litestar]:
    @get("/dashboard")
    async def dashboard() -> str:
        return "seen"

    @get("/v1/changes")
    async def changes() -> str:
        return "seen"

    handlers: list[Any] = [
        duty.protect(dashboard, changes),
        *duty_login_routes(duty, Trail(write or Noted(), Clock())),
    ]
    answers: Any = {NotOnDuty: on_not_on_duty, Refused: on_refused}
    app = Litestar(handlers, exception_handlers=answers, openapi_config=None)
    return TestClient(app, base_url=VIEW.replace("http:", "https:"))


def test_a_token_lets_in_once_and_the_cookie_from_then_on(duty: Duty) -> None:
    with client_of(duty) as client:
        first = client.get("/dashboard?city=440100", headers=PAGE, follow_redirects=False)
        assert first.status_code == 303
        assert first.headers["location"] == "/duty/login?return_to=%2Fdashboard%3Fcity%3D440100"
        form = {"token": TOKEN, "officer": " 甲  乙 ", "return_to": "/dashboard?city=440100"}
        begun = client.post("/duty/login", data=form, headers=HERE, follow_redirects=False)
        assert begun.headers["location"] == "/dashboard?city=440100"
        cookie = begun.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"))
        assert client.get("/dashboard", headers=PAGE).text == "seen"
        assert client.get("/v1/changes").text == "seen"
        client.post("/duty/logout", headers=HERE, follow_redirects=False)
        assert client.get("/v1/changes").status_code == 401


def test_a_program_sends_the_token_and_is_told_what_is_wrong(duty: Duty) -> None:
    laboratory = TOKENS.token_for("/laboratories/440100-001")
    with client_of(duty) as client:
        for token, status in ((TOKEN, 200), (laboratory, 403), (EXPLAINS, 403), ("x.y.z", 401)):
            headers = {"authorization": f"Bearer {token}", **PAGE}
            assert client.get("/v1/changes", headers=headers).status_code == status
            assert client.get("/dashboard", headers=headers).status_code == status
        assert client.get("/v1/changes").json()["code"] == "unauthenticated"
        # A page's script cannot be led to another page.
        assert client.get("/dashboard", headers={"sec-fetch-mode": "cors"}).status_code == 401


def test_who_begins_a_shift_is_written_down_and_who_is_refused_is_not(duty: Duty) -> None:
    noted = Noted()
    with client_of(duty, noted) as client:
        for token in ("", "wrong", TOKENS.token_for("/cdc/440100")):
            client.post("/duty/login", data={"token": token, "officer": "甲"}, headers=HERE)
        assert noted.entries == []
        form = {"token": TOKEN, "officer": " 甲  乙 "}
        client.post("/duty/login", data=form, headers=HERE, follow_redirects=False)
    [line] = noted.entries
    assert (line.by, line.what, line.about) == (OPERATOR, Act.DUTY_BEGUN, "甲 乙")
    assert line.details["token"]


def test_nobody_begins_a_shift_that_cannot_be_written_down(duty: Duty) -> None:
    async def away(_: object) -> None:
        raise Refused("kafka-away", "It cannot be reached.")

    with client_of(duty, away) as client:
        answer = client.post("/duty/login", data={"token": TOKEN}, headers=HERE)
        assert answer.status_code == 503
        assert "审计日志" in answer.text
        assert DUTY_COOKIE not in client.cookies


@pytest.mark.parametrize(
    "token",
    [
        *("", "wrong", TOKENS.token_for("/cdc/440100"), EXPLAINS),
        *(OTHER_TOKENS.token_for(OPERATOR, Role), TOKEN[:-6] + "777777", "x" * 5_000),
    ],
)
def test_another_token_lets_nobody_in_and_says_so(duty: Duty, token: str) -> None:
    with client_of(duty) as client:
        answer = client.post("/duty/login", data={"token": token}, headers=HERE)
        assert answer.status_code == 422
        assert "令牌不对" in answer.text
        assert DUTY_COOKIE not in client.cookies
        assert not token or token not in answer.text


def test_a_login_comes_from_a_page_of_ours_alone(duty: Duty) -> None:
    with client_of(duty) as client:
        for origin in ({}, {"origin": "https://evil.example"}):
            answer = client.post("/duty/login", data={"token": TOKEN}, headers=origin)
            assert answer.status_code == 403


class TakenBack:
    """A register that has taken back one source, or one token."""

    def __init__(self, what: str) -> None:
        self._what = what

    def refused(self, source: str, token_id: str) -> str | None:
        return "It was taken back." if self._what in (source, token_id) else None


async def test_it_ends_with_the_shift_the_key_the_token_and_the_operator(
    duty: Duty, clock: Clock
) -> None:
    begun = await duty.begin(TOKEN, "甲")
    assert begun is not None
    assert begun.source == OPERATOR
    cookie = {DUTY_COOKIE: duty.cookie(begun).value or ""}

    def with_tokens(tokens: Tokens) -> Duty:
        return Duty(SESSION_KEY, tokens, VIEW, clock)

    both = Trust(keys=(OTHER_TOKENS.public, TOKENS.public))
    for asked, status in (
        (duty, 200),
        (with_tokens(Tokens(both)), 200),
        (with_tokens(Tokens(Trust(keys=(OTHER_TOKENS.public,)))), 401),
        (with_tokens(Tokens(TRUST, TakenBack("/operators/li"))), 200),
        (with_tokens(Tokens(TRUST, TakenBack(OPERATOR))), 401),
        (with_tokens(Tokens(TRUST, TakenBack(begun.token_id))), 401),
    ):
        with client_of(asked) as client:
            client.cookies.update(cookie)
            assert client.get("/v1/changes").status_code == status
    clock.ahead = DUTY_LIFE - timedelta(minutes=1)
    with client_of(duty) as client:
        client.cookies.update(cookie)
        assert client.get("/v1/changes").status_code == 200
        clock.ahead = DUTY_LIFE
        assert client.get("/v1/changes").status_code == 401


def test_another_sealed_cookie_is_no_duty(duty: Duty) -> None:
    with client_of(duty) as client:
        for value in ("", "nonsense", "A" * 4_000):
            client.cookies.set(DUTY_COOKIE, value)
            assert client.get("/v1/changes").status_code == 401


@pytest.mark.parametrize("asked", ["", "/code", "//evil.example", "/duty/login", "https://x/duty/"])
def test_it_leads_to_a_page_of_the_officers_alone(asked: str) -> None:
    assert duty_path(asked) == "/dashboard"
    assert duty_path("/duty/playbooks#x") == "/duty/playbooks#x"
