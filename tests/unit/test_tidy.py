"""What no reviewer should have to look for: homonyms, dead names, worn phrases, paths that are not.

After TigerBeetle's tidy. Everything is read from the sources with `ast` and `tokenize`; nothing is
run. Each rule has its exceptions beside it, with a reason.
"""

import ast
import builtins
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import dedent

import pytest

from app.process.settings import TYPES, variable_of

ROOT = Path(__file__).parents[2]
ROOMS = ("app", "agents", "models")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """One source file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.package = parts[:-1]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, in the order of `ast.walk`."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def defined(self) -> dict[str, ast.stmt]:
        """What stands at module level, also within `if` and `try`: name → its statement."""
        found: dict[str, ast.stmt] = {}
        waiting: list[ast.stmt] = list(self.tree.body)
        for node in waiting:
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    found[name] = node
                case ast.AsyncFunctionDef(name=name):
                    found[name] = node
                case ast.Assign(targets=targets):
                    for target in targets:
                        for each in ast.walk(target):
                            if isinstance(each, ast.Name):
                                found[each.id] = node
                case ast.AnnAssign(target=ast.Name(id=name)):
                    found[name] = node
                case ast.If(body=body, orelse=other) | ast.Try(body=body, orelse=other):
                    waiting += [*body, *other]
                case _:
                    pass
        return found

    @cached_property
    def imported(self) -> dict[str, str]:
        """What an import at any depth binds: name → the dotted name that it stands for."""
        found = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    found[bound] = alias.name if alias.asname else bound
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name}: a relative import"
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return found

    @cached_property
    def dotted(self) -> set[str]:
        """Every dotted name that the code takes from an import, as `app.topics.codec.encode`."""
        found = set(self.imported.values())
        for node in self.nodes:
            parts: list[str] = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if parts and isinstance(node, ast.Name) and node.id in self.imported:
                names = [self.imported[node.id], *reversed(parts)]
                found |= {".".join(names[:end]) for end in range(2, len(names) + 1)}
        return found

    @cached_property
    def reads(self) -> dict[str, list[int]]:
        """Each name that the code reads, with the lines where; also in quoted annotations."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for node in self.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id].append(node.lineno)
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"[\w\[\], .|]+", node.value)
            ):
                for name in re.findall(r"\w+", node.value):
                    found[name].append(node.lineno)
        return found

    @cached_property
    def strings(self) -> list[str]:
        """Every string of the code; docstrings are none."""
        told = {id(node) for node in self._docstrings}
        return [
            node.value
            for node in self.nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in told
        ]

    @cached_property
    def _docstrings(self) -> list[ast.Constant]:
        """Strings that stand alone: also those below a field or a constant."""
        return [
            node.value
            for node in self.nodes
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ]

    @cached_property
    def prose(self) -> list[tuple[int, str]]:
        """Docstrings, and comments in one where they follow each other: line, text."""
        found = [(node.lineno, str(node.value)) for node in self._docstrings]
        last = -1
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                line, text = token.start[0], token.string.lstrip("# ")
                if line == last + 1:
                    found[-1] = (found[-1][0], f"{found[-1][1]}\n{text}")
                else:
                    found.append((line, text))
                last = line
        return found

    @cached_property
    def words(self) -> set[str]:
        """Every identifier in the code, and every word of its strings."""
        found = set(self.imported)
        for node in self.nodes:
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                    found.add(name)
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    found.add(name)
                case ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.keyword(arg=str(name)):
                    found.add(name)
                case ast.ImportFrom(module=str(name)) | ast.alias(name=name):
                    found |= set(name.split("."))
                case _:
                    pass
        for text in self.strings:
            found |= set(re.findall(r"\w+", text))
        return found


def modules(*rooms: str) -> tuple[Module, ...]:
    """Return the modules below these folders, each of which is read and parsed once."""
    return tuple(module for room in rooms for module in modules_of(room))


@lru_cache
def modules_of(room: str) -> tuple[Module, ...]:
    return tuple(Module(path) for path in sorted((ROOT / room).rglob("*.py")))


def by_name() -> dict[str, Module]:
    return {module.name: module for module in modules(*ROOMS)}


COMMAND = re.compile(r"((?:app|agents|models)(?:\.\w+)+):(\w+)")
"""How a command, or a class of a carrier's, is named in a string."""


def exported() -> dict[str, set[str]]:
    """Return which public names of each module another one uses, or a string names as a command."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    known = by_name()
    for module in modules(*ROOMS, "bench"):
        uses = {tuple(name.rpartition(".")[::2]) for name in module.dotted}
        uses |= {match for text in module.strings for match in COMMAND.findall(text)}
        for home, name in uses:
            if home in known and home != module.name and name in known[home].defined:
                found[home].add(name)
    return found


# Homonyms

HOMONYMS: dict[str, str] = {
    "Operation": "of ACLs and of OpenAPI: both standards call it so",
    "explain": "the word of the command, and of the question that models/ answers",
    "register": "each module of agents/ adds its agents to an app; it is called as people.register",
}
"""Names that more than one module exports, each with its reason."""


def homonyms() -> dict[str, list[str]]:
    """Return the public names that more than one module exports, each with its modules.

    To be exported is to be used by another module of app/, agents/, models/ or bench/, or to be a
    command. A constant or a function that its own module alone uses is nobody else's to mistake. A
    public class always counts: its name is what a reader remembers.
    """
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for home, names in exported().items():
        for name in names:
            if not name.startswith("_"):
                homes[name].add(home)
    for module in modules(*ROOMS):
        for name, node in module.defined.items():
            if isinstance(node, ast.ClassDef) and not name.startswith("_"):
                homes[name].add(module.name)
    return {name: sorted(found) for name, found in sorted(homes.items()) if len(found) > 1}


def test_no_name_is_exported_by_two_modules() -> None:
    found = homonyms()
    unlisted = {name: found[name] for name in found.keys() - HOMONYMS}
    assert unlisted == {}, "rename one, or list it with its reason"


def test_no_homonym_is_listed_that_is_none() -> None:
    assert HOMONYMS.keys() - homonyms().keys() == set()


# Dead definitions

REGISTERING = re.compile(r"\.(command|callback|agent|timer)\b|^_story\b")
"""Decorators that hand a function to something that calls it."""

ALIVE: dict[str, str] = {
    "app.process.ports.free_port": "bench/ and the tests start servers on free ports",
}
"""Definitions that nothing in the code refers to, each with its reason."""


def dead() -> list[str]:
    """Return what is defined at module level and nothing in the code refers to.

    Not even its own module, apart from the definition itself. Tests and bench/ do not count.
    """
    used = {
        (home, name)
        for module in modules(*ROOMS)
        for home, _, name in (dotted.rpartition(".") for dotted in module.dotted)
    }
    used |= {
        match
        for module in modules(*ROOMS)
        for text in module.strings
        for match in COMMAND.findall(text)
    }
    used |= set(COMMAND.findall((ROOT / "setup.cfg").read_text()))
    return [
        f"{module.name}.{name}"
        for module in modules(*ROOMS)
        for name, node in module.defined.items()
        if (module.name, name) not in used
        and not (name.startswith("__") and name.endswith("__"))
        and not _registered(node)
        and not _read_outside(module, name, node)
    ]


def _registered(node: ast.stmt) -> bool:
    decorators = node.decorator_list if isinstance(node, Definition) else []
    return any(REGISTERING.search(ast.unparse(decorator)) for decorator in decorators)


def _read_outside(module: Module, name: str, definition: ast.stmt) -> bool:
    """Say whether the module reads `name` outside of its definition."""
    own = range(definition.lineno, (definition.end_lineno or definition.lineno) + 1)
    return any(line not in own for line in module.reads.get(name, ()))


def test_every_definition_is_used_by_the_code_itself() -> None:
    found = set(dead())
    assert sorted(found - ALIVE.keys()) == []
    assert ALIVE.keys() - found == set(), "listed, and used"


# Names in prose

CODE_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?=\(\)$|$)")
DOTTED = re.compile(r"(?<![\w./-])(?:app|agents|models|oracle|bench)(?:\.[A-Za-z_]\w*)+(?!/)")

OF_OTHERS: dict[str, str] = {
    "app.Table": "a Faust app's own kind of table",
}
"""Names in prose that are no name of ours, each with whose it is."""


def stale_names() -> Iterator[str]:
    """Yield each name in a docstring, a comment or a document that resolves to nothing.

    Two kinds of names are looked at. A dotted one that begins with a room, such as
    `app.topics.codec.decode`, must be a module, or what a module or a class in it has. What stands
    in backticks and has the form of a name must be an identifier or a word of a string in the code
    of any room, a variable of the settings, or a word of topics.yaml, a template or a script. Only
    tests may name what tests alone have. Of `Class.name`, where the class is ours, the class must
    have it. A mere beginning, such as `ce_`, is no name. A document may name commands, metrics and
    headers, so no single word of it is looked at.
    """
    words = set(dir(builtins)).union(*(module.words for module in modules(*ROOMS, "bench")))
    words |= {variable_of(name) for name in TYPES}
    words |= {part for module in modules(*ROOMS, "bench") for part in module.name.split(".")}
    for pattern in (
        "topics.yaml",
        "setup.cfg",
        "Makefile",
        "app/**/*.html",
        "app/**/*.js",
        "app/**/*.lua",
        "docker/**/*",
    ):
        for path in ROOT.glob(pattern):
            if path.is_file():
                words |= set(re.findall(r"\w+", path.read_text(errors="replace")))
    of_tests = words.union(*(module.words for module in modules("tests")))
    of_tests |= {part for module in modules("tests") for part in module.name.split(".")}
    classes = _members()
    for module in modules(*ROOMS, "tests", "bench"):
        known = of_tests if module.package[0] == "tests" else words
        for line, text in module.prose:
            for name in _stale_in(text, classes, known):
                yield f"{module.path.relative_to(ROOT)}:{line}: {name}"
    for path in documents():
        for name in _stale_in(path.read_text(), classes):
            yield f"{path.relative_to(ROOT)}: {name}"


def _stale_in(
    text: str, classes: Mapping[str, set[str]], words: Container[str] | None = None
) -> Iterator[str]:
    """Yield the names in `text` that resolve to nothing; None lets every word be one."""
    for name in DOTTED.findall(text):
        if name not in OF_OTHERS and not _resolves(name, classes):
            yield name
    for quoted in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        match = CODE_NAME.match(quoted)
        if match is None or quoted.endswith("_") or DOTTED.match(quoted):
            continue
        parts = match[0].split(".")
        missing = [part for part in parts if words is not None and part not in words]
        owner = classes.get(parts[0])
        if missing or (len(parts) == 2 and owner and parts[1] not in owner):
            yield f"`{quoted}`"


def documents() -> list[Path]:
    """Return the documents that are kept up to date; the changelog tells what was."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("app/**/*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def _members() -> dict[str, set[str]]:
    """Return what classes of a name have; of a class with a base that is not ours, nothing."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    bases: defaultdict[str, set[str]] = defaultdict(set)
    for module in modules(*ROOMS, "bench"):
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                found[node.name] |= {
                    name
                    for each in ast.walk(node)
                    for name in (
                        [each.name]
                        if isinstance(each, Definition)
                        else [each.id]
                        if isinstance(each, ast.Name)
                        else [each.attr]
                        if isinstance(each, ast.Attribute)
                        else []
                    )
                }
                bases[node.name] |= {ast.unparse(base).partition("[")[0] for base in node.bases}
    harmless = {
        "Struct",
        "Exception",
        "ValueError",
        "RuntimeError",
        "NamedTuple",
        "StrEnum",
        "IntEnum",
        "Protocol",
        "Generic",
    }
    return {name: has for name, has in found.items() if bases[name] <= harmless}


def _resolves(name: str, classes: Mapping[str, set[str]]) -> bool:
    known = {module.name: module for module in modules(*ROOMS, "bench")}
    known |= {module.name.removeprefix("tests."): module for module in modules("tests")}
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        home = known.get(".".join(parts[:end]))
        if home is None:
            continue
        left = parts[end:]
        if not left:
            return True
        if left[0] not in home.defined and left[0] not in home.imported:
            return False
        return len(left) == 1 or left[1] in classes.get(left[0], {left[1]})
    return bool(any(module.startswith(f"{name}.") for module in known))


def test_every_name_in_a_docstring_or_comment_is_there() -> None:
    assert list(stale_names()) == []


# Folders


def untold() -> list[str]:
    """Return each module that its package's docstring leaves out.

    The docstring names it in backticks, or in an indented diagram. Of `app` the rooms are told in
    ARCHITECTURE.md.
    """
    packages = {m.name: m for m in modules(*ROOMS) if m.path.name == "__init__.py"}
    missing = []
    for module in modules(*ROOMS):
        package, _, name = module.name.rpartition(".")
        if package in ("", "app"):
            continue
        told = ast.get_docstring(packages[package].tree) or ""
        diagram = " ".join(re.findall(r"(?m)^ {4}.*", told))
        if f"`{name}`" not in told and not re.search(rf"\b{name}\b", diagram):
            missing.append(module.name)
    return missing


def test_each_package_tells_of_each_of_its_modules() -> None:
    assert untold() == []


# Phrases

INSTEAD: dict[str, str] = {
    "anew": "again, or new",
    "is none": "is missing, or is not one",
    "up to when": "until when",
    "but for": "except",
    "of which": "a second sentence",
}


@pytest.mark.parametrize("phrase", INSTEAD)
def test_a_worn_phrase_is_not_used_again(phrase: str) -> None:
    # A capital after the first letter is a name, as in "it is None".
    first, rest = phrase[0], phrase[1:].replace(" ", r"\s+")
    pattern = re.compile(rf"\b[{first}{first.upper()}]{rest}\b")
    found = [
        f"{module.path.relative_to(ROOT)}:{line}"
        for module in modules(*ROOMS, "tests", "bench")
        if module.path != Path(__file__)
        for line, text in module.prose
        for _ in pattern.findall(text)
    ]
    for path in [*documents(), ROOT / "Makefile"]:
        text = path.read_text()
        found += [
            f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            for match in pattern.finditer(text)
        ]
    assert found == [], f"say {INSTEAD[phrase]!r}"


# Documents

TOP = ("app", "agents", "models", "tests", "bench", "docs", "docker", ".ci")
FILE = re.compile(rf"(?:{'|'.join(map(re.escape, TOP))})/[\w./*-]*|[\w-]+\.(?:py|md|yaml|toml|cfg)")


def missing_paths() -> list[str]:
    """Return each path in backticks that is not there, seen from the top or from its document."""
    missing = []
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        where = document.relative_to(ROOT)
        for quoted in re.findall(r"`([^`\n]+)`", document.read_text()):
            path = quoted.rstrip("/").partition(":")[0]
            if FILE.fullmatch(path) and not any(
                [*ROOT.glob(path), *document.parent.glob(path)]
                if "*" in path
                else [base for base in (ROOT, document.parent) if (base / path).exists()]
            ):
                missing.append(f"{where}: {quoted}")
    return missing


def test_the_paths_that_documents_name_exist() -> None:
    assert missing_paths() == []


# Sizes

LINES_MAX = 500
LONGER = {
    "models/events.py": "every event of the project, a class each",
    "app/development/sample/stories.py": "every story of the sample day, a function each",
}
"""Files that may be longer, each with its reason."""


def test_no_file_is_too_long_to_read_at_once() -> None:
    lines = Counter({str(m.path.relative_to(ROOT)): m.text.count("\n") for m in modules(*ROOMS)})
    longer = {path: count for path, count in lines.items() if count > LINES_MAX}
    assert {path: count for path, count in longer.items() if path not in LONGER} == {}
    assert LONGER.keys() - longer.keys() == set(), "listed, and short"


# The rules themselves


def test_each_rule_finds_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a rule that looks nowhere would pass for ever."""
    sources = {
        "app/__init__.py": "",
        "app/one.py": """
            class Same: ...
            class Kept:
                field: int
            def unused(): return unused
            """,
        "app/two.py": '''
            """Has `gone_name`, `Kept.other`, app.one.Other; not `Kept.field`, `Kept`, app.one.Kept.
            """
            class Same: ...
            ''',
        "app/use.py": """
            from app import two
            from app.one import Kept, Same
            print(Kept, Same, two.Same, other)  # see app.three
            """,
        "tests/helper.py": """
            # `unused_by_app` and `gone_too`
            unused_by_app = 1
            """,
        "models/__init__.py": """
            '''Has `told`.

                drawn ──> here

            Of left it tells nothing.
            '''
            """,
        "models/told.py": "",
        "models/drawn.py": "",
        "models/left.py": "",
        "docs/page.md": "`app/one.py` `app/gone.py` `docs/*.md` `GET /v1/x` `Kept.left` `word`",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(dedent(text))
    (tmp_path / "setup.cfg").write_text("")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    modules_of.cache_clear()
    try:
        assert homonyms() == {"Same": ["app.one", "app.two"]}
        assert dead() == ["app.one.unused"]
        assert sorted(name.partition(": ")[2] for name in stale_names()) == [
            "`Kept.left`",
            "`Kept.other`",
            "`gone_name`",
            "`gone_too`",
            "app.one.Other",
            "app.three",
        ]
        assert untold() == ["models.left"]
        assert missing_paths() == ["docs/page.md: app/gone.py"]
    finally:
        modules_of.cache_clear()
