"""Settings from the environment: one validated struct, every fault named at once.

The variable of a field is `YUEKANG_` and the field's name in capitals. Any can be in a file
instead, which `<variable>_FILE` names: so a secret need not stand in an environment, and can be
changed under a process that runs. Addresses are of this machine unless set; secrets have no
default. Keys of our own making are bytes, in hexadecimal. A secret that another made and gave us is
a text as they gave it (`SecretText`). An address that may hold a password is a secret as well. None
is ever shown.
"""

import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Meta, Struct

from app.process.kafka import Brokers, Mechanism, Security
from app.process.scheduling import cpus
from app.process.setting_types import (
    LOCAL,
    ClassPath,
    Cpu,
    LogKeys,
    LogName,
    NamedAddresses,
    Networks,
    NonEmpty,
    Pem,
    Port,
    PublicKeys,
    RedisUrl,
    SafeUrl,
    Scope,
    SecretPem,
    SecretText,
    SecretToken,
    SecurityTxt,
    Servers,
    SigningKeys,
    Slug,
    TopicPrefix,
    security_txt_end,
)

PREFIX = "YUEKANG_"
PERSON_KEY_VERSION_MAX = 9999
MAC_KEY_VERSION_MAX = 9999


class SettingsError(Exception):
    """The environment cannot be used; the message names every fault and what would be right."""


class Settings(Struct, frozen=True, kw_only=True):
    """What a process is told from outside. A secret that is not set is empty."""

    kafka: Servers = "127.0.0.1:29092"
    kafka_security: Security = "PLAINTEXT"
    kafka_mechanism: Mechanism = "SCRAM-SHA-512"
    kafka_user: NonEmpty = ""
    kafka_password: SecretText = ""
    kafka_ca: Pem = ""
    """The authorities of the brokers' certificates; unless set, those that the system knows."""
    kafka_certificate: Pem = ""
    kafka_key: SecretPem = ""
    """By these two a process is known where the brokers ask for a certificate (mutual TLS)."""
    topic_prefix: TopicPrefix = ""
    """What the names on the broker begin with. It is checked here. The catalogue has it as a
    constant (`app.topics.catalogue.TOPIC_PREFIX`), since names are constants."""
    redis_url: RedisUrl = "redis://127.0.0.1:26379/0"
    rows_redis_url: RedisUrl = ""
    sessions_redis_url: RedisUrl = ""
    credentials_redis_url: RedisUrl = ""
    """Unless set, each of the three is the database after that of the one before (decision 30)."""
    redis_user: NonEmpty = ""
    redis_password: SecretText = ""
    """As whom a process goes to each Redis whose address names nobody."""
    data_dir: NonEmpty = ".run/data"
    gateway_host: NonEmpty = "127.0.0.1"
    gateway_port: Port = 8081
    gateway_url: SafeUrl = ""
    view_host: NonEmpty = "127.0.0.1"
    view_port: Port = 8080
    view_cpu: Cpu = None
    """The CPU that the view keeps to, so that its threads, which take turns, do not wake each other
    on others; any unless set."""
    view_url: SafeUrl = ""
    """Where browsers find the view: logins return there, and requests must come from there."""
    trusted_proxies: Networks = ""
    """The proxies whose `X-Forwarded-For` says who asks; none unless set. Behind a proxy that is
    not named here everybody has one address, and shares its limits."""
    oidc_issuer: SafeUrl = ""
    """The OpenID provider, as it names itself. In development the default is that of this machine.
    Elsewhere nobody can log in unless this is set."""
    oidc_client_id: NonEmpty = "yuekang"
    oidc_client_secret: SecretText = ""
    """Unless set, the client is a public one, with PKCE alone."""
    oidc_scope: Scope = "openid profile"
    oidc_name: Slug = "gd"
    """The last part of the source `/identity-providers/…`, in whose name logins are published."""
    oidc_number_claim: NonEmpty = "document_number"
    oidc_type_claim: NonEmpty = "document_type"
    oidc_name_claim: NonEmpty = "name"
    oidc_birthday_claim: NonEmpty = "birthdate"
    oidc_city_claim: NonEmpty = "city"
    identity_provider_port: Port = 8082
    status_host: NonEmpty = "127.0.0.1"
    worker_session_seconds: Annotated[float, Meta(ge=2, le=60, description="2 to 60 s")] = 10.0
    """A worker that is not heard of for so long loses its partitions. It is short, since they stand
    still until then. A fold never holds up the heartbeat, which has a thread of its own. A broker
    takes no less than its group.min.session.timeout.ms, 6 s unless told otherwise."""
    worker_status_port: Port = 9101
    worker_cpu: Cpu = None
    """The CPU that the worker keeps to, as the view to `view_cpu`; any unless set."""
    projection_status_port: Port = 9102
    lists_status_port: Port = 9103
    rows_status_port: Port = 9104
    audit_status_port: Port = 9105
    submissions_status_port: Port = 9106
    replica_status_port: Port = 9107
    replica: NonEmpty = ""
    """The folder of this machine's replica of the codes; unless set, they are read from Redis."""
    replica_bytes: Annotated[
        int, Meta(ge=2**20, le=2**46, description="bytes, from 1 MiB to 64 TiB")
    ] = 2**38
    """The most that the replica may come to. It takes room as it grows, and none before."""
    watched: NamedAddresses = ""
    """The processes whose alerts the dashboard shows; unless set, those of this machine by their
    ports."""
    environment: Literal["production", "development"] = "production"
    sms_driver: ClassPath = ""
    """Who takes messages to phones: a class of the carrier's (app.travel.sms). Nobody unless set;
    `yuekang development-view` keeps messages in the outbox."""
    security_txt: SecurityTxt = ""
    """Whom to tell of a hole: gateway and view serve it at /.well-known/security.txt."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    person_key_version: Annotated[
        int,
        Meta(ge=1, le=PERSON_KEY_VERSION_MAX, description=f"1 to {PERSON_KEY_VERSION_MAX}"),
    ] = 1
    person_key_secret: bytes = b""
    mac_key: bytes = b""
    """The master key that keys of sources are derived from (`app.topics.authentic`)."""
    mac_key_version: Annotated[
        int, Meta(ge=1, le=MAC_KEY_VERSION_MAX, description=f"1 to {MAC_KEY_VERSION_MAX}")
    ] = 1
    former_mac_key: bytes = b""
    """The master key of the version before, while what it has made is still in the topics."""
    portal_mac_key: bytes = b""
    terminal_mac_key: bytes = b""
    yuekang_mac_key: bytes = b""
    register_mac_key: bytes = b""
    """The keys of single authorities, for processes that are not given the master key."""
    former_yuekang_mac_key: bytes = b""
    former_register_mac_key: bytes = b""
    """Those of the master key before, while what they have made is still in the topics."""
    token_public_keys: PublicKeys = ""
    """Ed25519 keys whose tokens are believed; two while one is changed."""
    token_private_key: bytes = b""
    """Makes tokens (`yuekang token`); no server is given it."""
    token_audience: NonEmpty = "yuekang"
    """What `aud` has in tokens that are for us."""
    oauth_issuer: SafeUrl = ""
    """An authorization server whose tokens are believed too, as it names itself."""
    oauth_source_claim: NonEmpty = "source"
    """The claim of its tokens that has the source."""
    signing_keys: SigningKeys = ""
    """The keys with which sources sign their requests; two of a source while it changes its own."""
    signing_key: bytes = b""
    """Signs what `yuekang publish` sends, as a province has to."""
    portal_token: SecretToken = ""
    identity_provider_token: SecretToken = ""
    """With these two the view asks the gateway, as `/portal` and `/identity-providers/…`."""
    display_key: bytes = b""
    display_other_key: bytes = b""
    session_key: bytes = b""
    session_other_key: bytes = b""
    """What the other keys sealed is taken too: the next one before a change, the former after."""
    credential_key: bytes = b""
    credential_former_keys: PublicKeys | Literal[""] = ""
    """Public keys of before `credential_key` was replaced; list each for a day."""
    audit_origin: LogName = "yuekang/audit"
    """The audit log's name, in its checkpoints and its key. Another name is another log."""
    audit_key: bytes = b""
    audit_former_keys: LogKeys = ""
    """Public keys of before `audit_key` was replaced, as `yuekang audit key` prints them."""
    dead_letter_public_key: bytes = b""
    dead_letter_private_key: bytes = b""

    def __repr__(self) -> str:
        """Leave secrets out, so that no log can hold them."""
        shown = (f"{name}={getattr(self, name)!r}" for name in TYPES if name not in SECRETS)
        return f"Settings({', '.join(shown)})"

    def __post_init__(self) -> None:
        """Derive the addresses that were not set."""
        for server in ("gateway", "view"):
            if not getattr(self, f"{server}_url"):
                host, port = getattr(self, f"{server}_host"), getattr(self, f"{server}_port")
                msgspec.structs.force_setattr(self, f"{server}_url", f"http://{host}:{port}")
        if not self.watched:
            ports = {
                "worker": self.worker_status_port,
                "projection": self.projection_status_port,
                "submissions-worker": self.submissions_status_port,
                "lists-worker": self.lists_status_port,
                "rows": self.rows_status_port,
                "audit-log": self.audit_status_port,
                "gateway": self.gateway_port,
                "view": self.view_port,
                **({"replica": self.replica_status_port} if self.replica else {}),
            }
            local = (f"{name}=http://127.0.0.1:{port}" for name, port in ports.items())
            msgspec.structs.force_setattr(self, "watched", ",".join(local))
        if not self.oidc_issuer and self.environment == "development":
            msgspec.structs.force_setattr(self, "oidc_issuer", self.development_issuer)
        for before, name in pairwise(REDIS_URLS):
            if not getattr(self, name):
                msgspec.structs.force_setattr(self, name, _database(getattr(self, before)))
        if self.redis_password:
            for name in REDIS_URLS:
                signed = _signed(getattr(self, name), self.redis_user, self.redis_password)
                msgspec.structs.force_setattr(self, name, signed)

    @property
    def brokers(self) -> Brokers:
        """Kafka's brokers, and as whom this process goes to them."""
        return Brokers(
            servers=self.kafka,
            security=self.kafka_security,
            mechanism=self.kafka_mechanism,
            user=self.kafka_user,
            password=self.kafka_password,
            authorities=self.kafka_ca,
            certificate=self.kafka_certificate,
            key=self.kafka_key,
        )

    @property
    def display_keys(self) -> tuple[bytes, ...]:
        """The secrets of displays: the first seals, all open."""
        return tuple(key for key in (self.display_key, self.display_other_key) if key)

    @property
    def session_keys(self) -> tuple[bytes, ...]:
        """The secrets of sessions: the first seals, all open."""
        return tuple(key for key in (self.session_key, self.session_other_key) if key)

    @property
    def development_issuer(self) -> str:
        """The identity provider of this machine, which runs only in development."""
        return f"http://127.0.0.1:{self.identity_provider_port}"

    def cpu(self, name: Literal["view_cpu", "worker_cpu"]) -> int | None:
        """Return the CPU that this field says; raise `SettingsError` if this process is not given
        it."""
        cpu: int | None = getattr(self, name)
        if cpu is not None and cpu not in (had := cpus()):
            given = ", ".join(map(str, sorted(had))) or "none on this system"
            raise SettingsError(f"{variable_of(name)} is {cpu}; to be had: {given}.")
        return cpu

    @classmethod
    def from_environment(
        cls, *required: str, environ: Mapping[str, str] = os.environ
    ) -> "Settings":
        """Read the settings; `required` names the secrets without which this process cannot run.

        Raises `SettingsError`.
        """
        values: dict[str, Any] = {}
        faults = []
        for name, kind in TYPES.items():
            variable = variable_of(name)
            try:
                text = text_of(variable, environ)
            except SettingsError as error:
                faults.append(str(error))
                continue
            if not text:
                if name in required:
                    faults.append(f"{variable} is not set; {_expected(name, kind)}.")
                continue
            try:
                values[name] = _key(text) if name in KEYS else _value(text, kind)
            except ValueError as error:
                # A secret is never repeated.
                shown = "" if name in SECRETS else f" is {text!r}, but"
                faults.append(f"{variable}{shown} must be {_expected(name, kind)} ({error})")
        known = {variable_of(name) for name in TYPES} | OTHERS
        faults += (
            f"{name} is no setting; known are {', '.join(sorted(known))}, each also as …_FILE."
            for name in sorted(environ)
            if name.startswith(PREFIX) and name.removesuffix(FILE) not in known
        )
        if not faults:
            settings = cls(**values)
            faults += [*_faults_of_kafka(settings), *_faults_of_redis(settings)]
        if faults:
            raise SettingsError("\n".join(["The settings cannot be used:", *faults]))
        return settings


TYPES: dict[str, Any] = get_type_hints(Settings, include_extras=True)
"""Field → its type, in order."""

KEYS = frozenset(name for name, kind in TYPES.items() if kind is bytes)
SECRETS = KEYS | {
    name
    for name, kind in TYPES.items()
    for meta in getattr(kind, "__metadata__", ())
    if (meta.extra or {}).get("secret")
}
SECRET_BYTES_MIN = 32
"""As many as our hashes give: a shorter secret would be the weaker part."""

OTHERS = frozenset({"YUEKANG_TOKEN", "YUEKANG_KAFKA_CONTROLLER_PORT"})
"""Variables that only one command reads."""

REDIS_URLS = ("redis_url", "rows_redis_url", "sessions_redis_url", "credentials_redis_url")

UNCHECKED = r"[?&]ssl_(cert_reqs=(?!required\b)|check_hostname=(?!(?i:true|yes|1)\b))"
"""What of an address of Redis takes any server for the right one."""

FILE = "_FILE"
FILE_BYTES_MAX = 64 * 1024


def variable_of(name: str) -> str:
    """Return the variable from which a field is read."""
    return PREFIX + name.upper()


def text_of(variable: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what a variable says, or the file that `<variable>_FILE` names, without its last
    newline; "" where neither is set. Raise `SettingsError`."""
    text, path = environ.get(variable, ""), environ.get(variable + FILE, "")
    if text and path:
        raise SettingsError(f"{variable} and {variable}{FILE} are both set. Leave one of them out.")
    if not path:
        return text
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ValueError(f"it is longer than {FILE_BYTES_MAX:,} bytes")
        # Not what stands there: it may be a secret.
        text = content.decode(errors="replace")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{variable}{FILE} is {path!r}, which cannot be read: {why}.") from None
    if not (text := text.removesuffix("\n").removesuffix("\r")):
        raise SettingsError(f"{variable}{FILE} is {path!r}, and that file is empty.")
    return text


def _faults_of_kafka(settings: Settings) -> Iterator[str]:
    """Yield what does not go together, or would go through a network in the clear."""
    brokers = settings.brokers
    said = f"YUEKANG_KAFKA_SECURITY is {brokers.security}"
    if brokers.by_password and not (brokers.user and brokers.password):
        yield f"{said}: set YUEKANG_KAFKA_USER and YUEKANG_KAFKA_PASSWORD."
    if not brokers.by_password and (brokers.user or brokers.password):
        yield f"{said}, which knows no user and no password: set SASL_SSL, or leave both out."
    if bool(brokers.certificate) != bool(brokers.key):
        yield "Of YUEKANG_KAFKA_CERTIFICATE and YUEKANG_KAFKA_KEY one is set: set both, or none."
    if not brokers.encrypted and (brokers.authorities or brokers.certificate):
        yield f"{said}, which knows no certificate: set SSL or SASL_SSL, or leave them out."
    elsewhere = [at for at in brokers.servers.split(",") if not re.match(rf"{LOCAL}:", at)]
    if settings.environment == "production" and elsewhere and not brokers.encrypted:
        yield (
            f"YUEKANG_KAFKA is {', '.join(elsewhere)}, another machine, and {said}: all that is "
            "written and read could be seen and changed on the way. Set SASL_SSL or SSL."
        )
    try:
        _ = brokers.tls
    except ValueError as error:
        yield (
            "YUEKANG_KAFKA_CA, YUEKANG_KAFKA_CERTIFICATE or YUEKANG_KAFKA_KEY cannot be read, or "
            f"that key is not of that certificate ({error})."
        )


def _faults_of_redis(settings: Settings) -> Iterator[str]:
    if settings.redis_user and not settings.redis_password:
        yield "YUEKANG_REDIS_USER is set, but YUEKANG_REDIS_PASSWORD is not."
    if settings.environment != "production":
        return
    for name in REDIS_URLS:
        if re.search(UNCHECKED, getattr(settings, name)):
            yield f"{variable_of(name)} has certificates unchecked: leave that out of it."
    servers: dict[str, str] = {}  # an address that was not set is of a server before it
    for name in REDIS_URLS:
        url = getattr(settings, name)
        if not re.match(rf"(rediss|unix)://|redis://([^@/]*@)?{LOCAL}(:|/|\?|\Z)", url):
            servers.setdefault(url.partition("://")[2].partition("/")[0], variable_of(name))
    for variable in servers.values():
        yield (
            f"{variable} is on another machine and not encrypted: set rediss://… there "
            "(?ssl_ca_certs=FILE names authorities of your own)."
        )


def _signed(url: str, user: str, password: str) -> str:
    """Return the address with a user and a password, unless it has its own."""
    scheme, rest = url.split("://", 1)
    if "@" in re.split(r"[/?]", rest, maxsplit=1)[0]:
        return url
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def _database(url: str) -> str:
    """Return the address of the database that comes after that of `url`.

    As redis-py reads it, `db` in the query counts before the path. A socket's path has none.
    """
    scheme, server, path, text, _ = urlsplit(url)
    query = dict(parse_qsl(text))
    of_path = path.strip("/")
    if scheme != "unix" and "db" not in query and re.fullmatch(r"\d*", of_path):
        path = f"/{int(of_path or 0) + 1}"
    else:
        query["db"] = str(int(query.get("db") or 0) + 1)
    end = f"?{urlencode(query, safe='/:')}" if query else ""
    return f"{scheme}://{server}{path}{end}"


def _key(text: str) -> bytes:
    if not re.fullmatch(r"([0-9a-fA-F]{2})*", text):
        raise ValueError("it is not hexadecimal")
    secret = bytes.fromhex(text)
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"it has {len(secret)} bytes")
    return secret


def _value(text: str, kind: Any) -> Any:
    if kind is Networks:
        for network in text.split(","):
            ip_network(network)
    # Text becomes a number where a number is wanted.
    value = msgspec.convert(text, kind, strict=False)
    if kind is SecurityTxt:
        security_txt_end(text)
    return value


def _expected(name: str, kind: Any) -> str:
    if name in KEYS:
        return f"at least {SECRET_BYTES_MIN} bytes in hexadecimal"
    metadata = getattr(kind, "__metadata__", None)
    if metadata:
        return str(metadata[0].description)
    return "one of " + ", ".join(getattr(kind, "__args__", ()))
