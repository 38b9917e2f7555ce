"""Letters on the screen. Control characters in what outsiders wrote are escaped."""

from datetime import datetime

import msgspec
from msgspec import Struct

from app.letters.marks import Marks
from app.process.terminal import escaped
from app.topics.letters import Letter, LetterFilter, letter_in
from app.topics.reading import Reader
from app.topics.records import KafkaPlace
from models.policy import ZONE


class Listed(Struct, frozen=True):
    """A letter in a list."""

    partition: int
    offset: int
    at: datetime
    came_from: KafkaPlace | None
    reason: str
    detail: str
    source: str | None
    refused: bool
    sealed: bool
    bytes: int
    sent_again: bool


async def print_list(reader: Reader, wanted: LetterFilter, marks: Marks, as_json: bool) -> None:
    """Print the wanted letters while they are read: as a table, or as JSON lines."""
    if not as_json:
        print(_row("partition", "offset", "time", "came from", "reason", "source", "again"))
    async for record in reader.records(wanted.since):
        letter = letter_in(record)
        if not wanted.takes(letter):
            continue
        again = letter.place in marks
        if as_json:
            print(msgspec.json.encode(_listed(letter, again)).decode())
        else:
            print(
                _row(
                    str(letter.place.partition),
                    str(letter.place.offset),
                    f"{letter.at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}",
                    str(letter.came_from or "time"),
                    letter.reason,
                    letter.source or "",
                    "sent" if again else "",
                )
            )


def _row(*cells: str) -> str:
    widths = (9, 9, 19, 34, 20, 30, 5)
    shown = (escaped(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))
    return " ".join(shown).rstrip()


def _listed(letter: Letter, sent_again: bool) -> Listed:
    return Listed(
        partition=letter.place.partition,
        offset=letter.place.offset,
        at=letter.at,
        came_from=letter.came_from,
        reason=letter.reason,
        detail=letter.detail,
        source=letter.source,
        refused=letter.refused,
        sealed=letter.sealed,
        bytes=letter.bytes_kept + letter.bytes_left_out,
        sent_again=sent_again,
    )


def print_letter(letter: Letter) -> None:
    """Print a letter, with its bytes unless they are sealed."""
    said = {
        "letter": str(letter.place),
        "time": f"{letter.at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}",
        "came from": str(letter.came_from or "no record: time brought it about"),
        "source": letter.source or "unreadable",
        "reason": letter.reason,
        "detail": letter.detail,
        "id": letter.id or "not shown",
        "type": letter.type or "not shown",
        "refused": "yes" if letter.refused else "no",
        "key": ("sealed" if letter.sealed else "none")
        if letter.key is None
        else letter.key.decode(errors="backslashreplace"),
        **{f"header {n}": raw.decode(errors="backslashreplace") for n, raw in letter.own_headers},
    }
    for name, text in said.items():
        print(f"{escaped(name)}: {escaped(text)}")
    print()
    if letter.sealed:
        print(f"Sealed, {letter.bytes_kept} bytes. The private key opens it (--open, --key-file).")
    elif letter.value is None:
        print("No value: a tombstone.")
    else:
        print(escaped(letter.value.decode(errors="backslashreplace")))
    if letter.bytes_left_out:
        print(f"… {letter.bytes_left_out} bytes more were left out; they are where it came from.")
