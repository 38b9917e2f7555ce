"""A stream that somebody follows who is let in no more."""

from collections.abc import AsyncGenerator

import pytest

from app.web import streams
from app.web.streams import while_let_in

ended: list[str] = []


async def parts() -> AsyncGenerator[bytes, None]:
    try:
        for number in range(5):
            yield b"%d" % number
    finally:
        ended.append("with what it holds")


async def test_a_stream_ends_when_its_follower_is_let_in_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.0)
    answers = [True, True, False]

    async def let_in() -> bool:
        return answers.pop(0)

    ended.clear()
    assert [part async for part in while_let_in(parts(), let_in)] == [b"0", b"1"]
    assert ended == ["with what it holds"]


async def test_it_is_asked_every_few_seconds_and_not_with_each_part() -> None:
    async def let_in() -> bool:
        raise AssertionError("five parts take no 5 s")

    assert len([part async for part in while_let_in(parts(), let_in)]) == 5
