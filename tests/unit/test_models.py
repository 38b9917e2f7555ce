"""The index of `models`: every module is in it, and the eight that are the rules are so."""

import ast
import re
from pathlib import Path

import models

FOLDER = Path(models.__file__).parent
MODULES = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}


def listed(text: str) -> list[str]:
    """Return the modules in a list of a docstring, in its order."""
    return re.findall(r"^- `(\w+)`: ", text, re.MULTILINE)


def needed(name: str) -> set[str]:
    """Return a module and all modules of the package that it imports, at any remove."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    froms = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    direct = {module.removeprefix("models.") for module in froms if module.startswith("models.")}
    return {name}.union(*map(needed, direct))


def test_the_index_has_every_module_once() -> None:
    assert sorted(listed(models.__doc__ or "")) == sorted(MODULES)


def test_the_eight_files_of_the_rules_are_all_that_the_fold_of_a_person_needs() -> None:
    _, found, rest = (models.__doc__ or "").partition("Eight files are the rules.")
    assert found
    rules = listed(rest.partition("Which events reach")[0])
    assert len(rules) == 8
    assert needed("person") == set(rules)
