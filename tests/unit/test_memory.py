"""What stays is not looked through again and again."""

import gc
from typing import Any

from app.process.memory import OBJECTS, look_seldom


def test_what_is_remembered_of_many_is_not_looked_through_as_they_come() -> None:
    """As a view remembers phones: one look through all of them held it up for 0.2 s and more."""
    look_seldom()
    looked: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            looked.append(info["generation"])

    gc.callbacks.append(note)
    try:
        remembered = [[number] for number in range(15 * OBJECTS)]
    finally:
        gc.callbacks.remove(note)
    assert len(remembered) == 15 * OBJECTS
    assert len(looked) >= 14
    assert set(looked) == {0}
