"""No two modules of one folder need each other, directly or through others.

A module is read from the paths in its file and in those below it: `crate::…`, `super::…` and
`self::…` in Rust, relative imports in Python. A name that the parent passes on
(`pub use child::Name`) leads to the child that it comes from. What a parent and its child need of
each other doesn't count, and neither do tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CRATES = sorted(
    path.parent for path in ROOT.glob("*/**/src") if (path.parent / "Cargo.toml").exists()
)
# Test modules and models, which stand beside what they look at.
IS_OF_TESTS = re.compile(r"(^|::)(tests|model|fixtures)(::|$)")

Module = tuple[str, ...]


def modules(source: Path) -> dict[Module, str]:
    """The modules of a crate, with their code: no comments, no inline test modules."""
    found = {}
    for file in sorted(source.rglob("*.rs")):
        parts = file.relative_to(source).with_suffix("").parts
        name = parts[:-1] if parts[-1] in ("lib", "mod") else parts
        if parts == ("main",) or parts[0] == "bin" or IS_OF_TESTS.search("::".join(name)):
            continue
        code = re.sub(r"//.*", "", file.read_text())
        found[name] = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", code)[0]
    return found


def paths(code: str) -> Iterator[list[str]]:
    """All paths that begin at a known place, those of a group in braces one by one."""
    for match in re.finditer(r"\b(?:crate|super|self)(?:::\w+)*(?:::\{)?", code):
        path = match.group().rstrip(":{").split("::")
        if not match.group().endswith("{"):
            yield path
            continue
        depth, end = 1, match.end()
        while depth and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        yield from group(path, code[match.end() : end - 1])


def group(prefix: list[str], inside: str) -> Iterator[list[str]]:
    for part in re.split(r",(?![^{]*\})", inside):
        part = part.strip().split(" as ")[0]
        if "::{" in part:
            head, rest = part.split("::{", 1)
            yield from group([*prefix, *head.split("::")], rest.rsplit("}", 1)[0])
        elif part:
            yield [*prefix, *part.split("::")]


def resolve(path: list[str], home: Module, known: dict[Module, str]) -> Module | None:
    """The module that a path of `home` leads to."""
    first, *rest = path
    at = {"crate": (), "self": home, "super": home[:-1]}[first]
    while rest and rest[0] == "super":
        at, rest = at[:-1], rest[1:]
    while rest:
        if (*at, rest[0]) in known:
            at, rest = (*at, rest[0]), rest[1:]
            continue
        child = passed_on(at, rest[0], known)
        if child is None:
            break
        at = child
    return at if at in known or at == () else None


def passed_on(parent: Module, name: str, known: dict[Module, str]) -> Module | None:
    """The child from which `parent` passes `name` on."""
    for match in re.finditer(r"pub(?:\([^)]*\))? use (\w+)::([^;]+);", known.get(parent, "")):
        child = (*parent, match.group(1))
        if child in known and re.search(rf"\b{re.escape(name)}\b", match.group(2)):
            return child
    return None


def circles(known: dict[Module, str]) -> list[str]:
    """A circle of each folder that has one."""
    needs: dict[Module, dict[str, set[str]]] = {}
    for home, code in known.items():
        for path in paths(code):
            target = resolve(path, home, known)
            if not target:
                continue
            shared = 0
            while shared < min(len(home), len(target)) and home[shared] == target[shared]:
                shared += 1
            if shared < len(home) and shared < len(target):
                siblings = needs.setdefault(home[:shared], {})
                siblings.setdefault(home[shared], set()).add(target[shared])
    found = []
    for folder, graph in needs.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(
                f"{'::'.join(('crate', *folder))}: {' needs '.join(reversed(error.args[1]))}"
            )
    return found


@pytest.mark.parametrize("crate", CRATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_modules_of_a_crate_need_each_other(crate: Path) -> None:
    known = modules(crate / "src")
    known.setdefault((), "")
    assert circles(known) == []


def test_a_circle_is_found_through_a_name_that_the_parent_passes_on() -> None:
    known = {
        (): "pub mod one; pub mod two;",
        ("one",): "pub use inner::Name; mod inner;",
        ("one", "inner"): "use crate::two::{deep::Thing, Other};",
        ("two",): "use crate::one::Name;",
    }
    assert circles(known) == ["crate: one needs two needs one"]
    known["two",] = "use std::fmt;"
    assert circles(known) == []


def test_no_modules_of_the_job_library_need_each_other() -> None:
    graph = {}
    for file in (ROOT / "python/landfall").glob("*.py"):
        if file.stem != "__init__":
            code = file.read_text()
            named = re.findall(r"from \.(\w+) import", code)
            named += [
                name
                for names in re.findall(r"from \. import (.+)", code)
                for name in re.findall(r"\w+", names)
            ]
            graph[file.stem] = set(named)
    assert graph
    TopologicalSorter(graph).prepare()
