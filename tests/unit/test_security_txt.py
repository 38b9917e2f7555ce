"""Whom to tell of a hole: as the operator wrote it, at both faces, until it expires (RFC 9116)."""

from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from app.process.settings import Settings, SettingsError
from app.web.security_txt import PATH
from support.asgi import transport_to
from support.gateways import NO_REDIS, gateway_that_writes
from support.views import create_view, now, options_over

END = datetime.fromisoformat("2031-12-31T00:00:00+08:00")
TEXT = """\
# 粤康码
Contact: mailto:security@health.example
Contact: https://health.example/report
Expires: 2031-12-31T00:00:00+08:00
Preferred-Languages: zh, en
Canonical: https://health.example/.well-known/security.txt
"""


def faces(text: str, at: datetime) -> list[Litestar]:
    gateway, _ = gateway_that_writes(security_txt=text, now=lambda: at)
    view = create_view(options_over(NO_REDIS, lambda: at, security_txt=text))
    return [gateway, view]


async def answers(text: str, at: datetime) -> list[httpx.Response]:
    """What each face answers. It is not started: this needs neither Kafka nor Redis."""
    found = []
    for face in faces(text, at):
        async with httpx.AsyncClient(transport=transport_to(face), base_url="http://here") as http:
            found.append(await http.get(PATH))
    return found


async def test_both_faces_serve_it_as_it_was_written() -> None:
    for answer in await answers(TEXT, END - timedelta(seconds=1)):
        assert answer.status_code == 200
        assert answer.content == TEXT.encode()
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_from_its_end_on_nobody_is_shown_it() -> None:
    assert [answer.status_code for answer in await answers(TEXT, END)] == [404, 404]


async def test_without_one_there_is_none() -> None:
    assert [answer.status_code for answer in await answers("", now())] == [404, 404]


def read(text: str, folder: Path) -> str:
    file = folder / "security.txt"
    file.write_text(text)
    environ = {"YUEKANG_SECURITY_TXT_FILE": str(file)}
    return Settings.from_environment(environ=environ).security_txt


def test_it_is_given_as_a_file(tmp_path: Path) -> None:
    assert read(TEXT, tmp_path) == TEXT.removesuffix("\n")


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        TEXT.replace("Contact: ", "Kontakt: "),
        TEXT.replace("mailto:", "").replace("https://health.example/report", "ring us"),
        TEXT.replace("Expires: ", "# Expires: "),
        TEXT.replace("2031-12-31T00:00:00+08:00", "2031-12-31"),
        TEXT.replace("2031-12-31", "2031-13-31"),
        TEXT + "Expires: 2032-12-31T00:00:00Z\n",
    ],
    ids=["no field", "no contact", "no address", "no end", "a day", "no instant", "two ends"],
)
def test_one_that_a_finder_could_not_use_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"must be a security\.txt"):
        read(text, tmp_path)
