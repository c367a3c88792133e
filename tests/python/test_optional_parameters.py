"""What optional parameters of the templates set, and what the templates leave out without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expand import expanded

INFRA = Path(__file__).parents[2] / "infra"
SIGNING = "arn:aws:lambda:eu-west-1:111111111111:code-signing-config:csc-0123456789abcdef0"
FUNCTIONS = {"Monitor", "Provisioner", "Trigger"}


def functions(**given: Any) -> dict[str, dict[str, Any]]:
    """Returns the properties of all functions, by logical ID."""
    return {
        name: resource["Properties"]
        for template in INFRA.glob("*.yaml")
        if template.stem != "routes"
        for name, resource in expanded(template, given)["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }


def test_a_code_signing_configuration_that_is_given_is_every_functions() -> None:
    signed = functions(CodeSigningConfigArn=SIGNING)
    assert {name: one.get("CodeSigningConfigArn") for name, one in signed.items()} == dict.fromkeys(
        FUNCTIONS, SIGNING
    )


def test_no_function_has_a_code_signing_configuration_by_default() -> None:
    plain = functions()
    assert plain.keys() == FUNCTIONS
    assert all("CodeSigningConfigArn" not in one for one in plain.values())


@pytest.mark.parametrize("given", [{}, {"ReservedConcurrency": 0}])
def test_no_concurrency_is_reserved_unless_somebody_asks_for_it(given: dict[str, Any]) -> None:
    assert all("ReservedConcurrentExecutions" not in one for one in functions(**given).values())


def test_the_concurrency_that_is_given_is_reserved_for_the_provisioner_alone() -> None:
    reserving = functions(ReservedConcurrency=2)
    assert {
        name: one["ReservedConcurrentExecutions"]
        for name, one in reserving.items()
        if "ReservedConcurrentExecutions" in one
    } == {"Provisioner": 2}


def test_the_stack_set_lets_no_job_run_in_its_data_accounts() -> None:
    told = expanded(INFRA / "stack-set.yaml", {"TrustedAccountIds": "222222222222"})
    parameters = told["Resources"]["Provisioners"]["Properties"]["Parameters"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in parameters}
    boundary = expanded(INFRA / "provisioner.yaml", given)["Resources"]["Boundary"]
    sids = {one["Sid"] for one in boundary["Properties"]["PolicyDocument"]["Statement"]}
    assert {"WhatLanded", "Manifests", "Claims"} < sids
    assert not {"Jobs", "DataOfJobs", "Catalog", "Logs", "RolesOfTheseAccounts"} & sids


OWN = {"StringEquals": {"aws:ResourceAccount": "111111111111"}}
BUCKETS = "arn:aws:s3:::acme-out"


@pytest.mark.parametrize(
    ("buckets", "accounts", "by_account", "condition"),
    [
        ("*", "", "false", OWN),
        (BUCKETS, "", "false", OWN),
        (BUCKETS, "*", "false", None),
        # An asterisk for both would admit any bucket in the world.
        ("*", "*", "false", OWN),
        (BUCKETS, "*", "true", OWN),
    ],
)
def test_an_asterisk_for_the_owners_of_buckets_counts_only_for_buckets_that_are_named(
    buckets: str, accounts: str, by_account: str, condition: dict[str, Any] | None
) -> None:
    given = {"JobBucketArns": buckets, "JobBucketAccountIds": accounts}
    given |= {"BoundaryByAccount": by_account, "TrustedAccountIds": "*", "LandingBucketArns": "*"}
    boundary = expanded(INFRA / "provisioner.yaml", given)["Resources"]["Boundary"]
    statements = boundary["Properties"]["PolicyDocument"]["Statement"]
    [data] = [one for one in statements if one["Sid"] == "DataOfJobs"]
    assert data.get("Condition") == condition
