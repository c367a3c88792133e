"""The bill of materials is valid CycloneDX, and lists what is deployed and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import sbom


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the layout of `make package`."""
    folder = tmp_path_factory.mktemp("packaged")
    for function in sbom.FUNCTIONS:
        (folder / function).mkdir()
        (folder / function / "bootstrap").write_text(f"program of the {function}")
    (folder / "glue/jobs").mkdir(parents=True)
    (folder / "glue/landfall_glue-0.2.0-py3-none-any.whl").write_text("wheel")
    (folder / "glue/jobs/csv_to_parquet.py").write_text("script")
    return folder


@pytest.fixture(scope="module")
def written(packaged: Path) -> str:
    sbom.main(packaged)
    return (packaged / sbom.NAME).read_text("utf-8")


@pytest.fixture(scope="module")
def bill(written: str) -> dict[str, Any]:
    return json.loads(written)


def reached(bill: dict[str, Any], start: str) -> set[str]:
    """Returns the names of everything that `start` contains, at any depth."""
    edges = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    found, todo = set(), [start]
    while todo:
        for ref in edges.get(todo.pop(), []):
            if ref not in found:
                found.add(ref)
                todo.append(ref)
    return {ref.split("/", 1)[1].split("@")[0] for ref in found}


def test_the_bill_of_materials_is_valid_and_the_same_for_the_same_package(
    packaged: Path, written: str
) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.replace("name", "nom"))
    assert sbom.bill(packaged) == written
    (packaged / "trigger/bootstrap").write_text("another program of the trigger")
    assert json.loads(sbom.bill(packaged))["serialNumber"] != json.loads(written)["serialNumber"]


def test_each_deployed_file_is_listed_with_its_hash(bill: dict[str, Any]) -> None:
    hashes = {
        one["bom-ref"]: one["hashes"][0]["content"] for one in bill["components"] if "hashes" in one
    }
    for ref, content in {
        "application/landfall-trigger@0.2.0": "program of the trigger",
        "application/landfall-monitor@0.2.0": "program of the monitor",
        "application/landfall-provisioner@0.2.0": "program of the provisioner",
        "application/landfall-auditor@0.2.0": "program of the auditor",
        "application/landfall-repairer@0.2.0": "program of the repairer",
        "application/landfall-reconciler@0.2.0": "program of the reconciler",
        "library/landfall-glue@0.2.0": "wheel",
        "file/csv_to_parquet.py@0.2.0": "script",
    }.items():
        assert hashes[ref] == hashlib.sha256(content.encode()).hexdigest()


def test_a_function_consists_of_the_crates_that_are_compiled_into_it(bill: dict[str, Any]) -> None:
    trigger = reached(bill, "application/landfall-trigger@0.2.0")
    provisioner = reached(bill, "application/landfall-provisioner@0.2.0")
    assert {"landfall-core", "aws-sdk-glue", "rustls", "ring", "rust"} <= trigger
    assert "aws-sdk-cloudformation" in provisioner - trigger
    all_of_it = reached(bill, "application/landfall@0.2.0")
    listed = {one["name"] for one in bill["components"]}
    assert listed == all_of_it
    # The bill has nothing of tests, of the command line, or of macros.
    assert not listed & {
        "wiremock",
        "proptest",
        "stateright",
        "clap",
        "syn",
        "serde_derive",
        "moto",
    }
    for one in bill["components"]:
        assert one["licenses"], one
        if one.get("purl", "").startswith("pkg:cargo/"):
            assert one["hashes"][0]["alg"] == "SHA-256", one
