"""Each of the launcher's own corrections is still needed, and it works."""

from __future__ import annotations

import ast
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import ClientError

from emulator import (
    ANALYTICS,
    DATA,
    LAUNCHER,
    PLAIN,
    REGION,
    Emulator,
    allow,
    role,
    running,
    trust,
)

# aws:PrincipalArn


def who_may_assume(emulator: Emulator, path: str = "/") -> dict[str, bool]:
    """Returns which of two roles may assume a third, whose trust policy names one by ARN."""
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    asking = {}
    for name in ("named", "other"):
        arn = role(emulator, DATA, name, trust(Principal=root), allow("sts:AssumeRole"), path)
        asking[name] = arn
    target = role(
        emulator,
        ANALYTICS,
        "target",
        trust(Principal=root, Condition={"ArnEquals": {"aws:PrincipalArn": asking["named"]}}),
    )
    allowed = {}
    for name in asking:
        sts = emulator.client("sts", DATA, **emulator.session_of(DATA, name))
        try:
            sts.assume_role(RoleArn=target, RoleSessionName="asked")
            allowed[name] = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            allowed[name] = False
    return allowed


def test_the_plain_emulator_still_denies_a_role_that_a_trust_policy_names(plain: Emulator) -> None:
    assert who_may_assume(plain) == {"named": False, "other": False}


def test_a_role_that_a_trust_policy_names_may_assume_it_and_no_other_may(
    launched: Emulator,
) -> None:
    assert who_may_assume(launched) == {"named": True, "other": False}


def test_the_path_of_a_role_belongs_to_its_principal_arn(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        assert who_may_assume(emulator, path="/landfall/") == {"named": True, "other": False}


# Roles with a path, and their boundary


BOUNDARY = f"arn:aws:iam::{DATA}:policy/boundary"


def what_a_provisioner_may_do(emulator: Emulator) -> dict[str, bool]:
    """Calls IAM as a role that may make roles only below one path and with one boundary."""
    root = emulator.client("iam", DATA)
    document = allow("*")
    root.create_policy(PolicyName="boundary", PolicyDocument=document)
    root.create_policy(PolicyName="other", PolicyDocument=document)
    below = f"arn:aws:iam::{DATA}:role/landfall/*"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:CreateRole", "iam:PutRolePolicy"],
                "Resource": below,
                "Condition": {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}},
            },
            {"Effect": "Allow", "Action": "iam:GetRole", "Resource": below},
        ],
    }
    trusted = trust(Principal={"AWS": f"arn:aws:iam::{DATA}:root"})
    role(emulator, DATA, "provisioner", trusted, json.dumps(policy))
    for name, path in {"bare": "/landfall/", "outside": "/"}.items():
        root.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trusted)
    iam = emulator.client("iam", DATA, **emulator.session_of(DATA, "provisioner"))
    new = {"AssumeRolePolicyDocument": trusted}
    put = {"PolicyName": "p", "PolicyDocument": document}
    calls = {
        "create": lambda: iam.create_role(
            RoleName="made", Path="/landfall/", PermissionsBoundary=BOUNDARY, **new
        ),
        "write": lambda: iam.put_role_policy(RoleName="made", **put),
        "look": lambda: iam.get_role(RoleName="made"),
        "create without": lambda: iam.create_role(RoleName="x", Path="/landfall/", **new),
        "create with other": lambda: iam.create_role(
            RoleName="x", Path="/landfall/", PermissionsBoundary=BOUNDARY[:-8] + "other", **new
        ),
        "create elsewhere": lambda: iam.create_role(
            RoleName="x", PermissionsBoundary=BOUNDARY, **new
        ),
        "write without": lambda: iam.put_role_policy(RoleName="bare", **put),
        "look elsewhere": lambda: iam.get_role(RoleName="outside"),
    }
    return {name: is_allowed(call) for name, call in calls.items()}


def is_allowed(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_the_plain_emulator_still_knows_neither_path_nor_boundary(tmp_path: Path) -> None:
    with running(PLAIN, tmp_path) as emulator:
        assert not any(what_a_provisioner_may_do(emulator).values())


def test_a_policy_may_admit_one_path_and_one_boundary_only(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        allowed = what_a_provisioner_may_do(emulator)
    assert [name for name, is_so in allowed.items() if is_so] == ["create", "write", "look"]


# The tags of roles


def what_may_be_done_to_roles(emulator: Emulator) -> dict[str, bool]:
    """Changes roles as a role that may change only those with one tag, and not remove the tag."""
    below = f"arn:aws:iam::{DATA}:role/*"
    condition = {"StringLike": {"iam:ResourceTag/owner": "stack/*"}}
    kept = {
        "ForAllValues:StringNotEqualsIgnoreCase": {"aws:TagKeys": ["owner"]},
        "Null": {"aws:TagKeys": "false"},
    }
    allowed = {"Effect": "Allow", "Resource": below, "Condition": condition}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {**allowed, "Action": ["iam:UpdateRole", "iam:TagRole"]},
            {**allowed, "Action": "iam:UntagRole", "Condition": {**condition, **kept}},
        ],
    }
    trusted = trust(Principal={"AWS": f"arn:aws:iam::{DATA}:root"})
    role(emulator, DATA, "tagger", trusted, json.dumps(policy))
    root = emulator.client("iam", DATA)
    for name, owner in {"ours": "stack/1", "theirs": "other", "nobodys": None}.items():
        tags = [{"Key": "team", "Value": "x"}]
        tags += [{"Key": "Owner", "Value": owner}] if owner else []
        root.create_role(RoleName=name, AssumeRolePolicyDocument=trusted, Tags=tags)
    iam = emulator.client("iam", DATA, **emulator.session_of(DATA, "tagger"))
    calls = {
        f"update {name}": lambda name=name: iam.update_role(RoleName=name, Description="x")
        for name in ["ours", "theirs", "nobodys"]
    }
    calls |= {
        f"untag {key}": lambda key=key: iam.untag_role(RoleName="ours", TagKeys=key.split())
        for key in ["team", "owner", "OWNER", "team owner"]
    }
    return {name: is_allowed(call) for name, call in calls.items()}


def test_the_plain_emulator_still_knows_no_tags_of_roles(tmp_path: Path) -> None:
    with running(PLAIN, tmp_path) as emulator:
        assert not any(what_may_be_done_to_roles(emulator).values())


def test_a_policy_may_admit_roles_that_bear_a_tag_only(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path) as emulator:
        allowed = what_may_be_done_to_roles(emulator)
    assert [name for name, is_so in allowed.items() if is_so] == ["update ours", "untag team"]


def value_of(imports: str, correction: str, expression: str) -> object:
    """Evaluates an expression in a process of its own, with a correction or without."""
    program = f"{imports}\nimport launcher\n{correction}\nprint(repr({expression}))"
    command = [sys.executable, "-c", program]
    folder = Path(LAUNCHER[1]).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


# Wildcards


def matches(value: str, pattern: str, *, corrected: bool) -> object:
    return value_of(
        "from ministack.core import iam_evaluator",
        "launcher.correct_wildcards()" if corrected else "",
        f"iam_evaluator.fnmatch_iam_cs({value!r}, {pattern!r})",
    )


def test_the_plain_emulator_still_stops_at_a_line_break() -> None:
    assert matches("a\nb", "a*", corrected=False) is False


def test_a_wildcard_matches_a_line_break_and_no_more_than_it_should() -> None:
    assert matches("a\nb", "a*", corrected=True) is True
    assert matches("a\nb", "a?b", corrected=True) is True
    assert matches("ab\n", "ab", corrected=True) is False
    assert matches("b\na", "a*", corrected=True) is False


def test_the_plain_emulator_still_takes_a_variable_for_its_letters() -> None:
    assert matches("a*b", "a${*}b", corrected=False) is False


def test_a_variable_is_the_character_that_it_stands_for() -> None:
    for character in "*?$":
        pattern = f"a${{{character}}}b"
        assert matches(f"a{character}b", pattern, corrected=True) is True, pattern
        assert matches("axb", pattern, corrected=True) is False, pattern
        assert matches(pattern, pattern, corrected=True) is False, pattern


# aws:SecureTransport


def may_read_with_tls_only(emulator: Emulator) -> bool:
    """Returns whether a role can read from a bucket whose policy denies requests without TLS."""
    s3 = emulator.client("s3", DATA)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket="tls-only", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    s3.put_object(Bucket="tls-only", Key="key", Body=b"")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    s3.put_bucket_policy(Bucket="tls-only", Policy=policy)
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    role(emulator, DATA, "tls-reader", trust(Principal=root), allow("s3:GetObject"))
    reader = emulator.client("s3", DATA, **emulator.session_of(DATA, "tls-reader"))
    try:
        reader.get_object(Bucket="tls-only", Key="key")
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_the_plain_emulator_still_speaks_without_tls(plain: Emulator) -> None:
    assert not may_read_with_tls_only(plain)


def test_what_asks_for_tls_is_let_through(launched: Emulator) -> None:
    assert may_read_with_tls_only(launched)


# The policies of buckets


def roles_that_a_policy_admits(emulator: Emulator) -> dict[str, bool]:
    """Returns which roles of an account can read a foreign bucket whose policy admits one."""
    s3 = emulator.client("s3", DATA)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket="admits-one", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    s3.put_object(Bucket="admits-one", Key="key", Body=b"")
    allow_one = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ANALYTICS}:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::admits-one/*",
        "Condition": {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ANALYTICS}:role/admitted"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow_one]})
    s3.put_bucket_policy(Bucket="admits-one", Policy=policy)
    reached = {}
    for name in "admitted", "other":
        root = {"AWS": f"arn:aws:iam::{ANALYTICS}:root"}
        role(emulator, ANALYTICS, name, trust(Principal=root), allow("s3:GetObject"))
        reader = emulator.client("s3", ANALYTICS, **emulator.session_of(ANALYTICS, name))
        try:
            reader.get_object(Bucket="admits-one", Key="key")
            reached[name] = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            reached[name] = False
    return reached


def test_the_plain_emulator_still_knows_no_roles_of_other_accounts(plain: Emulator) -> None:
    assert roles_that_a_policy_admits(plain) == {"admitted": False, "other": False}


def test_a_buckets_policy_admits_one_role_of_another_account(launched: Emulator) -> None:
    assert roles_that_a_policy_admits(launched) == {"admitted": True, "other": False}


# dynamodb:LeadingKeys


def items_within_reach(emulator: Emulator) -> dict[str, bool]:
    """Returns which items a role can get that may get only those of one partition key."""
    dynamodb = emulator.client("dynamodb", DATA)
    with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName="leading",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    statement = {
        "Effect": "Allow",
        "Action": "dynamodb:GetItem",
        "Resource": "*",
        "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "mine"}},
    }
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role(emulator, DATA, "leading-reader", trust(Principal=root), policy)
    reader = emulator.client("dynamodb", DATA, **emulator.session_of(DATA, "leading-reader"))
    reached = {}
    for item in "mine", "other":
        try:
            reader.get_item(TableName="leading", Key={"id": {"S": item}})
            reached[item] = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            reached[item] = False
    return reached


def test_the_plain_emulator_still_knows_no_leading_keys(plain: Emulator) -> None:
    # If there are no keys, all of them satisfy the condition.
    assert items_within_reach(plain) == {"mine": True, "other": True}


def test_a_policy_can_admit_the_items_of_a_partition_key(launched: Emulator) -> None:
    assert items_within_reach(launched) == {"mine": True, "other": False}


# events:source


def sources_within_reach(emulator: Emulator) -> dict[str, bool]:
    """Returns from which sources a role can put events that may put those of one source only."""
    statement = {
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Resource": "*",
        "Condition": {"StringEquals": {"events:source": "mine"}},
    }
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role(emulator, DATA, "announcer", trust(Principal=root), policy)
    events = emulator.client("events", DATA, **emulator.session_of(DATA, "announcer"))
    reached = {}
    for source in "mine", "other":
        try:
            events.put_events(Entries=[{"Source": source, "DetailType": "x", "Detail": "{}"}])
            reached[source] = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            reached[source] = False
    return reached


def test_the_plain_emulator_still_knows_no_source_of_an_event(plain: Emulator) -> None:
    assert sources_within_reach(plain) == {"mine": False, "other": False}


def test_a_policy_can_admit_the_events_of_one_source(launched: Emulator) -> None:
    assert sources_within_reach(launched) == {"mine": True, "other": False}


# Rules and reserved concurrency


def what_is_within_reach(emulator: Emulator) -> dict[str, bool]:
    """Returns what a role can look at that may look at one rule and one function's concurrency."""
    here = f"{REGION}:{DATA}"
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource}
        for action, resource in (
            ("events:DescribeRule", f"arn:aws:events:{here}:rule/looked-at"),
            ("events:ListTargetsByRule", f"arn:aws:events:{here}:rule/looked-at"),
            ("lambda:GetFunctionConcurrency", f"arn:aws:lambda:{here}:function:looked-at"),
        )
    ]
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    role(emulator, DATA, "looker", trust(Principal=root), policy)
    session = emulator.session_of(DATA, "looker")
    events = emulator.client("events", DATA, **session)
    functions = emulator.client("lambda", DATA, **session)
    calls = {
        "rule": lambda: events.describe_rule(Name="looked-at"),
        "targets": lambda: events.list_targets_by_rule(Rule="looked-at"),
        "other rule": lambda: events.describe_rule(Name="other"),
        "concurrency": lambda: functions.get_function_concurrency(FunctionName="looked-at"),
    }
    reached = {}
    for what, call in calls.items():
        try:
            call()
            reached[what] = True
        except ClientError as error:
            reached[what] = error.response["Error"]["Code"] == "ResourceNotFoundException"
    return reached


def test_the_plain_emulator_still_takes_a_rule_and_a_read_for_others(plain: Emulator) -> None:
    assert not any(what_is_within_reach(plain).values())


def test_a_policy_can_admit_a_look_at_one_rule_and_at_a_concurrency(launched: Emulator) -> None:
    reached = what_is_within_reach(launched)
    assert reached == {"rule": True, "targets": True, "other rule": False, "concurrency": True}


# Owners of buckets


def may_read_of(emulator: Emulator, **owner: str) -> dict[str, bool]:
    """Returns from whose buckets a role of the data account can read, if the buckets admit it.

    It tries a role whose policy denies other accounts' buckets, and requests that name the owner.
    """
    root = {"AWS": f"arn:aws:iam::{DATA}:root"}
    statements = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]
    if not owner:
        others = {"StringNotEquals": {"aws:ResourceAccount": DATA}}
        deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": others}
        statements.append(deny)
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    name = f"owner-{'expected' if owner else 'denied'}"
    reader = role(emulator, DATA, name, trust(Principal=root), policy)
    s3 = emulator.client("s3", DATA, **emulator.session_of(DATA, name))
    read = {}
    for account in DATA, ANALYTICS:
        its = emulator.client("s3", account)
        bucket = f"{name}-{account}"
        its.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        its.put_object(Bucket=bucket, Key="key", Body=b"")
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": reader},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        its.put_bucket_policy(
            Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )
        try:
            s3.get_object(Bucket=bucket, Key="key", **owner)
            read[account] = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            read[account] = False
    return read


def test_the_plain_emulator_still_knows_no_owner_of_a_bucket(plain: Emulator) -> None:
    # It serves its own bucket to a caller that expects another's.
    assert may_read_of(plain, ExpectedBucketOwner=ANALYTICS)[DATA]


def test_a_bucket_of_another_owner_is_denied_by_a_policy_and_refused_to_who_expects_one(
    launched: Emulator,
) -> None:
    assert may_read_of(launched) == {DATA: True, ANALYTICS: False}
    assert may_read_of(launched, ExpectedBucketOwner=DATA) == {DATA: True, ANALYTICS: False}


# Ranges


def range_of_a_version(emulator: Emulator) -> bytes:
    s3 = emulator.client("s3", DATA)
    bucket = "ranges"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="key", Body=b"0123456789")["VersionId"]
    request = {"Bucket": bucket, "Key": "key", "VersionId": version, "Range": "bytes=2-4"}
    return s3.get_object(**request)["Body"].read()


def test_the_plain_emulator_still_gives_all_of_a_version(plain: Emulator) -> None:
    assert range_of_a_version(plain) == b"0123456789"


def test_of_a_version_the_range_is_given(launched: Emulator) -> None:
    assert range_of_a_version(launched) == b"234"


# Numbers of event source mappings


def concurrency(setting: str | int, *, corrected: bool) -> object:
    """Returns the limit that the emulator's poller uses for a mapping with this setting."""
    mapping = {"ScalingConfig": {"MaximumConcurrency": setting}}
    return value_of(
        "from ministack.services import lambda_svc",
        "launcher.correct_numbers_of_mappings()" if corrected else "",
        f"lambda_svc._sqs_esm_concurrency({mapping!r}, {{}}, {{}})",
    )


def test_the_plain_emulator_still_takes_text_for_a_number() -> None:
    assert concurrency("5", corrected=False) == "5"


def test_a_concurrency_that_came_as_text_is_a_number() -> None:
    assert concurrency("5", corrected=True) == 5
    assert concurrency(7, corrected=True) == 7


def answered(setting: str, *, corrected: bool) -> object:
    """Returns what the emulator answers for a mapping that has this setting as text."""
    mapping = {"ScalingConfig": {"MaximumConcurrency": "5"}, "BatchSize": "5"}
    return value_of(
        "from ministack.services import lambda_svc",
        "launcher.correct_numbers_of_mappings()" if corrected else "",
        f"lambda_svc._esm_response({mapping!r}){setting}",
    )


def test_an_answer_has_counts_as_numbers() -> None:
    for setting in ("['ScalingConfig']['MaximumConcurrency']", "['BatchSize']"):
        assert answered(setting, corrected=False) == "5"
        assert answered(setting, corrected=True) == 5


# Batches of messages


def action_of_a_batch(*, corrected: bool) -> object:
    """Returns the action that IAM checks when somebody sends several messages at once."""
    target = {"x-amz-target": "AmazonSQS.SendMessageBatch"}
    return value_of(
        "from ministack.core import iam_actions",
        "launcher.correct_batches_of_messages()" if corrected else "",
        f"iam_actions.extract_iam_action('sqs', 'POST', '/', {target!r}, b'', {{}})",
    )


def test_the_plain_emulator_still_asks_iam_about_a_batch() -> None:
    assert action_of_a_batch(corrected=False) == "sqs:SendMessageBatch"


def test_a_batch_of_messages_is_judged_as_one_message_is() -> None:
    assert action_of_a_batch(corrected=True) == "sqs:SendMessage"
