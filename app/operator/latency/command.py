"""The command `yuekang latency`, and the report as a table."""

import asyncio
import sys
from typing import Annotated

import aiohttp
import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from app.operator.latency.report import Plan, Report
from app.operator.latency.run import measure
from app.process.settings import Settings
from app.process.terminal import progress_on


def latency(
    rate: Annotated[int, typer.Option(min=1, max=5_000, help="Events a second.")] = 500,
    seconds: Annotated[int, typer.Option(min=1, max=500, help="How long.")] = 30,
    follow_rate: Annotated[
        int, typer.Option("--follow", min=1, max=100, help="Events followed, a second.")
    ] = 10,
    interval_ms: Annotated[
        int, typer.Option(min=1, max=1_000, help="At least, between two requests for an event.")
    ] = 20,
    deadline_seconds: Annotated[
        float, typer.Option("--deadline", min=0.1, max=120, help="Not seen by then: failed.")
    ] = 10.0,
    changing_percent: Annotated[
        int,
        typer.Option(
            "--changing",
            min=0,
            max=100,
            help="Per cent of the events not followed that change a code; negative results else.",
        ),
    ] = 100,
    p99_ms_max: Annotated[
        float | None, typer.Option("--p99-max", min=1, help="Fail if p99 is above, in ms.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure the time from append on Kafka to visible over HTTP, at a steady rate.

    Exits with 1 if a followed event was not visible in time, or the rate was not reached.
    """
    settings = Settings.from_environment("mac_key")
    console = Console(stderr=True)
    plan = Plan(
        rate, seconds, min(follow_rate, rate), interval_ms, deadline_seconds, changing_percent
    )
    try:
        with progress_on(console, "Events") as progress:
            report = asyncio.run(measure(settings, plan, progress))
    except (aiohttp.ClientError, KafkaError, TimeoutError, OSError) as failure:
        console.print(f"[red]Nothing was measured:[/red] {failure}. Is everything up (make run)?")
        raise typer.Exit(1) from failure
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        Console().print(table_of(report))
    failures = report.failures(p99_ms_max)
    for line in failures:
        console.print(f"[red]Failed:[/red] {line}")
    if failures:
        raise typer.Exit(1)


def table_of(report: Report) -> Table:
    """Return the report as a table to read."""
    table = Table(
        title=f"{report.published} events at {report.rate_reached:g} of {report.rate_asked}/s; "
        f"{report.seen} of {report.followed} followed ones visible",
        caption=f"Of those not followed {report.changing_percent}% change a code. "
        f"Start: {report.clock}. The view was asked every {report.interval_ms} ms, older events "
        f"less often, {report.asked} times in all; deadline {report.deadline_seconds:g} s, "
        "which is what an event counts that was not seen by then.",
    )
    for column in ("ms", "p50", "p95", "p99", "max"):
        table.add_column(column, justify="left" if column == "ms" else "right")
    for name, of in (
        ("from append to visible", report.visible),
        ("from schedule to visible", report.from_schedule),
        ("resolution of that", report.resolution),
        ("sent later than scheduled", report.sent_late),
    ):
        if of is not None:
            table.add_row(name, *(f"{value:.1f}" for value in msgspec.structs.astuple(of)))
    return table
