"""Landfall knows exactly the partitions in AWS's list, which botocore contains.

`shared/core/src/partition.rs` has the table, and its own test compares it with the fixture. If this
test fails, botocore's list is newer. Write the fixture again, and the table's test says what to
add.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).parents[1] / "fixtures/partitions.json"


def listed() -> dict[str, Any]:
    text = resources.files("botocore").joinpath("data/partitions.json").read_text()
    return {
        partition["id"]: {
            "dns_suffix": partition["outputs"]["dnsSuffix"],
            "dual_stack_dns_suffix": partition["outputs"]["dualStackDnsSuffix"],
            # Names like `aws-global` stand for services without regions.
            "regions": sorted(
                name for name in partition["regions"] if not name.endswith("-global")
            ),
        }
        for partition in json.loads(text)["partitions"]
    }


def test_the_partitions_are_those_that_aws_lists() -> None:
    assert json.loads(FIXTURE.read_text()) == listed()
