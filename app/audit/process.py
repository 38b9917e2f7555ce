"""`yuekang audit-log`, the process that keeps the log; and what the settings say of the log."""

import asyncio
import signal
from pathlib import Path

import typer

from app.audit.checkpoints import KeyFormatError, NoteSigner, NoteVerifier, read_verifier
from app.audit.follow import AuditLog
from app.audit.tiles import FolderTakenError, TileFolder
from app.process.asking import failed
from app.process.logs import configure
from app.process.memory import look_seldom
from app.process.probes import StatusServer
from app.process.settings import Settings


def audit_log() -> None:
    """Take lines from the topic into the tree, and sign its head, until a signal ends it."""
    settings = Settings.from_environment("audit_key")
    configure(settings.log_level)
    look_seldom()
    files = TileFolder(folder_of(settings))
    kept = AuditLog(settings.brokers, files, note_signer_of(settings), former_of(settings))
    status = StatusServer(settings.status_host, settings.audit_status_port, kept.reasons)
    try:
        with files.taken():
            asyncio.run(_serve(kept, status))
    except FolderTakenError as error:
        raise failed(str(error)) from None


async def _serve(kept: AuditLog, status: StatusServer) -> None:
    await status.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, kept.stop)
    try:
        await kept.run()
    finally:
        await status.stop()


def folder_of(settings: Settings, given: Path | None = None) -> Path:
    """Return the log's folder: the `given` one, or that of the settings."""
    return given or Path(settings.data_dir) / "audit"


def note_signer_of(settings: Settings) -> NoteSigner:
    """Return what signs the log's head."""
    return NoteSigner(settings.audit_origin, settings.audit_key)


def former_of(settings: Settings) -> list[NoteVerifier]:
    """Return the log's keys of before; raise `typer.BadParameter` for a text that is not one."""
    texts = filter(None, settings.audit_former_keys.split(","))
    return [verifier_in(text, "YUEKANG_AUDIT_FORMER_KEYS") for text in texts]


def verifier_in(text: str, where: str) -> NoteVerifier:
    """Return the key that a text is, and `where` it stands; raise `typer.BadParameter`."""
    try:
        return read_verifier(text)
    except KeyFormatError as error:
        raise typer.BadParameter(f"{text!r}: {error}.", param_hint=where) from None
