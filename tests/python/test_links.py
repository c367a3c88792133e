"""Every link of the documents to a file of the project, and to a heading in it, leads somewhere."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCES = re.compile(r"^( *)(`{3,})[^`\n]*\n.*?^ *\2`* *$", re.M | re.S)
LINKS = re.compile(r"\]\(([^)\s]+)\)")
HEADINGS = re.compile(r"^#+ +(.+?) *$", re.M)


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split()]


def prose(document: Path) -> str:
    """Returns a document's text without its blocks of code."""
    return FENCES.sub("", document.read_text("utf-8"))


@cache
def anchors(document: Path) -> set[str]:
    """Returns the anchors that GitHub gives to a document's headings."""
    found: dict[str, int] = {}
    for heading in HEADINGS.findall(prose(document)):
        text = LINKS.sub("]", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in LINKS.findall(re.sub(r"`[^`\n]*`", "", prose(document))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        is_there = target.exists() and (not anchor or anchor in anchors(target))
        if not is_there:
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = prose(ROOT / "docs/README.md")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"]({page}" not in index] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
