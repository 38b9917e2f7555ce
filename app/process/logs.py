"""Logs: one JSON object per line on standard error, from structlog and the standard library alike.

No log line holds a person key, a document or the content of an event. Who asked about whom is in
the audit log (app.audit), which is no log of a process.
"""

import logging
import sys
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

import structlog

CLIENTS = ("aiokafka", "faust", "mode")
"""While Kafka is away they say each attempt of each connection: thousands of lines a minute."""

SELDOM_SECONDS = 60.0

KINDS_MAX = 256
"""Kinds of lines that are told apart; clients have some dozen. More are written each time."""


class _Kind(NamedTuple):
    """What makes lines alike: their logger, their text before it is filled in, and what was raised
    where."""

    logger: str
    text: str
    raised: str


class Seldom(logging.Filter):
    """Lets through one line of a kind a minute, of those that an absent Kafka repeats: those of the
    clients, and those of ours that are written with `seldom=True`. The next one of its kind says
    how many were left out before it, however long ago."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._shown_at: dict[_Kind, float] = {}
        self._left_out: dict[_Kind, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written; add the count of those that were not."""
        kind = _kind(record)
        if kind is None or (kind not in self._shown_at and len(self._shown_at) >= KINDS_MAX):
            return True
        now = self._now()
        if now - self._shown_at.get(kind, -SELDOM_SECONDS) < SELDOM_SECONDS:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._shown_at[kind] = now
        if count := self._left_out.pop(kind, 0):
            if isinstance(record.msg, dict):
                record.msg = {**record.msg, "left_out": count}
            else:
                record.msg = f"{record.getMessage()} ({count} more like it were left out)"
                record.args = None
        return True


def _kind(record: logging.LogRecord) -> _Kind | None:
    """Return the kind of a line that may come by the thousand; take the mark from it."""
    if isinstance(record.msg, dict):
        marked = record.msg.get("seldom")
        record.msg = {key: value for key, value in record.msg.items() if key != "seldom"}
        return _Kind(record.name, str(record.msg.get("event")), _raised(record)) if marked else None
    of_client = record.name.split(".")[0] in CLIENTS and record.levelno < logging.CRITICAL
    return _Kind(record.name, str(record.msg), _raised(record)) if of_client else None


def _raised(record: logging.LogRecord) -> str:
    if not record.exc_info or (error := record.exc_info[1]) is None:
        return ""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    return " ".join([type(error).__name__, *(f"{each.filename}:{each.lineno}" for each in where)])


def keep_off_stdout() -> None:
    """Have a command's log on stderr, as text: what it prints to stdout is its answer, which others
    read. Structlog's own default is stdout."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def configure(level: str) -> None:
    """Set up logging for this process; `level` is a name such as info."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Chatty at info: every assignment and every poll of every client, every request sent.
    for name in ("aiokafka", "faust", "httpx", "mode"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
