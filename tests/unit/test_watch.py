"""The panel of alerts: what a process says becomes a line, and every line has its playbook."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import generate_latest

from app.process import metrics
from app.process.settings import Settings
from app.view.pages.status import MEANINGS, NAMES, PLAYBOOKS, playbook_parts
from app.view.watch import (
    ALERTS,
    AWAY,
    FIGURES,
    STARTED,
    AlertWatch,
    Scrape,
    Watched,
    figures_of,
    rising,
    targets_of,
)

ROOT = Path(__file__).parents[2]
LETTERS = "yuekang_worker_dead_letters_total"
HOUR = 3_600.0


def scrape(at: float, started: float, **figures: float) -> Scrape:
    named = {("yuekang_" + name, ""): value for name, value in figures.items()}
    return Scrape(at, started, named)


def watched(*scrapes: Scrape) -> Watched:
    return Watched(scrapes[-1].at, {"worker": "ready"}, {"worker": scrapes})


class TestIncrease:
    NAME = "yuekang_worker_dead_letters_total"

    def test_what_was_before_we_looked_counts_if_the_process_is_younger_than_the_hour(self) -> None:
        young = scrape(10_000, 9_000, worker_dead_letters_total=96)
        old = scrape(10_000, 1_000, worker_dead_letters_total=96)
        assert watched(young).increase(self.NAME) == 96
        assert watched(old).increase(self.NAME) == 0

    def test_a_process_that_began_again_counts_from_zero(self) -> None:
        found = watched(
            scrape(10_000, 1_000, worker_dead_letters_total=500),
            scrape(10_060, 1_000, worker_dead_letters_total=510),
            scrape(10_120, 10_100, worker_dead_letters_total=3),
            scrape(10_180, 10_100, worker_dead_letters_total=4),
        )
        assert found.increase(self.NAME) == 14

    def test_labels_choose(self) -> None:
        figures = {(LETTERS, "invalid"): 96.0, (LETTERS, "wrong-partition"): 2.0}
        found = watched(Scrape(10_000, 9_000, figures))
        assert found.increase(LETTERS) == 98
        assert found.increase(LETTERS, "wrong-partition") == 2

    def test_nobody_asked_yet_is_not_zero(self) -> None:
        nothing = Watched(0, {}, {})
        assert {figure for _, figure, _ in rising(nothing)} == {None}
        assert not any(rises for _, _, rises in rising(nothing))


ROSE: dict[str, Mapping[tuple[str, str], float]] = {
    "lag": {("yuekang_projection_lag_seconds", "health-codes 1"): 6.0},
    "held-up": {("yuekang_projection_held_up_seconds", "laboratory-results 1"): 6.0},
    "halted": {("yuekang_worker_partitions_halted", "people"): 1.0},
    "gone": {("yuekang_worker_records_gone_total", "identities"): 3.0},
    "replaced": {("yuekang_worker_producers_replaced_total", "people"): 11.0},
    "parked": {("yuekang_worker_sources_parked", "laboratory-results"): 1.0},
    "held": {("yuekang_worker_openings_held", "close-contact"): 1.0},
    "not-parked": {("yuekang_worker_sources_not_parked_total", "x"): 1.0},
    "letters": {(LETTERS, "invalid"): 96.0},
    "partitioner": {(LETTERS, "wrong-partition"): 1.0},
    "not-authentic": {(LETTERS, "not-authentic"): 1.0},
    "strange": {("yuekang_worker_rows_strange_total", "x"): 1.0},
    "set-aside": {("yuekang_projection_records_set_aside_total", "x"): 1.0},
    "leapt": {("yuekang_projection_versions_leapt_total", ""): 1.0},
    "dropped": {("yuekang_projection_sources_dropped_total", ""): 1.0},
    "overfull": {("yuekang_worker_rows_overfull_total", ""): 1.0},
    "cut": {("yuekang_worker_pages_lost_total", ""): 1.0},
    "shorter": {("yuekang_worker_inputs_shorter_total", "x"): 1.0},
    "refused": {("yuekang_gateway_events_refused_total", "invalid"): 1.0},
    "displays": {
        ("yuekang_view_displays_total", "shown"): 90.0,
        ("yuekang_view_displays_total", "failed"): 10.0,
    },
    "logins": {("yuekang_view_logins_total", "gateway"): 1.0},
    "tokens": {("yuekang_view_token_ends_timestamp_seconds", "/portal"): 10_000 + 13 * 86_400.0},
    "messages": {("yuekang_travel_codes_total", "message-not-sent"): 1.0},
}


@pytest.mark.parametrize("name", ROSE)
def test_each_alert_rises_by_its_own_figures(name: str) -> None:
    found = watched(Scrape(10_000, 9_000, ROSE[name]))
    rose = {alert.name for alert, _, rises in rising(found) if rises}
    assert rose == {name} | ({"letters"} if name in {"partitioner", "not-authentic"} else set())


def test_a_few_failed_displays_and_a_cancelled_login_are_no_alert() -> None:
    figures = {
        ("yuekang_view_displays_total", "shown"): 1_000.0,
        ("yuekang_view_displays_total", "failed"): 5.0,
        ("yuekang_view_logins_total", "denied"): 50.0,
        ("yuekang_view_logins_total", "done"): 50.0,
        ("yuekang_view_token_ends_timestamp_seconds", "/portal"): 10_000 + 15 * 86_400.0,
        ("yuekang_projection_lag_seconds", "health-codes 1"): 1.0,
        ("yuekang_worker_partitions_halted", "people"): 0.0,
        ("yuekang_worker_producers_replaced_total", "people"): 10.0,
    }
    assert not [a for a, _, rises in rising(watched(Scrape(10_000, 9_000, figures))) if rises]


def test_every_alert_is_named_and_has_a_figure_that_is_kept() -> None:
    assert {alert.name for alert in ALERTS} == {*ROSE, "queue"} == NAMES.keys()
    assert {key for figures in ROSE.values() for key, _ in figures} == FIGURES - {STARTED}


def test_every_line_leads_to_a_playbook_and_every_playbook_to_a_line() -> None:
    anchors = [part.anchor for part in playbook_parts()][1:]
    assert {alert.anchor for alert in ALERTS} | {AWAY} <= set(anchors)
    rest = set(anchors) - {alert.anchor for alert in ALERTS} - {AWAY}
    assert rest == {"a-source-asks-what-became-of-its-events"}
    assert set(anchors) == MEANINGS.keys()


def test_every_alert_of_the_playbooks_table_is_watched() -> None:
    [table] = re.findall(r"(?s)\|---\|---\|\n(.*?)\n\n", PLAYBOOKS)[:1]
    rows = [line.split(" | ", 1)[1] for line in table.splitlines()]
    named = {name for row in rows for name in re.findall(r"yuekang_\w+", row)}
    assert named == FIGURES - {STARTED}
    assert len(rows) == len(ALERTS) + 1, "and the processes"


def test_every_figure_is_a_metric() -> None:
    assert metrics.WORKER_DEAD_LETTERS, "the metrics are there once their module is"
    said = generate_latest().decode()
    for figure in FIGURES - {STARTED}:
        assert f"# HELP {figure} " in said, figure


SAID = """# HELP yuekang_worker_dead_letters_total Dead letters, by reason.
# TYPE yuekang_worker_dead_letters_total counter
yuekang_worker_dead_letters_total{reason="invalid"} 90.0
yuekang_worker_dead_letters_total{reason="not-json"} 6.0
yuekang_worker_dead_letters_created{reason="invalid"} 1.7e+09
yuekang_projection_lag_seconds{partition="0",topic="health-codes"} 0.25
process_start_time_seconds 9e+03
python_info{implementation="CPython"} 1.0
"""


def test_what_a_process_says_is_read() -> None:
    assert figures_of(SAID) == {
        (LETTERS, "invalid"): 90,
        (LETTERS, "not-json"): 6,
        ("yuekang_projection_lag_seconds", "0 health-codes"): 0.25,
        (STARTED, ""): 9_000,
    }
    assert figures_of("") == figures_of("<html>") == {}


async def test_processes_are_asked_and_an_hour_is_kept() -> None:
    away = {"rows"}
    at = 10_000.0

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host in away:
            raise httpx.ConnectError("nobody")
        if request.url.path == "/readyz":
            return httpx.Response(503 if request.url.host == "gateway" else 200)
        return httpx.Response(200, text=SAID)

    targets = targets_of("worker=http://worker:1,gateway=http://gateway:2,rows=http://rows:3")
    watch = AlertWatch(targets, None, httpx.MockTransport(answer), lambda: at)
    assert watch.watched().states == {}
    await watch.ask()
    now = watch.watched()
    assert now.states == {"worker": "ready", "gateway": "unready", "rows": "away"}
    assert now.increase(LETTERS) == 192
    for _ in range(3 * 720):
        at += 5
        await watch.ask()
    kept = watch.watched().scrapes["worker"]
    assert len(kept) <= 63
    assert kept[0].at >= at - HOUR
    assert watch.watched().increase(LETTERS) == 0
    await watch.stop()


async def test_it_ends_at_once_though_a_client_swallows_the_cancellation() -> None:
    """redis-py does where it comes while a command is written; a view then took 10 s to end."""
    asked = asyncio.Event()

    async def queue() -> int:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(HOUR)
        return 0

    watch = AlertWatch({}, queue)
    watch.start()
    await asked.wait()
    async with asyncio.timeout(1):
        await watch.stop()


def test_unless_set_all_eight_processes_of_this_machine_are_watched() -> None:
    found = targets_of(Settings().watched)
    assert found["worker"] == "http://127.0.0.1:9101"
    assert len(found) == 8
    found = targets_of(Settings(replica="/replica").watched)
    assert len(found) == 9, "and the replica, on a machine that has one"
    composed = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    environment = composed["services"]["view"]["environment"]
    assert targets_of(environment["YUEKANG_WATCHED"]).keys() == found.keys()
    assert Settings(watched=environment["YUEKANG_WATCHED"])
    for name, address in found.items():
        check = composed["services"][name]["healthcheck"]["test"]
        assert check == ["CMD", "docker/ready.sh", address.rpartition(":")[2]]
