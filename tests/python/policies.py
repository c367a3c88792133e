"""Collects the identity policies that we deploy: those in templates, and those made from routes.

It leaves out resource-based policies, because a linter of identity policies rejects principals.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from expand import PSEUDO, expanded, values_of

RENDERED = Path(__file__).resolve().parents[1] / "fixtures/policies/rendered"

Policies = dict[tuple[str, str], dict[str, Any]]
"""Documents by file and by owner, which is a resource's logical ID or a role's name."""

HERE = f"{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}"
ARNS = {
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{HERE}:table/{{}}",
    "AWS::Events::EventBus": f"arn:aws:events:{HERE}:event-bus/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{PSEUDO['AWS::AccountId']}:policy/{{}}",
    "AWS::KMS::Key": f"arn:aws:kms:{HERE}:key/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{HERE}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{HERE}:log-group:{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{HERE}:secret:{{}}-a1B2c3",
    "AWS::SNS::Topic": f"arn:aws:sns:{HERE}:{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{HERE}:{{}}",
}
# `Ref` of these types returns the ARN, of all others a name.
REFERRED_TO_BY_ARN = {"AWS::IAM::ManagedPolicy", "AWS::SecretsManager::Secret", "AWS::SNS::Topic"}


def of_templates(templates: list[Path], given: dict[str, Any]) -> Policies:
    """Returns the policies and boundaries of roles. A role's policies make one document."""
    found: Policies = {}
    for template in templates:
        resources = expanded(template, given)["Resources"]
        texts = Texts(values_of(template, given), resources)
        for name, resource in resources.items():
            own = resource.get("Properties", {})
            documents = {
                "AWS::IAM::Role": [one["PolicyDocument"] for one in own.get("Policies", [])],
                "AWS::IAM::Policy": [own.get("PolicyDocument")],
                "AWS::IAM::ManagedPolicy": [own.get("PolicyDocument")],
            }.get(resource["Type"], [])
            statements = [
                one for document in documents if document for one in document["Statement"]
            ]
            if statements:
                document = {"Version": "2012-10-17", "Statement": statements}
                found[template.stem, name] = plain(texts.resolved(document))
    return found


def of_routes() -> Policies:
    """Returns the policies of the roles that the provisioner makes from our routes files."""
    found: Policies = {}
    decoder = json.JSONDecoder()
    for file in sorted(RENDERED.glob("*.txt")):
        text = file.read_text("utf-8")
        roles = re.findall(r"(?m)^arn:\S+", text)
        starts = [one.end() for one in re.finditer(r"(?m)^permissions (?=\{)", text)]
        if len(roles) != len(starts):
            raise ValueError(f"failed to read `{file}`: not every role has permissions")
        for role, start in zip(roles, starts, strict=True):
            document, _ = decoder.raw_decode(text, start)
            found[file.stem, role.rsplit(":role/")[-1]] = plain(document)
    return found


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Turns lists of one value in conditions into text, because some programs accept no list."""
    for statement in document["Statement"]:
        for keys in statement.get("Condition", {}).values():
            for key, value in keys.items():
                if isinstance(value, list) and len(value) == 1:
                    keys[key] = value[0]
    return document


class Texts:
    """Resolves a policy's functions as CloudFormation does, with our own names for unknowns."""

    def __init__(self, values: dict[str, Any], resources: dict[str, Any]) -> None:
        self._values = values
        self._resources = resources

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            # A function in the place of a list returns a list.
            return [self.resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, operand)] = value.items()
            match function:
                case "Ref":
                    return self.ref(operand)
                case "Fn::GetAtt":
                    return self.attribute(operand)
                case "Fn::Sub":
                    return self.substituted(operand)
                case "Fn::Split":
                    separator, text = operand
                    return self.resolved(text).split(separator)
                case "Fn::Join":
                    separator, items = operand
                    return separator.join(self.resolved(items))
        return {name: self.resolved(item) for name, item in value.items()}

    def ref(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._resources:
            kind = self._resources[name]["Type"]
            return self.arn(name) if kind in REFERRED_TO_BY_ARN else name.lower()
        # A parameter without a default, such as the other account's prefix.
        return f"any-{name.lower()}"

    def attribute(self, operand: Any) -> str:
        name, attribute = operand.split(".", 1) if isinstance(operand, str) else operand
        if attribute not in ("Arn", "TopicArn"):
            return f"{name}-{attribute}".lower()
        return self.arn(name)

    def arn(self, name: str) -> str:
        kind = self._resources[name]["Type"]
        if kind.startswith("Custom::Landfall") or kind == "AWS::IAM::Role":
            return f"arn:aws:iam::{PSEUDO['AWS::AccountId']}:role/{name.lower()}"
        return ARNS[kind].format(name.lower())

    def substituted(self, operand: Any) -> str:
        text, own = operand if isinstance(operand, list) else (operand, {})
        own = {name: self.resolved(value) for name, value in own.items()}

        def found(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in own:
                return str(own[name])
            return str(self.attribute(name) if "." in name else self.ref(name))

        return re.sub(r"\$\{([^}]+)\}", found, text)


def given_to_scanners() -> list[dict[str, Any]]:
    """Returns the values of parameters, a set for each scan."""
    file = Path(__file__).resolve().parents[1] / "scanners/parameters.yaml"
    sets: list[dict[str, Any]] = yaml.safe_load(file.read_text())
    return sets
