"""What is shipped: production's part of the locks and of the image, and its bill of materials."""

import ast
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import typer

from app.development.stack.broker import ROOT

PACKAGE = re.compile(
    r"(?m)^([\w.-]+)==([^ \\]+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:\w+(?: \\)?\n)+)"
)
OF_TESTS = {"pytest", "playwright", "ruff", "mypy", "hypothesis", "schemathesis", "uv", "cwt"}


def packages(lock: str) -> dict[tuple[str, str], frozenset[str]]:
    """Name and version of each package → the SHA-256 of what may be installed of it."""
    found = PACKAGE.findall((ROOT / lock).read_text())
    return {
        (name, version): frozenset(re.findall(r"sha256:(\w+)", hashes))
        for name, version, hashes in found
    }


@cache
def components() -> tuple[dict[str, Any], ...]:
    written = subprocess.run(
        [sys.executable, ROOT / "docker" / "sbom.py"], capture_output=True, text=True, check=True
    )
    bom = json.loads(written.stdout)
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", "yuekang")
    return tuple(bom["components"])


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in components() if one["purl"].startswith(f"pkg:{kind}/")]


def test_every_line_of_a_lock_is_a_package_with_its_hashes() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        pinned = re.findall(r"(?m)^([\w.-]+)==", (ROOT / lock).read_text())
        assert sorted(pinned) == sorted(name for name, _ in packages(lock))


def test_every_package_of_the_runtime_is_in_it_with_version_and_hashes() -> None:
    told = {
        (one["name"], one["version"]): frozenset(
            digest["content"]
            for reference in one["externalReferences"]
            for digest in reference["hashes"]
        )
        for one in of_kind("pypi")
    }
    assert told == packages("requirements.lock")


def test_every_jar_of_kafka_is_in_it_with_its_hash() -> None:
    listed = {
        tuple(line.split()[::-1])
        for line in (ROOT / "docker" / "kafka" / "jars.sha256").read_text().splitlines()
    }
    assert listed == {
        (f"{one['name']}-{one['version']}.jar", one["hashes"][0]["content"])
        for one in of_kind("maven")
    }
    assert all("." in one["group"] or one["group"] == one["name"] for one in of_kind("maven"))


def test_every_script_of_others_that_pages_load_is_in_it() -> None:
    vendored = json.loads((ROOT / "app" / "web" / "static" / "vendored.json").read_bytes())
    assert {(one["name"], one["version"]): one["files"] for one in vendored} == {
        (one["name"], one["version"]): {
            file["name"]: file["hashes"][0]["content"] for file in one["components"]
        }
        for one in of_kind("npm")
    }


def test_nothing_else_is_in_it() -> None:
    kinds = ("pypi", "maven", "npm")
    assert len(components()) == sum(len(of_kind(kind)) for kind in kinds)


def test_the_runtime_has_no_tool_of_the_tests() -> None:
    names = {name for name, _ in packages("requirements.lock")}
    assert not OF_TESTS & names
    assert {name for name, _ in packages("requirements-dev.lock")} >= OF_TESTS


def test_what_is_tested_is_what_is_shipped() -> None:
    tested = packages("requirements-dev.lock")
    assert {package: tested.get(package) for package in packages("requirements.lock")} == packages(
        "requirements.lock"
    )


@pytest.mark.parametrize("image", ["runtime", "programs", "build"])
def test_the_image_of_production_is_given_no_test_and_nothing_of_development(image: str) -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    stages = dict(re.findall(r"(?ms)^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text))
    copied = {
        word
        for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", stages[image])
        for word in line.split()[:-1]
    }
    allowed = {
        "requirements.lock",
        "pyproject.toml",
        "setup.cfg",
        "topics.yaml",
        "README.md",
        "LICENSE",
        "docker/ready.sh",
    }
    assert copied <= allowed | {"app", "agents", "models"}
    assert "requirements-dev" not in stages[image]
    if "app" in copied:
        assert "rm -rf app/development" in stages[image]
    assert text.rstrip().endswith("FROM programs AS runtime"), (
        "what is built where nobody says what"
    )


def test_all_that_production_imports_is_in_the_runtimes_lock() -> None:
    homes = packages_distributions()
    locked = {name for name, _ in packages("requirements.lock")}
    imported = {
        name.partition(".")[0]
        for room in ("app", "agents", "models")
        for path in (ROOT / room).rglob("*.py")
        if "development" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    others = imported - sys.stdlib_module_names - {"app", "agents", "models"}
    assert len(others) > 20
    for name in others:
        found = {re.sub(r"[-_.]+", "-", home).lower() for home in homes[name]}
        assert found & locked, name


def test_without_the_folder_of_development_no_command_of_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    for name in ("__init__.py", "cli.py"):
        shutil.copy(ROOT / "app" / name, tmp_path / "app")
    # Without the finder of an editable installation, which knows the folder from elsewhere.
    libraries = Path(typer.__file__).parents[1]
    said = subprocess.run(
        [sys.executable, "-S", "-c", "from app.cli import COMMANDS; print(*COMMANDS)"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{libraries}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"worker", "gateway", "view"} <= {*said}
    assert not {"up", "sample", "outbox", "development-view", "identity-provider"} & {*said}
