"""Every call of cargo in the documents, the Makefile and our programs uses `--locked`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALLS = re.compile(
    r"cargo (?:bench|build|check|clippy|doc|fetch|install|lambda build|metadata|run|test|tree"
    r"|zigbuild)\b"
    r"(?! --version)[^`\n|;]*"
)
# A call as a list of arguments, as Python and Rust write it.
LISTED = re.compile(r'\["cargo", "[^\]]*\]')


def test_every_cargo_call_is_locked() -> None:
    files = [
        ROOT / "Makefile",
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / ".ci/run",
        *(ROOT / "docs").glob("*.md"),
    ]
    texts = [file.read_text("utf-8") for file in files]
    calls = [call[0] for text in texts for call in CALLS.finditer(text)]
    assert len(calls) > 10
    assert [call for call in calls if "--locked" not in call] == []
    # The calls of programs.
    sbom = (ROOT / "tests/python/sbom.py").read_text("utf-8")
    listed = LISTED.findall(sbom)
    assert len(listed) == sbom.count('"cargo", "tree"') > 0
    assert [call for call in listed if '"--locked"' not in call] == []
    assert '"lambda", "build", "--locked"' in (ROOT / "cli/src/package/build.rs").read_text("utf-8")
