"""What optional parameters of the templates set, and what the templates leave out without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expand import expanded

INFRA = Path(__file__).parents[2] / "infra"
SIGNING = "arn:aws:lambda:eu-west-1:111111111111:code-signing-config:csc-0123456789abcdef0"
FUNCTIONS = {"Auditor", "Monitor", "Provisioner", "Trigger"}
OPTIONAL = {"Reconciler", "Repairer"}
RECONCILED = "arn:aws:s3:::acme-landing"


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
    optional = {"Repair": "missing", "ReconciledBucketArns": RECONCILED}
    signed = functions(CodeSigningConfigArn=SIGNING, **optional)
    assert {name: one.get("CodeSigningConfigArn") for name, one in signed.items()} == dict.fromkeys(
        FUNCTIONS | OPTIONAL, SIGNING
    )


def test_no_function_has_a_code_signing_configuration_by_default() -> None:
    plain = functions()
    assert plain.keys() == FUNCTIONS
    assert all("CodeSigningConfigArn" not in one for one in plain.values())


def test_what_repairs_by_itself_is_there_only_if_somebody_asks_for_it() -> None:
    def its(**given: Any) -> set[str]:
        return {
            name
            for name, resource in expanded(INFRA / "auditor.yaml", given)["Resources"].items()
            if name.startswith("Repairer") or "repairer" in str(resource)
        }

    assert its() == its(Repair="off") == set()
    assert {"Repairer", "RepairerLogs", "RepairerRole"} < its(Repair="missing")


def test_what_reconciles_is_there_only_if_a_route_asks_for_it() -> None:
    def its(**given: Any) -> set[str]:
        return {
            name
            for name, resource in expanded(INFRA / "data-account.yaml", given)["Resources"].items()
            if name.startswith("Reconcil") or "reconciler" in str(resource)
        }

    assert its() == its(OperatorRoleArns="arn:aws:iam::111111111111:role/operators") == set()
    there = its(ReconciledBucketArns=RECONCILED)
    assert {"Reconciler", "ReconcilerLogs", "ReconcilerRole", "ArrivalsMissedAlarm"} < there


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


def repairable(**given: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the properties of the provisioner's resources, by template and logical ID."""
    role = "arn:aws:iam::222222222222:role/plain"
    everything = {"Transport": "Both", "BucketPolicyJobRoleArns": role}
    return {
        (template.stem, name): resource["Properties"]
        for template in INFRA.glob("*.yaml")
        if template.stem != "routes"
        for name, resource in expanded(template, everything | given)["Resources"].items()
        if resource["Type"].startswith("Custom::Landfall")
    }


def test_without_a_repair_no_resource_has_the_property() -> None:
    resources = repairable()
    assert len(resources) == 7
    assert not [name for name, one in resources.items() if "Repair" in one]


def test_every_custom_resource_has_a_parameter_of_its_own_for_repairs() -> None:
    before = repairable()
    for _, repaired in before:
        after = repairable(**{f"{repaired}Repair": "20260131T120000Z"})
        changed = {name for name, one in after.items() if one != before[name]}
        # The reader roles of both templates of the data account have the same logical ID.
        assert changed == {name for name in before if name[1] == repaired}
        assert all(after[name] == before[name] | {"Repair": "20260131T120000Z"} for name in changed)


def test_the_policy_of_the_example_jobs_role_comes_back_with_the_role() -> None:
    """CloudFormation puts a policy again only if its document or its role's name differs."""
    given = {"OutputBucketName": "acme-out", "ArtifactBucketName": "acme-artifacts"}

    def policy(**more: str) -> list[dict[str, Any]]:
        resources = expanded(INFRA / "analytics-account.yaml", given | more)["Resources"]
        document = resources["JobPolicy"]["Properties"]["PolicyDocument"]
        return [dict(statement) for statement in document["Statement"]]

    before, after = policy(), policy(JobRoleRepair="20260131T120000Z")
    assert [one.pop("Sid") for one in before] != [one.pop("Sid") for one in after]
    assert before == after


@pytest.mark.parametrize("transport", ["S3", "EventBridge", "Both"])
def test_whoever_manages_the_buckets_notifications_gets_no_rules_from_the_stack(
    transport: str,
) -> None:
    def kinds(manages: str) -> set[str]:
        given = {"Transport": transport, "ManagesNotifications": manages}
        resources = expanded(INFRA / "data-account.yaml", given)["Resources"]
        return {resource["Type"] for resource in resources.values()}

    assert kinds("true") - kinds("false") == {"Custom::LandfallBucketNotifications"}
