"""Logs: one JSON object per line on standard error, from structlog and the standard library alike.

No log line holds a person key, a document or the content of an event. Only the audit log names the
person that somebody asked about, by key: that is what it is for. Its lines bear the logger's name
`yuekang.audit` and are written at every level.
"""

import logging
import sys
import time
from collections.abc import Callable

import structlog

AUDIT = "yuekang.audit"

audit = structlog.get_logger(AUDIT)
"""Who asked about whom; never what the answer was."""


CLIENTS = ("aiokafka", "faust", "mode")
"""While Kafka is away they say each attempt of each connection: thousands of lines a minute."""

AWAY = frozenset(
    {
        "beginning_unknown",
        "broker_clock_unknown",
        "freshness_unknown",
        "input_end_unknown",
        "kafka_away",
        "lag_unknown",
        "topic_missing",
        "topics_unknown",
    }
)
"""Events of ours that say it, each once a second."""

SELDOM_SECONDS = 60.0

KINDS_MAX = 256
"""Kinds of lines that are told apart; clients have some dozen. More are written each time."""


class Seldom(logging.Filter):
    """Lets through one line of a kind a minute, of those that an absent Kafka repeats. The next one
    says how many were left out. A kind is a logger with its text before it is filled in."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._shown_at: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

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
                record.msg = f"{record.getMessage()} ({count} more like it in the last minute)"
                record.args = None
        return True


def _kind(record: logging.LogRecord) -> tuple[str, str] | None:
    if isinstance(record.msg, dict):
        event = str(record.msg.get("event"))
        return (record.name, event) if event in AWAY else None
    of_client = record.name.split(".")[0] in CLIENTS and record.levelno < logging.CRITICAL
    return (record.name, str(record.msg)) if of_client else None


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
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # Chatty at info: every assignment and every poll of every client, every request sent.
    for name in ("aiokafka", "faust", "httpx", "mode"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
