"""A stream ends when whoever follows it is let in no more."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

CHECK_SECONDS = 5.0
"""With signs of life every 15 s a stream ends within 20 s: of a minute, in which a token that was
taken back may still be taken."""


async def while_let_in(
    parts: AsyncGenerator[bytes, None], let_in: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    """Yield the parts of a stream as they come; end it once `let_in` says no."""
    asked_at = time.monotonic()
    async with aclosing(parts):
        async for part in parts:
            if time.monotonic() - asked_at >= CHECK_SECONDS:
                if not await let_in():
                    return
                asked_at = time.monotonic()
            yield part
