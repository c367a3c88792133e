"""Expands templates as for a stack: translates SAM, resolves parameters and conditions."""

from __future__ import annotations

import copy
import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cfnlint.decode
from samtranslator.translator.transform import transform

# SAM warns about its own metrics, which it doesn't send.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

SAM = "AWS::Serverless-2016-10-31"
# SAM accepts only code that is packaged.
CODE = "s3://artifacts/code.zip"
PSEUDO = {
    "AWS::AccountId": "111111111111",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "landfall",
    "AWS::URLSuffix": "amazonaws.com",
}


def expanded(
    file: Path, given: dict[str, Any], resolver: type[Resolver] | None = None
) -> dict[str, Any]:
    """Returns the template with the `given` values of parameters, and defaults for the others.

    Anything that only a stack knows stays as it is: attributes, and parameters without a value.
    """
    decoded, problems = cfnlint.decode.decode(str(file))
    if problems:
        raise ValueError(f"failed to read `{file}`: {problems[0]}")
    template = json.loads(json.dumps(decoded, default=str))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE
    if SAM in json.dumps(template.get("Transform", [])):
        os.environ.setdefault("AWS_DEFAULT_REGION", PSEUDO["AWS::Region"])
        template = transform(copy.deepcopy(template), {}, SimpleNamespace(load=dict))
    made = (resolver or Resolver)(known(template, given), template.get("Conditions", {}))
    resources = {
        name: made.resolved(resource)
        for name, resource in template["Resources"].items()
        if made.holds(resource.get("Condition"))
    }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def values_of(file: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the known values of the template's parameters."""
    decoded, problems = cfnlint.decode.decode(str(file))
    if problems:
        raise ValueError(f"failed to read `{file}`: {problems[0]}")
    return known(json.loads(json.dumps(decoded, default=str)), given)


def known(template: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    parameters = template.get("Parameters", {})
    defaults = {name: of["Default"] for name, of in parameters.items() if "Default" in of}
    values = PSEUDO | defaults
    values.update({name: value for name, value in given.items() if name in parameters})
    return values


class Resolver:
    """Resolves `Ref` of a parameter, conditions and `Fn::If`."""

    NOTHING = object()

    def __init__(self, values: dict[str, Any], conditions: dict[str, Any]) -> None:
        self.values = values
        self.conditions = conditions

    def holds(self, condition: Any) -> bool:
        """Returns whether a condition (a name or a function) holds. `None` always holds."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self.holds(self.conditions[condition])
        [(function, operand)] = condition.items()
        match function:
            case "Condition":
                return self.holds(operand)
            case "Fn::Not":
                return not self.holds(operand[0])
            case "Fn::And":
                return all(self.holds(one) for one in operand)
            case "Fn::Or":
                return any(self.holds(one) for one in operand)
            case "Fn::Equals":
                left, right = self.resolved(operand)
                return left == right
        raise ValueError(f"failed to decide a condition with `{function}`")

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            items = [self.resolved(item) for item in value]
            return [item for item in items if item is not self.NOTHING]
        if not isinstance(value, dict):
            return value
        if value == {"Ref": "AWS::NoValue"}:
            return self.NOTHING
        if value.keys() == {"Ref"} and value["Ref"] in self.values:
            return self.values[value["Ref"]]
        if value.keys() == {"Fn::If"}:
            condition, then, otherwise = value["Fn::If"]
            return self.resolved(then if self.holds(condition) else otherwise)
        items = {name: self.resolved(item) for name, item in value.items()}
        return {name: item for name, item in items.items() if item is not self.NOTHING}
