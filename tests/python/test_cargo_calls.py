"""Every call of cargo in the documents, the Makefile and our programs uses `--locked`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALLS = re.compile(
    r"cargo (?:bench|build|clippy|lambda build|metadata|run|test|tree)\b(?! --version)[^`\n|;]*"
)


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
    # The calls that `landfall` itself makes.
    assert '"lambda", "build", "--locked"' in (ROOT / "cli/src/package.rs").read_text("utf-8")
