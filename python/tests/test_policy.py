"""Session policies: what a narrowed session may reach, and that STS accepts their text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import session_policies
from job_side import AWKWARD_KEYS
from landfall import Object
from landfall._policy import MAX_CHARACTERS, control_policy, objects_policy

FIXTURE = Path(__file__).parents[2] / "tests" / "fixtures" / "session-policies.json"
TABLE = "arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims"
READS = ["s3:GetObject", "s3:GetObjectVersion"]

# Keys with a common beginning, as a route's have, made of characters that are special somewhere.
TEXTS = st.text(st.sampled_from('ab/*?$"\\ é東\n{}~') | st.characters(codec="utf-8"), max_size=60)
FOLDERS = st.sampled_from(["", "in/", "in/dt=2026-01-01/", "x" * 400, "*" * 300, "東/"])
KEYS = st.builds(lambda folder, text: folder + (text or "a"), FOLDERS, TEXTS)
MANY = st.lists(KEYS, min_size=1, max_size=60)


def resources(policy: str) -> list[str]:
    """Returns the resources of the statement that allows reading, without `arn:aws:s3:::`."""
    statement = json.loads(policy)["Statement"][0]
    assert statement["Action"] == READS
    return [arn.removeprefix("arn:aws:s3:::") for arn in statement["Resource"]]


def matches(pattern: str, text: str) -> bool:
    """Compares as IAM does: a variable `${*}` is the character, and `*` is anything."""
    parts = re.findall(r"\$\{[*?$]\}|[\s\S]", pattern)
    regex = "".join(
        part[2]
        if len(part) == 4 and part[2] not in "*?$"
        else re.escape(part[2])
        if len(part) == 4
        else ".*"
        if part == "*"
        else "."
        if part == "?"
        else re.escape(part)
        for part in parts
    )
    return re.fullmatch(regex, text, re.DOTALL) is not None


def shared(keys: list[str]) -> str:
    """Returns what all keys begin with."""
    first = min(keys)
    return next(
        first[:n] for n in range(len(first), -1, -1) if all(k[:n] == first[:n] for k in keys)
    )


def literal(pattern: str) -> str:
    """Returns the part of a pattern before its wildcard."""
    return re.sub(r"\$\{([*?$])\}", r"\1", pattern.removesuffix("*"))


@given(MANY)
@example([f"orders/{n:04}.csv" for n in range(1000)])
@example(AWKWARD_KEYS)
@example(["東" * 300])
@example(["*" * 1024])
@example(["a" * 1000, "b" * 1000])
def test_a_policy_covers_every_object_and_nothing_beyond_what_all_keys_begin_with(
    keys: list[str],
) -> None:
    policy = objects_policy("aws", [Object("acme-landing", key) for key in keys])
    assert len(policy) <= MAX_CHARACTERS
    assert re.fullmatch("[\x20-\xff]+", policy)
    found = resources(policy)
    for key in keys:
        assert any(matches(one, f"acme-landing/{key}") for one in found), key
    admissible = re.match("[\x20-\xff]*", shared(keys))
    assert admissible is not None
    for one in found:
        assert one.startswith("acme-landing/")
        beginning = literal(one).removeprefix("acme-landing/")
        # A key that is too long for any policy is cut, as late as possible.
        is_cut = admissible[0].startswith(beginning) and len(policy) > MAX_CHARACTERS - 8
        assert beginning.startswith(admissible[0]) or is_cut
        # Each prefix is the beginning of some of the batch's keys.
        assert any(key.startswith(beginning) for key in keys)


@given(MANY)
def test_what_fits_is_covered_exactly(keys: list[str]) -> None:
    policy = objects_policy("aws", [Object("b", key) for key in keys], budget=10**6)
    for one in resources(policy):
        key = literal(one).removeprefix("b/")
        if one.endswith("*") and not one.endswith("${*}"):
            cut = [k for k in keys if k.startswith(key) and not re.fullmatch("[\x20-\xff]*", k)]
            assert any(not re.match("[\x20-\xff]", k[len(key) :]) for k in cut)
        else:
            assert key in keys


EVEN = [f"orders/dt=2026-01-01/part-{n:05}.csv" for n in range(0, 2000, 2)]


@given(MANY, st.integers(700, MAX_CHARACTERS))
@example(EVEN, MAX_CHARACTERS)
@example([f"{n}{'x' * 400}/{m}" for n in range(4) for m in range(9)], MAX_CHARACTERS)
def test_no_resource_is_covered_by_another(keys: list[str], budget: int) -> None:
    found = resources(objects_policy("aws", [Object("acme-landing", key) for key in keys], budget))
    for one in found:
        assert not any(other != one and matches(other, literal(one)) for other in found)
    assert len(found) == len(set(found))


def test_room_that_a_wide_prefix_leaves_is_for_others() -> None:
    # There is room for one of ten folders with long names, and after them for the two short names.
    keys = [f"in/a/{n:03}" + "x" * 100 for n in range(0, 1000, 10)] + ["in/b/1", "in/b/2"]
    found = resources(objects_policy("aws", [Object("b", key) for key in keys]))
    assert found[-2:] == ["b/in/b/1", "b/in/b/2"]
    assert len(found) == 9 + 10 + 2


@given(MANY)
def test_neither_order_nor_repetition_changes_a_policy(keys: list[str]) -> None:
    objects = [Object("b", key) for key in keys]
    assert objects_policy("aws", objects) == objects_policy("aws", [*objects[::-1], objects[0]])


def test_what_does_not_fit_is_widened_from_the_deepest_of_the_tree() -> None:
    keys = [f"orders/dt=2026-01-{day:02}/{n}.csv" for day in range(1, 31) for n in range(100)]
    found = resources(objects_policy("aws", [Object("landing", key) for key in keys]))
    # A few characters are left over for deeper prefixes of the last days.
    assert 30 <= len(found) < 40
    assert all(re.fullmatch(r"landing/orders/dt=2026-01-\d\d/\d?\*", one) for one in found)


def test_listing_is_allowed_below_what_all_keys_begin_with() -> None:
    policy = objects_policy("aws", [Object("b", "in/a*1.csv"), Object("b", "in/a*2.csv")])
    assert json.loads(policy)["Statement"][1] == {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": ["arn:aws:s3:::b"],
        "Condition": {"StringLike": {"s3:prefix": "in/a${*}*"}},
    }


def test_objects_of_two_buckets_are_never_one_prefix() -> None:
    objects = [Object(bucket, f"k/{n}" + "x" * 90) for bucket in ("a", "ab") for n in range(40)]
    assert sorted({one.split("/")[0] for one in resources(objects_policy("aws", objects))}) == [
        "a",
        "ab",
    ]


@pytest.mark.parametrize("budget", [MAX_CHARACTERS, MAX_CHARACTERS // 2])
def test_the_longest_names_fit_into_half_the_budget(budget: int) -> None:
    objects = [Object("b" * 63, "*" * 512 + str(n)) for n in range(100)]
    assert len(objects_policy("aws-us-gov", objects, budget)) <= budget
    manifest, table = f"s3://{'b' * 63}/{'*' * 1024}", TABLE + "s" * 230
    assert len(control_policy("aws-us-gov", "$" * 64, manifest, table, budget)) <= budget


def test_a_budget_that_is_too_small_is_said_and_not_exceeded() -> None:
    with pytest.raises(ValueError, match="100 characters are too few"):
        objects_policy("aws", [Object("b", "k")], 100)
    with pytest.raises(ValueError, match="100 characters are too few"):
        control_policy("aws", "x", "s3://b/k", TABLE, 100)


def test_the_control_session_reaches_one_manifest_and_one_item() -> None:
    policy = control_policy("aws-cn", "orders-*", "s3://b/m?.json", TABLE)
    allowed: list[dict[str, Any]] = json.loads(policy)["Statement"]
    assert allowed == [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws-cn:s3:::b/m${?}.json"},
        {
            "Effect": "Allow",
            "Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
            "Resource": TABLE,
            "Condition": {
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "orders-${*}"},
                "Null": {"dynamodb:LeadingKeys": "false"},
            },
        },
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"},
    ]


def test_the_committed_policies_are_what_the_code_renders() -> None:
    assert FIXTURE.read_text("utf-8") == session_policies.text()
