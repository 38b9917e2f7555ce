"""Fetches Redocly's linter into the given folder, for the tests alone, and unpacks it.

It is one file on npm's registry, which package-lock.json beside this pins. It needs no npm; the
tests run it with the Node that Playwright brings. Does nothing where that was done already.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

LOCK = Path(__file__).with_name("package-lock.json")
REGISTRY = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
SECONDS_MAX = 60


def main(home: Path) -> None:
    """Unpack it into `home`, once its bytes are those of the lock."""
    unpacked = home / "package-lock.json"
    if unpacked.exists() and unpacked.read_bytes() == LOCK.read_bytes():
        return
    print("Fetching Redocly ...")
    pinned = json.loads(LOCK.read_bytes())["packages"]["node_modules/@redocly/cli"]
    url = f"{REGISTRY}/@redocly/cli/-/cli-{pinned['version']}.tgz"
    with urlopen(url, timeout=SECONDS_MAX) as answer:
        packed = answer.read()
    digest = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    if f"sha512-{digest}" != pinned["integrity"]:
        sys.exit(f"What {url} brought is not what {LOCK} pins.")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    subprocess.run(["tar", "-xzC", home], input=packed, check=True)
    shutil.copy(LOCK, unpacked)


main(Path(sys.argv[1]))
