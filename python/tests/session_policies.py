"""Prints the session policies of named batches, for the tests that evaluate policies.

    python python/tests/session_policies.py > tests/fixtures/session-policies.json

writes the fixture again. `python` must be on PYTHONPATH.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from landfall import Object
from landfall._policy import control_policy, objects_policy

DATA = "111111111111"
CASES: dict[str, dict[str, Any]] = {
    "one object": {"keys": ["orders/2026-01-01/a.csv"]},
    "a few objects": {
        "keys": ["orders/2026-01-01/a.csv", "orders/2026-01-01/b.csv", "orders/2026-01-02/a.csv"]
    },
    "wildcards in keys": {
        "keys": ["orders/*/what?.csv", "orders/${aws:username}/a.csv", "orders/$/b.csv"]
    },
    "a key that is the beginning of another": {"keys": ["in", "in/a.csv", "inside/b.csv"]},
    "characters that policies hold": {"keys": ["in/a b+c%20d=e&f'g\"h\\i.csv", "in/Zürich.csv"]},
    "characters that policies cannot hold": {
        "keys": ["in/Zürich/東京/a.csv", "in/Zürich/a.csv", "in/Zürich b.csv", "in/line\nbreak.csv"]
    },
    "no common beginning": {"keys": ["a/1.csv", "b/2.csv", "東/3.csv"]},
    "1,000 objects of one folder": {
        "keys": [f"orders/dt=2026-01-01/part-{n:05}.csv" for n in range(1000)]
    },
    "1,000 objects of 40 folders": {
        "keys": [f"orders/dt=2026-01-01/shop={n % 40:02}/{n:05}.csv" for n in range(1000)]
    },
    "one long key of wildcards": {"keys": ["in/" + "*?" * 510]},
    "another batch's manifest and table": {
        "keys": ["in/a.csv"],
        "batch_id": "orders-${aws:username}*?",
        "manifest": "s3://acme-landfall/manifests/$*?.json",
        "claims_table": f"arn:aws:dynamodb:us-west-2:{DATA}:table/acme-claims",
    },
}


def rendered() -> list[dict[str, Any]]:
    """Returns each case with its inputs and both policies."""
    return [render(name, **case) for name, case in CASES.items()]


def render(
    name: str,
    keys: list[str],
    bucket: str = "acme-landing",
    batch_id: str = "orders-2026-01-01-1",
    manifest: str = "s3://acme-landfall/manifests/orders-2026-01-01-1.json",
    claims_table: str = f"arn:aws:dynamodb:eu-west-1:{DATA}:table/landfall-claims",
) -> dict[str, Any]:
    objects = [Object(bucket, key) for key in keys]
    return {
        "name": name,
        "bucket": bucket,
        "keys": keys,
        "batch_id": batch_id,
        "manifest": manifest,
        "claims_table": claims_table,
        "objects_policy": objects_policy("aws", objects),
        "control_policy": control_policy("aws", batch_id, manifest, claims_table),
    }


def text() -> str:
    return json.dumps(rendered(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
