"""The lineage events in the core's fixtures are valid by OpenLineage's specification.

OpenLineage generates the classes of its Python client from its JSON Schemas, which no package
contains. These tests turn the classes back into a schema, field by field. That schema is stricter
than OpenLineage's, because it allows no other fields.
"""

from __future__ import annotations

import enum
import importlib
import json
import pkgutil
import re
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import attr
import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from openlineage.client import generated
from openlineage.client.generated.base import (
    BaseFacet,
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    RunEvent,
    RunFacet,
)

ROOT = Path(__file__).parents[2]
FIXTURES = sorted((ROOT / "tests/fixtures/openlineage").glob("*.json"))
OWN = json.loads((ROOT / "infra/schemas/openlineage-landfall-run-facet.json").read_text())

FORMATS = FormatChecker(["uuid"])
FORMATTED = {
    "eventTime": "date-time",
    "runId": "uuid",
    "producer": "uri",
    "schemaURL": "uri",
    "_producer": "uri",
    "_schemaURL": "uri",
}


@FORMATS.checks("date-time", ValueError)
def _is_date_time(value: Any) -> bool:
    # A time zone is required, which `fromisoformat` alone doesn't check.
    return "T" in value and datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri")
def _is_uri(value: Any) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", value) is not None


def _facets() -> dict[str, type[BaseFacet]]:
    """Returns the facets by the URLs of their schemas."""
    classes: dict[str, type[BaseFacet]] = {}
    for module in pkgutil.iter_modules(generated.__path__, "openlineage.client.generated."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseFacet):
                classes[value._get_schema()] = value
    return classes


FACETS = _facets()


def schema_of(annotation: Any) -> dict[str, Any]:
    """Returns the part of the JSON Schema behind a class that these tests use."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        # In the class, `None` stands for an absent field. The schema doesn't allow it as a value.
        return schema_of(next(a for a in arguments if a is not type(None)))
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict and issubclass(arguments[1], BaseFacet):
        # A facet's own URL says which facet it is: see `validate_facets`.
        return {"type": "object", "additionalProperties": {"type": "object"}}
    if annotation in (str, int, float, bool):
        names = {str: "string", int: "integer", float: "number", bool: "boolean"}
        return {"type": names[annotation]}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"enum": [member.value for member in annotation]}
    hints = typing.get_type_hints(annotation)
    fields = [field for field in attr.fields(annotation) if field.name in hints]
    properties = {field.name: schema_of(hints[field.name]) for field in fields}
    for name in properties.keys() & FORMATTED.keys():
        properties[name]["format"] = FORMATTED[name]
    required = [field.name for field in fields if field.default is attr.NOTHING]
    # OpenLineage's clients fill these in, and the schemas require them.
    required += [name for name in properties if FORMATTED.get(name) == "uri"]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def validate(value: Any, schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FORMATS).validate(value)


def validate_facets(facets: dict[str, Any], kind: type[BaseFacet]) -> None:
    for facet in facets.values():
        url = facet["_schemaURL"]
        if url == f"{OWN['$id']}#/$defs/LandfallRunFacet":
            validate(facet, OWN["$defs"]["LandfallRunFacet"])
            continue
        assert issubclass(FACETS[url], kind), url
        validate(facet, schema_of(FACETS[url]))


def validate_event(event: dict[str, Any]) -> None:
    validate(event, schema_of(RunEvent))
    assert event["schemaURL"] == RunEvent._get_schema()
    validate_facets(event["run"]["facets"], RunFacet)
    validate_facets(event["job"]["facets"], JobFacet)
    for dataset in event["inputs"]:
        validate_facets(dataset.get("facets", {}), DatasetFacet)
        validate_facets(dataset.get("inputFacets", {}), InputDatasetFacet)


def event() -> dict[str, Any]:
    return json.loads((ROOT / "tests/fixtures/openlineage/start.json").read_text())[0]


def test_there_are_events_of_all_kinds_that_end_a_run_and_of_the_start() -> None:
    kinds = {event["eventType"] for path in FIXTURES for event in json.loads(path.read_text())}
    assert kinds == {"START", "COMPLETE", "FAIL", "ABORT"}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_events_are_as_openlineage_specifies_them(path: Path) -> None:
    for sent in json.loads(path.read_text()):
        validate_event(sent)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eventType", "STARTED"),
        ("eventTime", "2026-01-31"),
        ("eventTime", None),
        ("producer", "landfall"),
        ("schemaURL", None),
        ("other", "field"),
        ("inputs", {}),
        ("inputs.0.name", 1),
        ("inputs.0.namespace", None),
        ("inputs.0.facets.version.datasetVersion", None),
        ("inputs.0.inputFacets.inputStatistics.size", "42"),
        ("run.runId", "0123456789abcdef"),
        ("run.facets.landfall.epoch", 0),
        ("run.facets.landfall.batchId", None),
        ("job.facets.jobType._producer", None),
        ("job.facets.jobType.processingType", None),
        ("job.facets.jobType.emissionPattern.eventTrigger", None),
    ],
)
def test_an_event_that_is_not_as_specified_is_found_out(path: str, value: Any) -> None:
    """The test above only counts if the schema rejects wrong events."""
    sent = event()
    *parents, last = path.split(".")
    within: Any = sent
    for name in parents:
        within = within[int(name) if name.isdigit() else name]
    if value is None:
        del within[last]
    else:
        within[last] = value
    with pytest.raises(ValidationError):
        validate_event(sent)
