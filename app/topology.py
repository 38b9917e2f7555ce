"""The graph of the stream processor, in one place.

    identities          ─┐
    laboratory-results  ─┤
    case-reports        ─┤                     ┌─> health-codes   (compacted)
    contact-listings    ─┼─> agents/people ────┼─> status-changes
    quarantine-orders   ─┤     people table    ├─> dead-letters
    provincial-codes    ─┘     + due rows      └─> parked
                               (agents/lifts)
    scans               ───> agents/scans ───────> dead-letters, parked
                               scans table
    source-releases     ───> agents/releases
                               both tables

Each input topic has an agent of its own; all that fold into one table take turns per partition
(app.engine.table), so no two ever interleave on the same person. All input topics are keyed by
person, but for source-releases, of which each partition has every record. All
have the same number of partitions, so one worker holds the same partition of all of them.
"""

from pathlib import Path

from faust.types import TP

from app.catalogue import CATALOGUE, EVERY_TABLE, Topic
from app.engine.app import hold, make_app
from app.engine.chunks import ChunkApp
from app.engine.partition import TableSettings
from app.engine.table import Table
from app.settings import Settings

HEALTH_CODES = "health-codes"
STATUS_CHANGES = "status-changes"
DEAD_LETTERS = "dead-letters"
PARKED = "parked"
SOURCE_RELEASES = "source-releases"


class YuekangApp(ChunkApp):
    """The Faust app with its tables. Make it with `create_app`, once per event loop."""

    people: Table
    scans: Table

    @property
    def held_tables(self) -> tuple[Table, ...]:
        """Every table; each is taken and given up with the partitions of the input."""
        return self.people, self.scans

    def tables_of(self, topic: Topic) -> tuple[Table, ...]:
        """Return the tables that a topic folds into."""
        return tuple(
            table
            for table in self.held_tables
            if topic.folds_into in (table.settings.name, EVERY_TABLE)
        )


def create_app(settings: Settings, cluster_id: str) -> YuekangApp:
    """Make the app without agents. `cluster_id` keeps stores of another cluster's log apart."""
    data_dir = Path(settings.data_dir).absolute()
    application = f"yuekang-g{CATALOGUE.generation}"
    app = make_app(
        YuekangApp, application, settings.kafka, data_dir, settings.worker_session_seconds
    )

    def table(name: str) -> Table:
        return Table(
            TableSettings(
                name=name,
                application=application,
                bootstrap=settings.kafka,
                directory=data_dir / "tables" / cluster_id / f"g{CATALOGUE.generation}",
                changelog=f"yuekang-{name}-changelog",
            )
        )

    app.people = table("people")
    app.scans = table("scans")
    hold(app, app.held_tables, whole_partitions)
    return app


def input_topics() -> tuple[Topic, ...]:
    """Return the topics that agents read, in the catalogue's order."""
    return tuple(topic for topic in CATALOGUE.topics.values() if topic.folds_into is not None)


def whole_partitions(assigned: set[TP]) -> set[int]:
    """Return the partition numbers held; raise where a worker holds one of only some topics."""
    numbers = {tp.partition for tp in assigned}
    missing = [
        f"{topic.name}[{number}]"
        for number in sorted(numbers)
        for topic in input_topics()
        if (topic.name, number) not in {(tp.topic, tp.partition) for tp in assigned}
    ]
    if missing:
        raise RuntimeError(
            "The group gave this worker a partition without all its topics; missing: "
            f"{', '.join(missing)}. Run `yuekang topics check`."
        )
    return numbers
