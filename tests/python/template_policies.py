"""Prints the IAM policies of a template as IAM gets them, once for each set of parameters.

    python tests/python/template_policies.py TEMPLATE < SETS

`SETS` is a JSON array of objects: the values of parameters, and under `Logical.Attribute` values
that only a stack knows. The output is a JSON array with an object for each set. It holds, by
logical ID, the document of a managed policy, of a role's only inline policy, or of a queue's policy
if everything in it is known.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from expand import Resolver, expanded


def policies(file: Path, given: dict[str, str]) -> dict[str, Any]:
    """Returns the policies by logical ID.

    Raises ValueError if something in a policy stays unknown.
    """
    known = {name: value for name, value in given.items() if "." in name}

    class Whole(Everything):
        attributes = known

    found = {}
    queues = {}
    for name, resource in expanded(file, given, Whole)["Resources"].items():
        match resource["Type"]:
            case "AWS::IAM::ManagedPolicy":
                found[name] = resource["Properties"]["PolicyDocument"]
            case "AWS::IAM::Role":
                [policy] = resource["Properties"]["Policies"]
                found[name] = policy["PolicyDocument"]
            case "AWS::SQS::QueuePolicy":
                queues[name] = resource["Properties"]["PolicyDocument"]
    for name, document in found.items():
        if left := unknown(document):
            raise ValueError(f"`{left.group(1)}` in the policy of `{name}` is not resolved")
    return found | {name: it for name, it in queues.items() if not unknown(it)}


def unknown(document: Any) -> re.Match[str] | None:
    return re.search(r'"(Fn::\w+|Ref)"', json.dumps(document))


class Everything(Resolver):
    """Resolves more of CloudFormation's functions, and attributes whose values are given."""

    attributes: Mapping[str, str] = MappingProxyType({})

    def resolved(self, value: Any) -> Any:
        if isinstance(value, dict) and len(value) == 1:
            [(function, operand)] = value.items()
            match function:
                case "Ref" if operand in self.attributes:
                    return self.attributes[operand]
                case "Ref" if f"{operand}.Ref" in self.attributes:
                    return self.attributes[f"{operand}.Ref"]
                case "Fn::GetAtt" if ".".join(operand) in self.attributes:
                    return self.attributes[".".join(operand)]
                case "Fn::Split":
                    delimiter, text = operand
                    return self.resolved(text).split(delimiter)
                case "Fn::Join":
                    delimiter, items = operand
                    return delimiter.join(self.resolved(items))
                case "Fn::Sub":
                    text, more = operand if isinstance(operand, list) else (operand, {})
                    values = {**self.values, **self.attributes} | self.resolved(more)
                    if all(name in values for name in re.findall(r"\${([^}]+)}", text)):
                        return re.sub(r"\${([^}]+)}", lambda found: str(values[found[1]]), text)
                    return value
        return super().resolved(value)


if __name__ == "__main__":
    print(json.dumps([policies(Path(sys.argv[1]), given) for given in json.load(sys.stdin)]))
