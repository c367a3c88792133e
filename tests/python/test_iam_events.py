"""What forwards IAM's events forwards those that the auditor hears of, to the auditor's region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expand import PSEUDO, expanded
from template_policies import Everything

INFRA = Path(__file__).parents[2] / "infra"
ACCOUNT = PSEUDO["AWS::AccountId"]
REGION = PSEUDO["AWS::Region"]
HOME = "eu-west-1"


def resources(template: str, **given: Any) -> dict[str, dict[str, Any]]:
    found = expanded(INFRA / template, given, Everything)["Resources"]
    return {name: resource["Properties"] for name, resource in found.items()}


@pytest.mark.parametrize("side", ["data", "analytics"])
def test_the_events_of_iam_that_are_forwarded_are_those_that_the_auditor_hears_of(
    side: str,
) -> None:
    its = resources("auditor.yaml", Side=side)["ChangesRule"]["EventPattern"]
    forwarded = resources("iam-events.yaml", HomeRegion=HOME)["ForwardRule"]["EventPattern"]
    calls = [name for name in its["detail"]["eventName"] if isinstance(name, str)]
    of_roles = {name for name in calls if "Role" in name}
    assert of_roles == set(forwarded["detail"]["eventName"])
    assert forwarded["detail"]["errorCode"] == its["detail"]["errorCode"]
    assert forwarded["detail-type"] == its["detail-type"]
    assert set(forwarded["source"]) <= set(its["source"])


def test_only_events_about_roles_of_the_prefix_are_forwarded_to_the_home_region_by_that_rule() -> (
    None
):
    its = resources("iam-events.yaml", HomeRegion=HOME, NamePrefix="acme")
    rule, role = its["ForwardRule"], its["ForwardRole"]
    assert rule["EventPattern"]["source"] == ["aws.iam"]
    assert rule["EventPattern"]["detail"]["requestParameters"] == {
        "roleName": [{"prefix": "acme-"}]
    }
    [target] = rule["Targets"]
    assert target["Arn"] == f"arn:aws:events:{HOME}:{ACCOUNT}:event-bus/default"
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnEquals": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/acme-iam-events"},
    }
