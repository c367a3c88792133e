"""What the tests of the job's own side share: a batch, and keys that are hard to get right."""

from __future__ import annotations

from typing import Any

import landfall

REGION = "eu-west-1"
READER = "arn:aws:iam::111111111111:role/landfall/landfall-reader"
TABLE = f"arn:aws:dynamodb:{REGION}:111111111111:table/landfall-claims"
MANIFEST = "s3://acme-landfall/manifests/orders-1.json"
AWKWARD_KEYS = [
    "in/a b.csv",
    "in/a+b%2Bc%20d%.csv",
    "dt=2026-01-01/x=y==.csv",
    "what?version=1#part&amp;",
    "//leading//and/./../dots",
    "Zürich/東京/🌧️/\u202e.csv",
    "quote\"back\\slash'tick`.csv",
    "line\nbreak\ttab\x7f",
    "--landfall-batch-id",
    "s3://bucket/key",
    "k" * 1024,
]


def batch(batch_id: str = "orders-1", epoch: int = 1, **changed: Any) -> landfall.Batch:
    named = {
        "manifest": MANIFEST,
        "claims_table": TABLE,
        "reader_role": READER,
        "region": REGION,
        "arguments": {},
        **changed,
    }
    return landfall.Batch(batch_id, epoch, **named)


def entry(key: str = "in/a.csv", **more: Any) -> dict[str, Any]:
    """An object of bucket `acme-landing` as a manifest lists it."""
    return {"url": f"s3://acme-landing/{key}", "mandatory": True, **more}
