"""The contracts of setup.cfg hold the house: one broken on purpose fails, and says where."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest

from support.rooms import rooms_in

ROOT = Path(__file__).parents[2]
CHECK = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all that the contracts look at."""
    copy = tmp_path_factory.mktemp("house")
    for name in ("app", "agents", "models", "tests/support"):
        ignored = shutil.ignore_patterns("__pycache__", "static", "templates", "locale")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("setup.cfg", "ARCHITECTURE.md"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def checked(house: Path) -> tuple[int, str]:
    done = subprocess.run(CHECK, cwd=house, capture_output=True, text=True, check=False)
    return done.returncode, " ".join(done.stdout.split())


def line_in(file: str, line: str) -> Callable[[Path], None]:
    def add(house: Path) -> None:
        path = house / file
        path.write_text(f"{path.read_text()}\n{line}\n")

    return add


def room_named(name: str) -> Callable[[Path], None]:
    def add(house: Path) -> None:
        (house / "app" / name).mkdir()
        (house / "app" / name / "__init__.py").touch()

    return add


def page_with(old: str, new: str) -> Callable[[Path], None]:
    def replace(house: Path) -> None:
        path = house / "ARCHITECTURE.md"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return replace


def test_the_house_is_as_its_contracts_say(house: Path) -> None:
    code, said = checked(house)
    assert code == 0, said
    assert "0 broken" in said


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            line_in("app/web/tokens.py", "import app.view.codes"),
            "app.web is not allowed to import app.view",
        ),
        (
            line_in("models/policy.py", "import app.process.metrics"),
            "models is not allowed to import app.process",
        ),
        (
            line_in("app/view/codes.py", "import app.development.outbox"),
            "app.view.codes -> app.development.outbox",
        ),
        (
            line_in("app/view/codes.py", "import app.view.pages.names"),
            "app.view.codes -> app.view.pages.names",
        ),
        (line_in("app/topology.py", "import bench.records"), "app is not allowed to import bench"),
        (
            line_in("models/policy.py", "import tests.support.rows"),
            "models is not allowed to import tests",
        ),
        (
            line_in("app/view/codes.py", "import support.builders"),
            "app is not allowed to import support",
        ),
        (
            line_in("app/gateway/routes.py", "import app.engine.store"),
            "app.gateway may not depend on app.engine: app.gateway.routes imports app.engine.store",
        ),
        (
            page_with(
                "`app.engine`, `app.process`, `app.topics` |", "`app.engine`, `app.topics` |"
            ),
            "app.topology may not depend on app.process",
        ),
        (
            page_with("the whole story. | `app.process` |", "the whole story. | `app.web` |"),
            "app.engine does not depend on app.web, as its row says",
        ),
        (room_named("attic"), "app.attic has no row"),
    ],
)
def test_a_contract_that_is_broken_fails_and_says_where(
    house: Path, tmp_path: Path, broken: Callable[[Path], None], says: str
) -> None:
    copy = tmp_path / "house"
    shutil.copytree(house, copy)
    broken(copy)
    code, said = checked(copy)
    assert code == 1
    assert says in said


def test_each_room_has_a_layer_and_each_layer_is_a_room() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"]
    assert set(re.findall(r"[\w.]+", layers)) == set(
        rooms_in((ROOT / "ARCHITECTURE.md").read_text())
    )
