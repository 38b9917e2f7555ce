"""A register of sources in memory, for commands that ask who runs them."""

import pytest

from app.sources import operators
from app.sources.register import Register


def registering(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Give commands a register with nobody in it; return it, to be changed."""
    register = Register()

    async def read(*_: object) -> Register:
        return register

    monkeypatch.setattr(operators, "read_register", read)
    return register
