"""Who finds a place, who waits for one, and who is refused (app.view.places)."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.view import places as module
from app.view.places import ROOMS, Places, Waits
from app.view.rush import Rush

COLOURS = ROOMS[Waits.COLOUR].places


@pytest.fixture
def rush() -> Rush:
    return Rush()


@pytest.fixture
def places(rush: Rush, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(module, "WAIT_SECONDS", (0.1, 0.2))
    places = Places(rush)
    yield places
    assert not any(places._lines.values()), "nobody is left in line"


async def fill(places: Places, kind: Waits) -> int:
    """Take all places that there are for a kind; return how many these were."""
    taken = 0
    while places._has_room(kind):
        assert await places.take(kind)
        taken += 1
    return taken


def in_line(places: Places, kind: Waits) -> "asyncio.Task[bool]":
    return asyncio.create_task(places.take(kind))


async def test_what_is_more_urgent_has_places_that_the_rest_cannot_take(places: Places) -> None:
    assert list(ROOMS) == list(Waits)
    assert list(ROOMS.values()) == sorted(ROOMS.values())
    taken = 0
    for kind, room in ROOMS.items():
        taken += await fill(places, kind)
        assert taken == room.places
    for _ in range(taken):
        places.leave()


async def test_the_most_urgent_comes_next_and_of_those_the_newest(places: Places) -> None:
    await fill(places, Waits.COLOUR)
    order = list[tuple[Waits, int]]()
    waiting = dict[tuple[Waits, int], asyncio.Task[bool]]()

    def note(who: tuple[Waits, int], _: object) -> None:
        order.append(who)

    for number in range(3):
        for kind in Waits:
            task = waiting[kind, number] = in_line(places, kind)
            task.add_done_callback(partial(note, (kind, number)))
            await asyncio.sleep(0)
    for _ in range(COLOURS):
        places.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert all(task.result() for task in waiting.values())
    assert order == [(kind, number) for kind in reversed(Waits) for number in (2, 1, 0)]
    for _ in waiting:
        places.leave()


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
    waiting, let_in = (in_line(places, Waits.COLOUR) for _ in range(2))
    await asyncio.sleep(0)
    places.leave()  # the newest is told so, and cancelled before it goes on
    for task in (waiting, let_in):
        task.cancel()
    await asyncio.wait([waiting, let_in])
    for _ in range(COLOURS - 1):
        places.leave()
    assert await fill(places, Waits.COLOUR) == COLOURS


async def test_while_the_loop_is_late_only_colours_come_in(places: Places, rush: Rush) -> None:
    rush.late_s = 10.0
    page, colour = in_line(places, Waits.PAGE), in_line(places, Waits.COLOUR)
    await asyncio.sleep(0.01)
    assert colour.done()
    assert not page.done()
    rush.late_s = 0.0
    rush.after_look()
    assert await page


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


@given(st.lists(st.sampled_from(["take", "leave", "give up", "look"]), max_size=400), st.data())
async def test_no_more_are_at_work_than_there_are_places(doings: list[str], data: Any) -> None:
    rush = Rush()
    places = Places(rush)
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
            case "look":
                rush.late_s = data.draw(st.sampled_from([0.0, 0.06, 0.15, 1.0]))
                rush.after_look()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done = [task for task in waiting if task.done() and task.result()]
        inside += len(done)
        waiting = [task for task in waiting if task not in done]
        assert inside == places._taken <= COLOURS
        if rush.late_s == 0.0 and waiting:
            assert inside >= ROOMS[Waits.DRAWN].places, "a place is free, and somebody waits"
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)
