"""What the harness replaces or calls from outside is there; a name set in vain would break nothing,
and a mutant that changes nothing would be the engine as it is."""

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest

from faults import mutants, points, process


def attributes(module: ModuleType) -> Iterator[str]:
    """Yield each attribute of what the module imports or defines, as it is written with its owner,
    such as `Partition.commit`. A function's own names are left out."""

    def of(node: ast.AST, own: set[str]) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = list(ast.walk(node))
            own = own | {each.arg for each in inner if isinstance(each, ast.arg)}
            own |= {
                each.id
                for each in inner
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
        if isinstance(node, ast.Attribute):
            owner: ast.AST = node
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name) and owner.id in vars(module).keys() - own:
                yield ast.unparse(node)
        for child in ast.iter_child_nodes(node):
            yield from of(child, own)

    return of(ast.parse(inspect.getsource(module)), set())


@pytest.mark.parametrize("module", [mutants, process, points], ids=lambda m: m.__name__)
def test_what_is_named_is_there(module: ModuleType) -> None:
    named = set(attributes(module))
    assert len(named) > 10
    missing = []
    for name in sorted(named):
        try:
            eval(name, vars(module))
        except AttributeError as error:
            missing.append(str(error))
    assert missing == []


@pytest.mark.parametrize("step", points.STEPS)
def test_each_step_is_there(step: str) -> None:
    owner, method, _ = points.STEPS[step]
    assert callable(getattr(owner, method))
