"""Every route of both faces, asked by everybody: who is let in, and how others are refused.

The routes are read from the applications, so one without a row fails here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson
import pytest
from litestar import Litestar

from app.gateway.signatures import RequestSigner
from app.login.ended import Ended
from app.topics.catalogue import CATALOGUE
from app.view.routes import ENDLESS
from app.web.tokens import Role
from support.asgi import Answer, answer_to
from support.gateways import NO_REDIS, PROVINCE, PROVINCE_KEY, gateway_that_writes
from support.terminals import token_of
from support.tokens import TOKENS, operator_token
from support.views import create_view, now, on_duty, options_over, resident, someone

Headers = Mapping[str, str]

ORIGIN = "http://127.0.0.1:8080"
SIGNER = RequestSigner(PROVINCE_KEY)
SOURCES = {
    authority: patterns[0].replace("*", "43")
    for authority, patterns in CATALOGUE.authorities.items()
    if authority != "operator"
}
"""A source of each authority; operators have tokens of their own."""

AUTHORITIES = frozenset(SOURCES)
OPERATORS = frozenset(f"operator who may {role}" for role in Role)
WITH_TOKEN = AUTHORITIES | OPERATORS
SIGNED = frozenset({"province that signs"})
ROLES = (
    *("anonymous", "a made-up token", "a token of another key"),
    *("resident", "officer on duty"),
    *sorted(WITH_TOKEN | SIGNED),
)
READ, EXPLAIN = "operator who may read", "operator who may explain"

IN, UNKNOWN, FORBIDDEN = "in", "401", "403"
LOGIN, DUTY = "/login", "/duty/login"
"""What a cell says: let in, whatever comes of it there; or how it is refused."""


class Row(NamedTuple):
    """Who is let in. Others are told `known` if they show a token that is valid, `shown` if they
    show any other, and `refused` if they show none."""

    lets_in: frozenset[str]
    refused: str = UNKNOWN
    shown: str = UNKNOWN
    known: str = FORBIDDEN
    signed: bool = False
    """A province with its token alone is nobody: it has to sign."""

    def of(self, role: str) -> str:
        if role in self.lets_in:
            return IN
        if role == "province" and self.signed:
            return UNKNOWN
        if role in WITH_TOKEN | SIGNED:
            return self.known
        return self.shown if "token" in role else self.refused


ANYBODY = Row(frozenset(ROLES))
RESIDENT = Row(frozenset({"resident"}), known=UNKNOWN)
RESIDENTS_PAGE = Row(frozenset({"resident"}), LOGIN, LOGIN, LOGIN)
ON_DUTY = Row(frozenset({"officer on duty", READ}))
DUTY_PAGE = Row(frozenset({"officer on duty", READ}), DUTY)
OF_READ = Row(frozenset({READ}))
OF_EXPLAIN = Row(frozenset({EXPLAIN}))
TERMINAL = Row(frozenset({"terminal"}))
SOURCE = Row(WITH_TOKEN - {"province"} | SIGNED, signed=True)
KEYED = Row(frozenset(CATALOGUE.person_keys) - {"province"} | SIGNED, signed=True)

GATEWAY: dict[str, Row] = {
    "POST /v1/events": SOURCE,
    "POST /v1/person-keys": KEYED,
    "GET /v1/sources/me/refusals": SOURCE,
    **dict.fromkeys(
        [
            *("GET /", "GET /livez", "GET /readyz", "GET /metrics", "GET /problems/{code}"),
            *("GET /openapi.json", "GET /openapi.json/openapi.json", "GET /openapi.json/{path}"),
        ],
        ANYBODY,
    ),
}

KINDS = ("enterprise-employee", "organisation-member", "student-or-staff", "personal")

VIEW: dict[str, Row] = {
    "GET /v1/people/{person}/code": OF_READ,
    "GET /v1/people/{person}/explanation": OF_EXPLAIN,
    "GET /v1/reconciliation": OF_READ,
    "POST /v1/scans": TERMINAL,
    "GET /v1/changes": ON_DUTY,
    **dict.fromkeys(
        [
            *("GET /duty/playbooks", "GET /duty/trends.json", "GET /duty/counts.json"),
            *("GET /dashboard", "GET /dashboard/changes", "GET /dashboard/counts"),
            *("GET /dashboard/chart.svg", "GET /dashboard/trends"),
        ],
        DUTY_PAGE,
    ),
    **dict.fromkeys(
        [
            *(
                "GET /v1/session",
                "GET /v1/me/code",
                "GET /v1/me/display",
                "GET /v1/me/token",
                "GET /v1/me/code.svg",
            ),
            *("GET /v1/me/information", "GET /v1/me/information/{section}", "GET /v1/me/export"),
            *("POST /v1/me/declarations", "PUT /v1/me/declarations/{id}"),
            *("PATCH /v1/me/declarations/{id}", "DELETE /v1/me/declarations/{id}"),
            *("POST /v1/me/credential", "POST /v1/me/travel-card", "POST /v1/me/travel-card/code"),
            *("POST /login/device", "POST /me/devices/end", "POST /travel-card"),
            *("POST /travel-card/code", *(f"POST /declare/{kind}" for kind in KINDS)),
        ],
        RESIDENT,
    ),
    **dict.fromkeys(
        [
            *("GET /code", "GET /me", "GET /me/devices", "GET /me/everything", "GET /me/negative"),
            *("GET /me/notices/{reference}", "GET /me/code-changes", "GET /me/{section}"),
            *("GET /declare", "GET /declare/sent/{reference}", "GET /travel-card"),
            *("GET /travel-card/new", "GET /travel-card/code"),
            *(f"GET /declare/{kind}" for kind in KINDS),
        ],
        RESIDENTS_PAGE,
    ),
    **dict.fromkeys(
        [
            # Pages, and what they are made of
            *("GET /", "GET /contact", "GET /privacy", "GET /accessibility", "GET /offline"),
            *("GET /manifest.webmanifest", "GET /service-worker.js", "GET /static/{file_path}"),
            *("GET /check", "GET /counts", "GET /v1/counts", "GET /gate", "GET /gate/worker.js"),
            *("GET /gate/manifest.webmanifest", "GET /api", "GET /api/events", "GET /agency"),
            *("GET /api/events/{event}", "GET /api/openapi.json", "GET /api/asyncapi.json"),
            *("GET /openapi.json", "GET /openapi.json/openapi.json", "GET /openapi.json/{path}"),
            "GET /problems/{code}",
            # Whoever is not logged in yet, or no more
            *("GET /login", "GET /login/callback", "GET /login/failed/{why}", "POST /login/again"),
            *("GET /logged-out", "POST /logout", "GET /duty/login", "POST /duty/login"),
            "POST /duty/logout",
            # What a terminal looks up, which names nobody
            *("GET /v1/s", "GET /v1/s/{chunk}", "GET /v1/credential-keys"),
            # What watches the process
            *("GET /livez", "GET /readyz", "GET /metrics"),
        ],
        ANYBODY,
    ),
}

SCAN = orjson.dumps({"id": "s-1", "token": token_of(someone()), "place": "东门"})
BODIES = {"POST /v1/scans": SCAN}
"""Of what is judged by its body too."""


FACES = {
    "gateway": (gateway_that_writes()[0], GATEWAY),
    "view": (create_view(options_over(NO_REDIS, now)), VIEW),
}


def routes_of(app: Litestar) -> Iterator[str]:
    """Each method and path of an application that does something."""
    for route in app.routes:
        for method in route.methods - {"OPTIONS", "HEAD"}:
            yield f"{method} {route.path_format}"


CASES = [(face, route) for face, (app, _) in FACES.items() for route in sorted(routes_of(app))]


@pytest.mark.parametrize("face", FACES)
def test_every_route_has_a_row(face: str) -> None:
    app, rows = FACES[face]
    assert rows.keys() == set(routes_of(app))


@pytest.fixture(autouse=True)
def no_session_was_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ended, "is_over", lambda *_: False)


def shows(role: str, method: str, path: str) -> Headers:
    """What a role's request carries, from a page of ours if it is a browser's."""
    match role:
        case "anonymous":
            return {}
        case "a made-up token":
            return {"authorization": "Bearer a.b.c"}
        case "a token of another key":
            head, _, _ = TOKENS.token_for("/terminals/1").rpartition(".")
            return {"authorization": f"Bearer {head}.{'A' * 86}"}
        case "resident":
            return resident(someone())
        case "officer on duty":
            return on_duty()
        case "province that signs":
            plain = {"authorization": f"Bearer {TOKENS.token_for(PROVINCE)}"}
            content = b"" if method == "POST" else None
            signed = SIGNER.signed(method, f"http://127.0.0.1{path}", plain, content)
            return {name.lower(): value for name, value in signed.items()}
        case _ if role in OPERATORS:
            return {"authorization": f"Bearer {operator_token(Role(role.split()[-1]))}"}
        case _:
            return {"authorization": f"Bearer {TOKENS.token_for(SOURCES[role])}"}


def cell(answer: Answer) -> str:
    if answer.status in (401, 403):
        return str(answer.status)
    for login in (DUTY, LOGIN):
        if answer.status == 303 and re.fullmatch(rf"{login}(\?.*)?", answer.location):
            return login
    return IN


def address(route: str) -> tuple[str, str]:
    method, _, path = route.partition(" ")
    path = path.replace("{person}", someone()).replace("{section}", "nat")
    return method, re.sub(r"\{\w+\}", "x", path)


@pytest.mark.parametrize(("face", "route"), CASES)
async def test_a_route_lets_in_whom_its_row_names_and_nobody_else(face: str, route: str) -> None:
    app, rows = FACES[face]
    method, path = address(route)
    from_a_page = {} if method == "GET" else {"origin": ORIGIN, "content-type": "application/json"}
    found = {}
    for role in ROLES:
        headers = {**shows(role, method, path), **from_a_page}
        if face == "gateway":  # what no source sends is told after who it is
            headers["content-type"] = "text/plain"
        answer = await answer_to(app, method, path, headers, BODIES.get(route, b""))
        found[role] = cell(answer)
        if method == "GET" and face == "view":
            head = await answer_to(app, "HEAD", path, shows(role, "HEAD", path))
            assert cell(head) == found[role] or (path in ENDLESS and head.status == 405), role
    if route == "POST /duty/logout":  # it leads everybody to the login
        found = dict.fromkeys(found, IN)
    assert found == {role: rows[route].of(role) for role in ROLES}


FORMS = sorted(
    route for route, row in VIEW.items() if not route.startswith("GET ") and row is not TERMINAL
)

ELSEWHERE: tuple[Headers, ...] = (
    {},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:8081"},
    {"origin": "https://evil.example"},
    {"origin": f"{ORIGIN}.evil.example"},
    {"sec-fetch-site": "cross-site", "origin": ORIGIN},
    {"sec-fetch-site": "same-site", "origin": ORIGIN},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": ""},
)


@pytest.mark.parametrize("route", FORMS)
async def test_no_form_of_another_site_is_taken(route: str) -> None:
    app, row = FACES["view"][0], VIEW[route]
    method, path = address(route)
    for headers in ELSEWHERE:
        for cookie in (resident(someone()), on_duty()):
            answer = await answer_to(app, method, path, {**cookie, **headers})
            # Who has no session may be told that first.
            assert answer.status == 403 or (row is RESIDENT and answer.status == 401), headers
