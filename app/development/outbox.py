"""The carrier of development: messages lie in a folder that only its owner can read.

Each message is a file, so several processes can write; the newest `MESSAGES_MAX` stay.
`yuekang outbox` shows them.
"""

import asyncio
import json
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from app.process.files import write_whole
from app.process.settings import Settings
from models.policy import ZONE

FOLDER = "outbox"
SUFFIX = ".json"
MESSAGES_MAX = 200


class KeptMessage(Struct, frozen=True):
    """A message as a carrier would have it."""

    at: datetime
    phone: str
    text: str


class Outbox:
    """Keeps messages under `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    async def send(self, phone: str, text: str) -> None:
        """Keep a message, and delete old ones beyond `MESSAGES_MAX`; raise `OSError` on failure."""
        message = KeptMessage(datetime.now(ZONE), phone, text)
        await asyncio.to_thread(self._keep, msgspec.json.encode(message))

    def newest(self, count: int = MESSAGES_MAX) -> list[KeptMessage]:
        """Return up to `count` messages, newest first."""
        found = []
        for path in self._paths()[::-1][:count]:
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=KeptMessage))
            except FileNotFoundError:  # another process deletes the oldest too
                continue
        return found

    def _keep(self, raw: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{time.time_ns()}-{secrets.token_hex(4)}{SUFFIX}"
        write_whole(path, raw, mode=0o600)
        for old in self._paths()[:-MESSAGES_MAX]:
            old.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        # Names begin with nanoseconds since 1970, of one length until 2286.
        return sorted(self._folder.glob(f"*{SUFFIX}"))


def outbox(
    count: Annotated[
        int, typer.Option(min=1, max=MESSAGES_MAX, help="How many, newest first.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the newest messages that would have gone to phones. Only development has them."""
    settings = Settings.from_environment()
    if settings.environment != "development":
        typer.echo(
            "Messages are kept in development alone; set YUEKANG_ENVIRONMENT=development, and "
            "YUEKANG_DATA_DIR to the folder of the stack that is running.",
            err=True,
        )
        raise typer.Exit(1)
    messages = Outbox(Path(settings.data_dir)).newest(count)
    if not messages and sys.stdout.isatty():
        typer.echo(f"There is no message in {settings.data_dir}/{FOLDER} yet.")
    for message in messages:
        if as_json:
            typer.echo(json.dumps(msgspec.to_builtins(message), ensure_ascii=False))
        else:
            typer.echo(f"{message.at:%Y-%m-%d %H:%M:%S}  {message.phone}  {message.text}")
