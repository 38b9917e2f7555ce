"""What a process knows of the register: it is asked with every request, so it is in memory.

What a record is about is its key, so records of different keys may come in any order. Bounded: what
finds no room is left out, logged and counted, and `yuekang sources` writes no more than fits.
"""

from datetime import datetime
from typing import TypeVar

import msgspec
import structlog

from app.process import metrics
from app.process.clock import Clock, now
from app.topics.authentic import Authored, SourceKeys
from app.topics.catalogue import CATALOGUE
from app.web.tokens import LEEWAY
from models.register import (
    RegisterChange,
    RegisteredSource,
    SourceClosed,
    SourceOpened,
    SourceRegistered,
    TakenBackData,
    TokenTakenBack,
    key_of,
)

SOURCES_MAX = 50_000
"""Sources that are registered, and as many that are closed. One takes 1.0 KB, and 2.6 KB with the
longest names and the most keys. A province has some thousands, and a terminal for each large
place."""

TAKEN_BACK_MAX = 50_000
"""Tokens that were taken back and would still be good. When there are more, that one is forgotten
which ends first."""

T = TypeVar("T")

log = structlog.get_logger()

_decode = msgspec.json.Decoder(RegisterChange).decode


def is_over(token: TakenBackData, at: datetime) -> bool:
    """Say whether a token has ended for everybody, also by a clock that is behind."""
    return at - token.until >= LEEWAY


class Register:
    """Sources, closed sources and tokens taken back. `clock` gives the instant.

    Until it is read to its end (`complete`), it knows nobody and nothing.
    """

    def __init__(self, clock: Clock = now) -> None:
        self._now = clock
        self._registered: dict[str, RegisteredSource] = {}
        self._closed: dict[str, SourceClosed] = {}
        self._taken_back: dict[str, TokenTakenBack] = {}
        self.complete = False

    # Asking

    def __len__(self) -> int:
        return len(self._registered)

    def of(self, source: str) -> RegisteredSource | None:
        """Return who a source is; None if it is not registered."""
        return self._registered.get(source)

    def closed(self, source: str) -> SourceClosed | None:
        """Return what closed a source; None if it is let in."""
        return self._closed.get(source)

    def taken_back(self, token_id: str) -> TokenTakenBack | None:
        """Return what took a token back; None if nobody did, or its time is over anyway."""
        return self._taken_back.get(token_id)

    def refused(self, source: str, token_id: str) -> str | None:
        """Return a sentence that says why a token, or its source, is not taken; None if it is."""
        if (closed := self.closed(source)) is not None:
            return f"{source} is closed: {closed.data.reason}"
        if (taken_back := self.taken_back(token_id)) is not None:
            return f"The token was taken back: {taken_back.data.reason}"
        return None

    def sources(self) -> list[str]:
        """Return all that are registered or closed, in order."""
        return sorted(self._registered.keys() | self._closed.keys())

    def tokens(self) -> list[TokenTakenBack]:
        """Return what took tokens back, the one that ends first before the others."""
        return sorted(self._taken_back.values(), key=lambda change: change.data.until)

    # Changing

    def apply(self, record: Authored, keys: SourceKeys) -> None:
        """Take a record; None as its value takes back what an earlier one of its key said.

        One that is not authentic, or cannot be read, is logged, and what was known stays.
        """
        if not keys.is_of_register(record):
            _unreadable("no key of the register has made its MAC")
            return
        if record.value is None:
            self._forget((record.key or b"").decode(errors="replace"))
            return
        try:
            change = _decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _unreadable(str(error))
            return
        if key_of(change).encode() != record.key:
            _unreadable("its key is not what it is about")
        elif (
            isinstance(change, SourceRegistered)
            and CATALOGUE.authority_of(change.data.source) is None
        ):
            _unreadable(f"{change.data.source} has no authority in topics.yaml")
        else:
            self.take(change)

    def take(self, change: RegisterChange) -> None:
        """Take a change."""
        match change:
            case SourceRegistered(data=registered):
                _put(self._registered, registered.source, registered, SOURCES_MAX)
            case SourceClosed(data=closed):
                _put(self._closed, closed.source, change, SOURCES_MAX)
            case SourceOpened(data=opened):
                self._closed.pop(opened.source, None)
            case TokenTakenBack(data=token):
                self._taken_back.pop(token.token, None)
                if not is_over(token, self._now()):
                    self._make_room()
                    self._taken_back[token.token] = change

    def become(self, other: "Register") -> None:
        """Know what another knows, all of it, and nothing else."""
        self._registered = other._registered
        self._closed = other._closed
        self._taken_back = other._taken_back
        self.complete = True

    def _make_room(self) -> None:
        """Forget tokens that nobody would take any more; if it is full even so, one more."""
        if len(self._taken_back) < TAKEN_BACK_MAX:
            return
        at = self._now()
        self._taken_back = {t: c for t, c in self._taken_back.items() if not is_over(c.data, at)}
        if len(self._taken_back) == TAKEN_BACK_MAX:
            first = self.tokens()[0].data.token
            del self._taken_back[first]
            _left_out(first)

    def _forget(self, key: str) -> None:
        about, _, name = key.partition(" ")
        match about:
            case "entry":
                self._registered.pop(name, None)
            case "switch":
                self._closed.pop(name, None)
            case "token":
                self._taken_back.pop(name, None)
            case _:
                _unreadable("its key is about nothing that there is")


def _put(of: dict[str, T], source: str, what: T, most: int) -> None:
    if source in of or len(of) < most:
        of[source] = what
    else:
        _left_out(source)


def _left_out(what: str) -> None:
    metrics.REGISTER_LEFT_OUT.inc()
    log.error("register_full", left_out=what)


def _unreadable(why: str) -> None:
    metrics.REGISTER_UNREADABLE.inc()
    log.error("register_record_unreadable", why=why)
