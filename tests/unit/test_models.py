"""The index of `models`: every module is in it, and a code depends on the rules alone."""

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


def test_the_files_of_the_rules_are_all_that_the_fold_of_a_person_needs() -> None:
    _, found, rest = (models.__doc__ or "").partition("These are the rules.")
    assert found
    rules = listed(rest.partition("Which events reach")[0])
    assert needed("person") == set(rules)


def test_it_is_pure() -> None:
    """No clock, no chance, no input and no output: msgspec and what computes, and nothing else."""
    allowed = {"bisect", "collections", "datetime", "enum", "functools", "itertools", "operator"}
    allowed |= {"hashlib", "re", "typing", "unicodedata", "zoneinfo", "msgspec", "stdnum", "models"}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, (path.name, names)
    calls = re.compile(r"\b(now|utcnow|today)\(")
    assert not [path.name for path in FOLDER.glob("*.py") if calls.search(path.read_text())]
