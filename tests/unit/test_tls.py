"""The HTTP clients of a process check certificates with one context."""

import ssl
from typing import Any

import pytest

from app.process.tls import tls_context
from support.views import create_view, now, options_over


def test_a_view_reads_the_authorities_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], ssl.create_default_context

    def counted(*args: Any, **settings: Any) -> ssl.SSLContext:
        made.append(make(*args, **settings))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    tls_context.cache_clear()
    create_view(options_over("redis://127.0.0.1:1/0", now))
    assert len(made) == 1
