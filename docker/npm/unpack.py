"""Fetches what the tests alone take from npm's registry into the given folder, and unpacks it.

Those are Redocly's linter, which is one file, and what verifies transparency logs of Sigstore's.
package-lock.json beside this pins them. It needs no npm; the tests run them with the Node that
Playwright brings. Does nothing where that was done already.
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
    """Unpack all of the lock into `home`, each once its bytes are those of the lock."""
    unpacked = home / "package-lock.json"
    if unpacked.exists() and unpacked.read_bytes() == LOCK.read_bytes():
        return
    shutil.rmtree(home, ignore_errors=True)
    for path, pinned in json.loads(LOCK.read_bytes())["packages"].items():
        if path:
            unpack(home / path, path.removeprefix("node_modules/"), pinned)
    shutil.copy(LOCK, unpacked)


def unpack(folder: Path, name: str, pinned: dict[str, str]) -> None:
    """Unpack one package."""
    print(f"Fetching {name} ...")
    file = f"{name.rpartition('/')[2]}-{pinned['version']}.tgz"
    url = f"{REGISTRY}/{name}/-/{file}"
    with urlopen(url, timeout=SECONDS_MAX) as answer:
        packed = answer.read()
    digest = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    if f"sha512-{digest}" != pinned["integrity"]:
        sys.exit(f"What {url} brought is not what {LOCK} pins.")
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xz", "--strip-components=1", "-C", folder], input=packed, check=True)


main(Path(sys.argv[1]))
