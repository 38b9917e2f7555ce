"""The graph of the stream processor, in one place.

    identities          ─┐
    laboratory-results  ─┤
    case-reports        ─┤                     ┌─> health-codes   (compacted)
    contact-listings    ─┼─> agents/people ────┼─> status-changes
    quarantine-orders   ─┤     people table    ├─> dead-letters
    provincial-codes    ─┘     + due rows      ├─> parked
            ^                  (agents/lifts)  └─> openings
            └─────────────┐
    openings            ──┴> agents/quotas ──────> held, dead-letters
                               quotas table
    scans               ───> agents/scans ───────> dead-letters, parked
                               scans table
    source-releases     ───> agents/releases
                               every table

in a process of its own, so that no flood of what is refused can delay a colour:

    submissions         ───> agents/submissions ─> every input of an agency,
                               submissions table   dead-letters, parked

and in a third, likewise:

    antibody-results    ─┐
    health-certificates ─┤
    national-statuses   ─┤
    entry-registrations ─┼─> agents/lists ──────> dead-letters, parked
    border-entries      ─┤     lists table
    declarations        ─┤     + due rows
    displays            ─┤
    temperatures        ─┤
    telecom-visits      ─┘     (of phones)

A record that lies in another partition than its key's is written to its input topic again, in its
own (agents.poison).

Each input topic has an agent of its own. All agents that fold into one table take turns per
partition (app.engine.table), so no two ever interleave on the same person. What may open a reason
for red goes round by openings, where each source has one order, and comes back to its own topic and
partition once it is counted. All input topics are keyed by person, with three exceptions:
telecom-visits is keyed by phone, openings by source, and every partition of source-releases has
every release of a source. All have the same number of partitions, so one worker holds the
same partition of all of them.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from faust.types import TP

from app.engine.app import make_app, make_tables
from app.engine.chunks import ChunkApp
from app.engine.partition import TableSettings
from app.engine.table import Table
from app.process.gather import UNHURRIED_SECONDS
from app.process.settings import Settings
from app.topics.authentic import OURS, SourceKeys, source_keys
from app.topics.catalogue import (
    APPLICATION,
    CATALOGUE,
    EVERY_TABLE,
    LISTS_APPLICATION,
    OPENINGS,
    SUBMISSIONS_APPLICATION,
    TOPIC_PREFIX,
    Topic,
    changelog_of,
    group_of,
    input_topics,
)


class TableApp(ChunkApp):
    """A Faust app whose agents fold into tables of the engine."""

    keys: SourceKeys
    """Whose records are read, and with which what is written is made authentic."""

    held_tables: tuple[Table, ...]
    """Every table; each is taken and given up with the partitions of the input."""

    def tables_of(self, topic: Topic) -> tuple[Table, ...]:
        """Return the tables that a topic folds into."""
        return tuple(table for table in self.held_tables if topic.name in table.settings.topics)

    def topics_read(self) -> tuple[Topic, ...]:
        """Return the topics that the app's agents read, in the catalogue's order."""
        return tuple(topic for topic in input_topics() if self.tables_of(topic))


class YuekangApp(TableApp):
    """What codes come from. Make it with `create_app`, once per event loop."""

    people: Table
    scans: Table
    quotas: Table


class SubmissionsApp(TableApp):
    """What checks submissions. Make it with `create_submissions_app`, once per event loop."""

    submissions: Table


class ListsApp(TableApp):
    """What bears on no code. Make it with `create_lists_app`, once per event loop."""

    gather_seconds = UNHURRIED_SECONDS
    lists: Table


A = TypeVar("A", bound=TableApp)

TABLES_OF = {
    APPLICATION: ("people", "scans", "quotas"),
    SUBMISSIONS_APPLICATION: ("submissions",),
    LISTS_APPLICATION: ("lists",),
}
"""Application → its tables."""


def create_app(settings: Settings, cluster_id: str) -> YuekangApp:
    """Make the app without agents. `cluster_id` keeps stores of another cluster's log apart."""
    app = _create(YuekangApp, APPLICATION, settings, cluster_id)
    app.people, app.scans, app.quotas = app.held_tables
    app.goes_round = frozenset({OPENINGS})
    return app


def create_submissions_app(settings: Settings, cluster_id: str) -> SubmissionsApp:
    """Make the app that checks submissions, in the same way."""
    app = _create(SubmissionsApp, SUBMISSIONS_APPLICATION, settings, cluster_id)
    (app.submissions,) = app.held_tables
    return app


def create_lists_app(settings: Settings, cluster_id: str) -> ListsApp:
    """Make the app of the lists of health information, in the same way."""
    app = _create(ListsApp, LISTS_APPLICATION, settings, cluster_id)
    (app.lists,) = app.held_tables
    return app


def _create(kind: type[A], name: str, settings: Settings, cluster_id: str) -> A:
    tables = TABLES_OF[name]
    data_dir = Path(settings.data_dir).absolute()
    application = group_of(name)
    generation = f"{TOPIC_PREFIX}g{CATALOGUE.generation}"
    topics = tuple(t for t in input_topics() if t.folds_into in {*tables, EVERY_TABLE})
    keys = source_keys(settings)
    app = make_app(
        kind,
        application,
        settings.brokers,
        data_dir,
        settings.worker_session_seconds,
        [topic.name for topic in topics],
    )
    table_settings = [
        TableSettings(
            name=table,
            application=application,
            brokers=settings.brokers,
            directory=data_dir / "tables" / cluster_id / generation,
            changelog=changelog_of(table),
            topics=tuple(t.name for t in topics if t.folds_into in (table, EVERY_TABLE)),
            mac_key=keys.of(OURS),
            is_ours=keys.is_ours,
        )
        for table in tables
    ]
    app.keys = keys
    app.held_tables = make_tables(app, table_settings, partial(whole_partitions, topics))
    return app


def whole_partitions(topics: Iterable[Topic], assigned: set[TP]) -> set[int]:
    """Return the partition numbers held; raise if this worker holds one of only some topics."""
    numbers = {tp.partition for tp in assigned}
    missing = [
        f"{topic.name}[{number}]"
        for number in sorted(numbers)
        for topic in topics
        if (topic.name, number) not in {(tp.topic, tp.partition) for tp in assigned}
    ]
    if missing:
        raise RuntimeError(
            "The group gave this worker a partition without all its topics; missing: "
            f"{', '.join(missing)}. Run `yuekang topics check`."
        )
    return numbers
