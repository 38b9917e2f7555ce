"""`yuekang dead-letters` and `yuekang parked`: list, show, send again; and release a source.
`yuekang held`: list, show, approve.

Every command reads letters as a stream, so their number does not matter.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec.structs import replace as replaced
from rich.console import Console

from app.audit.entries import Act
from app.audit.trail import note_command
from app.letters.marks import marks_of
from app.letters.mend import Sending
from app.letters.parking import NotParkedError, check_parked, parked_now, parkings
from app.letters.releases import approve_openings, approved, still_parked
from app.letters.releases import release as release_source
from app.letters.resend import ResendJob, ResendOutcome, Watcher, resend
from app.letters.show import print_letter, print_list
from app.letters.workers import AtStatus, addresses_of
from app.process.asking import ask_kafka, failed
from app.process.kafka import Brokers
from app.process.settings import Settings, variable_of
from app.process.terminal import OPEN_END, escaped, progress_on
from app.sources.operators import operator_by_token, operator_of_command, operator_running
from app.topics.authentic import operator_keys
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, ON_HOLD, PARKED, input_topics
from app.topics.letters import Letter, LetterFilter, NotOpenedError, letter_in, opened
from app.topics.reading import reading
from app.topics.records import KafkaPlace
from app.web.tokens import Role
from models.operators import OpeningsApprovedData, SourceReleasedData
from models.policy import ZONE

WAIT_SECONDS_MAX = 30.0
"""How long `release` waits for the worker."""

SHOWN_MAX = 20
"""How many letters are told one by one when many are sent again; all are counted."""

Partition = Annotated[int, typer.Argument(min=0, help="The letter's partition.")]
Offset = Annotated[int, typer.Argument(min=0, help="The letter's offset.")]
From = Annotated[str | None, typer.Option("--from", help="Only from this input topic.")]
Reason = Annotated[str | None, typer.Option(help="Only with this reason, such as not-json.")]
Source = Annotated[str | None, typer.Option(help="Only from this source.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only since then: 2022-04-20 or 2022-04-20T08:00, in Asia/Shanghai."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the private key in hexadecimal; without it the key is in "
        f"{variable_of('dead_letter_private_key')}."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def _wanted(
    topic: str | None, reason: str | None, source: str | None, since: str | None
) -> LetterFilter:
    names = [t.name for t in input_topics()]
    if topic is not None and topic not in names:
        raise typer.BadParameter(f"There is no input topic {topic}; there are {', '.join(names)}.")
    return LetterFilter(topic, reason, source, _instant(since))


def _instant(text: str | None) -> datetime | None:
    """Return the instant that an option names; without a zone it is in Asia/Shanghai."""
    try:
        at = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write it as 2022-04-20T08:00.") from None
    return at.replace(tzinfo=ZONE) if at is not None and at.tzinfo is None else at


def _commands(topic: str, about: str) -> typer.Typer:
    """Return the commands that list and show the letters on `topic`."""
    commands = typer.Typer(add_completion=False, no_args_is_help=True, help=about)
    partitions = CATALOGUE.topics[topic].partitions

    @commands.command("list")
    def list_letters(
        came_from: From = None,
        reason: Reason = None,
        source: Source = None,
        since: Since = None,
        as_json: AsJson = False,
    ) -> None:
        """List the letters; each partition keeps its order."""
        wanted = _wanted(came_from, reason, source, since)

        async def run(brokers: Brokers) -> None:
            async with reading(brokers, topic, partitions) as reader:
                marks = await marks_of(brokers, topic, reader.ranges)
                await print_list(reader, wanted, marks, as_json)

        ask_kafka(run)

    @commands.command()
    def show(
        partition: Partition,
        offset: Offset,
        raw: Annotated[
            bool, typer.Option("--raw", help="Print the bytes alone, as they are.")
        ] = False,
        unseal: Annotated[
            bool, typer.Option("--open", help="Open a sealed one with the private key.")
        ] = False,
        key_file: KeyFile = None,
    ) -> None:
        """Show one letter: where it stood, why it is here, its headers and its bytes."""
        by = operator_running(Settings.from_environment())

        async def run(brokers: Brokers) -> Letter | None:
            place = KafkaPlace(topic, partition, offset)
            opened = {"opened": "yes"} if unseal or key_file is not None else {}
            await note_command(brokers, by, Act.LETTER_READ, str(place), details=opened)
            async with reading(brokers, topic, partitions) as reader:
                record = await reader.one(partition, offset)
                return None if record is None else letter_in(record)

        letter = ask_kafka(run)
        if letter is None:
            raise failed(_none_there(KafkaPlace(topic, partition, offset)))
        if unseal or key_file is not None:
            try:
                letter = opened(letter, _private_key(key_file))
            except NotOpenedError as error:
                raise failed(str(error)) from None
        if raw:
            sys.stdout.buffer.write(letter.value or b"")
        else:
            print_letter(letter)

    return commands


def _with_resend(commands: typer.Typer, topic: str) -> typer.Typer:
    """Add the command that sends the letters on `topic` again."""

    @commands.command("resend")
    def resend_letters(
        partition: Annotated[int | None, typer.Argument(min=0)] = None,
        offset: Annotated[int | None, typer.Argument(min=0)] = None,
        everything: Annotated[
            bool, typer.Option("--all", help="All of them, where no option says which.")
        ] = False,
        came_from: From = None,
        reason: Reason = None,
        source: Source = None,
        since: Since = None,
        replace: Annotated[
            Path | None,
            typer.Option(help="File with the mended event, as JSON, to send in its place."),
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Send one also if it would be refused again.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
        key_file: KeyFile = None,
    ) -> None:
        """Send one again (PARTITION OFFSET), or all that the options choose; none is sent twice.

        A record goes where it came from, a mended one where its event belongs. A record that would
        be refused again is not sent. A sealed one needs the private key, unless it is replaced.
        Exits with 0 if all were sent, now or before, else with 1.
        """
        wanted = _wanted(came_from, reason, source, since)
        one = _one(topic, partition, offset)
        if one is None and wanted == LetterFilter() and not everything:
            raise typer.BadParameter("Say which: PARTITION OFFSET, an option, or --all.")
        if one is None and (replace is not None or force):
            raise typer.BadParameter("--replace and --force are for one: give PARTITION OFFSET.")
        if one is not None and (everything or wanted != LetterFilter()):
            raise typer.BadParameter("PARTITION OFFSET says which; leave the other options out.")
        key = _private_key(key_file, required=False)
        job = ResendJob(topic, one, wanted, _read(replace), force, dry_run, key)
        outcome = _resend(job, operator_running(Settings.from_environment()))
        if as_json:
            print(msgspec.json.encode(outcome).decode())
        else:
            print(
                f"{outcome.sent} {'would be sent' if dry_run else 'sent'}, {outcome.sent_before} "
                f"sent before, {outcome.not_sent} not sent."
            )
        if one is not None and outcome == ResendOutcome():
            raise failed(_none_there(one))
        if outcome.not_sent:
            raise typer.Exit(1)

    return commands


dead_letters = _with_resend(
    _commands(DEAD_LETTERS, "What was refused: list it, show it, send it again."), DEAD_LETTERS
)
parked = _with_resend(
    _commands(PARKED, "What parked sources sent: list it, show it, release, send it again."),
    PARKED,
)
held = _commands(ON_HOLD, "What is above a source's limit: list it, show it, approve it.")


@parked.command("sources")
def list_parked_sources(status: AtStatus = None, as_json: AsJson = False) -> None:
    """List who is parked, where, since when and why.

    Exits with 1 if a worker does not answer; what the others said is printed all the same.
    """
    found, silent = asyncio.run(parked_now(addresses_of(status)))
    for each in ask_kafka(lambda brokers: parkings(brokers, found)) if found else []:
        print(msgspec.json.encode(each).decode() if as_json else each)
    if silent:
        raise failed("\n".join(silent))
    if not found and not as_json:
        print("Nobody is parked.")


@parked.command()
def release(
    source: Annotated[str, typer.Argument(help="Such as /laboratories/440100-001.")],
    status: AtStatus = None,
    unasked: Annotated[
        bool, typer.Option("--unasked", help="Release it without asking whether it is parked.")
    ] = False,
) -> None:
    """Let a parked source go on: its new records are applied from then on.

    Exits with 1, and releases nothing, if it is not parked, or if no worker says that it is. The
    release bears the name of the operator whose token YUEKANG_TOKEN is, with the role release.

    Send the records that were put aside with `resend --source SOURCE`. Exits with 1 if the worker
    has not applied the release in time; the release is written even then, and will be applied.
    """
    try:
        msgspec.convert({"source": source}, SourceReleasedData)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"{source!r} is no source ({error}).") from None
    by, keys = operator_of_command(Settings.from_environment(), Role.RELEASE), operator_keys()
    if not unasked:
        try:
            asyncio.run(check_parked(source, addresses_of(status)))
        except NotParkedError as error:
            raise failed(str(error)) from None
    if not ask_kafka(lambda brokers: release_source(brokers, keys, source, by, WAIT_SECONDS_MAX)):
        raise failed(
            f"The release of {source} is written, but no worker has applied it within "
            f"{WAIT_SECONDS_MAX:g} s. Does one run?"
        )
    print(f"{source} is released. Send what was put aside: parked resend --source {source}")


@held.command()
def approve(
    source: Annotated[str, typer.Argument(help="Such as /cdc/440100.")],
    opens: Annotated[str, typer.Argument(metavar="REASON", help="Such as close-contact.")],
    why: Annotated[str, typer.Option("--reason", help="Why it is believed.")],
    until: Annotated[
        str | None,
        typer.Option(help="Only what arrived by then, as for --since. Now if left out."),
    ] = None,
) -> None:
    """Approve what is held of a source for one reason; with the second operator's it goes on.

    The approval bears the name of the operator whose token YUEKANG_TOKEN is, with the role approve;
    nothing but a token names them. Two different operators must approve: the worker sees to that.
    What both have approved is then sent on, each once; running this again goes on where it was
    interrupted. Exits with 1 if the worker has not applied the approval in time.
    """
    at = _instant(until) or datetime.now(UTC)
    try:
        data = msgspec.convert(
            {"source": source, "reason": opens, "until": at, "why": why}, OpeningsApprovedData
        )
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"This cannot be approved ({error}).") from None
    access, keys = operator_by_token(Settings.from_environment(), Role.APPROVE), operator_keys()
    by, data = access.source, replaced(data, subject=access.subject)
    if not ask_kafka(lambda brokers: approve_openings(brokers, keys, data, by, WAIT_SECONDS_MAX)):
        raise failed(
            f"The approval is written, but no worker has applied it within {WAIT_SECONDS_MAX:g} s. "
            "Does one run?"
        )
    found = ask_kafka(lambda brokers: approved(brokers, keys, source, opens)).approved_until
    if found is None:
        print(f"Approved by {by}. It goes on once another operator has approved it too.")
        return
    both = datetime.fromtimestamp(found / 1_000, UTC)
    wanted = LetterFilter(None, opens, source)
    outcome = _resend(ResendJob(ON_HOLD, None, wanted, arrived_by=found), by)
    print(
        f"Approved by two operators up to {both.astimezone(ZONE):%Y-%m-%d %H:%M:%S}: "
        f"{outcome.sent} go on now, {outcome.sent_before} went on before."
    )
    if outcome.not_sent:
        raise failed(f"{outcome.not_sent} did not go on; why is said above of each.")


def _private_key(file: Path | None, *, required: bool = True) -> bytes:
    if file is None:
        name = "dead_letter_private_key"
        return Settings.from_environment(*[name][:required]).dead_letter_private_key
    try:
        return bytes.fromhex((_read(file) or b"").decode().strip())
    except ValueError:
        raise typer.BadParameter(f"{file} is no key in hexadecimal.") from None


def _one(topic: str, partition: int | None, offset: int | None) -> KafkaPlace | None:
    if partition is None:
        return None
    if offset is None:
        raise typer.BadParameter("OFFSET is missing; `list` shows it.")
    return KafkaPlace(topic, partition, offset)


def _none_there(place: KafkaPlace) -> str:
    return f"There is no letter at {place}; `list` shows what there is."


def _read(file: Path | None) -> bytes | None:
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}.") from None


def _said_of(job: ResendJob) -> dict[str, str]:
    """Return what the audit log says of a run beside where its letters are: which, and how."""
    wanted = msgspec.to_builtins(job.wanted)
    chosen = {name: str(value) for name, value in wanted.items() if value is not None}
    how = {"mended": job.replacement is not None, "forced": job.force}
    return chosen | {name: "yes" for name, is_so in how.items() if is_so}


def _resend(job: ResendJob, by: str) -> ResendOutcome:
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    keys = operator_keys()
    shown = 0

    def tell(letter: Letter, what: str) -> None:
        nonlocal shown
        shown += 1
        if shown <= SHOWN_MAX:
            console.print(escaped(f"{letter.place}: {what}"))
        elif shown == SHOWN_MAX + 1:
            console.print("… more are not shown here.")

    def sent(letter: Letter, sending: Sending) -> None:
        if job.dry_run or job.place is not None:
            would = "would go" if job.dry_run else "sent"
            size = len(sending.value or b"")
            tell(letter, f"{would} to {sending.topic}[{sending.partition}], {size} bytes")

    with progress_on(console, "Sending again", OPEN_END) as report:
        seen = 0

        def read(count: int) -> None:
            nonlocal seen
            seen += count
            report(seen, None)

        watcher = Watcher(sent, tell, read)

        async def run(brokers: Brokers) -> ResendOutcome:
            if not job.dry_run:
                about = str(job.place or job.topic)
                await note_command(brokers, by, Act.LETTERS_RESENT, about, details=_said_of(job))
            return await resend(brokers, keys, job, await still_parked(brokers, keys), watcher)

        return ask_kafka(run)
