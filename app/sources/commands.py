"""`yuekang sources`: list the register and change it.

A change bears the name of the operator whose token YUEKANG_TOKEN is, with the role register. It is
written down, then written to the topic, and seen by every process within seconds. What would change
nothing is said and not written, so that a typing error never looks like success.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from app.process.asking import ask_kafka, failed
from app.process.kafka import Brokers
from app.process.settings import Settings
from app.process.terminal import escaped
from app.sources.changes import Data, change, read_register, write
from app.sources.changes import sign_again as sign_register_again
from app.sources.file import SourcesFileError, sources_in
from app.sources.operators import operator_of_command
from app.sources.register import SOURCES_MAX, TAKEN_BACK_MAX, Register, is_over
from app.topics.authentic import operator_keys
from app.topics.catalogue import CATALOGUE
from app.web.tokens import LIFE_MAX, Role
from models.policy import ZONE
from models.register import (
    ClosedData,
    OpenedData,
    RegisteredSource,
    SourceClosed,
    TakenBackData,
    TokenTakenBack,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Source = Annotated[str, typer.Argument(help="Such as /laboratories/440100-001.")]
Reason = Annotated[
    str, typer.Option(help="Why; the source is told it, and everybody who reads the register.")
]

Said = tuple[list[Data], str]
"""What is to be written, and what is printed once it is."""

sources = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The register of sources: who each is, who is let in, which tokens were taken back.",
)


class ListedSource(Struct, frozen=True):
    """A source as it is listed. `entry` is None if it is closed and not registered."""

    source: str
    authority: str | None
    on: bool
    entry: RegisteredSource | None
    closed: SourceClosed | None


@sources.command("list")
def list_sources(
    authority: Annotated[
        str | None, typer.Option(help="Only of this authority, such as laboratory.")
    ] = None,
    tokens: Annotated[bool, typer.Option(help="The tokens that were taken back.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the sources, or the tokens that were taken back and would still be good."""
    if authority is not None and authority not in CATALOGUE.authorities:
        raise typer.BadParameter(
            f"There is no authority {authority}; there are {', '.join(CATALOGUE.authorities)}."
        )
    register = _read()
    if tokens:
        _list_tokens(register, as_json)
        return
    listed = [_listed(register, source) for source in register.sources()]
    wanted = [each for each in listed if authority in (None, each.authority)]
    for each in wanted:
        print(msgspec.json.encode(each).decode() if as_json else _line(each))
    if not wanted and not as_json:
        print("There are none.")


@sources.command()
def show(source: Source, as_json: AsJson = False) -> None:
    """Show what the register says of a source. Exits with 1 if it says nothing."""
    found = _listed(_read(), source)
    if found.entry is None and found.closed is None:
        raise failed(f"{source} is not registered.")
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    print(_line(found))
    if found.closed is not None:
        by, at = found.closed.source, _moment(found.closed.time)
        print(escaped(f"closed by {by} on {at}: {found.closed.data.reason}"))
    if (entry := found.entry) is not None:
        for key in entry.keys:
            until = "" if key.valid_until is None else f" until {_moment(key.valid_until)}"
            print(f"key {key.id}: valid from {_moment(key.valid_from)}{until}")
        for name, limit in msgspec.structs.asdict(entry.limits).items():
            if limit is not None:
                print(f"{name}: {limit:,}")


@sources.command()
def load(
    file: Annotated[Path, typer.Argument(help="YAML, as sources.yaml beside topics.yaml.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")
    ] = False,
) -> None:
    """Register the sources of a file, and change those that it says otherwise.

    What is not in the file stays as it is, and so does what is closed. Nothing is written if there
    is any fault in the file, or where the register has no room.
    """
    try:
        wanted = sources_in(file)
    except SourcesFileError as error:
        raise failed(str(error)) from None

    def said(register: Register) -> Said:
        differing: list[Data] = [e for e in wanted if register.of(e.source) != e]
        new = sum(register.of(entry.source) is None for entry in wanted)
        if len(register) + new > SOURCES_MAX:
            raise failed(
                f"The register has {len(register)} sources, and room for {SOURCES_MAX}; with the "
                f"{new} new ones of {file} it would be too full. Nothing is written."
            )
        would = "would be " if dry_run else ""
        return differing, (
            f"{new} {would}registered, {len(differing) - new} {would}changed, "
            f"{len(wanted) - len(differing)} as they were."
        )

    if dry_run:
        print(said(_read())[1])
    else:
        _change(said)


@sources.command()
def close(source: Source, reason: Reason) -> None:
    """Let a source in no more, whatever token it shows; it need not be registered.

    Exits with 1 if it is closed already.
    """
    data = _checked({"source": source, "reason": reason}, ClosedData)
    if CATALOGUE.authority_of(source) is None:
        raise failed(f"No authority of topics.yaml has such sources as {source}.")

    def said(register: Register) -> Said:
        if (before := register.closed(source)) is not None:
            raise failed(
                f"{source} is closed already, by {before.source} since {_moment(before.time)}: "
                f"{before.data.reason}"
            )
        also = "" if register.of(source) else " It is not registered; look that you mean this one."
        return [data], f"{source} is closed.{also}"

    _change(said)


@sources.command("open")
def open_source(source: Source) -> None:
    """Let a source in again. Exits with 1 if it is not closed."""
    data = _checked({"source": source}, OpenedData)

    def said(register: Register) -> Said:
        if register.closed(source) is None:
            raise failed(f"{source} is not closed.")
        return [data], f"{source} is let in again."

    _change(said)


@sources.command("take-back")
def take_back(
    token_id: Annotated[str, typer.Argument(help="The token's id, its jti.")],
    reason: Reason,
    until: Annotated[
        str | None,
        typer.Option(
            help="When the token ends, such as 2023-04-20T08:00, in Asia/Shanghai; it is "
            f"forgotten then. Unless given, in {LIFE_MAX.days} days."
        ),
    ] = None,
) -> None:
    """Take one token back. Exits with 1 if it was taken back already, or its time is over."""
    now = datetime.now(UTC)
    ends = now + LIFE_MAX if until is None else _instant(until)
    data = _checked({"token": token_id, "until": ends, "reason": reason}, TakenBackData)
    if is_over(data, now):
        raise failed(f"The token ended on {_moment(ends)} by itself. Nothing is written.")

    def said(register: Register) -> Said:
        good = _good(register.tokens(), now)
        before = next((each for each in good if each.data.token == token_id), None)
        if before is not None and (until is None or before.data.until >= ends):
            raise failed(f"It was taken back already, by {before.source}: {before.data.reason}")
        if before is None and len(good) >= TAKEN_BACK_MAX:
            raise failed(
                f"{TAKEN_BACK_MAX} tokens are taken back, and there is room for no more. Close "
                "their source (`yuekang sources close`), or change the key that signed them."
            )
        return [data], f"The token {token_id} is taken back."

    _change(said)


@sources.command("sign-again")
def sign_again() -> None:
    """Write the register once more, by another master key, before the former one is forgotten.

    YUEKANG_FORMER_MAC_KEY has the former. Nobody else should change the register meanwhile.
    """
    by, keys = operator_of_command(Settings.from_environment(), Role.REGISTER), operator_keys()
    count = ask_kafka(lambda brokers: sign_register_again(brokers, keys, by))
    print(f"Signed by the key of now: {count} records.")


def _change(said: Callable[[Register], Said]) -> None:
    """Write what `said` makes of the register as it is now, then print its sentence. Forget tokens
    that are over."""
    by, keys = operator_of_command(Settings.from_environment(), Role.REGISTER), operator_keys()

    async def run(brokers: Brokers) -> None:
        register = await read_register(brokers, keys)
        wanted, sentence = said(register)
        now = datetime.now(UTC)
        over = [each.data.token for each in register.tokens() if is_over(each.data, now)]
        if wanted:
            await write(brokers, keys, [change(data, by) for data in wanted], over)
        print(sentence)

    ask_kafka(run)


def _read() -> Register:
    keys = operator_keys()
    return ask_kafka(lambda brokers: read_register(brokers, keys))


def _checked(fields: dict[str, object], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"{error}.") from None


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write it as 2023-04-20T08:00.") from None
    return at.replace(tzinfo=ZONE) if at.tzinfo is None else at


def _good(tokens: Sequence[TokenTakenBack], now: datetime) -> list[TokenTakenBack]:
    return [each for each in tokens if not is_over(each.data, now)]


def _list_tokens(register: Register, as_json: bool) -> None:
    found = _good(register.tokens(), datetime.now(UTC))
    for each in found:
        data = each.data
        line = f"{data.token} until {_moment(data.until)}, by {each.source}: {data.reason}"
        print(msgspec.json.encode(each).decode() if as_json else escaped(line))
    if not found and not as_json:
        print("None was taken back.")


def _listed(register: Register, source: str) -> ListedSource:
    closed = register.closed(source)
    authority = CATALOGUE.authority_of(source)
    return ListedSource(source, authority, closed is None, register.of(source), closed)


def _line(listed: ListedSource) -> str:
    state, entry = "on" if listed.on else "closed", listed.entry
    said = ["not registered"]
    if entry is not None:
        said = [entry.name.zh, entry.name.en, entry.telephone or "-", entry.city]
    cells = f"{listed.source:<32} {listed.authority or '-':<18} {state:<7}"
    return escaped(f"{cells}{'  '.join(said)}")


def _moment(at: datetime) -> str:
    return f"{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
