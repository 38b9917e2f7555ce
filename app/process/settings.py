"""Settings from the environment: one validated struct, every fault named at once.

The variable of a field is `YUEKANG_` and the field's name in capitals. Addresses are of this
machine unless set; secrets have no default. Keys of our own making are bytes, in hexadecimal. A
secret that another made and gave us is a text as they gave it (`SecretText`). Neither is ever
shown.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

PREFIX = "YUEKANG_"
PERSON_KEY_VERSION_MAX = 9999

Port = Annotated[int, Meta(ge=1, le=65535, description="a port, 1 to 65535")]
SAFE_URL = r"^(https://[^\s/?#]+|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?)(/[^\s?#]*)?\Z"
SafeUrl = Annotated[
    str, Meta(pattern=SAFE_URL, description="an https address, or one of this machine")
]
Servers = Annotated[
    str, Meta(pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*\Z", description="host:port, separated by ,")
]
RedisUrl = Annotated[
    str, Meta(pattern=r"^(rediss?|unix)://\S+\Z", description="such as redis://127.0.0.1:6379/0")
]
SmsDriver = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z",
        description="a class as package.module:Class",
    ),
]
Networks = Annotated[
    str,
    Meta(
        pattern=r"^[^\s,]+(,[^\s,]+)*\Z",
        description="addresses or networks, such as 10.0.0.5,10.1.0.0/16, separated by ,",
    ),
]
Watched = Annotated[
    str,
    Meta(
        pattern=r"^[a-z-]+=https?://[^\s/,=]+(,[a-z-]+=https?://[^\s/,=]+)*\Z",
        description="name=http://host:port, separated by ,",
    ),
]
TopicPrefix = Annotated[
    str,
    Meta(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*\Z",
        max_length=64,
        description="letters, digits, dots, hyphens and underscores, at most 64, such as staging-",
    ),
]
Text = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
Slug = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\Z",
        max_length=32,
        description="lower-case letters, digits and hyphens, at most 32",
    ),
]
Scope = Annotated[
    str,
    Meta(
        pattern=r"^openid( [!#-\[\]-~]+)*\Z",
        max_length=200,
        description="openid, then further scopes, each after a blank",
    ),
]
PublicKeys = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{64}(,[0-9a-f]{64})*\Z",
        description="public keys of 32 bytes in hexadecimal, separated by ,",
    ),
]
SecretText = Annotated[
    str,
    Meta(
        pattern=r"^[ -~]{1,512}\Z",
        description="1 to 512 characters of ASCII, without a line's end",
        extra={"secret": True},
    ),
]
"""The form that RFC 6749 (A.2) gives to a client's secret. A file's last newline would be part of
the secret, and the provider would refuse it without a hint; so it is refused here."""


class SettingsError(Exception):
    """The environment cannot be used; the message names every fault and what would be right."""


class Settings(Struct, frozen=True, kw_only=True):
    """What a process is told from outside. A secret that is not set is empty."""

    kafka: Servers = "127.0.0.1:29092"
    topic_prefix: TopicPrefix = ""
    """What the names on the broker begin with. It is checked here. The catalogue has it as a
    constant (`app.topics.catalogue.TOPIC_PREFIX`), since names are constants."""
    redis_url: RedisUrl = "redis://127.0.0.1:26379/0"
    rows_redis_url: RedisUrl = ""
    sessions_redis_url: RedisUrl = ""
    """Rows, unless set, are in the database after that of `redis_url`. Sessions are in the one
    after that of the rows: what residents can make must not fill the server of the codes."""
    data_dir: Text = ".run/data"
    gateway_host: Text = "127.0.0.1"
    gateway_port: Port = 8081
    gateway_url: SafeUrl = ""
    view_host: Text = "127.0.0.1"
    view_port: Port = 8080
    view_url: SafeUrl = ""
    """Where browsers find the view: logins return there, and requests must come from there."""
    trusted_proxies: Networks = ""
    """The proxies whose `X-Forwarded-For` says who asks; none unless set. Behind a proxy that is
    not named here everybody has one address, and shares its limits."""
    oidc_issuer: SafeUrl = ""
    """The OpenID provider, as it names itself. In development the default is that of this machine.
    Elsewhere nobody can log in unless this is set."""
    oidc_client_id: Text = "yuekang"
    oidc_client_secret: SecretText = ""
    """Unless set, the client is a public one, with PKCE alone."""
    oidc_scope: Scope = "openid profile"
    oidc_name: Slug = "gd"
    """The last part of the source `/identity-providers/…`, in whose name logins are published."""
    oidc_number_claim: Text = "document_number"
    oidc_type_claim: Text = "document_type"
    oidc_name_claim: Text = "name"
    oidc_birthday_claim: Text = "birthdate"
    oidc_city_claim: Text = "city"
    identity_provider_port: Port = 8082
    status_host: Text = "127.0.0.1"
    worker_session_seconds: Annotated[float, Meta(ge=2, le=60, description="2 to 60 s")] = 10.0
    """A worker that is not heard of for so long loses its partitions. It is short, since they stand
    still until then. A fold never holds up the heartbeat, which has a thread of its own. A broker
    takes no less than its group.min.session.timeout.ms, 6 s unless told otherwise."""
    worker_status_port: Port = 9101
    projection_status_port: Port = 9102
    lists_status_port: Port = 9103
    rows_status_port: Port = 9104
    watched: Watched = ""
    """The processes whose alerts the dashboard shows; unless set, those of this machine by their
    ports."""
    environment: Literal["production", "development"] = "production"
    sms_driver: SmsDriver = ""
    """Who takes messages to phones: a class of the carrier's (app.travel.sms). Nobody unless set;
    `yuekang development-view` keeps messages in the outbox."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    unreadable_in_a_row: Annotated[int, Meta(ge=1, description="1 or more")] = 100
    unreadable_percent: Annotated[int, Meta(ge=0, le=100, description="0 to 100")] = 1
    person_key_version: Annotated[
        int,
        Meta(ge=1, le=PERSON_KEY_VERSION_MAX, description=f"1 to {PERSON_KEY_VERSION_MAX}"),
    ] = 1
    person_key_secret: bytes = b""
    token_key: bytes = b""
    display_key: bytes = b""
    session_key: bytes = b""
    credential_key: bytes = b""
    credential_former_keys: PublicKeys | Literal[""] = ""
    """Public keys of before `credential_key` was replaced; list each for a day."""
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
                "lists-worker": self.lists_status_port,
                "rows": self.rows_status_port,
                "gateway": self.gateway_port,
                "view": self.view_port,
            }
            local = (f"{name}=http://127.0.0.1:{port}" for name, port in ports.items())
            msgspec.structs.force_setattr(self, "watched", ",".join(local))
        if not self.oidc_issuer and self.environment == "development":
            msgspec.structs.force_setattr(self, "oidc_issuer", self.development_issuer)
        for name, before in (
            ("rows_redis_url", "redis_url"),
            ("sessions_redis_url", "rows_redis_url"),
        ):
            if not getattr(self, name):
                msgspec.structs.force_setattr(self, name, _database(getattr(self, before)))

    @property
    def development_issuer(self) -> str:
        """The identity provider of this machine, which runs only in development."""
        return f"http://127.0.0.1:{self.identity_provider_port}"

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
            text = environ.get(variable_of(name), "")
            if not text:
                if name in required:
                    faults.append(f"{variable_of(name)} is not set; {_expected(name, kind)}.")
                continue
            try:
                values[name] = _key(text) if name in KEYS else _value(text, kind)
            except ValueError as error:
                # A secret is never repeated.
                shown = "" if name in SECRETS else f" is {text!r}, but"
                faults.append(
                    f"{variable_of(name)}{shown} must be {_expected(name, kind)} ({error})"
                )
        known = {variable_of(name) for name in TYPES} | OTHERS
        faults += (
            f"{name} is no setting; known are {', '.join(sorted(known))}."
            for name in sorted(environ)
            if name.startswith(PREFIX) and name not in known
        )
        if faults:
            raise SettingsError("\n".join(["The settings cannot be used:", *faults]))
        return cls(**values)


TYPES: dict[str, Any] = get_type_hints(Settings, include_extras=True)
"""Field → its type, in order."""

KEYS = frozenset(name for name, kind in TYPES.items() if kind is bytes)
SECRETS = KEYS | {name for name, kind in TYPES.items() if kind is SecretText}
SECRET_BYTES_MIN = 32
"""As many as our hashes give: a shorter secret would be the weaker part."""

OTHERS = frozenset({"YUEKANG_TOKEN", "YUEKANG_KAFKA_CONTROLLER_PORT"})
"""Variables that only one command reads."""


def variable_of(name: str) -> str:
    """Return the variable from which a field is read."""
    return PREFIX + name.upper()


def _database(url: str) -> str:
    """Return the address of the database that comes after that of `url`."""
    match = re.fullmatch(r"(\w+://[^/?]+)(?:/(\d*))?(\?.*)?", url)
    if match is None:  # a socket's path, say, in which a number need not be the database's
        return url
    return f"{match[1]}/{int(match[2] or 0) + 1}{match[3] or ''}"


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
    return msgspec.convert(text, kind, strict=False)


def _expected(name: str, kind: Any) -> str:
    if name in KEYS:
        return f"at least {SECRET_BYTES_MIN} bytes in hexadecimal"
    metadata = getattr(kind, "__metadata__", None)
    if metadata:
        return str(metadata[0].description)
    return "one of " + ", ".join(getattr(kind, "__args__", ()))
