"""`yuekang reconciliation`: whose data wait to be pushed to the national platform."""

import sys
from typing import Annotated

import msgspec
import typer

from app.operator.client import ask
from app.process.settings import Settings
from app.view.reconciliation import ReconciliationAnswer
from models.policy import ZONE


def reconciliation(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the view's answer as it is.")
    ] = False,
) -> None:
    """List who is green here while the national platform reports a high risk (manual, 四.6).

    Prints a line for each person, tab-separated, the longest waiting first: person key, since when.
    Push their data to the platform; a person who is corrected there leaves the list. It asks the
    view with an operator's token, which has the role read: YUEKANG_TOKEN, or one that is made with
    YUEKANG_TOKEN_PRIVATE_KEY.
    """
    raw = ask(Settings.from_environment(), "/v1/reconciliation")
    if as_json:
        sys.stdout.write(raw.decode() + "\n")
        return
    found = msgspec.json.decode(raw, type=ReconciliationAnswer)
    for waits in found.people:
        since = waits.reported_at.astimezone(ZONE)
        sys.stdout.write(f"{waits.person}\t{since.isoformat(timespec='seconds')}\n")
    more = "; there are others, who follow once these are corrected" if found.more else ""
    as_of = found.as_of.astimezone(ZONE)
    typer.echo(f"{len(found.people)} wait, as of {as_of:%Y-%m-%d %H:%M:%S}{more}.", err=True)
