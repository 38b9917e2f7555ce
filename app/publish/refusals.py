"""`yuekang refusals`: what became of what a source sent, listed and followed."""

import asyncio
import sys
from typing import Annotated

import httpx
import msgspec
import typer

from app.gateway.answers import Missed, ParkedNow, SignOfLife, ToldLetter
from app.gateway.client import GatewayClient, Patience, StreamEvent, Unreached
from app.gateway.signatures import RequestSigner
from app.process.settings import Settings, text_of
from app.process.terminal import escaped
from app.projection.refusals import ParkedIn
from app.publish.client import REQUEST_SECONDS_MAX
from app.publish.command import EXIT_INTERRUPTED, EXIT_UNREACHED, gateway_at, signer_of, tokens_from
from app.publish.lines import Misused
from app.publish.outcome import line_of
from models.policy import ZONE

PATIENCE = Patience(seconds=10.0, first_wait_seconds=0.5)


def tell_refusals(
    source: Annotated[
        str | None, typer.Option(help="Such as /laboratories/440100-001; a token says it, too.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="YUEKANG_TOKEN",
            help="Token of the source. Without it, one is made with the private key.",
        ),
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="Address of the gateway.")] = None,
    after: Annotated[
        str | None, typer.Option(help="Only what came after this cursor, which a list ends with.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Tell what comes, until Ctrl-C; from now or --after.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """List what was refused of a source's, what had no effect, and where it is parked.

    A list has the newest first, a followed one the oldest. Exits with 0, or with 3 if the gateway
    does not say.
    """
    try:
        settings = Settings.from_environment()
        address = gateway_at(gateway or settings.gateway_url)
        if source is None and not (token or text_of("YUEKANG_TOKEN")):
            raise Misused("Say whose: use --source, --token or YUEKANG_TOKEN.")
        own = tokens_from(token, settings)(source)
        signer = signer_of(settings)
    except (Misused, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    try:
        asked = _follow if follow else _list
        asyncio.run(asked(address, own, signer, after, as_json))
    except Unreached as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_UNREACHED) from None
    except KeyboardInterrupt:
        raise typer.Exit(0 if follow else EXIT_INTERRUPTED) from None


async def _list(
    address: str, token: str, signer: RequestSigner | None, after: str | None, as_json: bool
) -> None:
    async with httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX) as http:
        client = GatewayClient(address, PATIENCE, http, signer)
        page = first = await client.refusals(token, after)
        _print(ParkedNow(first.parked), as_json)
        while True:
            for letter in page.refusals:
                _print(letter, as_json)
            if page.older is None:
                break
            page = await client.refusals(token, after, page.older)
        if page.missed:
            _print(Missed(), as_json)
    as_of = first.as_of.astimezone(ZONE)
    typer.echo(
        f"As of {as_of:%Y-%m-%d %H:%M:%S}. What comes next: --after {first.cursor}", err=True
    )


async def _follow(
    address: str, token: str, signer: RequestSigner | None, after: str | None, as_json: bool
) -> None:
    async with httpx.AsyncClient() as http:
        client = GatewayClient(address, PATIENCE, http, signer)
        async for _, event in client.follow_refusals(token, after):
            _print(event, as_json)


def _print(event: StreamEvent, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(event).decode(), flush=True)
        return
    match event:
        case ToldLetter():
            print(line_of(event), flush=True)
        case ParkedNow(parked):
            for place in parked:
                print(_parked_line(place), flush=True)
            if not parked:
                print("Not parked.", file=sys.stderr, flush=True)
        case Missed():
            print("Letters are missing here: they are kept no longer.", flush=True)
        case SignOfLife(as_of):
            if as_of is None:
                print("What was sent last cannot be known now.", file=sys.stderr, flush=True)


def _parked_line(place: ParkedIn) -> str:
    since = "long" if place.since is None else f"{place.since.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
    last = "" if place.reason is None else f", the last {place.reason}"
    return escaped(
        f"PARKED in {place.topic}[{place.partition}] since {since}, by the record at "
        f"{place.offset}: too many were invalid{last}. All that is sent there is put aside until "
        "the operator releases the source."
    )
