"""Writes the session policies that narrow a session of the reader role. Does no I/O.

A session policy never grants anything. A session may do only what both the role and the session
policy allow. So if a policy here has an action that the role lacks, or `*` for KMS keys, the
session gains nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from landfall._objects import Object, bucket_and_key

MAX_CHARACTERS = 2048
"""The most characters that STS accepts as the text of a session policy."""

_READ = ["s3:GetObject", "s3:GetObjectVersion"]
_LISTED = 256  # Characters of the prefix that may be listed. The objects need the rest.
_ADMISSIBLE = re.compile("[\x20-\xff]*")  # The characters that IAM's API allows in a policy.


def objects_policy(partition: str, objects: Sequence[Object], budget: int = MAX_CHARACTERS) -> str:
    """Returns a policy to read exactly `objects`, or the narrowest prefixes that fit in `budget`.

    Prefixes are as deep in the tree as there is room for. At worst, a prefix is what all keys of a
    bucket begin with; it never reaches beyond a bucket, and none covers another. A key is cut
    before the first character that policies cannot contain. The policy allows listing below what
    all keys begin with. Raises ValueError if `budget` is too small for the names of the buckets.
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
    """Returns a policy to read one manifest, and to use the batch's own item in the claims table.

    A key or an ID that doesn't fit becomes a prefix. Raises ValueError if `budget` is too small.
    """

    def render(resource: str) -> str:
        return _document(
            {"Action": "s3:GetObject", "Resource": f"arn:{partition}:s3:::{resource}"},
            {
                "Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
                "Resource": claims_table,
                "Condition": {
                    "ForAllValues:StringLike": {
                        "dynamodb:LeadingKeys": _literal_or_prefix(batch_id, _LISTED)
                    },
                    # `ForAllValues` also matches a request without the key.
                    "Null": {"dynamodb:LeadingKeys": "false"},
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
    """Returns keys and prefixes (`…*`) that cover `keys`, in `room` characters if possible.

    `overhead` is the number of characters that each of them takes besides its text.
    """
    # In this order, the keys that a prefix covers follow it, and can be left out.
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

    def resource(lo: int, hi: int) -> str:
        """Returns what covers the leaves from `lo` up to `hi`.

        In this order, the first and the last leaf determine what all of them share.
        """
        bucket, text, is_prefix = leaves[lo]
        if hi - lo == 1:
            return _resource(bucket, text, is_prefix)
        return _resource(bucket, _prefix(text, leaves[hi - 1][1]), True)

    def taken(lo: int, hi: int) -> int:
        return overhead + _size(resource(lo, hi))

    # Start with what all keys of each bucket begin with, and go down. While there is room, replace
    # a prefix, the shortest first, by all those right below it. So none lies below another.
    edges = [at for at in range(1, len(leaves)) if leaves[at - 1][0] != leaves[at][0]]
    found = list(zip([0, *edges], [*edges, len(leaves)])) if leaves else []
    total = sum(taken(*one) for one in found) - 1
    if total > room:
        # Even a single key can be too long for the room.
        each = room // len(found) - overhead
        ends = [(leaves[lo][0], _prefix(leaves[lo][1], leaves[hi - 1][1])) for lo, hi in found]
        return [
            _resource(bucket, _cut(text, each - len(bucket) - 2), True) for bucket, text in ends
        ]
    shared = [_shared(one[1], other[1]) for one, other in zip(leaves, leaves[1:])]
    wide = [(min(shared[lo : hi - 1]), lo, hi) for lo, hi in found if hi - lo > 1]
    chosen = set(found)
    heapify(wide)
    while wide:
        length, lo, hi = heappop(wide)
        below: list[tuple[int, int]] = []
        more, begin = total - taken(lo, hi), lo
        for at in range(lo + 1, hi + 1):
            if at == hi or shared[at - 1] == length:
                below.append((begin, at))
                more, begin = more + taken(begin, at), at
                if more > room:
                    break
        else:
            total = more
            chosen.remove((lo, hi))
            chosen.update(below)
            for lo, hi in below:
                if hi - lo > 1:
                    heappush(wide, (min(shared[lo : hi - 1]), lo, hi))
    return [resource(*one) for one in sorted(chosen)]


def _shared(one: str, other: str) -> int:
    """Returns the number of characters that both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _prefix(one: str, other: str) -> str:
    return one[: _shared(one, other)]


def _resource(bucket: str, text: str, is_prefix: bool) -> str:
    return f"{bucket}/{_literal(text)}" + ("*" if is_prefix else "")


def _literal(text: str) -> str:
    """Escapes `text` for a policy's pattern: `*`, `?` and `$` become policy variables."""
    return re.sub(r"[*?$]", lambda found: "${" + found[0] + "}", text)


def _literal_or_prefix(text: str, room: int) -> str:
    if _cut(text, room) == text:
        return _literal(text)
    return f"{_literal(_cut(text, room - 1))}*"


def _admissible(text: str) -> str:
    found = _ADMISSIBLE.match(text)
    return found[0] if found else ""


def _cut(text: str, room: int) -> str:
    """Returns the longest beginning of `text` that a policy can contain in `room` characters."""
    text = _admissible(text)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(_literal(text[:middle])) <= room else (low, middle - 1)
    return text[:low]


def _size(text: str) -> int:
    """Returns the number of characters that `text` takes in a document, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False)) - 2
