"""`yuekang publish`: the command, its progress and its summary."""

import asyncio
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO

import httpx
import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.gateway.client import GatewayClient, Patience, Unreached
from app.gateway.signatures import RequestSigner
from app.process.setting_types import SAFE_URL
from app.process.settings import Settings, text_of
from app.process.terminal import PERCENT, progress_on
from app.publish.client import REQUEST_SECONDS_MAX, BatchSender, Sent
from app.publish.ledger import FilePlace, Ledger
from app.publish.lines import Input, Misused, RefusedLine, TokenFor
from app.publish.outcome import RunOutcome, line_of, outcome_of
from app.publish.run import PublishRun
from app.web.issuing import tokens_by

PATIENCE_SECONDS = 60.0
WAIT_SECONDS = 8.0
"""An event is judged, and that is told, within some 3 s when nothing is behind."""

SHOWN_MAX = 20
"""How many refusals the screen shows; all are in the report."""

TOKEN = re.compile(r"[!-~]+")

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHED = 3
EXIT_INTERRUPTED = 130  # as shells do for Ctrl-C


class PublishSummary(Struct, frozen=True):
    """What came of a file, over all its runs."""

    file: str
    complete: bool
    lines: int
    accepted: int
    refused: int
    refused_by_code: dict[str, int]
    report: str | None
    seconds: float
    failure: str | None = None
    outcome: RunOutcome | None = None
    """What became of what this run sent; None if nothing was accepted, or it was not asked."""


class Screen:
    """Tells a person, on standard error, what is refused."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._shown = 0

    def refused(self, report: RefusedLine) -> None:
        """Show a refusal, up to `SHOWN_MAX` of them."""
        self._shown += 1
        if self._shown <= SHOWN_MAX:
            which = " ".join(escape(part) for part in (report.source, report.id) if part)
            why = escape(f"{report.code}: {report.detail}")
            self.console.print(f"[red]line {report.line}[/red] {which} {why}", highlight=False)
            for error in report.errors:
                told = " ".join(str(error[k]) for k in ("detail", "expected") if error.get(k))
                self.console.print(f"  {escape(str(error.get('field')))}: {escape(told)}")
        elif self._shown == SHOWN_MAX + 1:
            self.console.print("… further refusals are not shown here.")

    def became(self, outcome: RunOutcome) -> None:
        """Say what became of what was accepted."""
        for source, letter in outcome.shown:
            self.console.print(f"{source}  {line_of(letter)}", markup=False, highlight=False)
        told = (
            f"Of what was accepted, {outcome.refused} were refused later and "
            f"{outcome.without_effect} had no effect."
        )
        if not outcome.known:
            told += f" There may be more. {outcome.failure or 'Not all is judged yet.'}"
            told += " Look again with `yuekang refusals`."
        self.console.print(told, markup=False, highlight=False)
        for source in outcome.parked:
            self.console.print(
                f"{source} is parked: what it sends is put aside. `yuekang refusals` says where.",
                markup=False,
                highlight=False,
            )


def publish(
    file: Annotated[
        str, typer.Argument(help="A file of events, one a line; - for standard input.")
    ],
    token: Annotated[
        str | None,
        typer.Option(
            envvar="YUEKANG_TOKEN",
            help="Token of the source. Without it, tokens are made with the private key.",
        ),
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="Address of the gateway.")] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to try while the gateway is busy or away.")
    ] = PATIENCE_SECONDS,
    restart: Annotated[
        bool, typer.Option(help="Begin at the first line, whatever was sent before.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for what becomes of it; 0: do not ask.")
    ] = WAIT_SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Publish a file of events through the gateway.

    After an interruption, run it again: it goes on from there, and an event sent twice does no
    harm. Refused lines are in FILE.refused.ndjson with the reason. Exits with 0 if all were
    accepted, 1 if some were refused, 2 for wrong usage, 3 if the gateway was not reached.

    An accepted event may still be refused beside others about its person, or have no effect. That
    is told as far as it is known in time, and does not change the exit code. Of an event that
    closes or corrects what has not arrived, it is known after ten minutes: `yuekang refusals`.
    """
    screen = Screen(Console(stderr=True))
    try:
        settings = Settings.from_environment()
        job = PublishJob(
            path=None if file == "-" else Path(file),
            gateway=gateway_at(gateway or settings.gateway_url),
            token_for=tokens_from(token, settings),
            patience_seconds=patience,
            restart=restart,
            wait_seconds=wait,
            signer=signer_of(settings),
        )
        summary, code = job.run(screen)
    except Misused as error:
        screen.console.print(f"[red]Not published:[/red] {escape(str(error))}")
        raise typer.Exit(EXIT_USAGE) from None
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    else:
        Console().print(table_of(summary))
        if summary.outcome is not None:
            screen.became(summary.outcome)
    if summary.failure:
        screen.console.print(f"[red]Stopped:[/red] {escape(summary.failure)}")
    raise typer.Exit(code)


class PublishJob(Struct, frozen=True):
    """What to publish, and how. `path` is None for standard input."""

    path: Path | None
    gateway: str
    token_for: TokenFor
    patience_seconds: float
    wait_seconds: float
    restart: bool
    signer: RequestSigner | None = None

    def run(self, screen: Screen) -> tuple[PublishSummary, int]:
        """Publish, and return what came of it with the exit code; raise `Misused`."""
        if self.path is None:
            return self._run(sys.stdin.buffer, None, screen)
        try:
            with self.path.open("rb") as file:
                return self._run(file, self.path.stat().st_size, screen)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise Misused(f"{self.path}: {error.strerror}.") from None

    def _run(self, file: BinaryIO, size: int | None, screen: Screen) -> tuple[PublishSummary, int]:
        started = time.monotonic()
        ledger = Ledger(self.path)
        place = FilePlace(self.gateway) if self.restart else ledger.load(self.gateway)
        run = PublishRun(
            _input_at(file, place, ledger), place, ledger, self.token_for, screen.refused
        )
        ledger.begin(place)
        sent = Sent()
        failure, code = None, 0
        try:
            with progress_on(screen.console, "Publishing", PERCENT) as report:
                asyncio.run(self._publish(run, sent, lambda done: report(done, size)))
        except Unreached as error:
            failure, code = f"{error} Run it again to go on.", EXIT_UNREACHED
        except KeyboardInterrupt:
            failure, code = "Interrupted. Run it again to go on.", EXIT_INTERRUPTED
        else:
            ledger.end()
            code = EXIT_REFUSED if run.place.refused else 0
        seconds = round(time.monotonic() - started, 3)
        summary = self._summary(run.place, ledger, seconds, failure)
        if failure is None and sent.places and self.wait_seconds:
            return replace(summary, outcome=self._outcome(sent)), code
        return summary, code

    def _outcome(self, sent: Sent) -> RunOutcome:
        try:
            return asyncio.run(outcome_of(self.gateway, sent, self.wait_seconds, self.signer))
        except KeyboardInterrupt:
            return RunOutcome(failure="Interrupted; all is sent.")

    async def _publish(self, run: PublishRun, sent: Sent, moved: Callable[[int], None]) -> None:
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX) as http:
            patience = Patience(seconds=self.patience_seconds)
            gateway = GatewayClient(self.gateway, patience, http, self.signer)
            await run.publish(BatchSender(gateway, sent), moved)

    def _summary(
        self, place: FilePlace, ledger: Ledger, seconds: float, failure: str | None
    ) -> PublishSummary:
        refused = sum(place.refused.values())
        return PublishSummary(
            file="-" if self.path is None else str(self.path),
            complete=failure is None,
            lines=place.line,
            accepted=place.accepted,
            refused=refused,
            refused_by_code=place.refused,
            report=str(ledger.report) if ledger.report and refused else None,
            seconds=seconds,
            failure=failure,
        )


def _input_at(file: BinaryIO, place: FilePlace, ledger: Ledger) -> Input:
    """Return the input from `place` on; raise `Misused` if what lies before it has changed."""
    source = Input(file, place.line)
    source.skip(place.offset)
    if source.sha256 != place.sha256:
        raise Misused(
            f"What was already sent of the file is no longer what stands in it. Use --restart to "
            f"send it from its first line, or put the old file back ({ledger.place} tells how far)."
        )
    return source


def gateway_at(gateway: str) -> str:
    """Return the gateway's address, or raise `Misused`."""
    try:
        url = httpx.URL(gateway)
    except httpx.InvalidURL as error:
        raise Misused(f"{gateway!r} is no address ({error}).") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise Misused(f"{gateway!r} is no address; write it as http://127.0.0.1:8081.")
    if not re.match(SAFE_URL, gateway):
        raise Misused(
            f"{gateway!r} is on another machine: document numbers go to https://… alone, without "
            "a query."
        )
    return gateway


def tokens_from(token: str | None, settings: Settings) -> TokenFor:
    """Return a function that gives a source's token: `token`, or one made with the private key.

    The function raises `ValueError` for a text that cannot name a source.
    """
    token = token or text_of("YUEKANG_TOKEN") or None
    if token is not None:
        if not TOKEN.fullmatch(token):
            raise Misused("The token is none: it has characters that no token has.")
        return lambda source: token
    if not settings.token_private_key:
        raise Misused("There is no token: use --token or YUEKANG_TOKEN.")
    made = tokens_by(settings)

    def token_for(source: str | None) -> str:
        if source is None:
            raise ValueError("it is missing or no text; write it as /laboratories/440100-001.")
        return made(source)

    return token_for


def signer_of(settings: Settings) -> RequestSigner | None:
    """Return what signs requests, if there is a key; raise `Misused` if it cannot be one."""
    if not settings.signing_key:
        return None
    try:
        return RequestSigner(settings.signing_key)
    except ValueError as error:
        raise Misused(f"YUEKANG_SIGNING_KEY: {error}") from None


def table_of(summary: PublishSummary) -> Table:
    """Return the summary as a table to read."""
    table = Table(show_header=False)
    table.add_row("file", escape(summary.file))
    table.add_row("lines", str(summary.lines))
    table.add_row("accepted", str(summary.accepted))
    table.add_row("refused", str(summary.refused))
    for code, count in summary.refused_by_code.items():
        table.add_row(f"  {code}", str(count))
    if summary.report:
        table.add_row("report", escape(summary.report))
    table.add_row("seconds", f"{summary.seconds:.1f}")
    return table
