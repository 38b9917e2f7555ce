"""A consumer that fetches what comes together, and not each record by itself.

Whoever fetches again at once gets the one record that came meanwhile, and that costs what a hundred
do: at the broker, here, and in the transaction that follows. So the next fetch waits a little. What
comes after a silence is there at once, since a fetch for all of it lies at the broker by then.
"""

import time
from collections.abc import Set
from typing import Any

from aiokafka import AIOKafkaConsumer

GATHER_SECONDS = 0.04
"""How long what comes is gathered before it is fetched. A red waits for five of it at most: two as
its opening, one to be counted, one when it is back, and one on its way to whoever shows it."""

UNHURRIED_SECONDS = 0.2
"""The same of what bears on no code, and may be a minute old. At the peak each display is such a
record, and a fifth of the transactions leaves the time to those who show codes."""

WAIT_MS = 250
"""How long the broker may hold a fetch that finds nothing, and so say nothing of where the end is.
On one connection all other requests wait behind it."""

SHARED_WAIT_MS = 50
"""The same while something that was fetched is not taken yet. One fetch is under way per broker, so
what is taken next waits for that of all others."""


def gather(
    consumer: AIOKafkaConsumer, for_seconds: float, by_turns: Set[str] = frozenset()
) -> None:
    """Let a consumer that was started wait `for_seconds` after a fetch that brought something.

    The next fetch is of the topics `by_turns`, and of all others in turn.
    """
    fetcher = consumer._fetcher
    fetch, next_fetches = fetcher._proc_fetch_request, fetcher._get_actions_per_node
    due: dict[int, tuple[float, bool]] = {}  # by broker: when, and whether of those `by_turns`

    async def fetch_and_note(assignment: Any, broker: int, request: Any) -> bool:
        found = bool(await fetch(assignment, broker, request))
        due.pop(broker, None)
        if found:
            others = any(topic not in by_turns for topic, _ in request.topics)
            due[broker] = time.monotonic() + for_seconds, others
        return found

    def next_in_time(assignment: Any) -> Any:
        fetcher._fetch_max_wait_ms = SHARED_WAIT_MS if fetcher._records else WAIT_MS
        fetches, resets, seconds, *rest = next_fetches(assignment)
        begun, now = [], time.monotonic()
        for broker, request in fetches:
            at, turn = due.get(broker, (now, False))
            if at > now:
                seconds = min(seconds, at - now)
                continue
            if by_turns and broker in due:
                topics = [of for of in request.topics if (of[0] in by_turns) == turn]
                if topics:
                    request._topics, request._max_wait_ms = topics, 0
            begun.append((broker, request))
        return begun, resets, seconds, *rest

    fetcher._proc_fetch_request = fetch_and_note
    fetcher._get_actions_per_node = next_in_time
