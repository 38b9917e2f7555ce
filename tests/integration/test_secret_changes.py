"""Secrets are changed under processes that serve on: no token or session that was good is refused
(docs/secrets.md)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.login.sessions import Sessions
from app.view.displays import Displays
from app.web.tokens import Role
from models.events import DocumentType
from support.servers import FORMER, NEW, Servers, running_servers
from support.tokens import (
    OPERATOR,
    OTHER_TOKENS,
    TOKENS,
)
from support.views import now, someone

LABORATORY, TERMINAL = "/laboratories/440100-001", "/terminals/440100-001"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with running_servers(tmp_path) as servers:
        yield servers


def session_by(key: bytes) -> str:
    sessions = Sessions(key, now)
    kind = DocumentType.RESIDENT_IDENTITY_CARD
    cookie = sessions.cookie(sessions.begin(someone(), "样*甲", None, kind, "1234"))
    return f"{cookie.key}={cookie.value}"


def test_each_secret_is_changed_under_processes_that_serve_on(servers: Servers) -> None:
    former, new = TOKENS.token_for(LABORATORY), OTHER_TOKENS.token_for(LABORATORY)
    officer, next_officer = (made.token_for(OPERATOR, Role) for made in (TOKENS, OTHER_TOKENS))
    gates = [made.token_for(TERMINAL) for made in (TOKENS, OTHER_TOKENS)]
    cookies = session_by(FORMER), session_by(NEW)
    answers: list[int] = []
    cut: list[str] = []
    over = threading.Event()

    def ask() -> None:
        """Each request has a connection of its own. One that waits in the old worker's socket when
        that closes is cut, as long as Linux does not hand it on (net.ipv4.tcp_migrate_req)."""
        while not over.is_set():
            for asked, token in ((servers.asks, former), (servers.reads, officer)):
                try:
                    answers.append(asked(token))
                except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                    cut.append(repr(error))

    assert (servers.asks(former), servers.asks(new)) == (503, 401)
    assert (servers.reads(officer), servers.reads(next_officer)) == (503, 401)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        # First both are trusted, and the new ones seal.
        both = f"{OTHER_TOKENS.public.hex()},{TOKENS.public.hex()}"
        servers.write(both, (NEW, FORMER))
        servers.read_again()
        servers.wait(lambda: servers.old_workers_are_gone(2))
        assert (servers.asks(new), servers.reads(next_officer)) == (503, 503)
    finally:
        over.set()
        asking.join()
    assert set(answers) == {503}, "no answer was 401"
    assert len(answers) > 50
    assert len(cut) <= 4, cut
    for key, cookie, gate in zip((FORMER, NEW), cookies, gates, strict=True):
        shown = Displays(key, now).token(someone(), "样*甲", "1234")
        assert not servers.is_forged(shown, gate)
        assert servers.is_logged_in(cookie)
    strange = Displays(bytes(32), now).token(someone(), "样*甲", "1234")
    assert servers.is_forged(strange, gates[0])
    assert not servers.is_logged_in(session_by(bytes(32)))
    # What cannot be used changes nothing.
    servers.write("nonsense", (NEW, FORMER))
    servers.read_again()
    servers.wait(lambda: servers.log.read_text().count("All goes on with the settings") == 2)
    assert "YUEKANG_TOKEN_PUBLIC_KEYS" in servers.log.read_text()
