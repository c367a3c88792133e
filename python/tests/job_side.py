"""What the library's tests share: a batch, and object keys that are hard to get right."""

from __future__ import annotations

from typing import Any

from landfall._arguments import Arguments

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


def arguments(batch_id: str = "orders-1", epoch: int = 1, **changed: Any) -> Arguments:
    """The identifiers of a batch."""
    named = {
        "manifest": MANIFEST,
        "claims_table": TABLE,
        "reader_role": READER,
        "region": REGION,
        "scope": None,
        "arguments": {},
        **changed,
    }
    return Arguments(batch_id, epoch, **named)


def command_line(one: Arguments) -> list[str]:
    """Returns the command line that Glue makes of Landfall's arguments for a run."""
    own = {
        "batch-id": one.batch_id,
        "epoch": str(one.epoch),
        "manifest": one.manifest,
        "reader-role": one.reader_role,
        "claims-table": one.claims_table,
    }
    if one.scope:
        own["scope"] = one.scope
    named = {**{f"landfall-{name}": value for name, value in own.items()}, **one.arguments}
    return ["script.py", *(word for pair in named.items() for word in (f"--{pair[0]}", pair[1]))]


def entry(key: str = "in/a.csv", **more: Any) -> dict[str, Any]:
    """Returns an object of bucket `acme-landing` as a manifest lists it."""
    return {"url": f"s3://acme-landing/{key}", "mandatory": True, **more}
