"""`yuekang topics` and `yuekang schemas`: what derives from topics.yaml and models/.

Both exit with 1 if something differs or cannot be done, and say what.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.process.asking import ask_kafka
from app.process.settings import Settings
from app.topics.admin import create_topics, differences
from app.topics.authentic import authority_key, source_key
from app.topics.catalogue import CATALOGUE
from app.topics.schemas import asyncapi, json_schemas

DIRECTORY = Path("docs/schemas")

topics = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Make or check the topics of topics.yaml."
)
schemas = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Write the JSON Schemas and AsyncAPI."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Directory = Annotated[Path, typer.Option(help="Where the files are.")]


@topics.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """List the topics as topics.yaml has them; ask no broker."""
    entries = list(CATALOGUE.topics.values())
    if as_json:
        _print_json([{**msgspec.to_builtins(t), "settings": t.settings} for t in entries])
        return
    table = Table("topic", "authority", "kept", "holds")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for topic in entries:
        days = topic.retention_days
        kept = topic.cleanup if days is None else f"{days} days"
        table.add_row(topic.name, topic.authority, kept, topic.holds)
    Console().print(table)


@topics.command()
def create(as_json: AsJson = False) -> None:
    """Make the topics that the broker lacks; one that exists is never changed."""
    made = ask_kafka(create_topics)
    if as_json:
        _print_json({"made": made})
    else:
        print(f"Made {len(made)} of {len(CATALOGUE.topics)}: {', '.join(made) or 'all are there'}.")


@topics.command("check")
def check_topics(as_json: AsJson = False) -> None:
    """Say how the broker's topics differ from topics.yaml."""
    wrong = ask_kafka(differences)
    _tell(wrong, f"All {len(CATALOGUE.topics)} topics are as they should be.", as_json)


@schemas.command()
def write(directory: Directory = DIRECTORY) -> None:
    """Write one JSON Schema a type, and asyncapi.json; remove those of types that are gone."""
    directory.mkdir(parents=True, exist_ok=True)
    expected = files()
    for path in directory.glob("*.json"):
        if path.name not in expected:
            path.unlink()
    for name, content in expected.items():
        (directory / name).write_bytes(content)
    print(f"Wrote {len(expected)} files to {directory}.")


@schemas.command("check")
def check_files(directory: Directory = DIRECTORY, as_json: AsJson = False) -> None:
    """Say which files are not what the code gives."""
    expected = files()
    found = {path.name: path.read_bytes() for path in directory.glob("*.json")}
    wrong = [
        f"{directory / name}: {why}. Run `yuekang schemas write`."
        for name in sorted(expected.keys() | found.keys())
        if (why := _difference(expected.get(name), found.get(name)))
    ]
    _tell(wrong, f"All {len(expected)} files in {directory} are up to date.", as_json)


def mac_key(
    source: Annotated[str, typer.Argument(help="Such as /laboratories/440100-001.")],
) -> None:
    """Print the key with which a source makes its records on Kafka authentic (docs/kafka.md).

    Whoever has it may write as that source. Its version is that of the master key.
    """
    settings = Settings.from_environment("mac_key")
    authority = CATALOGUE.authority_of(source)
    if authority is None:
        patterns = ", ".join(p for of in CATALOGUE.authorities.values() for p in of)
        raise typer.BadParameter(f"{source!r} is no source; there are {patterns}.")
    print(source_key(authority_key(settings.mac_key, authority), source).hex())


def files() -> dict[str, bytes]:
    """Return what `write` writes: file name → content."""
    documents = {**json_schemas(), "asyncapi": asyncapi()}
    return {
        f"{name}.json": msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
        for name, document in documents.items()
    }


def _difference(expected: bytes | None, found: bytes | None) -> str | None:
    if found is None:
        return "it is missing"
    if expected is None:
        return "there is no such type"
    return None if found == expected else "it is out of date"


def _tell(wrong: list[str], good: str, as_json: bool) -> None:
    """Print what is wrong and exit with 1, or print that all is well."""
    if as_json:
        _print_json({"differences": wrong})
    else:
        print("\n".join(wrong) or good)
    if wrong:
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())
