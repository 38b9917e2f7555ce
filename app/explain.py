"""`yuekang explain PERSON`: what the view says of a person's code, as a table."""

import sys
from datetime import datetime
from typing import Annotated, Any

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.problems import Problem
from app.settings import Settings
from app.view.codes import CodeAnswer, ConditionAnswer, ReasonAnswer
from models.events import PERSON_KEY
from models.policy import ZONE

ANSWER_SECONDS_MAX = 5.0


def explain(
    person: Annotated[str, typer.Argument(help="A person key, as `yuekang person-key` prints it.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the view's answer as it is.")
    ] = False,
) -> None:
    """Say why a person's code is what it is: the reasons, what opened them, how they lift.

    Asks the view. Exits with 1 where that has no answer.
    """
    if not PERSON_KEY.fullmatch(person):
        raise typer.BadParameter("A person key is p1- (or another version) and 32 characters.")
    raw = _ask(Settings.from_environment().view_url, person)
    if as_json:
        sys.stdout.write(raw.decode() + "\n")
    else:
        _print(msgspec.json.decode(raw, type=CodeAnswer), Console(highlight=False))


def _ask(url: str, person: str) -> bytes:
    """Return the view's answer; exit with 1 where there is none."""
    try:
        answer = httpx.get(
            f"{url}/v1/people/{person}/code", timeout=ANSWER_SECONDS_MAX, trust_env=False
        )
    except httpx.TransportError as error:
        raise _failed(
            f"The view at {url} does not answer ({error}). Start it, or set YUEKANG_VIEW_URL."
        ) from None
    if answer.status_code == httpx.codes.OK:
        return answer.content
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:
        raise _failed(f"{url} is not a view: it answers {answer.status_code}.") from None
    again = answer.headers.get("retry-after")
    raise _failed(
        f"{problem.title}: {problem.detail}" + (f" Try again in {again} s." if again else "")
    )


def _failed(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)


def _print(code: CodeAnswer, console: Console) -> None:
    style = {"red": "bold red", "green": "bold green"}.get(code.colour, "bold")
    console.print(f"[{style}]{code.colour}[/] at {_time(code.at)}, version {code.version}")
    lag = "" if code.lag_s is None else f", {code.lag_s:g} s ago"
    console.print(f"Data up to {_time(code.as_of)}{lag}{' (stale)' if code.stale else ''}.")
    if code.colour == "none":
        console.print("Unknown, or the identity is not verified.")
    if code.changes_at is not None:
        console.print(f"Changes by itself at {_time(code.changes_at)}.")
    for reason in code.reasons:
        console.print()
        console.print(_table(reason))


def _table(reason: ReasonAnswer) -> Table:
    where = f" (province {reason.province})" if reason.province else ""
    lifts = (
        f"ends {_time(reason.ends_at)}"
        if reason.ends_at
        else f"not before {_time(reason.earliest_end)}"
        if reason.earliest_end
        else "no date is known"
    )
    table = Table(
        title=f"{reason.rank} {reason.reason}{where}, since {_time(reason.since)}, {lifts}",
        caption=f"opened by {reason.opened_by.source} {reason.opened_by.id}; "
        f"policy {reason.policy}",
        title_justify="left",
        caption_justify="left",
    )
    for column in ("lifts when", "who acts", "not before", "met", "by"):
        table.add_column(column)
    for condition in reason.conditions:
        table.add_row(*_row(condition))
    return table


def _row(condition: ConditionAnswer) -> tuple[str, ...]:
    by: Any = condition.met_by
    return (
        condition.kind,
        condition.owner,
        _time(condition.not_before),
        _time(condition.met_at),
        f"{by.source} {by.id}" if by else "",
    )


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
