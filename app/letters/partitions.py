"""`yuekang partitions`: list what workers hold, and let go on what stands still.

The workers are asked at their status servers. A release is an event; the worker applies it.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import typer

from app.engine.halts import PARTITIONS_PATH, Halt, HeldPartition
from app.letters.releases import release_partition
from app.letters.workers import AtStatus, addresses_of, ask_workers
from app.process.asking import ask_kafka, failed
from app.process.settings import Settings
from app.process.terminal import escaped
from app.sources.operators import operator_of_command
from app.topics.authentic import operator_keys
from app.web.tokens import Role
from models.operators import PartitionReleasedData
from models.policy import ZONE

WAIT_SECONDS_MAX = 30.0
"""How long `release` waits for the worker."""

SETTLE_SECONDS = 3.0
"""How long `release` looks whether the partition stands still again: a record that cannot be folded
is found within that."""

ASK_SECONDS = 0.5

partitions = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="What workers hold, and what stands still: list it, let it go on.",
)


class WorkerAnswers(NamedTuple):
    """What the workers answered: the partitions held, and a sentence for each that did not."""

    held: list[HeldPartition]
    silent: list[str]

    def of(self, data: PartitionReleasedData) -> list[HeldPartition]:
        """Return the partition that `data` is about, as each worker tells it that holds it."""
        return [e for e in self.held if (e.table, e.partition) == (data.table, data.partition)]


@partitions.command("list")
def list_partitions(
    status: AtStatus = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one partition a line.")
    ] = False,
) -> None:
    """List the partitions that workers hold; what stands still is said in a sentence each.

    Exits with 1 if a worker does not answer; what the others said is printed all the same.
    """
    found = asyncio.run(_asked(addresses_of(status)))
    if as_json:
        for each in found.held:
            print(msgspec.json.encode(each).decode())
    else:
        _print_table(found.held)
    if found.silent:
        raise failed("\n".join(found.silent))


@partitions.command()
def release(
    table: Annotated[str, typer.Argument(help="Such as people.")],
    partition: Annotated[int, typer.Argument(min=0)],
    reason: Annotated[
        str, typer.Option(help="Why; it stands in the event and in the worker's log.")
    ],
    topic: Annotated[str | None, typer.Option(help="Only what stands still in this topic.")] = None,
    offset: Annotated[
        int | None, typer.Option(min=0, help="The record at which it stands (--leave-aside).")
    ] = None,
    leave_aside: Annotated[
        bool,
        typer.Option(
            "--leave-aside",
            help="Write this one record to dead-letters, not applied, and go on after it.",
        ),
    ] = False,
    status: AtStatus = None,
) -> None:
    """Let a partition go on that stands still: the record at which it stands is tried again.

    With --leave-aside, --topic and --offset that record is not tried again. It is written to
    dead-letters, from where it can be sent again once the cause is mended. The release bears the
    name of the operator whose token YUEKANG_TOKEN is, with the role release.

    Exits with 0 if it does not stand still any more, with 1 if it does, or if the worker has not
    applied the release in time; the release is written even then, and will be applied.
    """
    if leave_aside != (offset is not None) or (leave_aside and topic is None):
        raise typer.BadParameter(
            "--leave-aside is for one record: give --topic and --offset with it. `list` shows at "
            "which record a partition stands."
        )
    fields = {"table": table, "partition": partition, "reason": reason}
    optional = {"topic": topic, "offset": offset}
    try:
        data = msgspec.convert(
            fields | {name: value for name, value in optional.items() if value is not None},
            PartitionReleasedData,
        )
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"This is no release: {error}.") from None
    by = operator_of_command(Settings.from_environment(), Role.RELEASE)
    addresses = addresses_of(status)
    standing = _standing(asyncio.run(_asked(addresses)), data)
    print(_said(standing))
    keys = operator_keys()
    if not ask_kafka(lambda brokers: release_partition(brokers, keys, data, by, WAIT_SECONDS_MAX)):
        raise failed(
            f"The release of partition {partition} of {table} is written, but no worker has "
            f"applied it within {WAIT_SECONDS_MAX:g} s. Does one run?"
        )
    again = asyncio.run(_again(addresses, data, standing))
    if again is None:
        raise failed(
            "The release is applied. None of the workers that answered holds the partition now, so "
            "whether it goes on is not known: `yuekang partitions list`."
        )
    if again:
        raise failed(f"It was released and stands still again:\n{_said(again)}")
    print(f"Partition {partition} of {table} is released and does not stand still any more.")
    if leave_aside:
        print(
            f"The record at {topic}[{partition}] {offset} goes to dead-letters: yuekang "
            "dead-letters list --reason left-aside"
        )


def _standing(found: WorkerAnswers, data: PartitionReleasedData) -> list[Halt]:
    """Return what `data` releases; exit with 1 and say why if nothing of that stands still."""
    name = f"partition {data.partition} of {data.table}"
    held = found.of(data)
    if not held:
        said = [f"None of the workers that answered holds {name}. Nothing was released."]
        raise failed("\n".join([*said, *found.silent]))
    if not (all_halts := [halt for each in held for halt in each.halts]):
        raise failed(f"Nothing stands still in {name}: it is {held[0].state}. It was not released.")
    if behind := [halt for halt in all_halts if halt.until_start]:
        raise failed(f"No release reaches it; nothing was released.\n{_said(behind)}")
    halts = [
        halt
        for halt in all_halts
        if data.topic in (None, halt.topic) and data.offset in (None, halt.offset)
    ]
    if not halts:
        raise failed(
            "It does not stand still there; nothing was released. What stands still:\n"
            f"{_said(all_halts)}"
        )
    return halts


async def _again(
    addresses: Sequence[str], data: PartitionReleasedData, before: Sequence[Halt]
) -> list[Halt] | None:
    """Look for `SETTLE_SECONDS` whether what was released stands still again, and return what does;
    None if nobody says that they hold it."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        held = (await _asked(addresses)).of(data)
        halts = [halt for each in held for halt in each.halts if data.topic in (None, halt.topic)]
        again = [halt for halt in halts if halt not in before]
        if again or time.monotonic() > until:
            return again if held else None
        await asyncio.sleep(ASK_SECONDS)


async def _asked(addresses: Sequence[str]) -> WorkerAnswers:
    return WorkerAnswers(*await ask_workers(addresses, PARTITIONS_PATH, HeldPartition))


def _print_table(held: Sequence[HeldPartition]) -> None:
    print(_row("table", "partition", "state", "stands at", "since"))
    for each in held:
        cells = each.table, str(each.partition), each.state
        if not each.halts:
            print(_row(*cells, "", ""))
        for halt in each.halts:
            at = halt.topic and f"{halt.topic} {halt.offset}"
            since = f"{halt.since.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
            print(_row(*cells, at or "what time brings about", since))
    if halts := [halt for each in held for halt in each.halts]:
        print(f"\n{_said(halts)}")


def _said(halts: Sequence[Halt]) -> str:
    """Return a sentence for each, with a line between."""
    return "\n\n".join(escaped(str(halt)) for halt in halts)


def _row(*cells: str) -> str:
    widths = (8, 9, 11, 34, 19)
    return " ".join(
        escaped(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)
    ).rstrip()
