"""Session policies: what a narrowed session of the reader role may do. Pure.

A session policy never grants: what a session may do is what both the role and this text allow. So
an action here that the role lacks, or `*` for keys of KMS, widens nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from landfall._objects import Object, bucket_and_key

MAX_CHARACTERS = 2048
"""What STS takes as the text of a session policy."""

_READ = [
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectTagging",
    "s3:GetObjectVersionTagging",
    "s3:GetObjectAttributes",
    "s3:GetObjectVersionAttributes",
]
_LISTED = 256  # Characters of the prefix that may be listed: the objects need the rest.
_ADMISSIBLE = re.compile("[\x20-\xff]*")  # Of a policy's text; what IAM's API says of it.


def objects_policy(partition: str, objects: Sequence[Object], budget: int = MAX_CHARACTERS) -> str:
    """Reading exactly `objects`; where their keys do not fit, the narrowest prefixes that do.

    Prefixes are widened from the deepest of the tree upwards, at worst to what all keys begin with,
    and never beyond a bucket. A key is cut before the first character that policies cannot hold.
    Listing is allowed below what all keys begin with. Raises ValueError where `budget` is too small
    for the buckets' names.
    """
    buckets = sorted({one.bucket for one in objects})
    keys = [one.key for one in objects]
    listed = _cut(min(keys)[: _shared(min(keys), max(keys))], _LISTED) if keys else ""

    def render(resources: Iterable[str]) -> str:
        arns = [f"arn:{partition}:s3:::{resource}" for resource in resources]
        return _document(
            {"Action": _READ, "Resource": arns},
            {
                "Action": "s3:ListBucket",
                "Resource": [f"arn:{partition}:s3:::{bucket}" for bucket in buckets],
                "Condition": {"StringLike": {"s3:prefix": f"{_literal(listed)}*"}},
            },
            _DECRYPT,
        )

    arn = len(f'"arn:{partition}:s3:::",')
    room = budget - len(render([]))
    found = render(_resources({(one.bucket, one.key) for one in objects}, room, arn))
    if len(found) > budget:
        raise ValueError(f"failed to write a session policy: {budget} characters are too few")
    return found


def control_policy(
    partition: str,
    batch_id: str,
    manifest: str,
    claims_table: str,
    budget: int = MAX_CHARACTERS,
) -> str:
    """Reading the one manifest, and the batch's own item in the table of claims."""

    def render(resource: str) -> str:
        return _document(
            {"Action": "s3:GetObject", "Resource": f"arn:{partition}:s3:::{resource}"},
            {
                "Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
                "Resource": claims_table,
                "Condition": {
                    "ForAllValues:StringLike": {
                        "dynamodb:LeadingKeys": _literal_or_prefix(batch_id, _LISTED)
                    }
                },
            },
            _DECRYPT,
        )

    bucket, key = bucket_and_key(manifest)
    room = budget - len(render(f"{bucket}/"))
    found = render(f"{bucket}/{_literal_or_prefix(key, room)}")
    if len(found) > budget:
        raise ValueError(f"failed to write a session policy: {budget} characters are too few")
    return found


_DECRYPT = {"Action": "kms:Decrypt", "Resource": "*"}


def _document(*statements: dict[str, Any]) -> str:
    allowed = [{"Effect": "Allow", **statement} for statement in statements]
    document = {"Version": "2012-10-17", "Statement": allowed}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _resources(keys: set[tuple[str, str]], room: int, overhead: int) -> list[str]:
    """Keys and prefixes (`…*`) that cover `keys`, in `room` characters if that can be.

    `overhead` is what each takes besides its text.
    """
    # What a prefix covers follows it in this order, and needs no mention.
    leaves: list[tuple[str, str, bool]] = []
    for bucket, key in sorted(keys, key=lambda one: (one[0], _admissible(one[1]), one[1])):
        text = _admissible(key)
        if not (
            leaves and leaves[-1][2] and leaves[-1][0] == bucket and text.startswith(leaves[-1][1])
        ):
            is_prefix = text != key
            if is_prefix and leaves and leaves[-1][:2] == (bucket, text):
                leaves.pop()
            leaves.append((bucket, text, is_prefix))
    taken = [overhead + _size(_resource(*leaf)) for leaf in leaves]
    total = sum(taken) - 1
    if total <= room:
        return [_resource(*leaf) for leaf in leaves]
    # Neighbours that have most in common are one prefix first. Whatever is one already has at least
    # as much in common, so the prefix of both is what these two share.
    shared = [
        _shared(leaves[at][1], leaves[at + 1][1]) if leaves[at][0] == leaves[at + 1][0] else -1
        for at in range(len(leaves) - 1)
    ]
    first = list(range(len(leaves)))  # Of the group that ends here.
    last = list(range(len(leaves)))  # Of the group that begins here.
    groups: dict[int, tuple[str, str, bool]] = dict(enumerate(leaves))
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        if total <= room or shared[at] < 0:
            break
        begin, end = first[at], last[at + 1]
        total -= taken[begin] + taken[at + 1]
        del groups[at + 1]
        first[end], last[begin] = begin, end
        groups[begin] = (leaves[at][0], leaves[at][1][: shared[at]], True)
        taken[begin] = overhead + _size(_resource(*groups[begin]))
        total += taken[begin]
    found = [groups[begin] for begin in sorted(groups)]
    if total > room:
        # One a bucket is left: even a single key can be too long.
        each = room // len(found) - overhead
        found = [(bucket, _cut(text, each - len(bucket) - 2), True) for bucket, text, _ in found]
    return [_resource(*group) for group in found]


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _resource(bucket: str, text: str, is_prefix: bool) -> str:
    return f"{bucket}/{_literal(text)}" + ("*" if is_prefix else "")


def _literal(text: str) -> str:
    """`text` where policies take patterns: `*`, `?` and `$` stand for themselves as variables."""
    return re.sub(r"[*?$]", lambda found: "${" + found[0] + "}", text)


def _literal_or_prefix(text: str, room: int) -> str:
    if _cut(text, room) == text:
        return _literal(text)
    return f"{_literal(_cut(text, room - 1))}*"


def _admissible(text: str) -> str:
    found = _ADMISSIBLE.match(text)
    return found[0] if found else ""


def _cut(text: str, room: int) -> str:
    """The longest beginning of `text` that policies can hold, and that takes `room` in one."""
    text = _admissible(text)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(_literal(text[:middle])) <= room else (low, middle - 1)
    return text[:low]


def _size(text: str) -> int:
    """How many characters `text` takes in a document, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False)) - 2
