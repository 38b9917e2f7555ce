"""The people of the sample day to look at, for the entry page in development."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from app.development.sample.logins import hint_of
from app.view.pages import names
from app.view.reading import Sample
from app.web.language import Text, clock, joined
from app.web.language import gettext as _
from models.codes import Colour, Reason

SAMPLES_MAX = 24
"""The most people on the entry page."""


class _Person(Struct, frozen=True):
    colour: Colour
    reasons: tuple[Reason, ...] = ()
    changes_at: datetime | None = None
    then_colour: Colour | None = None


class _Summary(Struct, frozen=True):
    """The part that is read here of what `yuekang sample` leaves in the data directory."""

    scenarios: dict[str, _Person] = {}


def samples(path: Path) -> Sequence[Sample]:
    """Read the people that the summary at `path` names; nobody if it cannot be read."""
    try:
        summary = msgspec.json.decode(path.read_bytes(), type=_Summary)
    except (FileNotFoundError, msgspec.MsgspecError):
        return ()  # no sample day, or one of another version: the entry page shows nobody
    return [
        Sample(hint_of(story), _what(person), story, person.colour)
        for story, person in islice(summary.scenarios.items(), SAMPLES_MAX)
    ]


def _what(person: _Person) -> Text:
    """What the page will show: the colour, the reasons, and how it will change by itself."""
    parts = [names.COLOURS[person.colour], *(names.REASONS[r] for r in person.reasons)]
    what = joined(_("："), parts)
    if person.changes_at and person.then_colour:
        then, at = names.COLOURS[person.then_colour], clock(person.changes_at)
        return _("{what}（{when} 变为{colour}）").filled(what=what, when=at, colour=then)
    return what
