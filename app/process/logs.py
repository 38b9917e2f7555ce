"""Logs: one JSON object per line on standard error, from structlog and the standard library alike.

No log line holds a person key, a document or the content of an event. Only the audit log names the
person that somebody asked about, by key: that is what it is for. Its lines bear the logger's name
`yuekang.audit` and are written at every level.
"""

import logging
import sys

import structlog

AUDIT = "yuekang.audit"

audit = structlog.get_logger(AUDIT)
"""Who asked about whom; never what the answer was."""


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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # Chatty at info: every assignment and every poll of every client, every request sent.
    for name in ("aiokafka", "faust", "httpx", "mode"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
