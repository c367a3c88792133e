"""The scans of the templates: what counts as a problem, and how templates are expanded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest
import yaml

import policies
from expand import expanded
from scan import Finding, judged, read_waivers, resources_of

FOUND = Finding("CKV_1", "data-account", "Queue")


def test_a_finding_without_a_waiver_and_a_waiver_without_a_finding_are_problems() -> None:
    other = Finding("CKV_1", "data-account", "Topic")
    assert judged({FOUND}, {FOUND: "why"}) == []
    assert judged(set(), {}) == []
    assert judged({FOUND}, {}) == ["found, and not waived: CKV_1: `Queue` of data-account"]
    assert judged({FOUND}, {FOUND: "why", other: "why"}) == [
        "waived, and not found: CKV_1: `Topic` of data-account"
    ]


def waivers(folder: Path, *written: dict[str, Any]) -> dict[Finding, str]:
    file = folder / "waivers.yaml"
    file.write_text(yaml.safe_dump(list(written)))
    return read_waivers(file)


WAIVER = {"check": "CKV_1", "resources": {"data-account": ["Queue"]}, "reason": "why"}


def test_a_waiver_has_a_reason_and_stands_once(tmp_path: Path) -> None:
    assert waivers(tmp_path, WAIVER) == {FOUND: "why"}
    with pytest.raises(ValueError, match="has no reason"):
        waivers(tmp_path, {**WAIVER, "reason": " "})
    with pytest.raises(ValueError, match="waived twice"):
        waivers(tmp_path, WAIVER, WAIVER)


def test_a_broken_rule_names_its_resources() -> None:
    rule = {"name": "r", "checks": [{"path": "/Resources/A/Properties"}, {"at": "/Resources/B"}]}
    assert resources_of({"Rule": rule}) == {"A", "B"}
    with pytest.raises(ValueError, match="broken by no resource"):
        resources_of({"Rule": {"name": "r"}})


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Key: { Type: String, Default: "" }
  Days: { Type: Number, Default: 7 }
  Name: { Type: String }
Conditions:
  HasKey: !Not [!Equals [!Ref Key, ""]]
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: x/, Runtime: provided.al2023, Handler: bootstrap, Role: arn }
  Topic:
    Type: AWS::SNS::Topic
    Condition: HasKey
  Logs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Ref Name
      RetentionInDays: !Ref Days
      KmsKeyId: !If [HasKey, !Ref Key, !Ref AWS::NoValue]
      Tags: [!If [HasKey, { Key: a, Value: !Ref AWS::Region }, !Ref AWS::NoValue]]
"""


def test_a_template_is_expanded_as_its_parameters_have_it(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(TEMPLATE)
    resources = expanded(file, {"Another": 1})["Resources"]
    assert resources["Function"]["Type"] == "AWS::Lambda::Function"
    assert resources["Logs"]["Properties"] == {
        "LogGroupName": {"Ref": "Name"},
        "RetentionInDays": 7,
        "Tags": [],
    }
    assert "Topic" not in resources
    resources = expanded(file, {"Key": "arn", "Days": 30})["Resources"]
    assert resources["Logs"]["Properties"] == {
        "LogGroupName": {"Ref": "Name"},
        "RetentionInDays": 30,
        "KmsKeyId": "arn",
        "Tags": [{"Key": "a", "Value": "us-east-1"}],
    }
    assert resources["Topic"]["Type"] == "AWS::SNS::Topic"


def test_policies_of_templates_are_judged_as_cloudformation_makes_them(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(
        """
Parameters:
  Prefix: { Type: String, Default: acme }
  Other: { Type: String }
Resources:
  Table: { Type: AWS::DynamoDB::Table }
  Bucket: { Type: AWS::S3::Bucket }
  Boundary: { Type: AWS::IAM::ManagedPolicy }
  Role:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyName: one
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action: dynamodb:GetItem
                Resource: [!GetAtt Table.Arn, !Sub "${Table.Arn}/index/*"]
        - PolicyName: two
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action: s3:GetObject
                Resource: !Sub
                  - arn:${AWS::Partition}:s3:::${Bucket}/${Prefix}/${Other}/${Name}/${!aws:userid}
                  - Name: !Join ["-", [a, !Ref Prefix]]
                Condition: { Bool: { "aws:SecureTransport": ["true"] } }
              - { Effect: Allow, Action: iam:CreateRole, Resource: !Ref Boundary }
"""
    )
    [(place, document)] = policies.of_templates([file], {}).items()
    assert place == ("template", "Role")
    table = "arn:aws:dynamodb:us-east-1:111111111111:table/table"
    assert [one["Resource"] for one in document["Statement"]] == [
        [table, f"{table}/index/*"],
        "arn:aws:s3:::bucket/acme/any-other/a-acme/${aws:userid}",
        "arn:aws:iam::111111111111:policy/boundary",
    ]
    assert document["Statement"][1]["Condition"] == {"Bool": {"aws:SecureTransport": "true"}}
    file.write_text("Resources: { Role: { Type: AWS::SQS::Queue } }")
    assert policies.of_templates([file], {}) == {}


def test_every_role_of_the_routes_has_a_policy_to_judge() -> None:
    names = {name for file, name in policies.of_routes() if file == "infra-routes"}
    assert names == {
        "landfall/landfall-job",
        "landfall/landfall-reader",
        "landfall/landfall-starter",
    }


TEMPLATES = sorted(
    file for file in Path(__file__).parents[2].glob("infra/*.yaml") if file.stem != "routes"
)
HAVE_IDENTITY_POLICIES = {"AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role"}


def sids(value: Any) -> Iterator[str]:
    """Returns the names of all statements, in whatever branch of a condition they are."""
    if isinstance(value, list):
        for item in value:
            yield from sids(item)
    elif isinstance(value, dict):
        match value.get("Sid"):
            case str(sid):
                yield sid
            # A Sid can carry the time of a repair, and none is scanned with one.
            case {"Fn::If": [_, _, sid]}:
                yield sid
        for item in value.values():
            yield from sids(item)


def as_written(template: Path) -> dict[str, Any]:
    decoded, _ = cfnlint.decode.decode(str(template))
    resources: dict[str, Any] = decoded["Resources"]
    return resources


def named(template: Path, resources: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Returns the resources and their statements, with the template and the logical ID."""
    return {
        (template.stem, name, what)
        for name, resource in resources.items()
        for what in ("", *sids(resource))
    }


def test_every_resource_and_statement_of_the_templates_is_scanned() -> None:
    written = {one for template in TEMPLATES for one in named(template, as_written(template))}
    scanned = {
        one
        for template in TEMPLATES
        for given in policies.given_to_scanners()
        for one in named(template, expanded(template, given)["Resources"])
    }
    assert len(written) > 150
    assert written - scanned == set()


def test_every_statement_of_the_templates_identity_policies_is_linted() -> None:
    written = {
        (template.stem, name, sid)
        for template in TEMPLATES
        for name, resource in as_written(template).items()
        if resource["Type"] in HAVE_IDENTITY_POLICIES
        for sid in sids(resource)
    }
    linted = {
        (*place, sid)
        for given in policies.given_to_scanners()
        for place, document in policies.of_templates(TEMPLATES, given).items()
        for sid in sids(document)
    }
    assert len(written) > 60
    assert linted == written
