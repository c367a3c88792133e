"""Resource types that CloudFormation supports and the emulator doesn't."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services.cloudformation import provisioners

# Each type with the property that names the resource, if there is one, and its ARN, if it has one.
TYPES: dict[str, tuple[str | None, str | None]] = {
    "AWS::AccessAnalyzer::Analyzer": (None, "access-analyzer:{region}:{account}:analyzer/{id}"),
    "AWS::CloudTrail::Trail": ("TrailName", "cloudtrail:{region}:{account}:trail/{id}"),
    "AWS::CloudWatch::AnomalyDetector": (None, None),
    "AWS::Events::EventBusPolicy": ("StatementId", None),
    "AWS::Logs::QueryDefinition": (None, None),
}


def correct_resource_types() -> None:
    """Accepts resources that only observe, checks them against their schema, and does nothing.

    The emulator rejects a template with one of these types. Landfall's work doesn't depend on them:
    a trail records, an analyzer reports, a detector learns, and a query is kept. A bus's policy
    isn't checked, because here only the account's own buckets and rules send to the bus.
    """
    for name, (identifier, arn) in TYPES.items():
        # If the emulator learns one of these types, remove it from this list.
        if name in provisioners._RESOURCE_HANDLERS:
            raise RuntimeError(f"the emulator supports `{name}` by now")
        provisioners._RESOURCE_HANDLERS[name] = handlers(name, identifier, arn)


def correct_replacements() -> None:
    """Lets a change set say which changes of a role's policy replace it.

    The emulator says of any change that it may.
    """
    for name in ["AWS::IAM::Policy"]:
        if name in provisioners._REPLACING_PROPERTIES:
            raise RuntimeError(f"the emulator knows by now what replaces `{name}`")
        replaces = schema_of(name).get("createOnlyProperties", [])
        replacing = [path.rsplit("/", 1)[-1] for path in replaces]
        provisioners._REPLACING_PROPERTIES[name] = tuple(replacing)


def handlers(type_name: str, identifier: str | None, arn: str | None) -> dict[str, Any]:
    def made(physical_id: str, properties: dict) -> tuple[str, dict]:
        errors = validator(schema_of(type_name)).iter_errors(properties)
        problems = [error.message for error in errors]
        if problems:
            raise ValueError(f"{type_name}: {'; '.join(problems)}")
        attributes = {"Id": physical_id}
        if arn:
            place = {"region": get_region(), "account": get_account_id(), "id": physical_id}
            attributes["Arn"] = f"arn:aws:{arn.format(**place)}"
        return (attributes["Arn"] if type_name.endswith("Analyzer") else physical_id), attributes

    def create(logical_id: str, properties: dict, stack_name: str) -> tuple[str, dict]:
        named = properties.get(identifier) if identifier else None
        return made(named or f"{stack_name}-{logical_id}-{new_uuid()[:8]}", properties)

    def update(physical_id: str, _: dict, properties: dict, __: str) -> tuple[str, dict]:
        return made(physical_id.rsplit("/", 1)[-1], properties)

    return {"create": create, "update": update, "delete": lambda physical_id, properties: None}


@functools.cache
def schema_of(type_name: str) -> dict:
    """Returns CloudFormation's schema of a resource type.

    The schemas are files of cfn-lint. Importing cfn-lint itself takes seconds, at each start.
    """
    package = importlib.util.find_spec("cfnlint").submodule_search_locations[0]
    schemas = Path(package) / "data" / "schemas"
    files = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    return json.loads((schemas / "resources" / f"{files[type_name]}.json").read_text())


def validator(schema: dict) -> Any:
    """Returns a validator that accepts text for numbers and booleans, as parameters' values are."""
    import jsonschema  # Most emulators never need it.

    def is_text(pattern: str) -> Any:
        return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None

    checker = jsonschema.Draft7Validator.TYPE_CHECKER
    texts = {"boolean": "true|false", "integer": r"-?\d+", "number": r"-?\d+(\.\d+)?"}
    for name, pattern in texts.items():
        kept, text = checker._type_checkers[name], is_text(pattern)
        checker = checker.redefine(
            name, lambda c, value, kept=kept, text=text: kept(c, value) or text(value)
        )
    kind = jsonschema.validators.extend(jsonschema.Draft7Validator, type_checker=checker)
    return kind(schema)
