"""Every grant to decrypt through S3 names the objects, because a key may protect others too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policies import given_to_scanners, of_templates

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(path for path in (ROOT / "infra").glob("*.yaml") if path.stem != "routes")
# A boundary grants nothing.
BOUNDARY = ("provisioner", "Boundary")
CONTEXT = "kms:EncryptionContext:aws:s3:arn"


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def decrypts_through_s3(statement: dict[str, Any]) -> bool:
    actions = as_list(statement["Action"])
    if statement["Effect"] != "Allow" or not {"kms:Decrypt", "kms:*", "*"} & set(actions):
        return False
    conditions = statement.get("Condition", {})
    via = [
        service
        for operator in ("StringEquals", "StringLike")
        for service in as_list(conditions.get(operator, {}).get("kms:ViaService", []))
    ]
    # A grant that names no service works through each of them.
    return not via or any(service.startswith("s3.") for service in via)


def contexts(statement: dict[str, Any]) -> list[str]:
    """Returns the ARNs that the context must be like."""
    conditions = statement.get("Condition", {})
    return as_list(conditions.get("StringLike", {}).get(CONTEXT, []))


def grants() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{template}: {name}: {statement.get('Sid')}", statement)
        for given in given_to_scanners()
        for (template, name), document in of_templates(TEMPLATES, given).items()
        if (template, name) != BOUNDARY
        for statement in document["Statement"]
        if decrypts_through_s3(statement)
    ]


def test_every_grant_to_decrypt_through_s3_names_the_bucket_and_its_objects() -> None:
    found = grants()
    assert {name for name, _ in found} == {"analytics-account: JobPolicy: EncryptOutput"}
    assert [name for name, statement in found if not contexts(statement)] == []


def test_the_example_job_encrypts_below_its_prefix_with_and_without_a_bucket_key() -> None:
    template = ROOT / "infra/analytics-account.yaml"
    given = given_to_scanners()[0] | {"OutputBucketName": "acme-out", "OutputPrefix": "daily/"}
    statements = of_templates([template], given)["analytics-account", "JobPolicy"]["Statement"]
    [encrypt] = [one for one in statements if one["Sid"] == "EncryptOutput"]
    assert contexts(encrypt) == ["arn:aws:s3:::acme-out", "arn:aws:s3:::acme-out/daily/*"]


@pytest.mark.parametrize(
    ("condition", "is_through_s3"),
    [
        ({}, True),
        ({"StringEquals": {"kms:ViaService": ["sqs.eu-west-1.x", "s3.eu-west-1.x"]}}, True),
        ({"StringLike": {"kms:ViaService": "s3.*.x"}}, True),
        ({"StringEquals": {"kms:ViaService": "sqs.eu-west-1.x"}}, False),
        ({"StringLike": {"kms:ViaService": "sqs.*.x"}}, False),
    ],
)
def test_a_grant_without_a_context_is_found(condition: dict[str, Any], is_through_s3: bool) -> None:
    statement = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Condition": condition}
    assert decrypts_through_s3(statement) == is_through_s3
    assert contexts(statement) == []
