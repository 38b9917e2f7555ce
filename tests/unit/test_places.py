"""Who finds a place, who waits for one, and who is refused (app.view.places)."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.view import places as module
from app.view.places import PLACES, TURN_MAX, Places, Waits

COLOURS = PLACES[Waits.COLOUR]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(module, "WAIT_SECONDS", (0.1, 0.2))
    places = Places()
    yield places
    assert not any(places._lines.values()), "nobody is left in line"


async def fill(places: Places, kind: Waits) -> int:
    """Take all places that there are for a kind; return how many these were."""
    taken = 0
    while places._taken < PLACES[kind]:
        assert await places.take(kind)
        taken += 1
    await asyncio.sleep(0)  # the next turn of the loop
    return taken


def in_line(places: Places, kind: Waits) -> "asyncio.Task[bool]":
    return asyncio.create_task(places.take(kind))


async def test_what_is_more_urgent_has_places_that_the_rest_cannot_take(places: Places) -> None:
    assert list(PLACES) == list(Waits)
    assert list(PLACES.values()) == sorted(PLACES.values())
    taken = 0
    for kind, room in PLACES.items():
        taken += await fill(places, kind)
        assert taken == room
        assert not places._has_room(kind)
    for _ in range(taken):
        places.leave()


async def test_the_most_urgent_comes_next_and_of_those_whoever_came_first(places: Places) -> None:
    await fill(places, Waits.COLOUR)
    order = list[tuple[Waits, int]]()

    async def ask(kind: Waits, number: int) -> None:
        assert await places.take(kind)
        order.append((kind, number))
        places.leave()

    asking = list[asyncio.Task[None]]()
    for number in range(3):
        for kind in Waits:
            asking.append(asyncio.create_task(ask(kind, number)))
            await asyncio.sleep(0)
    for _ in range(COLOURS):
        places.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*asking)
    assert order == [(kind, number) for kind in reversed(Waits) for number in range(3)]


async def test_whoever_waits_in_vain_is_refused_and_takes_no_place(places: Places) -> None:
    await fill(places, Waits.COLOUR)
    begun = time.monotonic()
    assert not await places.take(Waits.COLOUR)
    assert 0.1 <= time.monotonic() - begun < 1.0
    for _ in range(COLOURS):
        places.leave()
    assert await fill(places, Waits.COLOUR) == COLOURS


async def test_whoever_gives_up_leaves_no_place_taken(places: Places) -> None:
    await fill(places, Waits.COLOUR)
    let_in, waiting = (in_line(places, Waits.COLOUR) for _ in range(2))
    await asyncio.sleep(0)
    places.leave()  # the first is told so, and cancelled before it goes on
    for task in (waiting, let_in):
        task.cancel()
    await asyncio.wait([waiting, let_in])
    for _ in range(COLOURS - 1):
        places.leave()
    assert await fill(places, Waits.COLOUR) == COLOURS


async def test_a_turn_of_the_loop_goes_on_in_time(places: Places) -> None:
    """However many come at once, and do all they want within their first step."""
    done = list[int]()

    async def ask(number: int) -> None:
        assert await places.take(Waits.COLOUR)
        done.append(number)
        places.leave()

    asking = [asyncio.create_task(ask(number)) for number in range(10 * TURN_MAX)]
    before = 0
    while len(done) < len(asking):
        await asyncio.sleep(0)
        assert len(done) <= before + TURN_MAX
        before = len(done)
    await asyncio.wait(asking)
    assert done == list(range(len(asking))), "in the order in which they came"


async def test_who_waits_for_a_client_stands_outside(places: Places) -> None:
    await fill(places, Waits.COLOUR)
    sent = asyncio.Event()

    async def receive() -> Any:
        await sent.wait()
        return {"type": "http.disconnect"}

    slow = asyncio.create_task(places.outside(receive))
    await asyncio.sleep(0)
    assert await places.take(Waits.COLOUR), "the slow one's place"
    sent.set()
    assert (await slow)["type"] == "http.disconnect"
    places.leave()
    assert not places._has_room(Waits.COLOUR), "both were at work"
    for _ in range(COLOURS):
        places.leave()
    assert await fill(places, Waits.COLOUR) == COLOURS


@given(st.lists(st.sampled_from(["take", "leave", "give up"]), max_size=400), st.data())
async def test_no_more_are_at_work_than_there_are_places(doings: list[str], data: Any) -> None:
    places = Places()
    waiting = list[asyncio.Task[bool]]()
    inside = 0
    for doing in doings:
        match doing:
            case "take":
                waiting += [in_line(places, data.draw(st.sampled_from(Waits))) for _ in range(40)]
            case "leave" if inside:
                places.leave()
                inside -= 1
            case "give up" if waiting:
                waiting.pop(data.draw(st.integers(0, len(waiting) - 1))).cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done = [task for task in waiting if task.done() and task.result()]
        inside += len(done)
        waiting = [task for task in waiting if task not in done]
        assert inside == places._taken <= COLOURS
        if waiting:
            assert inside >= PLACES[Waits.DRAWN], "a place is free, and somebody waits"
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)
