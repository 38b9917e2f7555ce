"""`yuekang sample`: publish the sample day and say whom to look at."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from app.development.sample.day import PEOPLE_MAX, PEOPLE_MIN
from app.development.sample.publish import SAMPLE_FILE, SampleSummary, load, publish_day
from app.development.sample.sources import register_sample
from app.gateway.client import Unreached
from app.process.settings import Settings
from app.process.terminal import progress_on
from app.publish.lines import Misused
from app.sources.operators import operator_of_command
from app.topics.authentic import source_keys
from app.web.tokens import Role


def sample(
    people: Annotated[
        int, typer.Option(min=PEOPLE_MIN, max=PEOPLE_MAX, help="Synthetic people in the city.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another city.")] = 1,
    again: Annotated[
        bool, typer.Option(help="Send the whole last day again: nothing but copies.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Publish a sample day of a synthetic city through the gateway and on Kafka, and register its
    sources.

    The second time it only adds a few people whose codes turn green within minutes. Exits with
    1 if an entrance fails or refuses what it should take.
    """
    settings = Settings.from_environment("token_private_key", "mac_key")
    by = operator_of_command(settings, Role.REGISTER)
    console = Console(stderr=True)
    try:
        asyncio.run(register_sample(settings.brokers, source_keys(settings), by))
        before = load(Path(settings.data_dir) / SAMPLE_FILE) if again else None
        if before is not None:
            people, seed = before.people, before.seed
        now = before.now if before else None
        with progress_on(console, "Sample day") as report:
            summary = asyncio.run(publish_day(settings, people, report, seed, now))
    except (Unreached, Misused, KafkaError, ValueError, OSError) as failure:
        console.print(f"[red]The sample was not published:[/red] {failure}")
        raise typer.Exit(1) from failure
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    else:
        Console().print(table_of(summary))
    if summary.refused_unexpected:
        raise typer.Exit(1)


def table_of(summary: SampleSummary) -> Table:
    """Return what was published and whom to look at, as a table to read."""
    table = Table(title=f"Sample day of {summary.people} synthetic people", show_header=False)
    table.add_row("published", f"{summary.published} in {summary.seconds} s")
    table.add_row("  through the gateway", str(summary.by_gateway))
    table.add_row("  on Kafka", str(summary.by_kafka))
    table.add_row("refused as expected", str(summary.refused_expected))
    table.add_row("refused unexpectedly", str(summary.refused_unexpected))
    for line in summary.unexpected:
        table.add_row("", line)
    table.add_row("broken records on Kafka", str(sum(summary.broken_records.values())))
    table.add_row("a green code", summary.green or "-")
    table.add_row("a red code", summary.red or "-")
    if summary.ends_soon:
        soonest = summary.ends_soon[0]
        assert soonest.changes_at is not None
        at = soonest.changes_at.astimezone().strftime("%H:%M:%S")
        table.add_row(f"turns green at {at}", soonest.person)
    return table
