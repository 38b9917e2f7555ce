"""A contract of import-linter: the rooms depend on what ARCHITECTURE.md says, and on nothing else.

The page's table of rooms is read, so the page and the code cannot differ: an arrow that the table
lacks is broken, and so is one that the code lacks, and a room without a row.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from importlinter import Contract, ContractCheck, fields, output

ROW = re.compile(r"^\| `([\w/.]+)` \|[^|]*\| ([^|]*) \|$", re.MULTILINE)
NAME = re.compile(r"`([\w.]+)`")


def room_of(module: str) -> str:
    """Return the room of a module: the first two parts of its name in `app`, else the first."""
    return ".".join(module.split(".")[: 2 if module.startswith("app.") else 1])


def rooms_in(page: str) -> dict[str, set[str]]:
    """Return what each room of the page's table depends on."""
    return {
        room.removesuffix("/").removesuffix(".py").replace("/", "."): set(NAME.findall(needs))
        for room, needs in ROW.findall(page)
    }


def _is_ours(module: str) -> bool:
    """Say whether a module is not from elsewhere."""
    return module.split(".")[0] in ("app", "agents", "models")


class RoomsContract(Contract):
    """`page` is the file whose table says which room depends on which."""

    page = fields.StringField()

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        """Compare the table with the imports."""
        said = rooms_in(Path(str(self.page)).read_text())
        found: dict[str, dict[str, str]] = defaultdict(dict)
        rooms = {room_of(module) for module in graph.modules if _is_ours(module)} - {"app"}
        for module in sorted(filter(_is_ours, graph.modules)):
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                if not _is_ours(imported):
                    continue
                room, needed = room_of(module), room_of(imported)
                if room != needed and "app" not in (room, needed):
                    found[room].setdefault(needed, f"{module} imports {imported}")
        faults = [
            *(f"{room} has no row." for room in sorted(rooms - said.keys())),
            *(f"{room} has a row and is not there." for room in sorted(said.keys() - rooms)),
            *(
                f"{room} may not depend on {needed}: {where}."
                for room, needs in sorted(found.items())
                for needed, where in needs.items()
                if needed not in said.get(room, set())
            ),
            *(
                f"{room} does not depend on {needed}, as its row says."
                for room, needs in sorted(said.items())
                for needed in sorted(needs - found[room].keys())
                if room in rooms
            ),
        ]
        return ContractCheck(kept=not faults, metadata={"faults": faults})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each fault."""
        for fault in check.metadata["faults"]:
            output.print_error(str(fault))
