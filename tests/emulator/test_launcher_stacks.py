"""The launcher's corrections of CloudFormation are still needed, and they work."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from emulator import (
    DATA,
    LAUNCHER,
    PLAIN,
    REGION,
    Emulator,
    allow,
    role,
    running,
    trust,
    wait_until,
)

# Answers each request type as the property `Answers` says, and writes down the requests.
FUNCTION = """
import json, urllib.request
def handler(event, context):
    with open(FILE, "a") as file:
        print(json.dumps(event), file=file)
    properties = event["ResourceProperties"]
    answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    answer["Status"] = "SUCCESS"
    answer["PhysicalResourceId"] = event.get("PhysicalResourceId", "made")
    answer.update(properties.get("Answers", {}).get(event["RequestType"], {}))
    body = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], body, method="PUT"))
"""
FAILED = {"Create": {"Status": "FAILED", "Reason": "as asked", "PhysicalResourceId": "half-made"}}


class Stack:
    """A stack of custom resources that one function serves."""

    def __init__(self, emulator: Emulator) -> None:
        self.file = emulator.folder / "requests.jsonl"
        self.client = emulator.client("cloudformation", DATA)
        source = f"FILE = {str(self.file)!r}\n{FUNCTION}"
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as content:
            content.writestr("index.py", source)
        trusted = trust(Principal={"Service": "lambda.amazonaws.com"})
        self.function = emulator.client("lambda", DATA).create_function(
            FunctionName="answers",
            Runtime="python3.11",
            Handler="index.handler",
            Role=role(emulator, DATA, "answers", trusted, allow("logs:*")),
            Code={"ZipFile": archive.getvalue()},
            Timeout=20,
        )["FunctionArn"]

    def deploy(self, *, update: bool = False, **answers: dict[str, Any]) -> str:
        """Deploys a resource for each name, in this order. Returns the stack's status."""
        resources: dict[str, Any] = {}
        for name, answer in answers.items():
            resources[name] = {
                "Type": "Custom::Thing",
                "DependsOn": list(resources),
                "Properties": {"ServiceToken": self.function, "Answers": answer},
            }
        deploy = self.client.update_stack if update else self.client.create_stack
        deploy(StackName="things", TemplateBody=json.dumps({"Resources": resources}))

        def settled() -> str | None:
            status = self.client.describe_stacks(StackName="things")["Stacks"][0]["StackStatus"]
            return None if status.endswith("_IN_PROGRESS") else status

        return wait_until(settled)

    def requests(self) -> list[tuple[str, str, str | None]]:
        """Returns the function's requests since the last call."""
        events = [json.loads(line) for line in self.file.read_text().splitlines()]
        self.file.unlink()
        names = ("RequestType", "LogicalResourceId")
        return [(*(e[name] for name in names), e.get("PhysicalResourceId")) for e in events]


def test_the_plain_emulator_still_leaves_a_failed_create_half_made(tmp_path: Path) -> None:
    with running(PLAIN, tmp_path) as emulator:
        stack = Stack(emulator)
        assert stack.deploy(Bad=FAILED) == "ROLLBACK_COMPLETE"
        assert stack.requests() == [("Create", "Bad", None)]


def test_a_failed_create_is_followed_by_a_delete_of_what_it_named(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        stack = Stack(emulator)
        assert stack.deploy(Good={}, Bad=FAILED) == "ROLLBACK_COMPLETE"
    assert stack.requests() == [
        ("Create", "Good", None),
        ("Create", "Bad", None),
        ("Delete", "Bad", "half-made"),
        ("Delete", "Good", "made"),
    ]


def test_a_failed_create_of_an_update_is_deleted_and_no_more(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        stack = Stack(emulator)
        assert stack.deploy(Good={}) == "CREATE_COMPLETE"
        for _ in range(2):
            assert stack.deploy(update=True, Good={}, Bad=FAILED) == "UPDATE_ROLLBACK_COMPLETE"
        refusing = {**FAILED, "Delete": {"Status": "FAILED"}}
        assert stack.deploy(update=True, Good={}, Bad=refusing) == "UPDATE_ROLLBACK_COMPLETE"
        assert stack.deploy(update=True, Good={}, Bad={}) == "UPDATE_COMPLETE"
    bad = [("Create", "Bad", None), ("Delete", "Bad", "half-made")]
    assert stack.requests() == [("Create", "Good", None), *bad * 3, ("Create", "Bad", None)]


def take_in_a_bucket(emulator: Emulator) -> str:
    """Returns the status of a stack whose change set imports an existing bucket."""
    where = {"LocationConstraint": REGION}
    buckets = emulator.client("s3", DATA)
    buckets.create_bucket(Bucket="acme-left", CreateBucketConfiguration=where)
    client = emulator.client("cloudformation", DATA)
    bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}
    bucket["Properties"] = {"BucketName": "acme-left"}
    client.create_change_set(
        StackName="taking-in",
        ChangeSetName="takes-in",
        ChangeSetType="CREATE",
        ImportExistingResources=True,
        TemplateBody=json.dumps({"Resources": {"Bucket": bucket}}),
    )
    described = client.describe_change_set(StackName="taking-in", ChangeSetName="takes-in")
    assert [change["ResourceChange"]["Action"] for change in described["Changes"]] == ["Import"]
    client.execute_change_set(StackName="taking-in", ChangeSetName="takes-in")

    def settled() -> str | None:
        status = client.describe_stacks(StackName="taking-in")["Stacks"][0]["StackStatus"]
        return None if status.endswith("_IN_PROGRESS") else status

    return wait_until(settled)


def test_the_plain_emulator_still_takes_in_no_bucket(plain: Emulator) -> None:
    assert take_in_a_bucket(plain) == "ROLLBACK_COMPLETE"


def test_a_bucket_that_is_there_is_taken_in(launched: Emulator) -> None:
    assert take_in_a_bucket(launched) == "CREATE_COMPLETE"
