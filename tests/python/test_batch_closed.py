"""The event that says that a batch has closed is as its published JSON Schema says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "infra/schemas/batch-closed.json").read_text())
FIXTURE = json.loads((ROOT / "tests/fixtures/batch-closed.json").read_text())
PAGE = (ROOT / "docs/events.md").read_text()


def problems(detail: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(detail)]


def test_the_detail_is_as_its_schema_says() -> None:
    """A test of the core compares the fixture with what it makes."""
    Draft202012Validator.check_schema(SCHEMA)
    assert problems(FIXTURE) == []
    # The schema describes each field, and each field is always there.
    assert set(FIXTURE) == set(SCHEMA["properties"]) == set(SCHEMA["required"])


@pytest.mark.parametrize("field", sorted(FIXTURE))
def test_the_schema_misses_each_field_and_each_wrong_value(field: str) -> None:
    assert problems({name: value for name, value in FIXTURE.items() if name != field})
    assert problems({**FIXTURE, field: [0]})


def test_the_page_shows_a_valid_detail_and_its_examples_are_json() -> None:
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    details = [one for one in shown if "batch_id" in one]
    assert len(details) == 1
    assert problems(details[0]) == []
