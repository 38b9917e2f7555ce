"""Who is green here and of high risk on the national platform, over HTTP and as a command."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from app.audit.entries import Act
from app.cli import app as cli
from app.view import reconciliation
from app.view.reconciliation import ReconciliationAnswer
from models.events import ListName
from support import builders as b
from support.audits import Noted
from support.rows import listing_of, put_rows
from support.tokens import OPERATOR, OPERATOR_HEADERS, TOKENS
from support.views import Http, Model, health_code, now, reason, resident, someone

PATH = "/v1/reconciliation"


async def put_statuses(rows: Redis, *statuses: tuple[str, str, datetime]) -> None:
    """Let the platform report a status of each person, at an instant."""
    name = ListName.NATIONAL_STATUSES
    listings = {
        (person, name): listing_of(b.national_status(status, at, person=person))
        for person, status, at in statuses
    }
    await put_rows(rows, listings=listings)


async def read(http: Http) -> ReconciliationAnswer:
    answer = await http.get(PATH, headers=OPERATOR_HEADERS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return msgspec.json.decode(answer.content, type=ReconciliationAnswer)


def ago(hours: float) -> datetime:
    return now() - timedelta(hours=hours)


async def test_it_lists_who_is_green_here_and_high_there_longest_first(
    rows: Redis, model: Model, http: Http
) -> None:
    newer, older, red, low, unknown, ended = (someone() for _ in range(6))
    over = reason(start=ago(48), end=ago(1))
    await model.put(
        *(health_code(person) for person in (newer, older, low)),
        health_code(red, reason()),
        health_code(ended, over),
    )
    await put_statuses(
        rows,
        (newer, "high", ago(1)),
        (older, "high", ago(5)),
        (red, "high", ago(6)),
        (low, "low", ago(6)),
        (unknown, "high", ago(7)),
        (ended, "high", ago(8)),
    )
    found = await read(http)
    # Whose reason has ended by time is green, whatever the code told last.
    assert [waits.person for waits in found.people] == [ended, older, newer]
    assert abs(found.people[1].reported_at - ago(5)) < timedelta(seconds=5)
    assert not found.more
    assert found.as_of <= found.at


async def test_nobody_waits(rows: Redis, model: Model, http: Http) -> None:
    await model.put()
    await put_statuses(rows)
    assert (await read(http)).people == []


async def test_who_waits_longest_comes_first_at_the_bound(
    rows: Redis, model: Model, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "RECONCILIATION_MAX", 3)
    monkeypatch.setattr(reconciliation, "READS_AT_ONCE_MAX", 2)
    people = [someone() for _ in range(5)]
    await model.put(*(health_code(person) for person in people))
    await put_statuses(rows, *((p, "high", ago(9 - n)) for n, p in enumerate(people)))
    found = await read(http)
    assert [waits.person for waits in found.people] == people[:3]
    assert found.more


async def test_without_rows_or_codes_there_is_no_list(
    rows: Redis, model: Model, http: Http
) -> None:
    await model.put()
    assert (await http.get(PATH, headers=OPERATOR_HEADERS)).status_code == 503
    await put_statuses(rows, (someone(), "high", ago(1)))
    assert (await http.get(PATH, headers=OPERATOR_HEADERS)).status_code == 200
    await model.put(as_of=ago(1))
    answer = await http.get(PATH, headers=OPERATOR_HEADERS)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_the_operator_alone_may_ask_and_it_is_written_down(
    rows: Redis, model: Model, http: Http, noted: Noted
) -> None:
    await model.put()
    await put_statuses(rows)
    terminal = {"authorization": f"Bearer {TOKENS.token_for('/terminals/440100-001')}"}
    assert (await http.get(PATH)).status_code == 401
    assert (await http.get(PATH, headers=resident(someone()))).status_code == 401
    assert (await http.get(PATH, headers=terminal)).status_code == 403
    assert noted.entries == []
    await read(http)
    [line] = noted.entries
    assert (line.by, line.what, line.about) == (OPERATOR, Act.LIST_READ, PATH)


def test_the_command_prints_a_line_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    person, at = someone(), ago(1)
    answer = ReconciliationAnswer(at, at, [reconciliation.WaitingAnswer(person, at)], True)
    asked: list[str] = []

    class Answer:
        status_code = 200
        content = msgspec.json.encode(answer)

    def get(url: str, **_: Any) -> Answer:
        asked.append(url)
        return Answer()

    monkeypatch.setattr(httpx, "get", get)
    environment = {"YUEKANG_TOKEN": "t", "YUEKANG_VIEW_URL": "https://view.test"}
    done = CliRunner().invoke(cli, ["reconciliation"], env=environment)
    assert done.exit_code == 0, done.output
    assert asked == [f"https://view.test{PATH}"]
    assert f"{person}\t{at.isoformat(timespec='seconds')}" in done.stdout
    assert "1 wait" in done.output
    assert "others" in done.output
