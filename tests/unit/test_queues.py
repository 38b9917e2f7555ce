"""Who finds room, who waits for it, and who is refused (app.view.queues)."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.view import queues as module
from app.view.queues import ADMITTED_MAX, NoRoom, Priority, Slots, Turns

COLOURS = ADMITTED_MAX[Priority.COLOUR]


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.2


async def some_turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class Holders:
    """Those who hold slots until they are told to leave."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.order = list[Any]()
        self._events = list[asyncio.Event]()
        self.tasks = list[asyncio.Task[None]]()

    def ask(self, priority: Priority, who: Any = None) -> "asyncio.Task[None]":
        event = asyncio.Event()

        async def hold() -> None:
            async with self.slots.slot(priority, soon()):
                self._events.append(event)
                self.order.append(who)
                await event.wait()

        self.tasks.append(asyncio.create_task(hold()))
        return self.tasks[-1]

    @property
    def inside(self) -> int:
        return len(self._events)

    async def leave(self) -> None:
        self._events.pop(0).set()
        await some_turns()

    async def fill(self, priority: Priority) -> None:
        for _ in range(ADMITTED_MAX[priority] - self.inside):
            self.ask(priority)
        await some_turns()
        assert self.inside == ADMITTED_MAX[priority]

    async def end(self) -> None:
        while self._events:
            await self.leave()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.slots._in == 0
        assert not any(self.slots._lines.values()), "nobody is left in line"


@pytest.fixture
async def holders() -> Any:
    holders = Holders(Slots())
    yield holders
    await holders.end()


async def test_what_is_more_urgent_has_slots_that_the_rest_cannot_take(holders: Holders) -> None:
    assert list(ADMITTED_MAX) == list(Priority)
    assert list(ADMITTED_MAX.values()) == sorted(set(ADMITTED_MAX.values()))
    for priority in ADMITTED_MAX:
        await holders.fill(priority)
        assert not holders.slots._has_room(priority)


async def test_the_most_urgent_comes_next_and_of_those_whoever_came_first(
    holders: Holders,
) -> None:
    await holders.fill(Priority.COLOUR)
    for number in range(3):
        for priority in Priority:
            holders.ask(priority, (priority, number))
            await some_turns()
    while len(holders.order) < COLOURS + 12:
        await holders.leave()
    wanted = [(priority, number) for priority in reversed(Priority) for number in range(3)]
    assert holders.order[COLOURS:] == wanted


async def test_whoever_waits_in_vain_is_refused_and_takes_no_slot(holders: Holders) -> None:
    await holders.fill(Priority.COLOUR)
    with pytest.raises(NoRoom):
        await holders.ask(Priority.COLOUR)
    await holders.leave()
    await holders.fill(Priority.COLOUR)


async def test_whoever_gives_up_leaves_no_slot_taken(holders: Holders) -> None:
    await holders.fill(Priority.COLOUR)
    let_in, waiting = (holders.ask(Priority.COLOUR) for _ in range(2))
    await some_turns()
    holders.slots._leave()  # the first is told so, and cancelled before it goes on
    for task in (let_in, waiting):
        task.cancel()
    await asyncio.wait([let_in, waiting])
    assert holders.slots._in == COLOURS - 1
    holders.slots._in += 1


async def test_whoever_waits_for_somebody_gives_the_slot_back_once(
    holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOT_SECONDS_MAX", 0.05)
    await holders.fill(Priority.COLOUR)
    await asyncio.sleep(0.1)
    assert holders.slots._in == 0
    assert holders.inside == COLOURS, "they go on"
    await holders.leave()
    assert holders.slots._in == 0


async def test_a_turn_of_the_loop_goes_on_in_time() -> None:
    """However many come at once, and do all they want within their first step."""
    turns, begun = Turns(), list[int]()

    async def ask(number: int) -> None:
        await turns.enter(Priority.COLOUR, soon() + 10)
        begun.append(number)

    asking = [asyncio.create_task(ask(number)) for number in range(10 * COLOURS)]
    before = 0
    while len(begun) < len(asking):
        await asyncio.sleep(0)
        assert len(begun) <= before + COLOURS
        before = len(begun)
    await asyncio.wait(asking)
    assert begun == list(range(len(asking))), "in the order in which they came"


async def test_who_finds_no_turn_in_time_is_refused() -> None:
    turns = Turns()
    turns._in = COLOURS  # and no next one
    with pytest.raises(NoRoom):
        await turns.enter(Priority.COLOUR, soon())
    assert not any(turns._lines.values())


@given(st.lists(st.sampled_from(["ask", "leave", "give up"]), max_size=300), st.data())
async def test_nobody_waits_where_there_is_room(doings: list[str], data: Any) -> None:
    holders = Holders(Slots())
    try:
        for doing in doings:
            match doing:
                case "ask":
                    for _ in range(40):
                        holders.ask(data.draw(st.sampled_from(Priority)))
                case "leave" if holders.inside:
                    await holders.leave()
                case "give up" if waiting := [task for task in holders.tasks if not task.done()]:
                    waiting[data.draw(st.integers(0, len(waiting) - 1))].cancel()
            await some_turns()
            taken = holders.slots._in
            assert taken <= COLOURS
            for priority, line in holders.slots._lines.items():
                assert not line or taken >= ADMITTED_MAX[priority], (
                    "somebody waits, and there is room"
                )
    finally:
        for task in holders.tasks:
            task.cancel()
        await asyncio.gather(*holders.tasks, return_exceptions=True)
    assert holders.slots._in == 0
