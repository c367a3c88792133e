"""The data account's stack keeps the key for lineage in a secret, and in no environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from expand import expanded

TEMPLATE = Path(__file__).parents[2] / "infra/data-account.yaml"
ARN = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:lineage-a1B2c3"
KEY_ARN = "arn:aws:kms:eu-west-1:111111111111:key/1234"
VARIABLE = "LANDFALL_LINEAGE_API_KEY_ARN"


def stack(**given: str) -> dict[str, Any]:
    return expanded(TEMPLATE, {"LineageUrl": "https://lineage.example.com/", **given})["Resources"]


def environments(resources: dict[str, Any]) -> list[dict[str, Any]]:
    functions = [one for one in resources.values() if one["Type"] == "AWS::Lambda::Function"]
    return [one["Properties"]["Environment"]["Variables"] for one in functions]


def statements(resources: dict[str, Any], service: str) -> list[dict[str, Any]]:
    """Returns the actions of a service that trigger and monitor may use."""
    return [
        statement
        for role in ("TriggerRole", "MonitorRole")
        for policy in resources[role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if service in json.dumps(statement["Action"])
    ]


def test_a_key_that_was_given_is_kept_in_a_secret_that_only_the_functions_read() -> None:
    resources = stack(LineageApiKey="key-7f3a")
    assert resources["LineageApiKeySecret"]["Properties"]["SecretString"] == "key-7f3a"
    secret = {"Ref": "LineageApiKeySecret"}
    assert [one[VARIABLE] for one in environments(resources)] == [secret] * 2
    assert "key-7f3a" not in json.dumps(environments(resources))
    read = statements(resources, "secretsmanager:")
    assert [one["Resource"] for one in read] == [secret] * 2
    assert {one["Action"] for one in read} == {"secretsmanager:GetSecretValue"}


def test_a_secret_that_is_named_is_read_and_decrypted_by_the_functions_and_no_other() -> None:
    resources = stack(LineageApiKeyArn=ARN, LineageApiKeyEncryptionKeyArn=KEY_ARN)
    assert "LineageApiKeySecret" not in resources
    assert [one[VARIABLE] for one in environments(resources)] == [ARN] * 2
    assert [one["Resource"] for one in statements(resources, "secretsmanager:")] == [ARN] * 2
    decrypt = [one for one in statements(resources, "kms:") if one["Resource"] == KEY_ARN]
    assert len(decrypt) == 2
    assert {
        one["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"] for one in decrypt
    } == {ARN}


def test_without_a_key_there_is_neither_secret_nor_grant() -> None:
    resources = stack()
    assert "LineageApiKeySecret" not in resources
    assert [one[VARIABLE] for one in environments(resources)] == [""] * 2
    assert statements(resources, "secretsmanager:") == []
