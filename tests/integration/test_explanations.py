"""A code explained over HTTP and by `yuekang explain`: to whom, and what is written down."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from app.audit.entries import Act
from app.audit.trail import Trail
from app.cli import app as cli
from app.view import explanations
from app.view.explanations import ExplanationAnswer, Explanations
from app.view.limits import EXPLANATIONS_AT_ONCE_MAX, HISTORY_STALE_SECONDS
from app.view.reading import Unavailable
from app.view.rows import fetch_person
from app.web.tokens import Role
from models.codes import EventRef, ref, reference_of
from support import builders as b
from support.audits import Noted, lines_on
from support.brokers import NOBODY, Kafka
from support.rows import put_rows, row_of
from support.tokens import MAKING, OPERATOR, OTHER_TOKENS, TOKENS, bearer, operator_token
from support.views import Http, Running, now, running_view, someone


def with_role(*roles: Role) -> dict[str, str]:
    return {"authorization": f"Bearer {operator_token(*roles)}"}


async def ask(http: Http, person: str, **parameters: Any) -> ExplanationAnswer:
    texts = {
        name: at.isoformat() if isinstance(at, datetime) else at for name, at in parameters.items()
    }
    answer = await http.get(
        f"/v1/people/{person}/explanation", params=texts, headers=bearer(OPERATOR)
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return msgspec.json.decode(answer.content, type=ExplanationAnswer)


def mistaken(person: str) -> tuple[Any, Any, Any]:
    """A row that was red from the 3rd to the 6th by a result that was none of this person's."""
    result = b.positive(b.day(2), person=person)
    back = b.retracted(result, b.day(6), person=person)
    row = row_of(
        person,
        (b.verified(person=person), b.day(1)),
        (result, b.day(3)),
        (back, b.day(6)),
    )
    return row, result, back


# What is answered


async def test_by_default_both_instants_are_now(http: Http, rows: Redis) -> None:
    person = someone()
    row, result, back = mistaken(person)
    await put_rows(rows, [row])
    found = await ask(http, person)
    assert (found.person, found.answer.colour, found.stale) == (person, "green", False)
    assert found.answer.at == found.answer.known_at == found.asked_at
    assert [event.id for event in found.events if not event.counts] == [result.id]
    assert [event.id for event in found.events if event.claim == "in-force"] == [back.id]
    assert (found.not_known, found.difference.differs) == ([], False)


async def test_what_was_shown_then_stands_beside_what_is_known_now(http: Http, rows: Redis) -> None:
    person = someone()
    row, result, back = mistaken(person)
    await put_rows(rows, [row])
    found = await ask(http, person, at=b.day(4), known_at=b.day(4))
    assert found.answer == found.shown_then
    assert (found.shown_then.colour, found.known_now.colour) == ("red", "green")
    [reason] = found.answer.reasons
    assert (reason.reason, reason.opened_by.id) == ("confirmed-or-positive", result.id)
    assert [condition.kind for condition in reason.conditions] == ["negative-test"] * 2
    assert found.answer.policies == ["2020-04"]
    assert [event.id for event in found.not_known] == [back.id]
    assert found.not_known[0].arrived_at == b.day(6)
    assert found.difference.colour
    assert [event.id for event in found.difference.because] == [back.id]
    assert [one.opened_by.id for one in found.difference.only_then] == [result.id]


async def test_an_instant_may_be_written_in_any_zone(http: Http, rows: Redis) -> None:
    person = someone()
    await put_rows(rows, [mistaken(person)[0]])
    for text in ("2022-03-04T08:00:00+08:00", "2022-03-04T00:00:00.000Z", "2022-03-04t00:00:00z"):
        assert (await ask(http, person, at=text)).answer.at == b.day(4)


async def test_an_instant_to_come_is_a_forecast(http: Http, rows: Redis) -> None:
    person, end = someone(), now() + timedelta(days=3)
    order = b.ordered("home", now() - timedelta(days=1), end, person=person)
    await put_rows(
        rows, [row_of(person, (b.verified(person=person), order.time), (order, order.time))]
    )
    assert (await ask(http, person)).answer.changes_at == end
    assert (await ask(http, person, at=end)).answer.colour == "green"
    assert (await ask(http, person, at=end - timedelta(seconds=1))).answer.colour == "red"


async def test_who_is_unknown_has_no_code_and_no_events(http: Http, rows: Redis) -> None:
    await put_rows(rows, [])
    found = await ask(http, someone())
    assert (found.answer.colour, found.events) == ("none", [])


# By which row


async def test_an_old_row_is_explained_and_marked(http: Http, rows: Redis) -> None:
    person, as_of = someone(), now() - timedelta(seconds=HISTORY_STALE_SECONDS + 60)
    await put_rows(rows, [mistaken(person)[0]], as_of)
    found = await ask(http, person)
    assert found.stale
    assert abs(found.as_of - as_of) < timedelta(milliseconds=1)
    assert found.lag_s >= HISTORY_STALE_SECONDS + 60


async def test_nobody_is_unknown_by_old_rows(http: Http, rows: Redis) -> None:
    await put_rows(rows, [], now() - timedelta(seconds=HISTORY_STALE_SECONDS + 60))
    await refused(http, 503, "code-unavailable")
    await rows.flushdb()
    await refused(http, 503, "code-unavailable")


async def refused(http: Http, status: int, code: str, **request: Any) -> Any:
    request = {"headers": bearer(OPERATOR), **request}
    answer = await http.get(f"/v1/people/{someone()}/explanation", **request)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer


async def test_more_than_can_be_explained_at_once_are_told_to_come_again(
    rows: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = someone()
    await put_rows(rows, [mistaken(person)[0]])
    go_on = asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        await go_on.wait()
        return await fetch_person(*arguments)

    monkeypatch.setattr(explanations, "fetch_person", slow)
    explaining = Explanations(rows, Trail(Noted(), now), now)
    asked = [
        asyncio.create_task(explaining.explain(OPERATOR, person, None, None))
        for _ in range(EXPLANATIONS_AT_ONCE_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as again:
        await explaining.explain(OPERATOR, person, None, None)
    assert (again.value.cause, again.value.retry_after_s) == ("busy", 1)
    go_on.set()
    assert {found.answer.colour for found in await asyncio.gather(*asked)} == {"green"}
    await explaining.explain(OPERATOR, person, None, None)


# Who may ask, and what is written down


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthenticated"),
        ({"authorization": "Bearer x"}, 401, "unauthenticated"),
        (
            {"authorization": f"Basic {operator_token()}"},
            401,
            "unauthenticated",
        ),
        (
            {"authorization": f"Bearer {OTHER_TOKENS.token_for(OPERATOR, Role)}"},
            401,
            "unauthenticated",
        ),
        (bearer("/terminals/440100-001"), 403, "no-operator"),
        (with_role(Role.READ, Role.RELEASE, Role.APPROVE), 403, "no-operator"),
        (bearer("/cdc/440100"), 403, "no-operator"),
    ],
)
async def test_only_an_operator_who_may_explain_may_ask(
    http: Http, noted: Noted, headers: dict[str, str], status: int, code: str
) -> None:
    await refused(http, status, code, headers=headers)
    assert noted.entries == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("at", "yesterday", "RFC 3339"),
        ("at", "2022-03-04", "RFC 3339"),
        ("at", "2022-03-04T08:00:00", "zone"),
        ("at", "2022-03-04T08:00:00 08:00", "%2B"),
        ("at", "1646352000", "RFC 3339"),
        ("at", "２０２２-03-04T08:00:00Z", "RFC 3339"),
        ("at", "2022-02-30T08:00:00Z", "no such instant"),
        ("at", "2022-03-04T08:00:60Z", "no such instant"),
        ("at", "2019-11-30T08:00:00+08:00", "outside 2019-12-01"),
        ("at", "0001-01-01T00:00:00+08:00", "outside"),
        ("at", "9999-12-31T23:59:59-08:00", "outside"),
        ("known_at", "", "RFC 3339"),
        ("known_at", "9999-12-31T23:59:59Z", "outside"),
    ],
)
async def test_what_is_no_instant_is_refused_with_its_name(
    http: Http, name: str, text: str, said: str
) -> None:
    problem = (await refused(http, 422, "invalid", params={name: text})).json()
    [error] = problem["errors"]
    assert error["field"] == name
    assert said in error["detail"]
    assert "2022-03-08T10:00:00+08:00" in error["expected"]


async def test_what_will_be_known_cannot_be_asked(http: Http) -> None:
    ahead = (now() + timedelta(minutes=1)).isoformat()
    await refused(http, 422, "invalid", params={"known_at": ahead})


async def test_what_is_no_person_key_is_refused(http: Http) -> None:
    answer = await http.get("/v1/people/nobody/explanation", headers=bearer(OPERATOR))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_who_asked_about_whom_and_when_is_written_down_and_no_more(
    http: Http, rows: Redis, noted: Noted
) -> None:
    person, at, known_at = someone(), b.day(4), b.day(5)
    await put_rows(rows, [mistaken(person)[0]])
    await ask(http, person, at=at)
    await ask(http, person, known_at=known_at)
    first, second = noted.entries
    assert (first.by, first.what, first.about) == (OPERATOR, Act.EXPLAINED, person)
    assert first.details == {"at": at.isoformat()}
    assert second.details["known_at"] == known_at.isoformat()
    assert {first.reason, second.reason} == {""}


async def test_it_is_written_down_also_where_there_is_no_answer(
    http: Http, rows: Redis, noted: Noted
) -> None:
    await refused(http, 503, "code-unavailable")
    assert len(noted.entries) == 1


# The command


@pytest.fixture(scope="module")
def view(
    kafka: Kafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with running_view(kafka, redis_url, tmp_path_factory.mktemp("view")) as running:
        running.wait_live()
        running.code_of(someone())  # by then it can write down who asks
        yield running


def command(*arguments: str, **environment: str) -> Any:
    """Run `yuekang explain` as on a wide terminal."""
    given = {"COLUMNS": "200", "LOGNAME": "chen", "YUEKANG_TOKEN": "", **MAKING}
    return CliRunner(env={**given, **environment}).invoke(cli, ["explain", *arguments])


async def test_the_command_tells_what_was_shown_and_what_is_known(
    view: Running, rows: Redis, kafka: Kafka
) -> None:
    person = someone()
    row, result, back = mistaken(person)
    await put_rows(rows, [row], prefix=kafka.prefix)
    asked = ["--at", "2022-03-04 08:00", "--known-at", "2022-03-04T00:00:00Z"]
    told = await asyncio.to_thread(command, person, *asked, YUEKANG_VIEW_URL=view.address)
    assert told.exit_code == 0, told.output
    head, _, rest = told.output.partition("Not known at")
    for words in (
        "red at 2022-03-04 08:00:00, by what was known at 2022-03-04 08:00:00",
        "1 confirmed-or-positive, since 2022-03-02 14:00:00",
        "negative-test",
        f"opened by /laboratories/1 {result.id}; policy 2020-04",
        "nat-result.reported",
        "2022-03-03 08:00:00",
    ):
        assert words in head
    assert back.id in rest.partition("shown then")[0]
    assert "What made the difference" in rest
    assert back.id in rest.partition("What made the difference")[2]
    colours = next(line for line in rest.splitlines() if "colour" in line)
    assert "red" in colours.partition("green")[0]
    [line] = [entry for entry in await lines_on(kafka) if entry.about == person]
    assert (line.by, line.what) == (OPERATOR, Act.EXPLAINED)
    assert line.details == {
        "at": "2022-03-04T08:00:00+08:00",
        "known_at": "2022-03-04T00:00:00+00:00",
    }


async def test_the_command_finds_the_event_that_a_resident_reads_out(
    view: Running, rows: Redis, kafka: Kafka
) -> None:
    person = someone()
    row, result, back = mistaken(person)
    await put_rows(rows, [row], prefix=kafka.prefix)
    said = reference_of(ref(result))

    async def ask(reference: str) -> Any:
        asked = [person, "--reference", reference]
        return await asyncio.to_thread(command, *asked, YUEKANG_VIEW_URL=view.address)

    told = await ask(said.lower().replace("-", " "))
    assert told.exit_code == 0, told.output
    assert result.id in told.output
    assert said in told.output
    assert f"{back.source} {back.id}" not in told.output
    assert (await ask(reference_of(EventRef("/cdc/440100", "other")))).exit_code == 1
    wrong = await ask(said[:-1] + ("2" if said[-1] != "2" else "3"))
    assert wrong.exit_code == 2
    assert "no reference" in wrong.output


async def test_the_command_speaks_of_now_unless_told_otherwise(
    view: Running, rows: Redis, kafka: Kafka
) -> None:
    person = someone()
    await put_rows(rows, [mistaken(person)[0]], prefix=kafka.prefix)
    told = await asyncio.to_thread(command, person, YUEKANG_VIEW_URL=view.address)
    assert told.exit_code == 0, told.output
    assert "by what was known now" in told.output
    assert "takes back" in told.output
    assert "shown then" not in told.output
    past = await asyncio.to_thread(
        command, person, "--at", "2022-03-02 08:00", YUEKANG_VIEW_URL=view.address
    )
    assert "What was shown then is what is known now of then." in past.output


async def test_the_command_prints_the_answer_as_it_is(
    view: Running, rows: Redis, kafka: Kafka
) -> None:
    person = someone()
    await put_rows(rows, [mistaken(person)[0]], prefix=kafka.prefix)
    token = operator_token()
    told = await asyncio.to_thread(
        command,
        person,
        "--json",
        YUEKANG_VIEW_URL=view.address,
        YUEKANG_TOKEN=token,
        YUEKANG_TOKEN_PRIVATE_KEY="",
    )
    assert msgspec.json.decode(told.output, type=ExplanationAnswer).answer.colour == "green"


async def test_the_commands_errors_say_what_to_do(view: Running, rows: Redis, kafka: Kafka) -> None:
    person = someone()
    await put_rows(rows, [mistaken(person)[0]], prefix=kafka.prefix)

    async def fails(*arguments: str, **environment: str) -> tuple[int, str]:
        environment = {"YUEKANG_VIEW_URL": view.address, **environment}
        told = await asyncio.to_thread(command, *arguments, **environment)
        return told.exit_code, " ".join(told.output.split())

    code, said = await fails("nobody")
    assert (code, "person key" in said) == (2, True)
    for text in ("yesterday", "2022-03-04", "2022-02-30 08:00"):
        code, said = await fails(person, "--at", text)
        assert (code, "--at" in said) == (2, True), said
    code, said = await fails(person, YUEKANG_TOKEN_PRIVATE_KEY="")
    assert (code, "YUEKANG_TOKEN_PRIVATE_KEY" in said) == (2, True)
    code, said = await fails(person, YUEKANG_TOKEN=TOKENS.token_for("/cdc/440100"))
    assert (code, "/cdc/440100" in said) == (1, True)
    code, said = await fails(person, YUEKANG_TOKEN="x")
    assert (code, "yuekang token /operators/NAME --role explain" in said) == (1, True)
    code, said = await fails(person, "--known-at", "2090-01-01 00:00")
    assert (code, "known_at" in said) == (1, True)
    code, said = await fails(person, YUEKANG_VIEW_URL=f"http://{NOBODY}")
    assert (code, "does not answer" in said) == (1, True)
    long_ago = now() - timedelta(seconds=HISTORY_STALE_SECONDS + 60)
    await put_rows(rows, [mistaken(person)[0]], long_ago, prefix=kafka.prefix)
    code, said = await fails(someone())
    assert (code, "Try again in" in said) == (1, True)
    code, said = await fails(person)
    assert (code, "(stale)" in said) == (0, True)


async def test_an_id_that_looks_like_a_style_is_printed_as_it_is(
    view: Running, rows: Redis, kafka: Kafka
) -> None:
    person = someone()
    result = b.positive(b.day(2), person=person, id="[red]r[/]")
    await put_rows(rows, [row_of(person, (result, b.day(3)))], prefix=kafka.prefix)
    told = await asyncio.to_thread(command, person, YUEKANG_VIEW_URL=view.address)
    assert told.output.count("[red]r[/]") == 2
