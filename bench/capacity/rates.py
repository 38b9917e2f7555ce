"""How many events there are, by the assumptions alone."""

from dataclasses import dataclass

from bench.capacity.assumptions import Assumptions

DAY = 86_400
HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one kind, a second: over a day, and in its busiest time."""

    mean: float
    peak: float


class Rates:
    """All kinds."""

    def __init__(self, assumptions: Assumptions) -> None:
        self.supposed = assumptions
        self.people = assumptions.people.value

    @property
    def displays(self) -> Rate:
        """Codes that are shown."""
        return Rate(self.supposed.displays_day.value / DAY, self.supposed.displays_peak.value)

    @property
    def scans(self) -> Rate:
        """Displays that a terminal scans."""
        share = self.supposed.scan_share.value
        return Rate(self.displays.mean * share, self.displays.peak * share)

    @property
    def facts(self) -> Rate:
        """Events that bear on a code."""
        hour = self.supposed.facts_busy_day.value * self.supposed.busy_hour_share.value
        mean = self.people * self.supposed.facts_day.value / DAY
        return Rate(mean, self.people * hour / HOUR)

    @property
    def changes(self) -> Rate:
        """Changes of codes."""
        share = self.supposed.change_share.value
        return Rate(self.facts.mean * share, self.facts.peak * share)

    @property
    def rounds(self) -> Rate:
        """Records more, of what goes round to be counted before it opens a reason."""
        each = self.supposed.open_share.value * self.supposed.round_records.value
        return Rate(self.changes.mean * each, self.changes.peak * each)

    @property
    def folded(self) -> Rate:
        """Records that bear on a code, as workers fold them: events, and what goes round."""
        return Rate(self.facts.mean + self.rounds.mean, self.facts.peak + self.rounds.peak)

    @property
    def others(self) -> Rate:
        """Events of the lists that are no displays."""
        day = self.people * self.supposed.lists_day.value
        return Rate(day / DAY, day * self.supposed.busy_hour_share.value / HOUR)

    @property
    def sent(self) -> Rate:
        """Events that come in by the gateway, or by Kafka, at most: those that bear on a code, and
        those of the other lists. Some declarations among these are written by the view."""
        return Rate(self.facts.mean + self.others.mean, self.facts.peak + self.others.peak)

    @property
    def listed(self) -> Rate:
        """Events that a lists worker folds."""
        return Rate(self.displays.mean + self.others.mean, self.displays.peak + self.others.peak)
