"""Every alert of the system, as one line each: what the dashboard's panel shows.

The view asks each process for /readyz and /metrics every `ASK_SECONDS`, and keeps an hour of the
few figures that bear on an alert, one of each minute and the newest. `ALERTS` is the whole list;
each has its playbook (pages/playbooks.md), by the anchor of its heading.

A counter's increase is over the last hour. A process that started within the hour counts from 0, so
what happened before the view began to watch is there too; of an older one it is not.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal

import httpx
import structlog
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.process.tls import tls_context
from app.view.reading import Unavailable

ASK_SECONDS = 5.0
ANSWER_SECONDS_MAX = 1.0
HOUR_S = 3_600
KEPT_EVERY_S = 60.0
QUEUE_EVERY = 12
"""The queue is counted with every so many askings, once a minute: it reads up to 512 codes."""
STARTED = "process_start_time_seconds"
LAG_SECONDS_MAX = 5.0
"""A partition further behind than this stands still; 1 s is the promise at p99."""

DAY_S = 86_400
RENEW_TOKEN_DAYS = 14
"""A token of ours is changed so long before its end, since without it nobody can log in."""

FAILED_SHARE_MAX = 0.01
"""More displays than this that fail are no accident of a few phones."""

REPLACED_MAX = 10.0
"""More producers than this replaced within an hour are no single restart of a broker."""

OF_OURS = ("gateway", "provider", "provider-away", "sessions", "not-set-up")
"""Outcomes of logins that are not the doing of who logs in (app.login.failures)."""

Figures = Mapping[tuple[str, str], float]
"""Samples of a process, by a metric's name and the label that tells them apart, if any."""

State = Literal["ready", "unready", "away"]

log = structlog.get_logger()


class Scrape(Struct, frozen=True):
    """What a process said at `at` (s): since when it runs, and its figures."""

    at: float
    started: float
    figures: Figures


class Watched(Struct, frozen=True):
    """What is known of all processes: their state now, and their scrapes of the last hour.

    `queue` is how many people's data wait to be pushed; None if that is not known.
    """

    at: float
    states: Mapping[str, State]
    scrapes: Mapping[str, Sequence[Scrape]]
    queue: int | None = None

    def now(self, metric: str) -> float | None:
        """Return the sum over all processes that answer now; None if none has the metric."""
        found = self._all(metric)
        return sum(found) if found else None

    def greatest(self, metric: str) -> float | None:
        """Return the greatest of all that there is now; None if no process has the metric."""
        return max(self._all(metric), default=None)

    def least(self, metric: str) -> float | None:
        """Return the least of all that there is now; None if no process has the metric."""
        return min(self._all(metric), default=None)

    def _all(self, metric: str) -> list[float]:
        last = [s[-1] for name, s in self.scrapes.items() if s and self.states[name] != "away"]
        return [n for scrape in last for (name, _), n in scrape.figures.items() if name == metric]

    def increase(self, metric: str, *labels: str) -> float | None:
        """Return by how much a counter grew within the hour, of these labels alone, or of all.

        None if no process was asked yet.
        """
        if not any(self.scrapes.values()):
            return None
        return sum(
            _increase(scrapes, metric, labels, self.at - HOUR_S)
            for scrapes in self.scrapes.values()
        )


def _increase(scrapes: Sequence[Scrape], metric: str, labels: Sequence[str], since: float) -> float:
    total, before, started = 0.0, 0.0, None
    for scrape in scrapes:
        value = sum(
            n
            for (name, label), n in scrape.figures.items()
            if name == metric and (not labels or label in labels)
        )
        if started is None:
            total += value if scrape.started >= since else 0
        else:
            # A process that began again counts from 0.
            total += value if scrape.started != started else max(0.0, value - before)
        before, started = value, scrape.started
    return total


class Alert(Struct, frozen=True):
    """A line of the panel: its name, the anchor of its playbook, and how to see whether it rises.

    `read` gives the line's figure, None if it is not known; above `limit` the alert rises.
    """

    name: str
    anchor: str
    read: Callable[[Watched], float | None]
    limit: float = 0.0


def _grew(metric: str, *labels: str) -> Callable[[Watched], float | None]:
    return lambda watched: watched.increase(metric, *labels)


def _held_up(watched: Watched) -> float | None:
    seconds = watched.greatest("yuekang_projection_held_up_seconds")
    # What is not held up has no figure.
    known = watched.greatest("yuekang_projection_lag_seconds") is not None
    return 0.0 if seconds is None and known else seconds


def _failed_share(watched: Watched) -> float | None:
    displays = "yuekang_view_displays_total"
    failed, lost = watched.increase(displays, "failed"), watched.increase(displays, "lost")
    shown = watched.increase(displays, "shown")
    if failed is None or lost is None or shown is None:
        return None
    # One that was lost was shown, and not recorded.
    return 100 * (failed + lost) / max(1.0, failed + lost + shown)


def _token_overdue(watched: Watched) -> float | None:
    """Return for how many days another token has been due, of the one that ends first."""
    ends = watched.least(_TOKEN_ENDS)
    return None if ends is None else max(0.0, (watched.at - ends) / DAY_S + RENEW_TOKEN_DAYS)


_TOKEN_ENDS = "yuekang_view_token_ends_timestamp_seconds"
_REPLACED = "yuekang_worker_producers_replaced_total"
_GONE = "yuekang_worker_records_gone_total"
_LETTERS = "yuekang_worker_dead_letters_total"

ALERTS: tuple[Alert, ...] = (
    Alert(
        "lag",
        "partitions-stand-still",
        lambda watched: watched.greatest("yuekang_projection_lag_seconds"),
        LAG_SECONDS_MAX,
    ),
    Alert(
        "held-up",
        "a-source-holds-an-input-up",
        _held_up,
        LAG_SECONDS_MAX,
    ),
    Alert(
        "halted",
        "a-partition-waits-for-an-operator",
        lambda watched: watched.now("yuekang_worker_partitions_halted"),
    ),
    Alert(
        "parked",
        "a-source-is-parked",
        lambda watched: watched.now("yuekang_worker_sources_parked"),
    ),
    Alert(
        "held",
        "a-source-is-above-its-limit",
        lambda watched: watched.now("yuekang_worker_openings_held"),
    ),
    Alert("not-parked", "a-source-is-parked", _grew("yuekang_worker_sources_not_parked_total")),
    Alert("letters", "a-dead-letter-is-to-be-mended", _grew(_LETTERS)),
    Alert("partitioner", "a-source-uses-another-partitioner", _grew(_LETTERS, "wrong-partition")),
    Alert("not-authentic", "records-are-not-authentic", _grew(_LETTERS, "not-authentic")),
    Alert("strange", "records-are-not-authentic", _grew("yuekang_worker_rows_strange_total")),
    Alert(
        "set-aside",
        "records-are-not-authentic",
        _grew("yuekang_projection_records_set_aside_total"),
    ),
    Alert("leapt", "records-are-not-authentic", _grew("yuekang_projection_versions_leapt_total")),
    Alert(
        "dropped",
        "sources-cannot-see-all-that-was-refused",
        _grew("yuekang_projection_sources_dropped_total"),
    ),
    Alert("overfull", "a-row-is-overfull", _grew("yuekang_worker_rows_overfull_total")),
    Alert("cut", "histories-are-cut", _grew("yuekang_worker_pages_lost_total")),
    Alert(
        "shorter",
        "an-input-topic-is-shorter-than-what-was-applied-of-it",
        _grew("yuekang_worker_inputs_shorter_total"),
    ),
    Alert("gone", "records-were-deleted-unread", _grew(_GONE)),
    Alert("replaced", "producers-are-replaced", _grew(_REPLACED), REPLACED_MAX),
    Alert("refused", "the-gateway-refuses-events", _grew("yuekang_gateway_events_refused_total")),
    Alert("displays", "codes-cannot-be-shown", _failed_share, 100 * FAILED_SHARE_MAX),
    Alert("logins", "logins-fail", _grew("yuekang_view_logins_total", *OF_OURS)),
    Alert("tokens", "a-token-of-ours-ends", _token_overdue),
    Alert(
        "messages",
        "messages-with-codes-do-not-go-out",
        _grew("yuekang_travel_codes_total", "message-not-sent"),
    ),
    Alert(
        "queue",
        "data-wait-to-be-pushed",
        lambda watched: None if watched.queue is None else float(watched.queue),
    ),
)
"""Every alert beside the processes themselves, which have a line each."""

AWAY = "a-process-does-not-answer"
"""The playbook of the processes themselves."""

FIGURES = frozenset(
    {
        STARTED,
        _LETTERS,
        "yuekang_projection_lag_seconds",
        "yuekang_projection_held_up_seconds",
        "yuekang_worker_partitions_halted",
        _REPLACED,
        _GONE,
        "yuekang_worker_openings_held",
        "yuekang_worker_sources_parked",
        "yuekang_worker_sources_not_parked_total",
        "yuekang_worker_rows_strange_total",
        "yuekang_projection_records_set_aside_total",
        "yuekang_projection_versions_leapt_total",
        "yuekang_projection_sources_dropped_total",
        "yuekang_worker_rows_overfull_total",
        "yuekang_worker_pages_lost_total",
        "yuekang_worker_inputs_shorter_total",
        "yuekang_gateway_events_refused_total",
        "yuekang_view_displays_total",
        "yuekang_view_logins_total",
        _TOKEN_ENDS,
        "yuekang_travel_codes_total",
    }
)
"""The metrics that are kept."""


def figures_of(text: str) -> dict[tuple[str, str], float]:
    """Return what is kept of a process's /metrics; raise `ValueError` if that is no such text.

    The values of the labels stand in one text. Only the lines that are kept are parsed, since the
    whole of all processes would take 30 ms of the process that shows codes.
    """
    lines = text.splitlines()
    wanted = [line for line in lines if re.split(r"[{ ]", line, maxsplit=1)[0] in FIGURES]
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families("\n".join(wanted) + "\n"):
        for sample in family.samples:
            found[sample.name, " ".join(sample.labels.values())] = sample.value
    return found


def targets_of(watched: str) -> dict[str, str]:
    """Return the addresses of the processes by name, as `YUEKANG_WATCHED` has them."""
    return dict(each.split("=", 1) for each in watched.split(",") if each)


class AlertWatch:
    """Asks the processes in `targets` (name → address). Belongs to one event loop.

    `queue` counts the people whose data wait to be pushed; it may raise `Unavailable`.
    """

    def __init__(
        self,
        targets: Mapping[str, str],
        queue: Callable[[], Awaitable[int]] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._targets = targets
        self._queue = queue
        self._clock = clock
        self._http = httpx.AsyncClient(
            timeout=ANSWER_SECONDS_MAX, transport=transport, verify=tls_context()
        )
        self._scrapes: dict[str, deque[Scrape]] = {name: deque() for name in targets}
        self._states: dict[str, State] = {}
        self._waiting: int | None = None
        self._asked = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask; return at once."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop asking."""
        if self._task is not None:
            await end(self._task, again_after=CANCEL_AGAIN_SECONDS)
        await self._http.aclose()

    def watched(self) -> Watched:
        """Return what is known now. A process that was not asked yet is left out."""
        scrapes = {
            name: tuple(kept) for name, kept in self._scrapes.items() if name in self._states
        }
        return Watched(self._clock(), dict(self._states), scrapes, self._waiting)

    async def ask(self) -> None:
        """Ask every process once, all at the same time."""
        await asyncio.gather(*(self._ask(name) for name in self._targets))
        if self._queue is not None and self._asked % QUEUE_EVERY == 0:
            try:
                self._waiting = await self._queue()
            except Unavailable:
                self._waiting = None
        self._asked += 1

    async def _ask(self, name: str) -> None:
        address = self._targets[name]
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS_MAX):
                ready = await self._http.get(f"{address}/readyz")
                answer = await self._http.get(f"{address}/metrics")
            figures = figures_of(answer.raise_for_status().text)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            if self._states.get(name) != "away":
                log.warning("process_away", name=name, error=type(error).__name__)
            self._states[name] = "away"
            return
        self._states[name] = "ready" if ready.is_success else "unready"
        at = self._clock()
        kept = self._scrapes[name]
        if len(kept) > 1 and kept[-1].at - kept[-2].at < KEPT_EVERY_S:
            kept.pop()
        kept.append(Scrape(at, figures.pop((STARTED, ""), 0.0), figures))
        while kept[0].at < at - HOUR_S:
            kept.popleft()

    async def _follow(self) -> None:
        while True:
            await self.ask()
            await asyncio.sleep(ASK_SECONDS)


def rising(watched: Watched) -> Iterable[tuple[Alert, float | None, bool]]:
    """Yield each alert with its figure, and whether it rises; unknown is not a rise."""
    for alert in ALERTS:
        figure = alert.read(watched)
        yield alert, figure, figure is not None and figure > alert.limit
