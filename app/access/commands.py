"""`yuekang acls`: what each process may do on Kafka, shown, written and compared.

Exit codes: 0 done, or nothing differs; 1 Kafka failed, or something differs; 2 wrong usage.
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.access import acls as kafka
from app.access.acls import Acl, Differences, acl_of, differing
from app.access.rights import PROCESSES, Right, principal_of, publisher_rights, rights_of
from app.process.asking import ask_kafka
from app.process.kafka import Brokers
from app.topics.catalogue import CATALOGUE

acls = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Who may do what on Kafka, by topics.yaml: show, apply or check it.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Principals = Annotated[
    list[str] | None,
    typer.Option(
        "--principal",
        metavar="PROCESS=PRINCIPAL",
        help="By which name Kafka knows a process, where it is not User:PROCESS; with "
        "certificates, say, worker=User:CN=worker,O=yuekang.",
    ),
]
Publishers = Annotated[
    list[str] | None,
    typer.Option(
        "--publisher",
        metavar="PRINCIPAL=AUTHORITY",
        help="An agency that writes to Kafka itself: User:lab-1=laboratory.",
    ),
]
NO_PRINCIPALS: list[str] | None = None


@acls.command()
def show(
    principal: Principals = NO_PRINCIPALS,
    publisher: Publishers = NO_PRINCIPALS,
    as_lines: Annotated[
        bool, typer.Option("--kafka-acls", help="Print arguments of kafka-acls.sh, a line each.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what each process may do; ask no broker."""
    wanted = _wanted(principal, publisher)
    if as_json:
        print(msgspec.json.encode(list(_all(wanted))).decode())
    elif as_lines:
        for acl in _all(wanted):
            print(kafka_acls_line(acl))
    else:
        table = Table("principal", "resource", "name", "may")
        for column in table.columns[:-1]:
            column.no_wrap = True
        for who, rights in wanted.items():
            table.add_section()
            for row in _rows(rights):
                table.add_row(who, *row)
        Console(soft_wrap=True).print(table)


@acls.command()
def apply(
    principal: Principals = NO_PRINCIPALS,
    publisher: Publishers = NO_PRINCIPALS,
    prune: Annotated[
        bool, typer.Option(help="Delete also what is too much: read `check` first.")
    ] = False,
) -> None:
    """Write what is missing. Needs the right to alter the cluster, as super users have."""
    wanted = _wanted(principal, publisher)

    async def run(brokers: Brokers) -> Differences:
        found = differing(wanted, await kafka.read(brokers))
        await kafka.create(brokers, found.missing)
        if prune:
            await kafka.delete(brokers, found.too_many)
        return found

    found = ask_kafka(run)
    print(f"Written: {len(found.missing)} of {sum(map(len, wanted.values()))}.")
    for acl in found.too_many:
        print(f"{'Deleted' if prune else 'Too much'}: {acl}")


@acls.command()
def check(
    principal: Principals = NO_PRINCIPALS,
    publisher: Publishers = NO_PRINCIPALS,
    as_json: AsJson = False,
) -> None:
    """Say which rights are missing and which are too much; needs to describe the cluster."""
    wanted = _wanted(principal, publisher)

    async def run(brokers: Brokers) -> Differences:
        return differing(wanted, await kafka.read(brokers))

    found = ask_kafka(run)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        for acl in found.missing:
            print(f"Missing: {acl}")
        for acl in found.too_many:
            print(f"Too much: {acl}")
        if not found.missing and not found.too_many:
            print(f"All {sum(map(len, wanted.values()))} rights are there, and no other.")
    if found.missing or found.too_many:
        raise typer.Exit(1)


def kafka_acls_line(acl: Acl) -> str:
    """Return the arguments by which kafka-acls.sh writes an ACL."""
    kind = "--cluster" if acl.resource == "cluster" else f"--{acl.resource} '{acl.name}'"
    operation = "".join(word.capitalize() for word in acl.operation.split("-"))
    pattern = " --resource-pattern-type prefixed" if acl.prefixed else ""
    return f"--add --allow-principal '{acl.principal}' --operation {operation} {kind}{pattern}"


def _wanted(principals: list[str] | None, publishers: list[str] | None) -> dict[str, list[Right]]:
    """Return each principal's rights; raise `BadParameter`."""
    names = {process: principal_of(process) for process in PROCESSES}
    for text in principals or ():
        process, _, name = text.partition("=")
        if process not in names or not name.startswith("User:"):
            raise typer.BadParameter(
                f"{text!r}: write it as PROCESS=User:NAME; processes are {', '.join(names)}."
            )
        names[process] = name
    wanted = {name: rights_of(process) for process, name in names.items()}
    if len(wanted) < len(names):
        raise typer.BadParameter("Two processes have one principal; each needs its own.")
    for text in publishers or ():
        name, _, authority = text.rpartition("=")
        try:
            rights = publisher_rights(authority)
        except KeyError:
            known = ", ".join(CATALOGUE.authorities)
            raise typer.BadParameter(
                f"{text!r}: {authority!r} publishes nothing; authorities are {known}."
            ) from None
        if not name.startswith("User:") or name in wanted:
            raise typer.BadParameter(f"{text!r}: {name!r} is no principal of an agency.")
        wanted[name] = rights
    return wanted


def _all(wanted: dict[str, list[Right]]) -> Iterator[Acl]:
    return (acl_of(who, right) for who, rights in wanted.items() for right in rights)


def _rows(rights: list[Right]) -> Iterator[tuple[str, str, str]]:
    """Yield resource, name and operations, the operations of one resource together."""
    together: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        name = f"{right.name}…" if right.prefixed else right.name
        together.setdefault((right.resource, name), []).append(right.operation)
    for (resource, name), operations in together.items():
        yield resource, name, ", ".join(operations)
