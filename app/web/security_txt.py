"""/.well-known/security.txt: whom to tell of a hole (RFC 9116), as the operator wrote it."""

from datetime import datetime
from typing import Any

import structlog
from litestar import get
from litestar.exceptions import NotFoundException

from app.process.clock import Clock
from app.process.setting_types import security_txt_end

PATH = "/.well-known/security.txt"

log = structlog.get_logger()


def security_txt(text: str, now: Clock) -> list[Any]:
    """Return what answers with `text`, for the application's `route_handlers`; nothing without one.

    From its `Expires` on it is not found, since nobody is to rely on it then (RFC 9116, 2.5.5).
    """
    if not text:
        return []
    end: datetime = security_txt_end(text)
    if now() >= end:
        log.warning("security_txt_has_ended", end=end.isoformat())

    @get(PATH, media_type="text/plain", include_in_schema=False)
    async def answer() -> str:
        if now() >= end:
            raise NotFoundException
        return text

    return [answer]
