"""Python 3.7, which Glue 3.0 has, accepts the library, even if this machine has no Python 3.7.

If there is one, `test_any_python` runs the library in it. Neither `ruff` nor `vermin` finds these
generics.
"""

from __future__ import annotations

import ast
import collections.abc
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDERS = (HERE.parent / "landfall", HERE.parent / "examples")
SOURCES = sorted(source for folder in FOLDERS for source in folder.glob("*.py"))
BUILT_IN = {"dict", "frozenset", "list", "set", "tuple", "type"}
GENERIC_SINCE_3_9 = BUILT_IN | set(collections.abc.__all__)


class Evaluated(ast.NodeVisitor):
    """Finds generics like `dict[…]` that Python evaluates. It doesn't evaluate annotations."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        node.returns = None
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in GENERIC_SINCE_3_9:
            self.found.append(ast.unparse(node))
        self.generic_visit(node)


def evaluated(source: str) -> list[str]:
    visitor = Evaluated()
    visitor.visit(ast.parse(source, feature_version=(3, 7)))
    return visitor.found


@pytest.mark.parametrize("source", SOURCES, ids=[path.name for path in SOURCES])
def test_no_source_needs_a_newer_python(source: Path) -> None:
    text = source.read_text()
    assert evaluated(text) == []
    # Without this import, Python evaluates annotations too.
    assert text.count("from __future__ import annotations\n") == (source.name != "__init__.py")


def test_what_a_newer_python_is_needed_for_is_found() -> None:
    assert evaluated("Entry = dict[str, int]") == ["dict[str, int]"]
    assert evaluated("def f(a: list[int] = Sequence[int]) -> None: ...") == ["Sequence[int]"]
    assert evaluated("if TYPE_CHECKING:\n    E = dict[str, int]\ndef f(a: list[int]): ...") == []
    with pytest.raises(SyntaxError):
        evaluated("if (a := 1): pass")
