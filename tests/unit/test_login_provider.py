"""The development provider: never in production, and as strict as any where it runs."""

import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.development.provider.people import IDENTITIES_FILE, ProviderPerson, people_of, write_people
from support.gateways import command
from support.logins import CARD, CLIENT, CLIENT_SECRET, DEVELOPMENT, PEOPLE, VIEW, Development

CALLBACK = f"{VIEW}/login/callback"
ASKED = {
    "response_type": "code",
    "client_id": CLIENT,
    "redirect_uri": CALLBACK,
    "scope": "openid profile",
    "state": "of the client",
    "nonce": "n",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636, appendix B


@pytest.fixture
def http(tmp_path: Path) -> httpx.AsyncClient:
    write_people(tmp_path / IDENTITIES_FILE, PEOPLE)
    return httpx.AsyncClient(
        transport=Development(tmp_path / IDENTITIES_FILE), base_url=DEVELOPMENT
    )


def test_it_refuses_to_start_in_production() -> None:
    environment = {name: text for name, text in os.environ.items() if "YUEKANG" not in name}
    done = subprocess.run(
        command("identity-provider"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "believes whoever says who they are" in done.stderr
    assert "Traceback" not in done.stderr


async def code_of(http: httpx.AsyncClient) -> str:
    answer = await http.post("/authorize", params=ASKED, data={"who": "red"})
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["iss"] == [DEVELOPMENT]
    assert query["state"] == ["of the client"]
    return query["code"][0]


async def token(http: httpx.AsyncClient, **form: Any) -> httpx.Response:
    whole = {
        "grant_type": "authorization_code",
        "code": form.pop("code"),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": CLIENT,
        "client_secret": CLIENT_SECRET,
        **form,
    }
    return await http.post("/token", data={k: v for k, v in whole.items() if v is not None})


async def test_a_code_becomes_a_token_once(http: httpx.AsyncClient) -> None:
    code = await code_of(http)
    answer = await token(http, code=code)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await http.get("/userinfo", headers=headers)).json()["document_number"] == CARD
    again = await token(http, code=code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"client_secret": "another"}, "invalid_client"),
        ({"client_secret": None}, "invalid_client"),
        ({"client_id": "another"}, "invalid_client"),
        ({"redirect_uri": f"{VIEW}/other"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
    ids=str,
)
async def test_a_code_is_worth_nothing_to_another(
    http: httpx.AsyncClient, form: dict[str, Any], error: str
) -> None:
    answer = await token(http, code=await code_of(http), **form)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error


@pytest.mark.parametrize(
    ("asked", "told_to_client"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, True),
        ({"code_challenge_method": "plain"}, True),
        ({"nonce": None}, True),
        ({"scope": "openid email"}, True),
        ({"response_type": "token"}, True),
        ({"client_id": "another"}, False),
        ({"redirect_uri": "https://evil.example/"}, False),
        ({"redirect_uri": CALLBACK + "/more"}, False),
    ],
    ids=str,
)
async def test_a_request_that_is_not_as_it_has_to_be_gets_no_page(
    http: httpx.AsyncClient, asked: dict[str, Any], told_to_client: bool
) -> None:
    query = {name: value for name, value in {**ASKED, **asked}.items() if value is not None}
    for answer in (
        await http.get("/authorize", params=query),
        await http.post("/authorize", params=query, data={"who": "red"}),
    ):
        location = answer.headers.get("location", "")
        assert location.startswith(CALLBACK) is told_to_client, answer.text
        assert "code=" not in location


async def test_userinfo_is_for_who_has_a_token(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp4"}):
        assert (await http.get("/userinfo", headers=headers)).status_code == 401


def test_people_are_read_from_a_file_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    path = tmp_path / IDENTITIES_FILE
    assert people_of(path) == []
    write_people(path, PEOPLE)
    assert people_of(path) == PEOPLE
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("[{")
    assert people_of(path) == []
    path.write_text(
        '[{"number": "H12345678", "type": "mainland-travel-permit", "name": "X", '
        '"birthdate": "2010-01-01", "what": {"zh": "a", "en": "b"}}]'
    )
    [person] = people_of(path)
    assert isinstance(person, ProviderPerson)
    assert "H12345678" not in repr(person)
