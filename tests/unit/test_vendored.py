"""Scripts of others that the pages load: each is what its package has, and lies beside its licence.

`vendored.json` says of each package which version it is, npm's digest of the package, and the
digest of each file as it lies here.
"""

import hashlib
import json
from typing import Any

import pytest

from app.web.site import STATIC, static_file

VENDORED: list[dict[str, Any]] = json.loads(static_file("vendored.json").read_bytes())


@pytest.mark.parametrize("package", VENDORED, ids=lambda package: package["name"])
def test_a_vendored_package_is_unchanged_and_has_its_licence(package: dict[str, Any]) -> None:
    assert package["npm_integrity"].startswith("sha512-")
    assert len(static_file(package["licence"]).read_text()) > 500
    for name, digest in package["files"].items():
        assert package["version"] in name, "an address that changes with the version"
        assert hashlib.sha256(static_file(name).read_bytes()).hexdigest() == digest


def test_every_file_of_others_is_told_of() -> None:
    told = {name for package in VENDORED for name in package["files"]}
    numbered = {path.name for folder in STATIC for path in folder.glob("*-[0-9]*.[0-9]*.*")}
    assert numbered == told
    assert {path.name for folder in STATIC for path in folder.glob("*.wasm")} <= told
