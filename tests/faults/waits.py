"""What a round waits for at its end, and what it says where that did not come about.

Nothing here knows of a cluster: what is looked at is handed in, so that the limits can be tested
without one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from aiokafka.errors import KafkaError

from oracle.found import Differences

DRAIN_SECONDS_MAX = 60.0
"""From the healing of the last fault to committed offsets at the end of the log. Of the
100 rounds of docs/faults.md one took more than 30 s; beside other tests, on two cores, some do."""

GIVEN_UP_SECONDS = 200.0
"""After so long it is not slow: it stands still."""

FLUSH_SECONDS_MAX = 10.0
"""How long a worker may take to write to disk what its stores hold in memory."""

ATTEMPTS = 4
"""How often something is compared while it differs. Time may tell more while it goes on; what is
wrong stays wrong."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[Any]]
S = TypeVar("S", bound=Hashable)


class Drain(NamedTuple):
    """How a round drained."""

    seconds: float
    """Until the look that found nothing left had ended, or until it was given up."""
    late: str
    """Why that was longer than it may be; empty where it was not."""
    left: str
    """What was still left when it was given up; empty where nothing was."""


async def drain(
    look: Callable[[], Awaitable[str]],
    check: Callable[[], None] = lambda: None,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> Drain:
    """Look until nothing is left, or until it is given up.

    `look` says what is left. What counts is when the look had ended that found nothing: the limit
    holds for one slow look as for many quick ones. What is late is waited for all the same, so that
    it is known whether it was slow or stood still, and that what else is compared is whole.
    """
    begun, left, late = clock(), "nothing was read", ""
    while (seconds := clock() - begun) < GIVEN_UP_SECONDS:
        check()
        with suppress(KafkaError, OSError, TimeoutError):
            found, seconds = await look(), clock() - begun
            if not found and seconds > DRAIN_SECONDS_MAX and not late:
                late = f"nothing was left at {seconds:.1f} s; the look before: {left}"
            left = found
            if not left:
                break
        if seconds > DRAIN_SECONDS_MAX:
            late = late or left
        await sleep(0.3)
    return Drain(clock() - begun, late, left)


async def flushed(
    ask: Callable[[int], None],
    pids: Iterable[int],
    notes: Callable[[], Iterable[Mapping[str, Any]]],
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> set[int]:
    """Ask processes to write to disk what their stores hold, and return those that did.

    `notes` are the lines of the journal. A process has done so where it noted down a flush that
    began after it was asked: an earlier one may have left out what is compared now.
    """
    wanted, asked, confirmed = set(pids), clock(), set[int]()
    for pid in wanted:
        ask(pid)
    while confirmed != wanted and clock() - asked < FLUSH_SECONDS_MAX:
        await sleep(0.05)
        confirmed |= {
            note["pid"]
            for note in notes()
            if note["what"] == "flushed" and note["begun"] >= asked and note["pid"] in wanted
        }
    return confirmed


class Compared(NamedTuple, Generic[S]):
    """What a comparison of stores came to."""

    found: Differences
    stores: list[S]
    """Those that were compared."""
    unflushed: list[S]
    """Those that were not, since no flush of them was confirmed."""


async def compare_stores(
    flush: Callable[[], Awaitable[set[int]]],
    held: Callable[[], Mapping[S, int]],
    compare: Callable[[S], Differences],
    sleep: Sleep = asyncio.sleep,
) -> Compared[S]:
    """Compare each store that is held now, where its holder has flushed it.

    `held` are the stores, each with the process that holds it. Another attempt is made while a
    store differs or was not flushed. What was found of a store is what its last comparison found,
    so that a flush that fails later does not hide it.
    """
    last: dict[tuple[S, int], Differences] = {}
    here: list[tuple[S, int]] = []
    for attempt in range(ATTEMPTS):
        await sleep(attempt)
        confirmed = await flush()
        here = list(held().items())
        last = {each: last[each] for each in here if each in last}
        last |= {(store, pid): compare(store) for store, pid in here if pid in confirmed}
        if all(each in last and not last[each] for each in here):
            break
    found = Differences()
    for differences in last.values():
        found.take(differences)
    stores = [store for store, _ in last]
    return Compared(found, stores, [store for store, _ in here if store not in stores])
