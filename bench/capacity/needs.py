"""The arithmetic: from figures and assumptions to cores, bytes and processes.

Everything is per second, in cores as measured, and in bytes, unless a name says otherwise. What
rests on a figure that is missing raises `NotMeasured`.
"""

from math import ceil, log2

from app.topics.catalogue import CATALOGUE, OPENINGS, STATUS_CHANGES, Topic
from bench.capacity.assumptions import GIB, Assumptions, record_bytes
from bench.capacity.figures import Figures, NotMeasured
from bench.capacity.rates import DAY, Rate, Rates

RESULT = "yuekang.nat-result.reported.v1"
DISPLAY = "yuekang.display.recorded.v1"
SCAN = "yuekang.scan.recorded.v1"
LISTED = "yuekang.temperature.measured.v1"
CHANGE = "yuekang.status.changed.v1"

GATEWAY, SUBMISSIONS_WORKER = "gateway", "submissions-worker"

FOLDERS = ("cores", "memory", "disk")
BROKERS = ("copies", "disk", "cores", "partitions", "network")
"""What may be the most that workers, and brokers, need."""


class Needs(Rates):
    """What a province needs."""

    def __init__(self, figures: Figures, assumptions: Assumptions) -> None:
        super().__init__(assumptions)
        self.figures = figures

    # Who shows codes

    def display_us(self) -> float:
        """CPU of a display in the view and its writer, pages among them."""
        page = self.supposed.page_share.value
        answer = self.figures.answer_us
        return (1 - page) * answer("display", "view") + page * answer("page", "view")

    def view_cores(self) -> float:
        """Cores of all views at the peak, scans among it."""
        displays = self.displays.peak * self.display_us()
        return (displays + self.scans.peak * self.figures.scan_us()) / 1e6

    def views(self) -> int:
        """View processes; each has one core, its writer included."""
        return ceil(self.view_cores() / self.supposed.use_max.value)

    def view_machines(self) -> int:
        """Machines that run views, with a core each for the replica; at least two."""
        return max(2, ceil(self.views() / (self.supposed.machine_cores.value - 1)))

    def replica_cores(self) -> float:
        """Cores of one machine's replica while changes flow."""
        return self.changes.peak * self.figures.change_us("replica") / 1e6

    def replica_bytes(self) -> float:
        """Bytes of one machine's replica."""
        return self.people * self.figures.replica("on disk", "bytes_each")

    def display_bits(self) -> float:
        """Bits a second that views send at the peak."""
        page, body = self.supposed.page_share.value, self.figures.body_bytes
        bytes_ = (1 - page) * body("display") + page * body("page")
        return self.displays.peak * (bytes_ + self.supposed.wire_bytes.value) * 8

    def logout_bytes(self) -> float:
        """Bytes of the ended sessions in each view; and taken to be as many in their Redis."""
        return self.people * self.supposed.logouts_share.value * self.supposed.logout_bytes.value

    # Where events come in

    def gateway_cores(self) -> float:
        """Cores of the one gateway in the busiest hour, should all events come in by it."""
        events = self.sent.peak * self.figures.entrance_us(GATEWAY) / 1e6
        return events + self.figures.entrance_idle(GATEWAY)

    def submissions_cores(self) -> float:
        """Cores of all submissions workers in the busiest hour, should all events come in there;
        without what they have idle."""
        return self.sent.peak * self.figures.entrance_us(SUBMISSIONS_WORKER) / 1e6

    def submissions_workers(self) -> int:
        """Submissions workers; each has one core. At least two."""
        return max(2, ceil(self.submissions_cores() / self.supposed.use_max.value))

    # Who folds

    def fact_us(self) -> float:
        """CPU of an event that bears on a code, in a row of 400 days."""
        return self.figures.fold_us() + self.figures.aged_us()

    def worker_cores(self) -> float:
        """Cores of all workers in the busiest hour."""
        return self.folded.peak * self.fact_us() / 1e6

    def workers_for_load(self) -> int:
        """Workers that fold the busiest hour; each has one core."""
        return ceil(self.worker_cores() / self.supposed.use_max.value)

    def start_seconds(self, people: float) -> float:
        """Seconds until a worker of so many young rows is ready without its store: what a start
        takes with the store, and the reading of the changelog beside it, which grows with them."""
        with_store = self.figures.start("start_with_store_seconds")
        without = self.figures.start("start_without_store_seconds")
        return with_store + (without - with_store) * people / self.figures.start("people")

    def workers_for_start(self) -> int:
        """Workers of whom each reads its part of the changelog in the time that is supposed."""
        with_store, limit = self.start_seconds(0), self.supposed.recover_seconds.value
        if with_store >= limit:
            raise NotMeasured("a start that is shorter than what is supposed of it")
        each = (limit - with_store) / ((self.start_seconds(1e6) - with_store) / 1e6)
        return ceil(self.people / each)

    def workers(self) -> int:
        """Workers; at least three."""
        return max(3, self.workers_for_load(), self.workers_for_start())

    def lists_store_bytes(self) -> float:
        """Bytes of the lists workers' stores at most, as their rows are."""
        return self.people * self.supposed.lists_bytes.value

    def fold_machines(self, what: str) -> int:
        """Machines for workers and lists workers that a resource asks for, one of `FOLDERS`."""
        match what:
            case "cores":
                processes = self.workers() + self.lists_workers()
                return ceil(processes / self.supposed.machine_cores.value)
            case "memory":
                return ceil(2 * self.worker_bytes() / self.memory_bytes())
            case "disk":
                bytes_ = self.store_bytes() + self.lists_store_bytes()
                return ceil(bytes_ / self.machine_disk_bytes())
        raise ValueError(what)

    def lists_cores(self) -> Rate:
        """Cores of the lists workers."""
        each = self.figures.lists_us()
        return Rate(self.listed.mean * each / 1e6, self.listed.peak * each / 1e6)

    def lists_workers(self) -> int:
        """Lists workers that fold the mean; they may fall behind at a peak. At least two."""
        return max(2, ceil(self.lists_cores().mean / self.supposed.use_max.value))

    def lists_behind_hours(self) -> float:
        """Hours in which they fold what an hour's peak left, when the mean comes again."""
        bears = self.lists_workers() * 1e6 / self.figures.lists_us()
        return max(0.0, self.listed.peak - bears) / (bears - self.listed.mean)

    def partitions(self) -> int:
        """Partitions of each topic that is keyed by person: a power of two."""
        most = max(self.workers(), self.lists_workers()) * self.supposed.partitions_times.value
        return int(2 ** ceil(log2(most)))

    def worker_bytes(self) -> float:
        """Memory of all workers of one kind."""
        return self.partitions() * self.supposed.partition_mib.value * 2**20

    def store_bytes(self) -> float:
        """Bytes of all workers' stores at most: rows and histories as they are."""
        return self.people * self.figures.life_bytes(compressed=False)

    # Who follows the log

    def projection_cores(self) -> float:
        """Cores of the one projection in the busiest hour."""
        return self.changes.peak * self.figures.change_us("projection") / 1e6

    def rows_cores(self) -> Rate:
        """Cores of the one process `rows`: a row for each event."""
        each = self.figures.change_us("rows") / 1e6
        mean, peak = self.facts.mean + self.listed.mean, self.facts.peak + self.listed.peak
        return Rate(mean * each, peak * each)

    def redis_cores(self) -> float:
        """Cores of the Redis of codes at the peak."""
        changes = self.changes.peak * self.figures.change_us("redis")
        return (changes + self.displays.peak * self.figures.answer_us("display", "redis")) / 1e6

    def codes_bytes(self) -> float:
        """Memory of the Redis of codes."""
        each = self.figures.start("redis_mib") * 2**20 / self.figures.start("people")
        return self.people * each

    def rows_bytes(self) -> float:
        """Memory of the Redis of rows: rows, histories, lists."""
        life = self.figures.life_bytes(compressed=False)
        return self.people * (life + self.supposed.lists_bytes.value)

    def credentials_bytes(self) -> float:
        """Memory of the Redis of credentials."""
        return self.people * self.supposed.credential_bytes.value

    def machine_disk_bytes(self) -> float:
        """What is planned of a machine's disk."""
        return self.supposed.machine_disk.value * 1e12 * self.supposed.use_max.value

    def memory_bytes(self) -> float:
        """What is planned of a machine's memory."""
        return self.supposed.machine_memory.value * GIB * self.supposed.memory_use_max.value

    # Kafka

    def logs(self) -> dict[str, float]:
        """Bytes of each kind of log, in one copy. Inputs at most: not compressed."""
        return {
            what: rate.mean * DAY * days * record_bytes(type_)
            for what, (rate, days, type_) in self.kept().items()
        }

    def kept(self) -> dict[str, tuple[Rate, int, str]]:
        """Of each kind of log that is deleted by age: its records, for how many days they are
        kept, and the event whose example they are like."""
        topics = CATALOGUE.topics
        lists = (t for t in topics.values() if t.folds_into == "lists" and DISPLAY not in t.events)
        return {
            "events that bear on a code": (self.facts, _days(CATALOGUE.topic_of(RESULT)), RESULT),
            "what of these goes round": (self.rounds, _days(topics[OPENINGS]), RESULT),
            "displays": (self.displays, _days(CATALOGUE.topic_of(DISPLAY)), DISPLAY),
            "scans": (self.scans, _days(CATALOGUE.topic_of(SCAN)), SCAN),
            "the other lists": (self.others, max(map(_days, lists)), LISTED),
            "status-changes": (self.changes, _days(topics[STATUS_CHANGES]), CHANGE),
        }

    def compacted(self) -> float:
        """Bytes of the people's changelog in one copy, by zstd."""
        each = self.figures.life_bytes(compressed=True)
        return self.people * each * self.supposed.compacted_times.value

    def lists_log(self) -> float:
        """Bytes of the lists' changelog in one copy, at most: not compressed."""
        return self.lists_store_bytes() * self.supposed.compacted_times.value

    def codes_log(self) -> float:
        """Bytes of health-codes in one copy, at most: not compressed."""
        return self.people * self.figures.code_bytes() * self.supposed.compacted_times.value

    def disk_bytes(self) -> float:
        """Bytes on all brokers."""
        one = sum(self.logs().values()) + self.compacted() + self.lists_log() + self.codes_log()
        return one * self.supposed.copies.value

    def broker_cores(self) -> float:
        """Cores of all brokers at the peak. A copy is taken to cost as much as the first."""
        displays = self.displays.peak * self.figures.display_broker_us()
        facts = self.folded.peak * self.figures.fold_broker_us()
        return (displays + facts) / 1e6 * self.supposed.copies.value

    def replicas(self) -> int:
        """Copies of all partitions of all topics."""
        ours, keyed = self.partitions(), CATALOGUE.partitions
        topics = CATALOGUE.topics.values()
        partitions = sum(ours if t.partitions == keyed else t.partitions for t in topics)
        return round(partitions * self.supposed.copies.value)

    def brokers_for(self, what: str) -> int:
        """Brokers that a resource asks for, one of `BROKERS`."""
        supposed, use = self.supposed, self.supposed.use_max.value
        match what:
            case "copies":
                return round(supposed.copies.value)
            case "disk":
                return ceil(self.disk_bytes() / self.machine_disk_bytes())
            case "cores":
                return ceil(self.broker_cores() / (supposed.machine_cores.value * use))
            case "partitions":
                return ceil(self.replicas() / supposed.broker_partitions.value)
            case "network":
                return ceil(self.log_bits() / (supposed.machine_network.value * 1e9 * use))
        raise ValueError(what)

    def brokers(self) -> int:
        """Brokers: the most that any resource asks for."""
        return max(self.brokers_for(what) for what in BROKERS)

    def cores(self) -> float:
        """Cores of all that is measured, at the peak; lists workers and `rows` over a day. Every
        event comes in by the gateway."""
        folding = self.gateway_cores() + self.worker_cores() + self.lists_cores().mean
        following = self.projection_cores() + self.rows_cores().mean + self.redis_cores()
        replicas = self.view_machines() * self.replica_cores()
        return self.view_cores() + replicas + folding + following + self.broker_cores()

    def log_bits(self) -> float:
        """Bits a second that brokers take in and give out at the peak, at most: each record comes
        in once, goes to each further copy, and is read once. Outputs are not in it."""
        inputs = sum(rate.peak * record_bytes(t) for rate, _, t in self.kept().values())
        changelogs = self.folded.peak * self.figures.row_bytes()
        changelogs += self.listed.peak * self.supposed.lists_bytes.value / 2
        return (inputs + changelogs) * 8 * (2 * self.supposed.copies.value)


def _days(topic: Topic) -> int:
    return topic.retention_days or 0
