"""Secrets of a development machine: made once, and kept in a file that only its owner can read."""

import sys
from pathlib import Path
from secrets import token_bytes, token_hex

from nacl.public import PrivateKey

from app.process.files import write_whole
from app.process.settings import SECRET_BYTES_MIN
from app.topics.authentic import authority_key

SECRETS_FILE = "secrets.env"


def development_secrets(directory: Path) -> dict[str, str]:
    """Return the variables of `<directory>/secrets.env`; make those that are missing.

    A shell can read it too: `set -a; . .run/data/secrets.env`.
    """
    path = directory / SECRETS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    made = _made()
    if made.keys() - found.keys():
        found = {**made, **found}
        _write(path, found)
    return found


def _made() -> dict[str, str]:
    dead_letters = PrivateKey.generate()
    mac_key = token_bytes(SECRET_BYTES_MIN)
    return {
        "YUEKANG_MAC_KEY": mac_key.hex(),
        "YUEKANG_PORTAL_MAC_KEY": authority_key(mac_key, "portal").hex(),
        "YUEKANG_TERMINAL_MAC_KEY": authority_key(mac_key, "terminal").hex(),
        "YUEKANG_YUEKANG_MAC_KEY": authority_key(mac_key, "yuekang").hex(),
        "YUEKANG_ENVIRONMENT": "development",
        "YUEKANG_PERSON_KEY_SECRET": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_TOKEN_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_DISPLAY_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_SESSION_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_CREDENTIAL_KEY": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_OIDC_CLIENT_SECRET": token_hex(SECRET_BYTES_MIN),
        "YUEKANG_DEAD_LETTER_PUBLIC_KEY": bytes(dead_letters.public_key).hex(),
        "YUEKANG_DEAD_LETTER_PRIVATE_KEY": bytes(dead_letters).hex(),
    }


def _write(path: Path, variables: dict[str, str]) -> None:
    # The file is written whole or not at all: if a key is lost, every person is a stranger.
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    write_whole(path, text.encode(), mode=0o600)


if __name__ == "__main__":
    development_secrets(Path(sys.argv[1]))
