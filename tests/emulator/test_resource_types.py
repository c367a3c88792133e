"""The launcher's corrections of resource types are still needed, and they work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulator import DATA, REGION, Emulator, allow, wait_until

# Resource types

TYPES: dict[str, dict[str, Any]] = {
    "AWS::AccessAnalyzer::Analyzer": {"AnalyzerName": "analyzer", "Type": "ACCOUNT"},
    "AWS::CloudTrail::Trail": {"TrailName": "trail", "IsLogging": "true", "S3BucketName": "trails"},
    "AWS::CloudWatch::AnomalyDetector": {"Namespace": "N", "MetricName": "M", "Stat": "Sum"},
    "AWS::Events::EventBusPolicy": {
        "StatementId": "statement",
        "Statement": {"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents"},
    },
    "AWS::Logs::QueryDefinition": {"Name": "query", "QueryString": "fields @message"},
}


def deployed(emulator: Emulator, name: str, resources: dict[str, Any]) -> tuple[str, list[str]]:
    """Returns a stack's status and the reasons of its failures, or the error that rejected it."""
    client = emulator.client("cloudformation", DATA)
    try:
        client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    except ClientError as error:
        return "REFUSED", [error.response["Error"]["Message"]]

    def settled() -> str | None:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("_IN_PROGRESS") else status

    status = wait_until(settled)
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    return status, [event.get("ResourceStatusReason", "") for event in failed]


def of_types() -> dict[str, Any]:
    return {
        name.split("::")[2]: {"Type": name, "Properties": properties}
        for name, properties in TYPES.items()
    }


@pytest.mark.parametrize("name", TYPES)
def test_the_plain_emulator_still_refuses_a_type(plain: Emulator, name: str) -> None:
    resource = {"Type": name, "Properties": TYPES[name]}
    status, reasons = deployed(plain, "refused", {"It": resource})
    assert (status, name in reasons[0]) == ("REFUSED", True)


def test_what_only_watches_or_informs_is_made_updated_and_deleted(launched: Emulator) -> None:
    assert deployed(launched, "types", of_types()) == ("CREATE_COMPLETE", [])
    client = launched.client("cloudformation", DATA)
    found = client.describe_stack_resources(StackName="types")["StackResources"]
    ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}
    assert (ids["Trail"], ids["EventBusPolicy"]) == ("trail", "statement")
    assert ids["Analyzer"].startswith(f"arn:aws:access-analyzer:{REGION}:{DATA}:analyzer/")
    changed = of_types()
    changed["Trail"]["Properties"] = {**TYPES["AWS::CloudTrail::Trail"], "IsLogging": False}
    client.update_stack(StackName="types", TemplateBody=json.dumps({"Resources": changed}))

    def is_updated() -> bool:
        stack = client.describe_stacks(StackName="types")["Stacks"][0]
        return stack["StackStatus"] == "UPDATE_COMPLETE"

    wait_until(is_updated)
    client.delete_stack(StackName="types")


def test_what_contradicts_the_schema_of_its_type_fails(launched: Emulator) -> None:
    trail = {"Type": "AWS::CloudTrail::Trail", "Properties": {"TrailName": "t", "Unknown": 1}}
    status, reasons = deployed(launched, "wrong", {"Trail": trail})
    assert status == "ROLLBACK_COMPLETE"
    for part in ("'t' is too short", "'Unknown' was unexpected", "'S3BucketName' is a required"):
        assert part in reasons[0]


def replacement(emulator: Emulator, name: str) -> str:
    """Returns what a change set says about the replacement of a policy whose document changes."""
    client = emulator.client("cloudformation", DATA)

    def resources(action: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
        trust["Principal"] = {"Service": "glue.amazonaws.com"}
        role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}}
        policy = {"PolicyName": name, "Roles": [{"Ref": "Role"}]}
        policy["PolicyDocument"] = {"Version": "2012-10-17", "Statement": [statement]}
        return {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": name, **role}},
            "Policy": {"Type": "AWS::IAM::Policy", "Properties": policy},
        }

    def template(action: str) -> dict[str, Any]:
        body = json.dumps({"Resources": resources(action)})
        return {"TemplateBody": body, "Capabilities": ["CAPABILITY_NAMED_IAM"]}

    def is_made() -> bool:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
        return stack["StackStatus"] == "CREATE_COMPLETE"

    client.create_stack(StackName=name, **template("s3:GetObject"))
    wait_until(is_made)
    changed = template("s3:PutObject")
    client.create_change_set(StackName=name, ChangeSetName="change", **changed)
    found = client.describe_change_set(StackName=name, ChangeSetName="change")
    [change] = found["Changes"]
    replaced: str = change["ResourceChange"]["Replacement"]
    return replaced


def test_the_plain_emulator_still_takes_a_changed_policy_for_one_that_may_be_replaced(
    plain: Emulator,
) -> None:
    assert replacement(plain, "may-be-replaced") == "Conditional"


def test_a_changed_policy_is_not_replaced(launched: Emulator) -> None:
    assert replacement(launched, "not-replaced") == "False"


# Queues that rules send to


def reached(emulator: Emulator, name: str, **changes: Any) -> bool:
    """Returns whether an event reaches a queue with this change to its policy's statement.

    Another queue, whose policy is right, shows that the event has been delivered.
    """
    sqs, events = emulator.client("sqs", DATA), emulator.client("events", DATA)
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    right = {
        "Principal": {"Service": "events.amazonaws.com"},
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    urls = []
    for order, different in enumerate([changes, {}]):
        queue = f"arn:aws:sqs:{REGION}:{DATA}:{name}-{order}"
        policy = json.loads(allow("sqs:SendMessage", queue))
        policy["Statement"][0].update(right | different)
        attributes = {"Policy": json.dumps(policy)}
        answer = sqs.create_queue(QueueName=f"{name}-{order}", Attributes=attributes)
        urls.append(answer["QueueUrl"])
        events.put_targets(Rule=name, Targets=[{"Id": str(order), "Arn": queue}])
    events.put_events(Entries=[{"Source": name, "DetailType": "d", "Detail": "{}"}])

    def holds(url: str) -> bool:
        return bool(sqs.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages"))

    wait_until(lambda: holds(urls[1]))
    return holds(urls[0])


OTHERS = {
    "service": {"Principal": {"Service": "s3.amazonaws.com"}},
    "rule": {"Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:events:{REGION}:{DATA}:x"}}},
    "account": {"Condition": {"StringEquals": {"aws:SourceAccount": "333333333333"}}},
}


def test_the_plain_emulator_still_asks_no_policy_of_a_queue(plain: Emulator) -> None:
    assert all(reached(plain, f"to-{name}", **change) for name, change in OTHERS.items())


def test_a_rule_reaches_only_a_queue_whose_policy_admits_it(launched: Emulator) -> None:
    assert reached(launched, "right")
    assert not any(reached(launched, f"to-{name}", **change) for name, change in OTHERS.items())
