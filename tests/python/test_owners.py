"""Every grant on S3 names the bucket's owner, because anybody can take a deleted bucket's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expand import expanded
from policies import given_to_scanners

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(path for path in (ROOT / "infra").glob("*.yaml") if path.stem != "routes")
OWNERS = {"aws:ResourceAccount", "s3:ResourceAccount"}


def grants(template: Path, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Returns the statements of roles that allow actions of S3, with their names.

    A boundary grants nothing, and a bucket's own policy is set by its owner.
    """
    for name, resource in expanded(template, given)["Resources"].items():
        own = resource.get("Properties", {})
        documents = {
            "AWS::IAM::Role": [policy["PolicyDocument"] for policy in own.get("Policies", [])],
            "AWS::IAM::Policy": [own.get("PolicyDocument")],
        }.get(resource["Type"], [])
        for document in documents:
            for statement in document["Statement"]:
                actions = statement["Action"]
                actions = [actions] if isinstance(actions, str) else actions
                if statement["Effect"] == "Allow" and any(one.startswith("s3:") for one in actions):
                    yield f"{template.stem}: {name}: {statement.get('Sid')}", statement


def names_the_owner(statement: dict[str, Any]) -> bool:
    if statement.get("Action") == "s3:ListAllMyBuckets":
        # This action names no bucket: it lists those of the caller's account.
        return True
    conditions = statement.get("Condition", {})
    return bool(OWNERS & conditions.get("StringEquals", {}).keys())


def test_every_grant_on_s3_is_on_buckets_of_a_named_account() -> None:
    found = [
        one
        for given in given_to_scanners()
        for template in TEMPLATES
        for one in grants(template, given)
    ]
    names = [name for name, _ in found]
    assert any(name.startswith("data-account: ") for name in names)
    assert any(name.endswith(": LoadScriptAndLibrary") for name in names)
    assert any(name.endswith(": WriteOutput") for name in names)
    assert [name for name, statement in found if not names_the_owner(statement)] == []


@pytest.mark.parametrize("condition", [{}, {"StringNotEquals": {"aws:ResourceAccount": "1"}}])
def test_a_grant_without_an_owner_is_found(condition: dict[str, Any]) -> None:
    assert not names_the_owner({"Condition": condition})
