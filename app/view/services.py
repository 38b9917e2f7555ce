"""What the handlers and the pages share: readers, writers, and the clock."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from litestar import Litestar
from msgspec import Struct
from redis.asyncio import Redis

from app.audit.trail import Trail, Write
from app.credentials.issuing import CodeRead, Issuer
from app.credentials.keys import IssuerKeys
from app.credentials.proofs import Holders
from app.credentials.statuses import Statuses
from app.login.duty import Duty
from app.login.options import LoginOptions
from app.login.routes import Login
from app.login.seal import Secrets
from app.process.clock import Clock, now
from app.process.kafka import Brokers
from app.process.redis_client import redis_at
from app.projection.holdings import Holdings
from app.projection.replica import Replica
from app.sources.follow import RegisterFollower
from app.sources.register import Register
from app.topics.authentic import SourceKeys
from app.topics.writer import Writer
from app.travel.cards import TravelCards, Visits
from app.view import limits
from app.view.changes import Changes
from app.view.codes import Codes
from app.view.counts import Counting
from app.view.declarations import Declarations
from app.view.displays import Displays
from app.view.explanations import Explanations
from app.view.figures import CITIES_SHOWN
from app.view.information import Information
from app.view.proofs import Proofs
from app.view.reading import Sample, Unavailable
from app.view.reconciliation import Reconciliation
from app.view.recorder import Recorder
from app.view.releases import Releases
from app.view.scans import Scans
from app.view.trends import TrendReader
from app.view.watch import AlertWatch, targets_of
from app.web.tokens import Tokens, Trust
from models.codes import Colour, Judgement, judge

REGISTER_SECONDS_MAX = 5.0
"""How long a view that starts waits for the register of sources; it takes a tenth of a second. If
Kafka is away it goes on without: no colour waits for a name."""


class ViewOptions(Struct, frozen=True, kw_only=True):
    """What a view needs to know. `now` gives the instant, with its zone.

    `followed` keeps the register of sources, which names them on pages and says which tokens were
    taken back; without it nobody is registered, and none was. `samples` gives the people to look
    at, in development. `replica` is the folder of the replica of the codes on this machine,
    if there is one. `gateway_docs_url` is where the gateway shows its OpenAPI document, if it does.
    `watched` names the processes whose alerts are shown. `write_down` takes the lines of the audit
    log; unless given, Kafka does.
    """

    brokers: Brokers
    redis_url: str
    rows_redis_url: str
    trust: Trust
    mac_keys: SourceKeys
    display_key: Secrets
    sessions_redis_url: str
    credentials_redis_url: str
    login: LoginOptions
    make_cards: Callable[[Redis, Visits, Clock], TravelCards]
    credential_key: bytes
    credential_former_keys: Sequence[bytes] = ()
    samples: Callable[[], Sequence[Sample]] = tuple
    gateway_docs_url: str | None = None
    watched: str = ""
    replica: Path | None = None
    clients_max: int = limits.CLIENTS_MAX
    heartbeat_seconds: float = limits.HEARTBEAT_SECONDS
    write_down: Write | None = None
    now: Clock = now
    followed: RegisterFollower | None = None
    security_txt: str = ""

    def __repr__(self) -> str:
        return f"ViewOptions(brokers={self.brokers!r})"


class Services:
    """What the handlers and the pages of one process share.

    Make it in the event loop's process; start it in the loop.
    """

    def __init__(self, options: ViewOptions) -> None:
        self.now = options.now
        self._followed = options.followed
        self.register = Register() if options.followed is None else options.followed.register
        self.samples = options.samples
        self.gateway_url = options.login.gateway_url
        self.gateway_docs_url = options.gateway_docs_url
        self.redis = redis_at(options.redis_url, limits.STORE_SECONDS_MAX, again=True)
        # The client's timeout must be longer than a blocking read waits.
        self._follower = redis_at(options.redis_url, 5 * limits.STORE_SECONDS_MAX, again=True)
        self._rows = redis_at(options.rows_redis_url, limits.STORE_SECONDS_MAX, again=True)
        self.tokens = Tokens(options.trust, self.register)
        self.duty = Duty(
            options.login.session_key, self.tokens, options.login.view_url, options.now
        )
        self.replica = None if options.replica is None else Replica(options.replica)
        self.codes = Codes(self.redis, options.now, self.replica)
        self.writer = Writer(options.brokers, limits.RECORD_SECONDS_MAX)
        self.trail = Trail(options.write_down or self.writer.write, options.now)
        self.explanations = Explanations(self._rows, self.trail, options.now)
        self.reconciliation = Reconciliation(self._rows, self.codes, self.trail, options.now)
        self._sessions = redis_at(options.sessions_redis_url, limits.STORE_SECONDS_MAX, again=True)
        # It has to hear of each connection that is lost: it reads again what it may have missed.
        # Whether Redis is silent it judges by itself. A view that is slow would give up the
        # connection on which the answer lies already, and hear of nothing until it has another.
        self._sessions_follower = redis_at(
            options.sessions_redis_url, 3 * limits.STORE_SECONDS_MAX, again=False
        )
        self.information = Information(self._rows, options.now)
        self.view_url = options.login.view_url
        self.proofs = Proofs(options.display_key, self.information)
        self.cards = options.make_cards(self._sessions, self.information.visits, options.now)
        self.counting = Counting(self.redis, options.now)
        self.releases = Releases(self._sessions, self.counting, CITIES_SHOWN, options.now)
        self.trend_reader = TrendReader(self.redis, options.now)
        self.watch = AlertWatch(targets_of(options.watched), self.reconciliation.queue)
        self.displays = Displays(options.display_key, options.now)
        self.credential_keys = IssuerKeys(options.credential_key, options.credential_former_keys)
        self._credentials = redis_at(
            options.credentials_redis_url, limits.STORE_SECONDS_MAX, again=True
        )
        self.holdings = Holdings(self._credentials)
        self.issuer = Issuer(self.holdings, self.credential_keys, self._judged, options.now)
        self.login = Login(
            options.login,
            self._sessions,
            self._sessions_follower,
            self._has_code,
            options.now,
            on_end=self.issuer.end,
        )
        holders = Holders(self.credential_keys, self.holdings)
        self.statuses = Statuses(self.holdings, self.credential_keys, options.now)
        self.changes = Changes(
            self.redis,
            self._follower,
            options.clients_max,
            heartbeat_seconds=options.heartbeat_seconds,
        )
        self.scans = Scans(
            self.codes,
            self.displays,
            holders,
            self.tokens,
            self.writer,
            options.mac_keys,
            options.now,
        )
        self.declarations = Declarations(self._sessions, self.writer, options.mac_keys, options.now)
        self.recorder = Recorder(options.brokers, options.mac_keys)

    def check_register(self) -> None:
        """Raise what ended the following of the register, if anything did: that is a bug."""
        if self._followed is not None:
            self._followed.check()

    async def _has_code(self, person: str) -> bool:
        """Say whether a person is known; one who cannot be looked up now counts as unknown."""
        try:
            read = await self.codes.read(person)
        except Unavailable:
            return False
        return read.colour is not Colour.NONE

    async def _judged(self, person: str) -> CodeRead:
        """Return what a credential may tell; raise `Unavailable`, also if the code is stale, or
        may lack something: that grows old, and no list would say it."""
        read = await self.codes.read(person)
        if read.stale or (read.code is not None and read.code.complete_until is not None):
            raise Unavailable("stale", limits.RETRY_STALE_SECONDS)
        none = Judgement(Colour.NONE, (), None)
        shown = none if read.code is None else judge(read.code, read.at)
        version = 0 if read.code is None else read.code.version
        return CodeRead(version, shown, tuple(position.offset for position in read.positions))

    @asynccontextmanager
    async def running(self, _: Litestar) -> AsyncIterator[None]:
        """Follow the changes and hold a producer while the application runs."""
        if self._followed is not None:
            self._followed.start()
            await self._followed.tried(REGISTER_SECONDS_MAX)
        self.writer.start()
        self.recorder.start()
        self.changes.start()
        self.watch.start()
        await self.login.start()
        await self.holdings.learn_epoch()
        yield
        await self.watch.stop()
        await self.changes.stop()
        await self.recorder.stop()
        await self.writer.stop()
        if self._followed is not None:
            await self._followed.stop()
        await self.cards.close()
        await self.codes.stop()
        await self.statuses.stop()
        await self.holdings.stop()
        await self._follower.aclose()
        await self._rows.aclose()
        await self.login.close()
        await self._sessions.aclose()
        await self._sessions_follower.aclose()
        await self._credentials.aclose()
        await self.redis.aclose()
        if self.replica is not None:
            self.replica.close()
