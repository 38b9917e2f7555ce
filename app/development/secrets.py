"""Secrets of a development machine: made once, and kept in files that only their owner can read.

`<directory>/secrets.env` is for whoever types commands there, and has every key. Each process has a
file of its own, `<directory>/secrets/<process>.env`, with what it needs and nothing else: keys, and
the passwords by which Kafka and Redis know it.

The view's tokens end, so they are made again, with the key that lies beside them, when they are
good for less than half of their time.
"""

import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

from nacl.public import PrivateKey

from app.process.clock import now
from app.process.files import write_whole
from app.process.settings import SECRET_BYTES_MIN, variable_of
from app.topics.authentic import mac_variables
from app.topics.catalogue import IDENTITY_PROVIDERS, PORTAL, named
from app.web.issuing import TOKEN_LIFE, TokenIssuer, told_by

SECRETS_FILE = "secrets.env"

ADMINISTRATOR = "admin"
"""Who makes topics, users and ACLs: Kafka's super user, and Redis'."""

OPERATOR = "operator"
IDENTITY_PROVIDER = "identity-provider"

KEYS_OF: Mapping[str, frozenset[str]] = {
    "projection": frozenset({"yuekang_mac_key", "former_yuekang_mac_key"}),
    "replica": frozenset({"yuekang_mac_key", "former_yuekang_mac_key"}),
    "rows": frozenset({"yuekang_mac_key", "former_yuekang_mac_key"}),
    "worker": frozenset({"dead_letter_public_key", "mac_key", "former_mac_key"}),
    "submissions-worker": frozenset({"dead_letter_public_key", "mac_key", "former_mac_key"}),
    "lists-worker": frozenset({"dead_letter_public_key", "mac_key", "former_mac_key"}),
    "audit-log": frozenset({"audit_key"}),
    "gateway": frozenset({"person_key_secret", "token_public_keys", "mac_key", "former_mac_key"}),
    "view": frozenset(
        {
            "token_public_keys",
            "portal_token",
            "identity_provider_token",
            "display_key",
            "display_other_key",
            "session_key",
            "session_other_key",
            "credential_key",
            "oidc_client_secret",
            "portal_mac_key",
            "terminal_mac_key",
            "register_mac_key",
            "former_register_mac_key",
        }
    ),
    IDENTITY_PROVIDER: frozenset({"oidc_client_secret"}),
    ADMINISTRATOR: frozenset(),
}
"""The keys and tokens that each process is given; it never sees any other."""

KAFKA_USERS = frozenset({*KEYS_OF, OPERATOR}) - {IDENTITY_PROVIDER, ADMINISTRATOR}
REDIS_USERS = frozenset({"projection", "rows", "gateway", "view"})
"""Whose rights `app.access` has; a test holds these against it, since to load it takes a second."""

ENVIRONMENT = {"YUEKANG_ENVIRONMENT": "development"}
KAFKA_PASSWORD, REDIS_PASSWORD = variable_of("kafka_password"), variable_of("redis_password")

FORMER = frozenset({"YUEKANG_TOKEN_KEY"})
"""Variables that no process knows any more; they are left out of an older file."""

MASTER_KEY, FORMER_MASTER_KEY = variable_of("mac_key"), variable_of("former_mac_key")
MASTER_KEY_VERSION = variable_of("mac_key_version")
"""No secret, but of no use without the key: who is given one of its keys is told it as well."""

PRIVATE_KEY, PUBLIC_KEYS = "YUEKANG_TOKEN_PRIVATE_KEY", "YUEKANG_TOKEN_PUBLIC_KEYS"

TOKENS = {
    "YUEKANG_PORTAL_TOKEN": PORTAL,
    "YUEKANG_IDENTITY_PROVIDER_TOKEN": f"{IDENTITY_PROVIDERS}gd",
}
"""The view's tokens, and whose they are: with the name that the provider has unless it is set."""


def development_secrets(directory: Path) -> dict[str, str]:
    """Return the variables of `<directory>/secrets.env`; make those that are missing.

    A shell can read it too: `set -a; . .run/data/secrets.env`.
    """
    path = directory / SECRETS_FILE
    found = _read(path)
    kept = {name: value for name, value in found.items() if name not in FORMER}
    wanted = {**_made(), **kept, **_known(OPERATOR, found)}
    former = bytes.fromhex(wanted.get(FORMER_MASTER_KEY, ""))
    wanted |= mac_variables(bytes.fromhex(wanted[MASTER_KEY]), former)
    issuer = TokenIssuer(bytes.fromhex(wanted[PRIVATE_KEY]))
    wanted.setdefault(PUBLIC_KEYS, issuer.public.hex())
    for name, source in TOKENS.items():
        if not _is_good(wanted.get(name, "")):
            wanted[name] = issuer.token_for(source)
    if wanted != found:
        _write(path, wanted)
    return wanted


def known_by(variables: Mapping[str, str]) -> dict[str, str]:
    """Return, of what `development_secrets` gives, by what Kafka knows the operator."""
    return {name: variables[name] for name in _known(OPERATOR, {})}


def process_secrets(directory: Path) -> dict[str, dict[str, str]]:
    """Return the variables that each process alone is given, by its name.

    They are in its file too. Passwords are made that are missing there.
    """
    keys = development_secrets(directory)
    return {name: _own(directory, name, keys) for name in KEYS_OF}


def _own(directory: Path, name: str, keys: Mapping[str, str]) -> dict[str, str]:
    path = directory / "secrets" / f"{name}.env"
    found = _read(path)
    variables = map(variable_of, sorted(KEYS_OF[name]))
    given = {variable: keys[variable] for variable in variables if variable in keys}
    if MASTER_KEY_VERSION in keys and any(key.endswith("mac_key") for key in KEYS_OF[name]):
        given[MASTER_KEY_VERSION] = keys[MASTER_KEY_VERSION]
    own = {**ENVIRONMENT, **given, **_known(name, found)}
    if own != found:
        _write(path, own)
    return own


def _known(name: str, found: Mapping[str, str]) -> dict[str, str]:
    """Return by what Kafka and Redis know somebody; a password that was found stays."""
    known: dict[str, str] = {}
    if name in KAFKA_USERS or name == ADMINISTRATOR:
        known |= {
            variable_of("kafka_security"): "SASL_PLAINTEXT",
            variable_of("kafka_user"): named(name) if name in KAFKA_USERS else name,
            KAFKA_PASSWORD: found.get(KAFKA_PASSWORD) or token_hex(SECRET_BYTES_MIN),
        }
    if name == ADMINISTRATOR:
        # The broker itself needs this one, before it has the others' (closed.properties).
        known[variable_of("kafka_mechanism")] = "PLAIN"
    if name in REDIS_USERS or name == ADMINISTRATOR:
        known |= {
            variable_of("redis_user"): name,
            REDIS_PASSWORD: found.get(REDIS_PASSWORD) or token_hex(SECRET_BYTES_MIN),
        }
    return known


def _made() -> dict[str, str]:
    dead_letters = PrivateKey.generate()
    return {
        **ENVIRONMENT,
        MASTER_KEY: token_hex(SECRET_BYTES_MIN),
        "YUEKANG_PERSON_KEY_SECRET": token_hex(SECRET_BYTES_MIN),
        PRIVATE_KEY: token_hex(SECRET_BYTES_MIN),
        "YUEKANG_DISPLAY_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_SESSION_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_CREDENTIAL_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_AUDIT_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_OIDC_CLIENT_SECRET": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_DEAD_LETTER_PUBLIC_KEY": bytes(dead_letters.public_key).hex(),
        "YUEKANG_DEAD_LETTER_PRIVATE_KEY": bytes(dead_letters).hex(),
    }


def _read(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _is_good(token: str) -> bool:
    try:
        _, until = told_by(token)
    except ValueError:
        return False
    return until - now() > TOKEN_LIFE / 2


def _write(path: Path, variables: Mapping[str, str]) -> None:
    # The file is written whole or not at all: if a key is lost, every person is a stranger.
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    write_whole(path, text.encode(), mode=0o600)


def server_secrets(directory: Path) -> None:
    """Write what servers in containers are told of users: Redis hashes alone, and who makes Kafka's
    users their passwords. `secrets/redis.env` and `secrets/kafka-users.env` have it."""
    from app.access.redis_users import users_file

    own, operator = process_secrets(directory), development_secrets(directory)
    users = {**{name: own[name] for name in KAFKA_USERS & own.keys()}, OPERATOR: operator}
    told = ",".join(
        f"{of[variable_of('kafka_user')]}={of[KAFKA_PASSWORD]}" for of in users.values()
    )
    _write(directory / "secrets" / "kafka-users.env", {"KAFKA_USERS": told})
    passwords = {name: own[name][REDIS_PASSWORD] for name in (*sorted(REDIS_USERS), ADMINISTRATOR)}
    # In a file of variables a # begins a comment, and a value has one line.
    users_of_redis = b64encode(users_file(passwords).encode()).decode()
    _write(directory / "secrets" / "redis.env", {"REDIS_USERS": users_of_redis})


if __name__ == "__main__":
    server_secrets(Path(sys.argv[1]))
